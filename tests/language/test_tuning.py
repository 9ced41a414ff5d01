from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segue.datasets.fetch import fetch
from segue.errors import TuningUnsuitable
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.tuning import MODES, Tuning, TuningConfig, layers_of, tuned
from tests.language.tiny_models import tiny_model

IDS = torch.arange(5, 32).view(3, 9)
MASK = (torch.arange(9) < torch.tensor([[9], [5], [9]])).long()
LEARNING = [mode for mode in MODES if mode != "frozen"]
every_kind = pytest.mark.parametrize("kind", ["bert", "llama"])


def told(model: Any, rows: slice = slice(None), width: int = 9) -> Tensor:
    hidden: Tensor = model(input_ids=IDS[rows, :width], attention_mask=MASK[rows, :width]).last_hidden_state
    return hidden


def opened(kind: str, mode: str, **settings: Any) -> Tuning:
    torch.manual_seed(1)
    return tuned(tiny_model(kind), TuningConfig(mode=mode, **settings), steps=8)


def taught(tuning: Tuning, steps: int = 3) -> Tuning:
    """After a few steps towards a random goal."""
    optimizer = torch.optim.SGD(tuning.parameters.values(), lr=0.1)
    goal = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(2))
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = (told(tuning.model) - goal).pow(2).mean() + tuning.penalty()
        loss.backward()
        optimizer.step()
        tuning.stepped(step)
    return tuning


@every_kind
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_begins_where_the_pretrained_model_is(kind: str, mode: str) -> None:
    before, after = told(tiny_model(kind)), told(opened(kind, mode).model.train())
    if mode == "prefix":
        assert not torch.allclose(before[0], after[0])  # it takes a little attention from the first
    else:
        torch.testing.assert_close(after[MASK > 0], before[MASK > 0])


@every_kind
@pytest.mark.parametrize("mode", LEARNING)
def test_only_what_a_mode_opens_changes(kind: str, mode: str) -> None:
    tuning = opened(kind, mode)
    before = copy.deepcopy(tuning.model.state_dict())
    taught(tuning)
    after = tuning.model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert changed <= set(tuning.parameters)


@every_kind
@pytest.mark.parametrize("mode", ["top", "lora", "prefix", "adapter"])
def test_layers_below_the_first_give_what_they_gave(kind: str, mode: str) -> None:
    tuning = opened(kind, mode, layers=1)
    assert tuning.first == 3
    assert all(f".{n}." not in f".{name}" for name in tuning.parameters for n in (0, 1, 2))
    seen: list[Tensor] = []
    layer = layers_of(tuning.model)[3]
    layer.register_forward_pre_hook(lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True)
    told(tuning.model)
    assert not seen[0].requires_grad  # so that no gradient is computed below


@every_kind
@pytest.mark.parametrize("mode", LEARNING)
def test_what_was_learnt_makes_the_same_model_of_another_copy(kind: str, mode: str) -> None:
    tuning = taught(opened(kind, mode))
    torch.manual_seed(99)  # what is added begins elsewhere
    other = tuned(tiny_model(kind), TuningConfig(mode=mode))
    other.load(tuning.state())
    assert torch.equal(told(other.model)[MASK > 0], told(tuning.model)[MASK > 0])
    assert sum(array.size for array in tuning.state().values()) == tuning.trainable


@every_kind
@pytest.mark.parametrize("mode", LEARNING)
def test_computing_activations_twice_gives_the_same_gradients(kind: str, mode: str) -> None:
    gradients = []
    for twice in (False, True):
        tuning = opened(kind, mode, gradient_checkpointing=twice)
        told(tuning.model.train()).pow(2).mean().backward()
        gradients.append({name: p.grad for name, p in tuning.parameters.items() if p.grad is not None})
    assert gradients[0]
    torch.testing.assert_close(gradients[0], gradients[1])


@every_kind
@pytest.mark.parametrize("mode", ["prefix", "adapter", "adalora"])
def test_a_text_gives_the_same_alone_and_among_longer_ones(kind: str, mode: str) -> None:
    model = taught(opened(kind, mode)).model
    torch.testing.assert_close(told(model, slice(1, 2), 5)[0], told(model)[1, :5])


def test_lora_learns_a_small_share() -> None:
    tuning = opened("bert", "lora", layers=1, rank=1)
    assert tuning.share < 0.03
    assert tuning.total == sum(p.numel() for p in tiny_model("bert").parameters())


def test_adalora_ends_with_fewer_ranks_than_it_begins_with() -> None:
    tuning = taught(opened("bert", "adalora", rank=2), steps=8)
    left = [int((p != 0).sum()) for name, p in tuning.parameters.items() if "lora_E" in name]
    assert sum(left) < 3 * len(left)


def test_other_modules_can_learn_beside() -> None:
    model = nn.Module()
    model.config = type("Settings", (), {"is_encoder_decoder": False})()  # type: ignore[assignment]
    model.layer, model.classifier = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]), nn.Linear(2, 1)
    tuning = tuned(model, TuningConfig(mode="frozen"), besides=("classifier",))
    assert set(tuning.parameters) == {"classifier.weight", "classifier.bias"}


def test_what_was_learnt_in_another_mode_is_refused() -> None:
    state = opened("bert", "lora").state()
    with pytest.raises(ValueError, match="does not fit"):
        opened("bert", "adapter").load(state)
    name = next(iter(state))
    with pytest.raises(ValueError, match=name):
        opened("bert", "lora").load({**state, name: np.zeros((1, 1), np.float32)})


@pytest.mark.parametrize("mode", ["prefix", "adapter"])
def test_a_model_that_cannot_have_a_mode_is_told_so(mode: str) -> None:
    model = nn.Module()
    model.config = type("Settings", (), {"hidden_size": 2, "num_attention_heads": 1})()  # type: ignore[assignment]
    model.layer = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    with pytest.raises(TuningUnsuitable, match="lora, adapter and top"):
        tuned(model, TuningConfig(mode=mode))


def test_what_is_no_stack_of_layers_is_refused() -> None:
    with pytest.raises(TuningUnsuitable, match="no single stack"):
        layers_of(nn.Linear(2, 2))


@pytest.mark.parametrize("mode", LEARNING)
def test_two_films_are_told_apart_by_minilm_in_every_mode(mode: str) -> None:
    fetch("minilm", progress=False)
    language = load_language_model("minilm")
    torch.manual_seed(0)
    tuning = tuned(language.model, TuningConfig(mode=mode, layers=1), steps=8)
    encoder = TextEncoder(language, TextConfig(max_tokens=16))
    tokens = encoder.padded(encoder.tokenise(["a film about trains", "a film about ships"]))
    optimizer = torch.optim.Adam(tuning.parameters.values(), lr=1e-4 if mode in ("top", "full") else 3e-3)
    alike = []
    for step in range(1, 5):
        optimizer.zero_grad()
        likeness = torch.cosine_similarity(*encoder(tokens), dim=0)
        alike.append(float(likeness.detach()))
        (likeness + tuning.penalty()).backward()
        optimizer.step()
        tuning.stepped(step)
    assert alike[-1] < alike[0]


def test_a_copy_of_the_model_uses_its_own_adapters() -> None:
    tuning = opened("bert", "adapter")
    twin = copy.deepcopy(tuning.model)
    taught(tuning)
    torch.testing.assert_close(told(twin)[MASK > 0], told(tiny_model("bert"))[MASK > 0])
