from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segue.nn.transformer import BLOCKS, CausalSelfAttention, SwiGLU, TransformerEncoder

SIZE, WIDTH, ROWS = 8, 7, 5
LENGTHS = torch.tensor([7, 1, 4, 6, 2])


def encoder(block: str = "ligr", blocks: int = 2, dropout: float = 0.0, max_length: int = 10) -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(SIZE, max_length, blocks, 2, block, 2, dropout).eval()


def vectors(seed: int = 1) -> Tensor:
    return torch.randn(ROWS, WIDTH, SIZE, generator=torch.Generator().manual_seed(seed))


def leaks(model: TransformerEncoder) -> bool:
    """Whether changing an event changes any state before it."""
    x = vectors()
    before = model(x, LENGTHS)
    for place in range(1, WIDTH):
        changed = x.clone()
        changed[:, place:] = vectors(seed=2)[:, place:]  # a shift of a whole vector would be normed away
        if not torch.allclose(model(changed, LENGTHS)[:, :place], before[:, :place], atol=1e-6):
            return True
    return False


@pytest.mark.parametrize("block", BLOCKS)
def test_a_later_event_never_changes_an_earlier_state(block: str) -> None:
    assert not leaks(encoder(block))


@pytest.mark.parametrize("block", BLOCKS)
def test_attention_that_looks_ahead_is_noticed(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attend = F.scaled_dot_product_attention

    def both_ways(*args: Any, is_causal: bool = False, **options: Any) -> Tensor:
        return attend(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", both_ways)
    assert leaks(encoder(block))


@pytest.mark.parametrize("block", BLOCKS)
def test_an_earlier_event_does_change_later_states(block: str) -> None:
    model, x = encoder(block), vectors()
    changed = x.clone()
    changed[:, 0] = vectors(seed=2)[:, 0]
    assert not torch.allclose(model(changed, LENGTHS)[0, 3], model(x, LENGTHS)[0, 3], atol=1e-4)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_last_state_alone_is_the_last_state_of_all(block: str, blocks: int) -> None:
    model, x = encoder(block, blocks), vectors()
    everything = model(x, LENGTHS)
    last = model(x, LENGTHS, last=True)
    assert last.shape == (ROWS, SIZE)
    torch.testing.assert_close(last, everything[torch.arange(ROWS), LENGTHS - 1])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_padding_never_matters(block: str, last: bool) -> None:
    model, x = encoder(block), vectors()
    noisy = x.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        noisy[row, length:] = 1e4 * vectors(seed=2)[row, length:]
    wider = torch.cat([noisy, vectors(seed=3)[:, :3]], dim=1)
    inside = torch.arange(WIDTH) < LENGTHS[:, None]
    wanted = model(x, LENGTHS, last)
    for padded in (noisy, wider):
        answer = model(padded, LENGTHS, last)
        if last:
            torch.testing.assert_close(answer, wanted)
        else:
            torch.testing.assert_close(answer[:, :WIDTH][inside], wanted[inside])


def test_a_row_alone_has_the_states_it_has_in_a_batch() -> None:
    model, x = encoder(), vectors()
    together = model(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row, :length])


def test_places_are_counted_from_the_newest_event() -> None:
    model = encoder()
    same = torch.randn(1, 1, SIZE).expand(1, 9, SIZE)
    long, short = torch.tensor([9]), torch.tensor([3])
    grown = model.positions((long[:, None] - 1 - torch.arange(9)).clamp(min=0))[0]
    assert torch.equal(grown[-3:], model.positions((short[:, None] - 1 - torch.arange(3)).clamp(min=0))[0])
    # With one event, what is asked is place 0 whatever the width of the batch.
    one = torch.tensor([1])
    torch.testing.assert_close(model(same, one, last=True), model(same[:, :1], one, last=True))


def test_the_order_of_the_events_matters() -> None:
    model, x = encoder(), vectors()
    turned = x.clone()
    turned[0, :6] = x[0, :6].flip(0)
    assert not torch.allclose(model(turned, LENGTHS, last=True)[0], model(x, LENGTHS, last=True)[0], atol=1e-4)


def test_dropout_acts_in_training_and_not_in_evaluation() -> None:
    model, x = encoder(dropout=0.5), vectors()
    assert torch.equal(model(x, LENGTHS), model(x, LENGTHS))
    model.train()
    assert not torch.equal(model(x, LENGTHS), model(x, LENGTHS))


def test_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = CausalSelfAttention(SIZE, 2)
    x = vectors()[:1, :3]
    packed = attention.query_key_value(x[0]).view(3, 3, 2, 4)  # place, query/key/value, head, part
    mixed = torch.zeros(3, 2, 4)
    for head in range(2):
        for place in range(3):
            query = packed[place, 0, head]
            scores = torch.stack([query @ packed[other, 1, head] / 2 for other in range(place + 1)])
            weights = scores.softmax(0)
            mixed[place, head] = sum(weights[other] * packed[other, 2, head] for other in range(place + 1))
    torch.testing.assert_close(attention(x)[0], attention.output(mixed.reshape(3, SIZE)))


def test_swiglu_gates_one_half_by_the_silu_of_the_other() -> None:
    torch.manual_seed(0)
    layer = SwiGLU(SIZE, 16, 0.0)
    x = vectors()
    up = x @ layer.up.weight.T
    gated = up[..., :16] * (up[..., 16:] * torch.sigmoid(up[..., 16:]))
    torch.testing.assert_close(layer(x), gated @ layer.down.weight.T)


def test_a_closed_gate_leaves_the_input_as_it_is() -> None:
    torch.manual_seed(0)
    block = BLOCKS["ligr"](SIZE, 2, 2, 0.0)
    for gate in (block.attention_gate, block.feed_gate):
        torch.nn.init.constant_(gate.bias, -1e4)
    x = vectors()
    torch.testing.assert_close(block(x), x)
