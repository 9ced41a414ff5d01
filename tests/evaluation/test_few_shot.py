"""Few-shot curves: the same people for everybody, bands that hold the mean, and a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import segue
from segue.errors import NoTargets, NotFitted, NotPaired
from segue.evaluation.few_shot import FewShot, cold_users
from tests.recommenders.shops import shop
from tests.training.runs import SMALL


@pytest.fixture(scope="module")
def curves() -> FewShot:
    made = {"popular": segue.Popular, "neighbours": lambda: segue.ItemNeighbours(shrink=0)}
    return segue.few_shot(shop(), made, users=(1, 8, 59), draws=3, asked=50, show=False)


def test_a_curve_has_a_row_for_each_number_with_a_band_around_the_mean(curves: FewShot) -> None:
    table = curves.table()
    assert table["users"].to_list() == [1, 8, 59] * 2
    assert set(table["asked"]) == {50}
    assert set(table["draws"]) == {3}
    assert (table["low"] <= table["ndcg@10"]).all()
    assert (table["ndcg@10"] <= table["high"]).all()


def test_what_learns_from_habits_gains_from_more_people(curves: FewShot) -> None:
    grown = curves.values["neighbours"]
    assert grown[59].mean() > 1.5 * grown[1].mean()
    assert curves.ratio("neighbours", "popular", 59) > 1


def test_draws_follow_from_the_seed_and_are_nested() -> None:
    learnt: list[set[int]] = []

    class Watching(segue.Popular):
        def fit(self, data: segue.Dataset, *args: object, **run: object) -> Watching:
            learnt.append(set(data.events["user"]))
            super().fit(data)
            return self

    for _ in range(2):
        segue.few_shot(shop(), {"it": Watching}, users=(2, 8), draws=2, show=False)
    del segue.Recommender.registry["Watching"]
    assert learnt[:4] == learnt[4:]
    assert [len(people) for people in learnt[:4]] == [2, 2, 8, 8]
    assert learnt[0] < learnt[2]
    assert learnt[0] != learnt[1]


@pytest.mark.parametrize("users", [1, 2])
def test_a_sequence_model_can_be_trained_on_one_person(users: int) -> None:
    settings = {**SMALL, "text": None, "epochs": 2}
    found = segue.few_shot(
        shop(), {"it": lambda: segue.SequenceRecommender(**settings)}, users=(users,), draws=1, show=False
    )
    assert np.isfinite(found.values["it"][users]).all()


def test_more_people_than_there_are_is_refused() -> None:
    with pytest.raises(NoTargets, match="61"):
        segue.few_shot(shop(), {"popular": segue.Popular}, users=(61,))


def test_cold_users_are_asked_about_with_their_newest_events_alone() -> None:
    split = segue.split.leave_last_out(shop())
    models = {"neighbours": segue.ItemNeighbours(last=5).fit(split.train), "popular": segue.Popular().fit(split.train)}
    found = cold_users(models, split.test, events=(1, 2, 5))
    whole = segue.evaluate(models["neighbours"], split.test, k=10, progress=False)
    assert found.what == "events"
    np.testing.assert_array_equal(found.values["neighbours"][5][0], whole.per_user("ndcg@10"))
    assert (found.values["neighbours"][1] != found.values["neighbours"][5]).any()


def test_what_cannot_be_asked_is_refused() -> None:
    split = segue.split.leave_last_out(shop())
    popular = segue.Popular().fit(split.train)
    with pytest.raises(NoTargets):
        cold_users({"popular": popular}, split.test, events=(1, 99))
    with pytest.raises(NotFitted):
        cold_users({"popular": segue.Popular()}, split.test, events=(1,))
    popular.add_items(split.train.items.head(1).with_columns(item_id=999))  # type: ignore[union-attr]
    with pytest.raises(NotPaired):
        cold_users({"popular": popular}, split.test, events=(1,))


def test_the_curves_are_written_as_json_and_as_a_page(curves: FewShot, tmp_path: Path) -> None:
    curves.to_json(tmp_path / "curves.json")
    assert len(json.loads((tmp_path / "curves.json").read_text())["curves"]) == 6
    page = curves.to_html(tmp_path / "curves.html")
    assert "neighbours" in page
    assert "src=" not in page.replace("<script>", "")[:2000]
