"""What requests about catalogue, people, models and health take and give, as the OpenAPI document shows it.

Base types and those of events and lists are ``schemas``'s.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from segue.serving.answers.settings import BATCH
from segue.serving.api.schemas import NO_NUL, Body, Id, ListedOut, Number, Text

# -- items -----------------------------------------------------------------------------------------------------


class ItemIn(BaseModel):
    """A row of the catalogue: ``item_id`` and any of its columns."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    item_id: Id

    __pydantic_extra__: dict[
        str,
        bool
        | Number
        | Annotated[float, Field(strict=True, allow_inf_nan=False)]
        | Annotated[str, StringConstraints(max_length=20_000, pattern=NO_NUL)]
        | Annotated[list[Text], Field(max_length=BATCH)]
        | None,
    ] = Field(init=False)

    @model_validator(mode="after")
    def _names(self) -> ItemIn:
        extra = self.__pydantic_extra__ or {}
        if len(extra) > 200 or any(not 0 < len(name) <= 200 or "\0" in name for name in extra):
            raise ValueError("columns have names of 1 to 200 characters, and there are at most 200 of them")
        return self


class ItemsIn(Body):
    """New or changed rows of the catalogue."""

    items: Annotated[list[ItemIn], Field(fail_fast=True, min_length=1, max_length=BATCH)]
    """Stored together or not at all. Of an item that is known already, columns that a row does not tell stay as they
    are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item_id": "i900", "title": "A new film", "categories": ["drama"]}]}]
        }
    )


ItemsForms = Annotated[
    Annotated[list[ItemIn], Field(fail_fast=True, min_length=1, max_length=BATCH), Tag("several")]
    | Annotated[ItemsIn, Tag("batch")],
    Discriminator(lambda body: "several" if isinstance(body, list) else "batch"),
]


class ItemsOut(BaseModel):
    """What became of the rows, after they are durable."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stored: int
    """Rows that were written; every model ranks them within a second."""
    new: int
    """Of them, rows of items that the model in service had not heard of."""


class SimilarOut(BaseModel):
    """Items that go with one."""

    model: str
    item_id: Id
    items: list[ListedOut]


class ItemOut(BaseModel):
    """A row of the catalogue."""

    model: str
    item: dict[str, Any]


class ItemRemoved(BaseModel):
    """What a removal did."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    item_id: str
    """Which."""
    removed: bool
    """False where it was removed before."""


class CatalogueOut(BaseModel):
    """Rows of the catalogue."""

    model: str
    items: list[dict[str, Any]]


# -- people, models, health ------------------------------------------------------------------------------------


class UserEventsOut(BaseModel):
    """What the store has of a user, in the order in which it came."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    user_id: str
    events: list[dict[str, Any]]
    """Each as it was sent, with ``timestamp`` and ``received`` in ISO 8601 (``timestamp`` is a number where the log
    knows an order alone) and its number ``seq``."""
    next: int | None
    """Ask again with ``after`` set to this for those that follow; null where these are all."""


class ArtefactReason(BaseModel):
    """Why an artefact could not be rewritten."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """As in the list of errors."""
    message: str
    """What is wrong with it."""


class ArtefactOutcome(BaseModel):
    """What an erasure did to one artefact."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    artefact: str
    """The last name of its directory."""
    state: Literal["erased", "unknown", "missing", "failed"]
    """It named the user, it did not, there is none, or it may name the user still."""
    reason: ArtefactReason | None
    """Of a failure."""


class ErasureOut(BaseModel):
    """What an erasure removed, and the proof that nothing is left."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    user_id: str
    """Who."""
    removed: dict[str, int]
    """Rows removed, by table."""
    artefacts: int
    """Models whose artefact knew the user, and does not any more."""
    outcomes: list[ArtefactOutcome]
    """Each artefact of a registered model."""
    traces: dict[str, int]
    """Rows that still name the user, by table: all 0 where it is complete."""
    complete: bool
    """Whether nothing names the user any more."""


class ModelOut(BaseModel):
    """A model that may answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Answers carry it."""
    role: Literal["active", "shadow", "waiting"]
    """Answering, asked in the background, or at rest."""
    weight: float
    """Its share of the users, relative to the other active ones."""
    created: str | int | None = None
    """When it was registered."""
    learnt_to: int
    """The newest event of the store that it has learnt from."""
    loaded: bool
    """Whether this process has it in memory."""
    refused: str | None = None
    """Why it could not be loaded."""


class ModelsOut(BaseModel):
    """All registered models."""

    models: list[ModelOut]


class ModelIn(Body):
    """An artefact that is to be a model of the service."""

    path: Text
    """A directory on the disk of the service, the same for every process of it: what ``segue train`` or ``segue
    export`` saved."""
    name: Text | None = None
    """What answers say gave them; by default the directory's."""
    role: Literal["active", "shadow", "waiting"] = "waiting"
    """Answer beside the other active ones, be asked in the background, or rest."""
    weight: float = Field(1.0, ge=0, le=1e6)
    """Its share of the users, relative to the other active ones."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"path": "models/shop-b", "role": "active", "weight": 0.25}]}
    )


class ModelChange(Body):
    """What a model is to do."""

    role: Literal["active", "shadow", "waiting"] = "active"
    """Answer beside the other active ones, be asked in the background, or rest."""
    weight: float = Field(1.0, ge=0, le=1e6)
    """Its share of the users, relative to the other active ones."""


class OnlineChange(Body):
    """What online mode is to take back."""

    undo: int | None = Field(None, ge=1, le=1_000, strict=True)
    """So many of the newest batches; None takes back everything, and learning begins anew."""


class OnlineOut(BaseModel):
    """What online mode has learnt for a model, and what it is worth so far."""

    seq: int
    batches: int
    waiting: int
    off: bool
    tested: int
    log_loss: dict[str, float]
    hit_rate_at_10: dict[str, float]
    largest_bias: float


class RolledBack(BaseModel):
    """Who answers after a change was undone."""

    active: list[str]


class Health(BaseModel):
    """How the service is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ok", "ready", "not ready"]
    """``ok`` is alive; ``ready`` takes requests."""
    reason: str | None = None
    """Why it is not ready."""


class ErrorOut(BaseModel):
    """What went wrong and what to do."""

    code: str = Field(examples=["V001"])
    message: str
    remedy: str


class Problem(BaseModel):
    """Every answer that is no success has this form."""

    error: ErrorOut


class ErasureProblem(BaseModel):
    """An erasure that is not complete: the error, and what was erased where."""

    error: ErrorOut
    erasure: ErasureOut
