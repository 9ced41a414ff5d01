"""What is the transformer's own; what it shares with every encoder is in test_encoders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.transformer import BLOCKS, SelfAttention, SwiGLU, TransformerEncoder
from segue.nn.view import View
from tests.nn.makers import LENGTHS, ROWS, SIZE, asked_of, mixed, vectors

SHAPE = Shape(SIZE, 10, 2, 2, expansion=2)


@pytest.mark.parametrize("time", [False, True])
def test_plain_blocks_are_causal_too_and_their_last_state_is_the_last_of_all(time: bool) -> None:
    torch.manual_seed(0)
    model = TransformerEncoder(Shape(SIZE, 10, 2, 2, "plain", 2, relative_time=time)).eval()
    x, inputs = vectors(), asked_of()
    states = model(x, inputs)
    later = torch.cat([x[:, :3], vectors(seed=2)[:, 3:]], dim=1)
    changed = model(later, mixed(inputs, asked_of(seed=9), 3))
    torch.testing.assert_close(changed[:, :3], states[:, :3])
    assert not torch.allclose(changed[0, 3:], states[0, 3:], atol=1e-3)
    torch.testing.assert_close(model(x, inputs, last=True), states[torch.arange(ROWS), LENGTHS - 1])


def test_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(SHAPE)
    x, inputs = vectors()[:1, :3], Inputs(torch.ones(1, 3, dtype=torch.int64), torch.tensor([3]))
    packed = attention.query_key_value(x[0]).view(3, 3, 2, 4)  # place, query/key/value, head, part
    mixed = torch.zeros(3, 2, 4)
    for head in range(2):
        for place in range(3):
            query = packed[place, 0, head]
            scores = torch.stack([query @ packed[other, 1, head] / 2 for other in range(place + 1)])
            weights = scores.softmax(0)
            mixed[place, head] = sum(weights[other] * packed[other, 2, head] for other in range(place + 1))
    found = attention(x, View.of(inputs, SHAPE))[0]
    torch.testing.assert_close(found, attention.output(mixed.reshape(3, SIZE)))


def test_a_bias_by_time_of_zero_changes_nothing() -> None:
    torch.manual_seed(0)
    timed, plain = Shape(SIZE, 10, 2, 2, relative_time=True), SHAPE
    attention, same = SelfAttention(timed), SelfAttention(plain)
    same.load_state_dict(attention.state_dict(), strict=False)
    inside = torch.arange(vectors().shape[1]) < LENGTHS[:, None]
    left = attention(vectors(), View.of(asked_of(), timed))[inside]
    torch.testing.assert_close(left, same(vectors(), View.of(asked_of(), plain))[inside])
    nn.init.normal_(attention.time.table)
    assert not torch.allclose(left, attention(vectors(), View.of(asked_of(), timed))[inside], atol=1e-3)


def test_swiglu_gates_one_half_by_the_silu_of_the_other() -> None:
    torch.manual_seed(0)
    layer = SwiGLU(SIZE, 16, 0.0)
    x = vectors()
    up = x @ layer.up.weight.T
    gated = up[..., :16] * (up[..., 16:] * torch.sigmoid(up[..., 16:]))
    torch.testing.assert_close(layer(x), gated @ layer.down.weight.T)


def test_a_closed_gate_leaves_the_input_as_it_is() -> None:
    torch.manual_seed(0)
    block = BLOCKS["ligr"](SHAPE)
    for gate in (block.attention_gate, block.feed_gate):
        torch.nn.init.constant_(gate.bias, -1e4)
    x = vectors()
    torch.testing.assert_close(block(x, View.of(asked_of(), SHAPE)), x)
