"""The encoders by name, and the contract they share. A new encoder is one module of this room and one line here.

An encoder is an ``nn.Module`` made from a :class:`Shape`. Called with (rows, width, d) vectors, the inputs they came
from and ``last``, it gives one vector per position, or with ``last=True`` (rows, d), the newest event's alone. Its
attribute ``masked`` says how it learns: False where a vector has seen its position and those before it and tells the
event that follows; True where it has seen the whole row and tells events that were masked (``nn.masking``). Loads
no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

ENCODERS = {
    "transformer": "segue.nn.transformer:TransformerEncoder",
    "hstu": "segue.nn.hstu:HSTUEncoder",
    "gru": "segue.nn.recurrent:GRUEncoder",
    "lstm": "segue.nn.recurrent:LSTMEncoder",
    "bidirectional": "segue.nn.bidirectional:BidirectionalEncoder",
}
"""Name to module and class."""


@dataclass(frozen=True)
class Shape:
    """What an encoder is built from.

    Attributes:
        size: of every vector (d).
        max_length: of a row.
        blocks: how many layers.
        heads: of attention.
        block: ``"ligr"`` or ``"plain"``, where an encoder has both.
        expansion: width of a feed-forward layer as a multiple of ``size``.
        dropout: rate.
        relative_time: whether attention is biased by time (and what a recurrent state holds fades with it).
        request: whether that time is counted to the moment of the request.
        both_ways: whether attention sees later events too; an encoder's own business.
    """

    size: int
    max_length: int
    blocks: int = 2
    heads: int = 2
    block: str = "ligr"
    expansion: int = 4
    dropout: float = 0.0
    relative_time: bool = False
    request: bool = False
    both_ways: bool = False


def encoder_class(name: str) -> Any:
    """The class of an encoder by its name; ``KeyError`` for an unknown one."""
    module, _, found = ENCODERS[name].partition(":")
    return getattr(import_module(module), found)
