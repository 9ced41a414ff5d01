"""A recommender inside another one's settings: its class and its own settings, in any of the ways people write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from segue.config import Config
from segue.recommenders.base import Recommender
from segue.recommenders.store import recommender_class


class Spec(Config):
    """Class and settings of a recommender.

    Read from a mapping (settings may also stand beside the fields), from the name of a class, or from a recommender.
    """

    refused: ClassVar[dict[str, str]] = {}
    """Classes that cannot stand here, and why."""

    recommender: str = "SequenceRecommender"
    """Its class."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Those of its settings that are not the default."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, Recommender):
            settings = given.config.model_dump(mode="json", exclude_defaults=True)
            given = {"recommender": type(given).__name__, "settings": settings}
        if isinstance(given, type) and issubclass(given, Recommender):
            given = given.__name__
        if isinstance(given, str):
            given = {"recommender": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("settings", {}), Mapping):
            return given
        own = {name: value for name, value in given.items() if name in cls.model_fields}
        beside = {name: value for name, value in given.items() if name not in cls.model_fields}
        own["settings"] = {**own.get("settings", {}), **beside}
        name = own.get("recommender", "SequenceRecommender")
        if isinstance(name, str):
            if name in cls.refused:
                raise ValueError(cls.refused[name])
            parsed = recommender_class(name).Settings.parse(own["settings"], owner=name)
            own["settings"] = parsed.model_dump(mode="json", include=set(own["settings"]))
        return own

    def build(self, seed: int = 0, **settings: Any) -> Recommender:
        """The recommender, not fitted; ``seed`` is added to its own, ``settings`` take the place of those it knows."""
        cls = recommender_class(self.recommender)
        config = cls.Settings.parse(self.settings, owner=self.recommender)
        known = {name: value for name, value in settings.items() if name in cls.Settings.model_fields}
        if seed and "seed" in cls.Settings.model_fields:
            known["seed"] = config.model_dump()["seed"] + seed
        return cls(config.model_copy(update=known))
