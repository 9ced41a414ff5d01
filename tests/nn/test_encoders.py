"""What every encoder must do, whichever it is; asked with time and without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.encoders import ENCODERS, Shape, encoder_class
from tests.nn.makers import LENGTHS, ROWS, SIZE, WIDTH, asked_of, mixed, of_row, vectors, without_time

CAUSAL = [name for name in ENCODERS if not encoder_class(name).masked]
SETTINGS = {"plain time": {}, "relative": {"relative_time": True}, "request": {"relative_time": True, "request": True}}
timed = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
every = pytest.mark.parametrize("name", ENCODERS)


def encoder(name: str, blocks: int = 2, dropout: float = 0.0, max_length: int = 12, **settings: bool) -> nn.Module:
    torch.manual_seed(0)
    made = encoder_class(name)(Shape(SIZE, max_length, blocks, 2, expansion=2, dropout=dropout, **settings))
    for parameter in made.parameters():  # tables that start at zero would hide what they do
        nn.init.normal_(parameter, std=0.3) if not parameter.any() else None
    return made.eval()


def leaks(model: nn.Module) -> bool:
    """Whether changing an event, its moment or the request after it changes any state before it."""
    inputs, other = asked_of(), asked_of(seed=9)
    before = model(vectors(), inputs)
    for place in range(1, WIDTH):
        x = torch.cat([vectors()[:, :place], vectors(seed=2)[:, place:]], dim=1)
        after = model(x, mixed(inputs, other, place))
        inside = (torch.arange(place) < LENGTHS[:, None])[..., None]
        if not torch.allclose(after[:, :place] * inside, before[:, :place] * inside, atol=1e-5):
            return True
    return False


@timed
@pytest.mark.parametrize("name", CAUSAL)
def test_a_later_event_never_changes_an_earlier_state(name: str, settings: dict[str, bool]) -> None:
    assert not leaks(encoder(name, **settings))


@pytest.mark.parametrize("settings", [{}, {"relative_time": True}], ids=["fused", "written out"])
def test_attention_that_looks_ahead_is_noticed(settings: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    attend, hide = F.scaled_dot_product_attention, Tensor.masked_fill_
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *args, is_causal=False, **o: attend(*args, **o))
    monkeypatch.setattr(
        Tensor, "masked_fill_", lambda x, hidden, value: x if value == -torch.inf else hide(x, hidden, value)
    )
    assert leaks(encoder("transformer", **settings))


@timed
@every
def test_an_earlier_event_does_change_later_states(name: str, settings: dict[str, bool]) -> None:
    model, inputs = encoder(name, **settings), asked_of()
    x = torch.cat([vectors(seed=2)[:, :1], vectors()[:, 1:]], dim=1)
    assert not torch.allclose(model(x, inputs)[0, 3], model(vectors(), inputs)[0, 3], atol=1e-4)


@timed
@pytest.mark.parametrize("blocks", [1, 2, 3])
@every
def test_the_last_state_alone_is_the_last_state_of_all(name: str, blocks: int, settings: dict[str, bool]) -> None:
    model, x, inputs = encoder(name, blocks, **settings), vectors(), asked_of()
    last = model(x, inputs, last=True)
    assert last.shape == (ROWS, SIZE)
    torch.testing.assert_close(last, model(x, inputs)[torch.arange(ROWS), LENGTHS - 1])


@timed
@pytest.mark.parametrize("last", [False, True])
@every
def test_padding_never_matters(name: str, last: bool, settings: dict[str, bool]) -> None:
    model, x, inputs = encoder(name, **settings), vectors(), asked_of(width=WIDTH + 3)
    inside = torch.arange(WIDTH + 3) < LENGTHS[:, None]
    noisy = torch.where(inside[..., None], torch.cat([x, x[:, :3]], 1), 1e4 * vectors(seed=2, width=WIDTH + 3))
    wanted = model(x, mixed(inputs, inputs, WIDTH).replaced(**narrow(inputs)), last)
    dirty = asked_of(seed=5, width=WIDTH + 3)
    columns = {c: torch.where(inside, getattr(inputs, c), getattr(dirty, c)) for c in narrow(inputs)}
    answer = model(noisy, inputs.replaced(**columns), last)
    if last:
        torch.testing.assert_close(answer, wanted)
    else:
        torch.testing.assert_close(answer[:, :WIDTH][inside[:, :WIDTH]], wanted[inside[:, :WIDTH]])


def narrow(inputs: object) -> dict[str, Tensor]:
    names = ("items", "times", "asked", "calendar", "actions", "wanted", "values")
    return {name: getattr(inputs, name)[:, :WIDTH] for name in names}


@timed
@every
def test_a_row_alone_has_the_states_it_has_in_a_batch(name: str, settings: dict[str, bool]) -> None:
    model, x, inputs = encoder(name, **settings), vectors(), asked_of()
    together = model(x, inputs)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :length], of_row(inputs, row))
        torch.testing.assert_close(alone[0], together[row, :length])


@every
def test_a_log_without_moments_is_read_by_an_encoder_that_knows_time(name: str) -> None:
    model = encoder(name, relative_time=True, request=True)
    assert model(vectors(), without_time(asked_of())).isfinite().all()
    assert model(vectors(), without_time(asked_of()), last=True).isfinite().all()


@every
def test_the_order_of_the_events_matters(name: str) -> None:
    model, x, inputs = encoder(name), vectors(), asked_of()
    turned = x.clone()
    turned[0, :6] = x[0, :6].flip(0)
    assert not torch.allclose(model(turned, inputs, last=True)[0], model(x, inputs, last=True)[0], atol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_moments_of_events_matter_to_an_encoder_that_knows_time(name: str) -> None:
    model, x, inputs = encoder(name, relative_time=True, request=True), vectors(), asked_of()
    assert inputs.asked is not None
    late = inputs.asked.clone()
    late[0, -1] += 400 * 86_400
    moved = inputs.replaced(asked=late)
    if encoder_class(name).masked:  # the newest event is a mask there, at the moment of the request
        assert inputs.times is not None
        inputs = inputs.replaced(asked=None)
        moved = inputs.replaced(times=torch.cat([inputs.times[:, :-1], late[:, -1:]], dim=1))
    change = model(x, moved, last=True) - model(x, inputs, last=True)
    assert change[0].abs().max() > 1e-4
    torch.testing.assert_close(change[1:], torch.zeros_like(change[1:]))


@every
def test_dropout_acts_in_training_and_not_in_evaluation(name: str) -> None:
    model, x, inputs = encoder(name, dropout=0.5), vectors(), asked_of()
    assert torch.equal(model(x, inputs), model(x, inputs))
    model.train()
    assert not torch.equal(model(x, inputs), model(x, inputs))


@every
def test_every_parameter_is_learnt(name: str) -> None:
    model = encoder(name, relative_time=True, request=True)
    inside = torch.arange(WIDTH) < LENGTHS[:, None]
    (model(vectors(), asked_of())[inside] * torch.randn(int(inside.sum()), SIZE)).sum().backward()
    still = [path for path, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


def test_a_name_that_is_no_encoder_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="rnn"):
        encoder_class("rnn")
