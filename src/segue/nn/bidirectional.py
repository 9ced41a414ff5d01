"""The bidirectional encoder: attention to the whole row, earlier and later events alike.

The encoder of BERT4Rec (Sun et al., CIKM 2019, sec. 3.2 and 3.3) with the blocks, positions and time of the
transformer here. What is masked, and the mask that asks for the next item, are ``nn.masking``'s.
"""

from __future__ import annotations

from dataclasses import replace

from segue.nn.encoders import Shape
from segue.nn.transformer import TransformerEncoder


class BidirectionalEncoder(TransformerEncoder):
    """The transformer without a causal view; rows are longer by the mask that asks."""

    masked = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(replace(shape, max_length=shape.max_length + 1, both_ways=True))
