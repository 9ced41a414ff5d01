from __future__ import annotations

import torch
from torch import Tensor

from segue.nn.behaviour import BehaviourInputs, forget_wanted
from segue.nn.inputs import Inputs
from tests.nn.makers import ROWS, SIZE, WIDTH, asked_of


def made(actions: int = 2, edges: tuple[float, ...] = (2.0, 4.0)) -> BehaviourInputs:
    torch.manual_seed(0)
    return BehaviourInputs(SIZE, actions, edges)


def added(inputs: Inputs, **options: object) -> Tensor:
    return made(**options)(torch.zeros(*inputs.items.shape, SIZE), inputs)  # type: ignore[arg-type]


def row(**columns: list[float]) -> Inputs:
    width = len(next(iter(columns.values())))
    tensors = {name: torch.tensor([values]) for name, values in columns.items()}
    return Inputs(torch.ones(1, width, dtype=torch.int64), torch.tensor([width]), **tensors)


def test_values_share_a_vector_inside_a_bin_and_bins_begin_at_their_edge() -> None:
    vectors = added(row(values=[1.0, 1.9, 2.0, 3.9, 4.0, 99.0]), actions=0)[0]
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[2], vectors[3])
    assert torch.equal(vectors[4], vectors[5])
    assert len({tuple(vector.tolist()) for vector in vectors}) == 3


def test_a_missing_value_has_a_vector_of_its_own() -> None:
    vectors = added(row(values=[float("nan"), 1.0, 3.0, 5.0]), actions=0)[0]
    assert len({tuple(vector.tolist()) for vector in vectors}) == 4
    assert torch.equal(vectors[0], added(bare(1), actions=0)[0, 0])


def bare(width: int) -> Inputs:
    return Inputs(torch.ones(1, width, dtype=torch.int64), torch.tensor([width]))


def test_what_was_done_and_what_is_wanted_are_told_apart() -> None:
    done, wanted = added(row(actions=[1, 2, 0]), edges=()), added(row(wanted=[1, 2, 0]), edges=())
    assert not torch.equal(done[0, 0], wanted[0, 0])
    assert torch.equal(done[0, 2], wanted[0, 2]), "both are unknown there"
    assert torch.equal(done[0, 2], added(bare(1), edges=())[0, 0])


def test_what_the_log_lacks_has_no_vectors() -> None:
    assert not list(made(0, ()).parameters())
    assert torch.equal(added(asked_of(), actions=0, edges=()), torch.zeros(ROWS, WIDTH, SIZE))


def test_some_requests_forget_which_action_they_are_for() -> None:
    torch.manual_seed(0)
    inputs = row(wanted=[1] * 2_000)
    forgot = forget_wanted(inputs, 0.2)
    assert forgot.wanted is not None
    assert 0.15 < (forgot.wanted == 0).float().mean() < 0.25
    assert forget_wanted(inputs, 0.0) is inputs
    assert forget_wanted(bare(3), 0.5).wanted is None
