from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ActionUnknown, BadK, ColumnMissing, NoTargets, NotFitted, NotPaired
from segue.evaluation.evaluate import evaluate_pairs, protocol_frame
from segue.recommenders.base import Recommender


def table(rows: list[tuple[Any, Any]]) -> segue.Dataset:
    """Events as user and item, in the order given."""
    return segue.Dataset.from_frames(
        pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_row_index("timestamp")
    )


def slow_metrics(model: Recommender, test: segue.Holdout, k: int, exclude_seen: bool) -> dict[str, float]:
    """Every metric from its definition, user by user, on lists asked for one at a time."""
    users = test.context.user_vocabulary
    items = test.context.item_vocabulary
    found: dict[str, list[float]] = {}
    for code in test.users:
        wanted = set(items.decode(test.targets.histories.row(code)))
        asked = [items.decode(test.context.histories.row(code)).to_list()]
        listed = model.recommend(histories=asked, k=k, exclude_seen=exclude_seen)["item_id"].to_list()
        hits = [item in wanted for item in listed]
        gain = sum(hit / np.log2(place + 2) for place, hit in enumerate(hits))
        ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
        precisions = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
        values = {
            "hit_rate": float(any(hits)),
            "ndcg": gain / ideal,
            "recall": sum(hits) / len(wanted),
            "precision": sum(hits) / k,
            "mrr": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
            "map": sum(precisions) / min(k, len(wanted)),
        }
        for name, value in values.items():
            found.setdefault(f"{name}@{k}", []).append(value)
    assert len(users) >= len(test.users)
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("kind", ["leave-last-out", "by-time"])
def test_figures_equal_those_of_the_definitions(data: segue.Dataset, kind: str, exclude_seen: bool) -> None:
    split = segue.split.leave_last_out(data) if kind == "leave-last-out" else segue.split.by_time(data, test=0.2)
    model = segue.FirstOrder().fit(split.train, split.validation)
    report = segue.evaluate(model, split.test, k=[3, 10], exclude_seen=exclude_seen, progress=False)
    for k in (3, 10):
        slow = slow_metrics(model, split.test, k, exclude_seen)
        assert {name: report[name] for name in slow} == pytest.approx(slow)
        assert slow[f"hit_rate@{k}"] > 0


def test_seen_items_are_left_out_where_people_do_not_come_back() -> None:
    rows = [(f"u{user}", f"i{(user + step) % 12}") for user in range(8) for step in range(6)]
    split = segue.split.leave_last_out(table(rows))
    protocol = segue.evaluate(segue.Popular().fit(split.train), split.test, progress=False).protocol
    assert protocol["exclude_seen"] is True
    assert protocol["exclude_seen_because"] == "0.0% of later events are on an item seen before"


def test_seen_items_stay_where_people_come_back() -> None:
    rows = [(f"u{user}", f"i{(user + step % 3) % 12}") for user in range(8) for step in range(8)]
    split = segue.split.leave_last_out(table(rows))
    protocol = segue.evaluate(segue.Popular().fit(split.train), split.test, progress=False).protocol
    assert protocol["exclude_seen"] is False
    # Of the seven later events of each context of seven, four are on one of three items seen before.
    assert protocol["exclude_seen_because"] == "66.7% of later events are on an item seen before"


def test_the_default_looks_at_the_context_and_never_at_the_targets() -> None:
    context = [(f"u{user}", f"i{(user + step) % 12}") for user in range(8) for step in range(4)]
    targets = [(f"u{user}", f"i{user % 12}") for user in range(8)]  # everybody comes back, in the test alone
    test = segue.split.leave_last_out(table([*context, *targets])).test
    assert test.targets.events.height == 8
    assert segue.evaluate(segue.Popular().fit(test.context), test, progress=False).protocol["exclude_seen"] is True


def test_what_is_given_wins_over_the_default(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    for given in (True, False):
        protocol = segue.evaluate(model, split.test, exclude_seen=given, progress=False).protocol
        assert (protocol["exclude_seen"], protocol["exclude_seen_because"]) == (given, "given")


def test_the_protocol_stands_in_the_report(split: segue.Split) -> None:
    report = segue.evaluate(segue.Popular().fit(split.train), split.test, k=[5, 1], progress=False)
    facts = {name: report.protocol[name] for name in ("users", "targets", "catalogue", "ranking", "k")}
    assert facts == {"users": 60, "targets": 60, "catalogue": 42, "ranking": "full", "k": [1, 5]}
    assert protocol_frame(report)["what"].to_list() == list(report.protocol)


def test_a_model_is_asked_with_the_context_of_the_test_and_not_with_what_it_was_trained_on(split: segue.Split) -> None:
    early = segue.FirstOrder().fit(split.train.where(pl.col("row") < 200))
    report = segue.evaluate(early, split.test, k=5, progress=False)
    assert report["ndcg@5"] == pytest.approx(
        slow_metrics(early, split.test, 5, report.protocol["exclude_seen"])["ndcg@5"]
    )


def test_others_beside_are_evaluated_under_the_same_protocol(split: segue.Split) -> None:
    ours, other = segue.FirstOrder().fit(split.train), segue.Popular().fit(split.train)
    report = segue.evaluate(ours, split.test, k=10, exclude_seen=False, beside=[other], progress=False)
    alone = segue.evaluate(other, split.test, k=10, exclude_seen=False, progress=False)
    assert report.beside[0].metrics == alone.metrics
    assert report.table().columns == ["metric", "FirstOrder", "low", "high", "Popular"]


def test_examples_are_real_and_carry_titles(split: segue.Split) -> None:
    report = segue.evaluate(segue.Popular().fit(split.train), split.test, progress=False)
    assert len(report.examples) == 8
    for example in report.examples:
        history = split.test.context.events.filter(
            pl.col("user") == int(split.test.context.user_vocabulary.encode([example["user"]])[0])
        )["item"]
        titles = [
            split.test.context.titles[item]
            for item in split.test.context.item_vocabulary.decode(history[-6:].to_numpy())
        ]
        assert example["history"] == titles
        assert len(example["recommended"]) == 10
        assert all(title.startswith("Film number") for title in example["recommended"])


@pytest.mark.parametrize("k", [0, -1, [], [5, 0], 2.5, True, [True], "10"])
def test_impossible_ks_are_refused(split: segue.Split, k: Any) -> None:
    with pytest.raises(BadK):
        segue.evaluate(segue.Popular().fit(split.train), split.test, k=k, progress=False)


def test_an_evaluation_of_nothing_is_refused(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    nothing = segue.Holdout(split.train, split.train.where(pl.lit(False)))
    with pytest.raises(NoTargets, match="the holdout is empty"):
        segue.evaluate(model, nothing, progress=False)
    with pytest.raises(NoTargets, match="a Dataset is no holdout"):
        segue.evaluate(model, split.train, progress=False)  # type: ignore[arg-type]


def test_a_model_that_is_not_fitted_says_so(split: segue.Split) -> None:
    with pytest.raises(NotFitted):
        segue.evaluate(segue.Popular(), split.test, progress=False)


def test_a_k_beyond_the_catalogue_counts_what_there_is(split: segue.Split) -> None:
    report = segue.evaluate(segue.Popular().fit(split.train), split.test, k=[1_000], exclude_seen=False, progress=False)
    assert report["hit_rate@42"] == 1.0


def test_scored_pairs_have_an_auc(split: segue.Split) -> None:
    model = segue.ItemNeighbours().fit(split.train, progress=False)
    users = ["u1", "u2", "u3", "u1", "u2", "u3", "nobody"]
    items = ["i1", "i2", "i3", "i4", "i5", "i6", "i7"]
    labels = [1, 0, 1, 0, 1, 0, 1]
    scores = [
        (-np.inf if user == "nobody" else model.score([user], items=[item])["score"].item())
        for user, item in zip(users, items, strict=True)
    ]
    scores[-1] = float(split.train.item_counts[split.train.item_vocabulary.encode(["i7"])[0]])  # an empty history
    wins = [
        (up > down) + 0.5 * (up == down)
        for up, one in zip(scores, labels, strict=True)
        if one
        for down, zero in zip(scores, labels, strict=True)
        if not zero
    ]
    pairs = pl.DataFrame({"user_id": users, "item_id": items, "label": labels})
    assert evaluate_pairs(model, pairs) == pytest.approx(np.mean(wins))


def test_pairs_without_labels_are_refused(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    with pytest.raises(ColumnMissing, match="label"):
        evaluate_pairs(model, pl.DataFrame({"user_id": ["u1"], "item_id": ["i1"]}))


def test_with_an_action_only_targets_of_that_kind_count_and_the_protocol_says_so(split: segue.Split) -> None:
    model = segue.FirstOrder().fit(split.train, split.validation)
    report = segue.evaluate(model, split.test, action="view", beside=[segue.Popular().fit(split.train)])
    views = int((split.test.targets.events["action"] == "view").sum())
    assert report.protocol["action"] == "view"
    assert report.protocol["users"] == views < len(split.test.users)
    assert report.beside[0].protocol == report.protocol
    with pytest.raises(NotPaired, match="kinds of action"):
        segue.compare(report, segue.evaluate(model, split.test))


def test_an_action_without_targets_is_refused(split: segue.Split) -> None:
    model = segue.Popular().fit(split.train)
    with pytest.raises(ActionUnknown, match="'purchase'"):
        segue.evaluate(model, split.test, action="purchases")
    none = segue.Holdout(split.test.context, split.test.about("view").targets)
    with pytest.raises(NoTargets, match="'purchase'"):
        segue.evaluate(model, none, action="purchase")


def test_the_moment_of_the_request_is_told_unless_asked_otherwise(data: segue.Dataset) -> None:
    split = segue.split.leave_last_out(data)

    class Listening(segue.Popular):
        def recommend_codes(self, histories: Any, k: int, **options: Any) -> Any:
            self.at = histories.at
            return super().recommend_codes(histories, k, **options)

    model = Listening().fit(split.train, split.validation)
    told = segue.evaluate(model, split.test, progress=False)
    targets = split.test.targets.histories.take(split.test.users)
    assert model.at.tolist() == targets.timestamps[targets.offsets[:-1]].tolist()  # type: ignore[index]
    assert told.protocol["moment_of_request"] == "first target"
    silent = segue.evaluate(model, split.test, tell_moment=False, progress=False)
    assert model.at is None
    assert silent.protocol["moment_of_request"] == "not told"


def test_cold_targets_are_ranked_among_all_items_and_among_cold_ones(data: segue.Dataset) -> None:
    split = segue.split.cold_items(data, 0.3)
    report = segue.evaluate(segue.Popular().fit(split.train, split.validation), split.test, progress=False)
    parts = {row["part"]: row for row in report.slices if row["slice"] == "cold items"}
    assert parts["cold targets among all items"]["hit_rate@10"] == 0.0
    # What nobody met scores 0 and is listed by its code.
    cold = np.flatnonzero(split.test.cold)[:10]
    asked = split.test.targets.events["item"].to_numpy()
    asked = asked[split.test.cold[asked]]
    assert parts["cold targets among cold items"]["hit_rate@10"] == np.isin(asked, cold).mean()
    assert parts["warm targets"]["users"] + len(asked) == len(split.test.users)


def test_a_catalogue_shorter_than_the_lists_is_evaluated_all_the_same() -> None:
    rows = [(f"u{user}", f"i{(user + step) % 6}", step) for user in range(12) for step in range(4)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    split = segue.split.leave_last_out(segue.Dataset.from_frames(events))
    report = segue.evaluate(segue.FirstOrder().fit(split.train, split.validation), split.test, progress=False)
    assert report["hit_rate@10"] == 1.0
    assert 0 < report["ndcg@10"] <= 1.0
    assert report["ndcg@5"] <= report["ndcg@10"]
    assert 0 < report["coverage@10"] <= 1
    assert report.table() is not None


@pytest.mark.parametrize("k", [np.int64(3), [np.int64(3)], np.array([3])])
def test_k_may_be_a_numpy_number(k):
    data = segue.Dataset.from_frames(
        pl.DataFrame({"user_id": [0, 0, 0, 1, 1, 1], "item_id": [1, 2, 3, 2, 3, 4], "timestamp": [1, 2, 3, 1, 2, 3]})
    )
    split = segue.split.leave_last_out(data)
    assert segue.evaluate(segue.Popular().fit(split.train), split.test, k=k, progress=False).protocol["k"] == [3]
