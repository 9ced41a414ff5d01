"""Parts of a trained sequence model as ONNX models: the encoder, the way of text into item vectors, a language model.

What is traced is the model's own code; where ONNX lacks an operation the modules of ``nn`` hold an equal form. How the
parts are put together again is ``recommenders.exported``'s, smaller numbers are ``deploy.quantising``'s.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from segue.language.encoder import TextEncoder, pooled
from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.item_tower import ItemTower
from segue.nn.sequence import SequenceModel
from segue.training.plan import Plan

_OPSET = 17
_ROWS, _WIDTH = 2, 5  # of the example; all sizes are free in the result


def encoder_columns(plan: Plan, actions: bool) -> tuple[str, ...]:
    """The columns of a batch that a model of this plan reads besides items and lengths."""
    clock = ("times", "asked", "calendar") if plan.reads_clock else ()
    behaviour = ("actions", "wanted") if actions and "actions" in plan.behaviour else ()
    return (*clock, *behaviour, *(("values",) if "values" in plan.behaviour else ()))


def trace_encoder(model: SequenceModel, columns: Sequence[str]) -> bytes:
    """From padded rows to the state of the newest event, (rows, d) or longer with a likeness.

    Its inputs are ``vectors``, (rows, width, d) those of the items, ``lengths`` and the columns named.
    """
    place = torch.arange(_WIDTH)
    lengths = torch.tensor([_WIDTH, _WIDTH - 2])
    inside = place < lengths[:, None]
    size = model.tower.vectors().shape[1]
    examples: dict[str, Tensor] = {
        "vectors": torch.randn(_ROWS, _WIDTH, size) * inside[..., None],
        "lengths": lengths,
        "times": torch.where(inside, 1_600_000_000 + 3_600 * place, 0),
        "asked": torch.where(inside, 1_600_003_600 + 3_600 * place, UNKNOWN_TIME),
        "calendar": inside.to(torch.int16),
        "actions": inside.long(),
        "wanted": inside.long(),
        "values": torch.where(inside, 1.0, torch.nan),
    }
    names = ["vectors", "lengths", *columns]
    given = {name: examples[name] for name in names}
    return traced(_LastState(model, columns), given, "state", dict.fromkeys(names, ("rows", "width")))


def trace_item_path(tower: ItemTower) -> bytes:
    """From what a language model says of items, ``raw`` (n, D), to what it adds to their vectors.

    ``alone``, (n, 1), says which items have no vector of their own. With a likeness the rows go on with what is held
    against the newest items.
    """
    assert tower.text is not None
    width = tower.text.get_buffer("mean").shape[0]
    examples = {"raw": torch.randn(_ROWS, width), "alone": torch.tensor([[True], [False]])}
    return traced(_ItemPath(tower), examples, "added", dict.fromkeys(examples, ("items",)))


def trace_language(encoder: TextEncoder) -> bytes:
    """From padded ``ids`` and their ``mask``, (texts, width) int64 both, to one vector for each text."""
    mask = torch.ones(_ROWS, _WIDTH, dtype=torch.int64)
    mask[1, -2:] = 0
    examples = {"ids": torch.ones_like(mask), "mask": mask}
    return traced(_Language(encoder), examples, "vector", dict.fromkeys(examples, ("texts", "width")))


def traced(module: nn.Module, examples: Mapping[str, Tensor], output: str, axes: Mapping[str, Sequence[str]]) -> bytes:
    """An ONNX model of a module, from one run of it on examples; the module is left in eval mode.

    Args:
        examples: its arguments by their name, in order.
        output: what its one result is called.
        axes: for each argument the names of its leading dimensions, which are free.
    """
    free = {name: dict(enumerate(names[: examples[name].dim()])) for name, names in axes.items()}
    free[output] = {0: next(iter(axes.values()))[0]}
    buffer = io.BytesIO()
    with _without_warnings(), torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            buffer,  # type: ignore[arg-type] # a file is taken as well
            input_names=list(examples),
            output_names=[output],
            dynamic_axes=free,
            opset_version=_OPSET,
            dynamo=False,  # the other way of torch needs one more library
        )
    return buffer.getvalue()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without torch's words on its other way of exporting, and on what is free in what was traced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding")
        warnings.filterwarnings("ignore", "Exporting aten::index operator")  # no index here is negative
        # The state that a recurrence begins with follows the number of rows.
        warnings.filterwarnings("ignore", "Exporting a model to ONNX with a batch_size other than 1")
        yield


class _LastState(nn.Module):
    """``SequenceModel.last`` over vectors that have been looked up, so that the catalogue may grow beside it."""

    def __init__(self, model: SequenceModel, columns: Sequence[str]) -> None:
        super().__init__()
        self.model, self.columns = model, tuple(columns)

    def forward(self, vectors: Tensor, lengths: Tensor, *others: Tensor) -> Tensor:
        rows, width, size = vectors.shape
        table = torch.cat([torch.zeros(1, size), vectors.reshape(-1, size)])
        place = torch.arange(width)
        code = 1 + width * torch.arange(rows)[:, None] + place
        items = torch.where(place < lengths[:, None], code, 0)
        return self.model.last(Inputs(items, lengths, **dict(zip(self.columns, others, strict=True))), table)


class _ItemPath(nn.Module):
    def __init__(self, tower: ItemTower) -> None:
        super().__init__()
        self.text, self.likeness = tower.text, tower.likeness

    def forward(self, raw: Tensor, alone: Tensor) -> Tensor:
        assert self.text is not None
        vectors = self.text.comparable(raw).half().float()
        added: Tensor = self.text(alone, vectors)
        return added if self.likeness is None else torch.cat([added, self.likeness.items(vectors, alone)], dim=1)


class _Language(nn.Module):
    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.backbone, self.pooling = encoder.backbone, encoder.pooling

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return pooled(hidden, mask, self.pooling)
