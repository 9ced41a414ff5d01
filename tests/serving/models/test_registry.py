"""The registry: every change in one transaction, what answered before is known, and nothing in use is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from segue.errors import (
    ModelInUse,
    ModelNameTaken,
    ModelNotThere,
    NothingToRollBackTo,
    SegueError,
    WeightsBad,
)
from segue.serving.models.activations import LONGEST
from segue.serving.models.registry import ModelRow, Registry, arm_of, root_of
from tests.serving.models.shelf import Shelf


def row(name: str, role: str = "waiting", root: str | None = None, created: int = 0) -> ModelRow:
    document = {} if root is None else {"root": root}
    return ModelRow(name, f"/m/{name}", f"/m/{name}", role, 1.0, created, document=document)


def active(registry: Registry) -> dict[str, float]:
    return {row.name: row.weight for row in registry.rows() if row.role == "active"}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Shelf())
    registry.add(row("a", "active"))
    registry.add(row("b"))
    return registry


def test_an_activated_model_takes_the_place_of_all_that_answer(registry):
    registry.set_role("b", "active", 3.0)
    registry.add(row("c"))
    registry.activate("c")
    assert active(registry) == {"c": 1.0}


def test_in_place_of_one_it_takes_its_weight_and_its_arm_and_the_others_stay(registry):
    registry.set_role("b", "active", 3.0)
    registry.add(row("b-0002", "active"), instead_of="b")
    assert active(registry) == {"a": 1.0, "b-0002": 3.0}
    assert registry.row("b-0002").document["arm"] == "b"


def test_roll_back_goes_step_by_step_to_what_answered_before(registry):
    registry.activate("b")
    registry.add(row("c", "active"))
    assert registry.roll_back() == ["b"]
    assert registry.roll_back() == ["a"]
    with pytest.raises(NothingToRollBackTo, match="none answered before"):
        registry.roll_back()
    assert active(registry) == {"a": 1.0}


def test_roll_back_brings_the_weights_of_an_a_b_test_back(registry):
    registry.set_role("b", "active", 3.0)
    registry.add(row("c", "active"))
    assert set(registry.roll_back()) == {"a", "b"}
    assert active(registry) == {"a": 1.0, "b": 3.0}
    assert registry.roll_back() == ["a"]


def test_each_roll_back_undoes_one_activation_and_none_comes_twice(registry):
    registry.activate("b")
    registry.roll_back()
    registry.add(row("c", "active"))
    registry.activate("b")
    registry.activate("a")
    assert [registry.roll_back() for _ in range(3)] == [["b"], ["c"], ["a"]]
    with pytest.raises(NothingToRollBackTo, match="none answered before"):
        registry.roll_back()


def test_roll_back_brings_the_roles_and_arms_of_all_models_back(registry):
    registry.set_role("b", "shadow")
    registry.add(row("c", "shadow"))
    before = {row.name: (row.role, row.weight, arm_of(row)) for row in registry.rows()}
    registry.activate("c", instead_of="a")
    registry.set_role("b", "waiting")
    registry.roll_back()
    assert {row.name: (row.role, row.weight, arm_of(row)) for row in registry.rows()} == before


def test_the_newest_twenty_activations_can_be_undone(registry):
    for number in range(LONGEST + 5):
        registry.activate("ba"[number % 2])
    for _ in range(LONGEST):
        registry.roll_back()
    with pytest.raises(NothingToRollBackTo):
        registry.roll_back()


def test_what_keeps_the_activations_is_no_model(registry):
    registry.activate("b")
    (name,) = {row.name for row in registry.store.model_rows()} - {"a", "b"}
    for change in (registry.activate, registry.row, lambda name: registry.set_role(name, "waiting")):
        with pytest.raises(ModelNotThere):
            change(name)


def test_each_change_has_a_greater_generation_and_leaves_that_of_other_rows(registry):
    before = registry.row("a").generation
    registry.set_role("b", "shadow")
    assert registry.row("a").generation == before
    assert registry.row("b").generation > before


def test_adding_a_model_again_changes_nothing_and_its_name_is_not_another_ones(registry):
    registry.add(row("b"))
    assert len(registry.rows()) == 2
    with pytest.raises(ModelNameTaken, match="/m/b"):
        registry.add(ModelRow("b", "/elsewhere", "/elsewhere", "waiting", 1.0, 0))


def test_an_unknown_name_is_answered_with_the_nearest(registry):
    registry.add(row("films"))
    with pytest.raises(ModelNotThere, match="Did you mean 'films'"):
        registry.activate("film")


def test_the_only_one_that_answers_cannot_be_taken_away(registry):
    with pytest.raises(ModelInUse):
        registry.set_role("a", "waiting")
    registry.set_role("b", "active")
    registry.set_role("a", "waiting")
    assert active(registry) == {"b": 1.0}


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": float("nan")}, {"a": float("inf")}, {"a": 0.0}, {"b": 1.0}])
def test_weights_that_mean_nothing_are_refused(registry, weights):
    with pytest.raises(WeightsBad):
        registry.set_weights(weights)
    assert active(registry) == {"a": 1.0}


def test_of_each_line_the_newest_are_kept_and_nothing_in_use_or_to_go_back_to_is_dropped():
    registry = Registry(Shelf())
    for number in range(1, 6):
        registry.add(row(f"m-{number}", "active", root="/m", created=number))
    registry.add(row("other", created=9))
    gone = registry.drop(keep=1)
    assert [row.name for row in gone] == ["m-1", "m-2", "m-3"]
    assert [row.name for row in registry.rows()] == ["m-4", "m-5", "other"]
    assert registry.roll_back() == ["m-4"]


class Changes(RuleBasedStateMachine):
    """Whatever is done in whatever order, somebody answers, and dropping leaves a way back."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(Shelf())
        self.registry.add(row("m0", "active", root="/m"))
        self.number = 0

    @rule(role=st.sampled_from(["active", "waiting", "shadow"]))
    def add(self, role: str) -> None:
        self.number += 1
        self.registry.add(row(f"m{self.number}", role, root="/m", created=self.number))

    @rule(number=st.integers(0, 9), role=st.sampled_from(["active", "waiting", "shadow"]), weight=st.floats(0, 9))
    def set_role(self, number: int, role: str, weight: float) -> None:
        self.attempt(lambda: self.registry.set_role(f"m{number}", role, weight))  # type: ignore[arg-type]

    @rule(number=st.integers(0, 9))
    def activate(self, number: int) -> None:
        self.attempt(lambda: self.registry.activate(f"m{number}"))

    @rule()
    def roll_back(self) -> None:
        self.attempt(self.registry.roll_back)

    @rule(keep=st.integers(1, 3))
    def drop(self, keep: int) -> None:
        before = self.way_back()
        self.registry.drop(keep)
        assert self.way_back() == before

    def way_back(self) -> set[str] | None:
        """What a roll back would bring, None where it cannot."""
        rows = self.registry.rows()
        wanted = set(next(iter(self.registry.answered()), []))
        return wanted if wanted <= {row.name for row in rows} else None

    def attempt(self, change) -> None:
        before = self.registry.rows()
        try:
            change()
        except SegueError:
            assert self.registry.rows() == before

    @invariant()
    def somebody_answers(self) -> None:
        assert any(weight > 0 for weight in active(self.registry).values())
        assert all(root_of(row) == "/m" for row in self.registry.rows())


def test_somebody_answers_whatever_is_done():
    run_state_machine_as_test(Changes, settings=settings(max_examples=50, stateful_step_count=20))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_weights_are_kept_as_they_were_given(weights):
    registry = Registry(Shelf())
    for number in range(len(weights)):
        registry.add(row(f"m{number}"))
        registry.set_role(f"m{number}", "active")
    wanted = {f"m{n}": weight for n, weight in enumerate(weights)}
    if any(weights):
        registry.set_weights(wanted)
        assert active(registry) == wanted
    else:
        with pytest.raises(WeightsBad):
            registry.set_weights(wanted)
