"""The contract has teeth: each deliberately broken recommender fails the check that is about its fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.recommenders.base import Recommender
from segue.recommenders.popular import Popular
from segue.testing import RecommenderContract

Check = Callable[..., None]
C = RecommenderContract


class SoundTwin(Popular):
    """Breaks nothing."""


class NaNScores(Popular):
    def _score_block(self, histories: Any) -> np.ndarray:
        scores = super()._score_block(histories)
        scores[:, 3] = np.nan
        return scores


class RepeatsItems(Popular):
    def recommend_codes(self, *args: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        codes, scores = super().recommend_codes(*args, **options)
        codes[:, 1] = codes[:, 0]
        return codes, scores


class LeaksCodes(Popular):
    def recommend(self, *args: Any, **options: Any) -> pl.DataFrame:
        answer = super().recommend(*args, **options)
        codes = self.item_vocabulary.encode(answer["item_id"])
        return answer.with_columns(pl.Series("item_id", codes))


class RollsDice(Popular):
    def _fit(self, *args: Any) -> None:
        super()._fit(*args)
        self._item_scores = np.random.default_rng().random(len(self._item_scores), dtype=np.float32)


class ForgetsOnLoad(Popular):
    def _load(self, artefact: Any) -> None:
        self._item_scores = np.zeros_like(artefact.tensors("scores")["scores"])


class ListsSeenItems(Popular):
    def recommend_codes(self, histories: Any, k: int, *, exclude_seen: bool | None = None, **options: Any) -> Any:
        return super().recommend_codes(histories, k, exclude_seen=False, **options)


class RanksWorstFirst(Popular):
    def recommend_codes(self, *args: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        codes, scores = super().recommend_codes(*args, **options)
        return codes[:, ::-1], scores[:, ::-1]


class LooksAtTheNeighbour(Popular):
    """Scores depend on who else is asked about."""

    def _score_block(self, histories: Any) -> np.ndarray:
        return super()._score_block(histories) * len(histories)


class KeepsTheFirstFit(Popular):
    def _fit(self, *args: Any) -> None:
        if not hasattr(self, "_item_scores"):
            super()._fit(*args)
        self._item_scores = np.resize(self._item_scores, len(self.item_vocabulary) + 1)


class ChangesWhenAsked(Popular):
    def _score_block(self, histories: Any) -> np.ndarray:
        self._item_scores = -self._item_scores
        return super()._score_block(histories)


class SwallowsSettings(Popular):
    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__()


class ScoresSomethingElse(Popular):
    def score(self, *args: Any, **options: Any) -> pl.DataFrame:
        return super().score(*args, **options).with_columns(-pl.col("score"))


TWINS: list[tuple[type[Recommender], Check, dict[str, Any]]] = [
    (NaNScores, C.test_no_score_is_nan_or_infinite, {}),
    (NaNScores, C.test_answers_to_generated_histories_are_always_sane, {}),
    (RepeatsItems, C.test_nothing_is_listed_twice, {}),
    (RepeatsItems, C.test_answers_to_generated_histories_are_always_sane, {}),
    (LeaksCodes, C.test_ids_of_any_type_go_in_and_come_out, {"kind": "strings"}),
    (LeaksCodes, C.test_ids_of_any_type_go_in_and_come_out, {"kind": "integers"}),
    (RollsDice, C.test_two_fits_with_one_seed_give_equal_scores, {}),
    (ForgetsOnLoad, C.test_save_and_load_give_identical_scores_items_and_order, {"tmp_path": ...}),
    (ListsSeenItems, C.test_seen_items_are_left_out_when_asked_and_only_then, {}),
    (RanksWorstFirst, C.test_lists_have_four_columns_ranks_from_one_and_falling_scores, {}),
    (LooksAtTheNeighbour, C.test_the_answer_for_one_does_not_depend_on_who_else_asks, {}),
    (KeepsTheFirstFit, C.test_a_second_fit_forgets_the_first, {}),
    (ChangesWhenAsked, C.test_asking_twice_gives_the_same_answer, {}),
    (ScoresSomethingElse, C.test_scores_agree_with_lists, {}),
]


def contract_of(cls: type[Recommender]) -> RecommenderContract:
    return type("Contract", (RecommenderContract,), {"recommender": staticmethod(cls)})()


def filled(arguments: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    return {name: tmp_path if value is ... else value for name, value in arguments.items()}


def named(value: Any) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("twin", "check", "arguments"), TWINS, ids=named)
def test_a_broken_recommender_fails_the_check_about_its_fault(
    twin: type[Recommender], check: Check, arguments: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        check(contract_of(twin), **filled(arguments, tmp_path))


def test_a_recommender_that_swallows_unknown_settings_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        C.test_an_unknown_setting_is_refused_with_the_nearest_name(contract_of(SwallowsSettings))


@pytest.mark.parametrize(("twin", "check", "arguments"), TWINS, ids=named)
def test_a_sound_recommender_passes_the_same_check(
    twin: type[Recommender], check: Check, arguments: dict[str, Any], tmp_path: Path
) -> None:
    check(contract_of(SoundTwin), **filled(arguments, tmp_path))


def test_a_recommender_made_outside_the_library_is_loaded_by_its_name(data: segue.Dataset, tmp_path: Path) -> None:
    SoundTwin().fit(data).save(tmp_path / "model")
    assert type(segue.load(tmp_path / "model")) is SoundTwin
