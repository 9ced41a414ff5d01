"""The contract of every recommender as a test class to inherit.

A recommender's tests inherit it and say how one is made; pytest then runs every check below on it::

    from segue.testing import RecommenderContract

    class TestEASE(RecommenderContract):
        recommender = staticmethod(lambda: segue.EASE())

``recommender`` must give a new, unfitted one at each call, with settings small enough to be fitted a dozen times.
The suite makes its own small log and asks through the public interface alone, so it also suits recommenders written
outside Segue (subclasses of ``segue.Recommender``). Checks of pandas and Arrow are skipped where those are not
installed. It says nothing about how good the lists are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from segue import artefacts, cautions, errors
from segue.data.dataset import Dataset
from segue.data.frames import FrameKind, to_polars
from segue.recommenders.base import Recommender
from segue.recommenders.store import load
from segue.testing.logs import (
    ITEMS,
    USERS,
    as_kind,
    catalogue,
    generated,
    history,
    make_log,
    small_data,
    with_behaviour,
    with_ids,
)

COLUMNS = ["user_id", "item_id", "score", "rank"]


class RecommenderContract:
    """What every recommender must do; inherit it and set ``recommender`` (see the module).

    Attributes:
        recommender: gives a new recommender, not fitted.
        reads_time: whether it reads more than the order of the events. A bare list of items, which has no moments, may
            then be answered otherwise than a user with that history.
    """

    recommender: ClassVar[Callable[[], Recommender]]
    reads_time: ClassVar[bool] = False
    _shared: ClassVar[Recommender]

    # -- what the checks share ---------------------------------------------------------------------------------

    def new(self) -> Recommender:
        """A recommender, not fitted."""
        return type(self).recommender()

    def fitted(self) -> Recommender:
        """One fitted on the small log, made once per class; no check may change it."""
        if "_shared" not in type(self).__dict__:
            type(self)._shared = self.fit(small_data())
        return type(self)._shared

    def fit(self, data: Dataset) -> Recommender:
        """A new one, fitted."""
        return self.new().fit(data, progress=False)

    # -- lists -------------------------------------------------------------------------------------------------

    def test_lists_have_four_columns_ranks_from_one_and_falling_scores(self) -> None:
        answer = self.fitted().recommend(["u3", "u1", "u2"], k=7)
        assert answer.columns == COLUMNS
        assert answer["user_id"].unique(maintain_order=True).to_list() == ["u3", "u1", "u2"]
        assert answer["rank"].to_list() == [*range(1, 8)] * 3
        assert_sane(answer, 7)

    def test_nothing_is_listed_twice(self) -> None:
        users = [f"u{number}" for number in range(USERS)]
        for exclude_seen in (True, False):
            answer = self.fitted().recommend(users, k=ITEMS, exclude_seen=exclude_seen)
            assert not answer.select("user_id", "item_id").is_duplicated().any()

    def test_no_score_is_nan_or_infinite(self) -> None:
        histories = [[], ["item 0"], ["item 1", "item 1"], ["item nobody met"], [f"item {n}" for n in range(ITEMS)]]
        everything = catalogue()
        scores = self.fitted().score(histories=histories, items=everything)["score"]
        assert len(scores) == len(histories) * len(everything)
        assert scores.is_finite().all()

    def test_a_k_larger_than_the_catalogue_lists_every_item_once(self) -> None:
        everything = catalogue()
        answer = self.fitted().recommend(["u1"], k=1_000, exclude_seen=False)
        assert sorted(answer["item_id"]) == sorted(everything)
        assert answer["rank"].to_list() == [*range(1, len(everything) + 1)]
        rest = self.fitted().recommend(["u1"], k=1_000, exclude_seen=True)
        assert sorted([*rest["item_id"], *history("u1")]) == sorted(everything)

    def test_seen_items_are_left_out_when_asked_and_only_then(self) -> None:
        seen = set(history("u2"))
        without = self.fitted().recommend(["u2"], k=ITEMS, exclude_seen=True)["item_id"]
        assert not seen & set(without)
        assert seen <= set(self.fitted().recommend(["u2"], k=1_000, exclude_seen=False)["item_id"])
        from_history = self.fitted().recommend(histories=[history("u2")], k=ITEMS, exclude_seen=True)["item_id"]
        assert not seen & set(from_history)

    def test_what_suits_the_log_is_the_default_for_seen_items(self) -> None:
        model = self.fitted()
        assert model.exclude_seen, "nobody in this log comes back to an item"
        assert model.recommend(["u2"], k=5).equals(model.recommend(["u2"], k=5, exclude_seen=True))
        again = pl.concat([make_log(), make_log().with_columns(pl.col("timestamp") + 10_000_000)])
        returning = self.fit(Dataset.from_frames(again))
        assert not returning.exclude_seen
        assert returning.recommend(["u2"], k=5).equals(returning.recommend(["u2"], k=5, exclude_seen=False))

    def test_a_short_list_is_the_beginning_of_a_long_one(self) -> None:
        users = ["u1", "u2"]
        short, long = self.fitted().recommend(users, k=3), self.fitted().recommend(users, k=9)
        assert short.equals(long.filter(pl.col("rank") <= 3))

    # -- among and exclude --------------------------------------------------------------------------------------

    def test_a_list_among_some_items_is_the_whole_ranking_without_the_others(self) -> None:
        model, users = self.fitted(), ["u3", "u1", "u2"]
        some = [*catalogue()[::3], "item nobody met"]
        whole = model.recommend(users, k=1_000)
        for k in (2, 1_000):
            best = pl.int_range(1, pl.len() + 1).over("user_id").alias("rank")
            among = whole.filter(pl.col("item_id").is_in(some)).with_columns(best).filter(pl.col("rank") <= k)
            assert model.recommend(users, k=k, among=some).equals(among)
            assert model.recommend(users, k=k, among=pl.DataFrame({"item_id": some})).equals(among)
            rest = whole.filter(~pl.col("item_id").is_in(some)).with_columns(best).filter(pl.col("rank") <= k)
            assert model.recommend(users, k=k, exclude=some).equals(rest)
        both = model.recommend(users, k=1_000, among=some, exclude=some[1:])
        assert set(both["item_id"]) <= {some[0]}

    def test_each_user_may_have_items_of_their_own_among_which_to_list(self) -> None:
        model, users, everything = self.fitted(), ["u1", "u2", "u1"], catalogue()
        theirs = {"u1": everything[:9], "u2": everything[5:20:2]}
        frame = pl.DataFrame(
            [(user, item) for user in theirs for item in theirs[user]], ["user_id", "item_id"], orient="row"
        )
        alone = [model.recommend([user], k=4, among=theirs[user])["item_id"] for user in users]
        without = [model.recommend([user], k=4, exclude=theirs[user])["item_id"] for user in users]
        for given in (theirs, frame):
            among, exclude = model.recommend(users, k=4, among=given), model.recommend(users, k=4, exclude=given)
            assert among["item_id"].equals(pl.concat(alone))
            assert exclude["item_id"].equals(pl.concat(without))
        with pytest.warns(cautions.ItemFilterIncomplete, match="1 of 2 requests"):
            answer = model.recommend(["u1", "u2"], k=4, among={"u1": everything[:9]})
        assert set(answer["user_id"]) == {"u1"}

    def test_unknown_ids_in_among_and_exclude_are_named(self) -> None:
        model = self.fitted()
        with pytest.warns(cautions.ItemFilterIncomplete, match="2 items of among=.*'no such', 'nor this'"):
            answer = model.recommend(["u1"], among=["item nobody met", "no such", "nor this"])
        assert answer["item_id"].to_list() == ["item nobody met"]
        with pytest.warns(cautions.ItemFilterIncomplete, match="1 users of exclude=.*'nobody'"):
            assert model.recommend(["u1"], exclude={"nobody": ["item 1"]}).equals(model.recommend(["u1"]))
        for malformed in ("item 1", 7, {"u1": "item 1"}, [["item 1"]]):
            with pytest.raises(errors.ItemFilterMalformed):
                model.recommend(["u1"], among=malformed)

    # -- sequences and diversity --------------------------------------------------------------------------------

    def test_a_generated_sequence_is_the_best_item_of_each_step(self) -> None:
        model, some = self.fitted(), catalogue()[2:]
        known = history("u2")
        answer = model.generate(histories=[known, []], n=4, exclude_seen=True, among=some)
        assert answer.columns == COLUMNS
        if not self.reads_time:
            for row, before in enumerate([known, []]):
                items = answer.filter(pl.col("user_id") == row)["item_id"].to_list()
                for number, item in enumerate(items):
                    step = model.recommend(histories=[[*before, *items[:number]]], k=1, exclude_seen=True, among=some)
                    assert step["item_id"].to_list() == [item]
        for user in ("u1", "u2"):  # whoever else is asked about
            alone = model.generate([user], n=4)
            assert (
                alone["item_id"].to_list()
                == model.generate(["u2", "u1"], n=4).filter(user_id=user)["item_id"].to_list()
            )
        assert (
            not model.generate(["u1"], n=1_000, exclude_seen=False).select("user_id", "item_id").is_duplicated().any()
        )

    def test_diversity_changes_which_items_are_listed_or_says_that_it_cannot(self) -> None:
        model = self.fitted()
        assert model.recommend(["u1"], diversity=0).equals(model.recommend(["u1"]))
        unreadable: Sequence[Any] = (-0.1, 1.1, True, "0.3", float("nan"))
        for diversity in unreadable:
            with pytest.raises(errors.DiversityUnreadable):
                model.recommend(["u1"], diversity=diversity)
        if model.item_vectors(np.array([1])) is None:  # and the catalogue has no categories
            with pytest.raises(errors.DiversityUnavailable, match=type(model).__name__):
                model.recommend(["u1"], diversity=0.3)
            return
        plain, diverse = model.recommend(["u1"], k=5), model.recommend(["u1"], k=5, diversity=0.5)
        assert diverse["item_id"][0] == plain["item_id"][0], "the first has nothing to be unlike"
        assert diverse["item_id"].n_unique() == 5

    # -- similar users ------------------------------------------------------------------------------------------

    def test_similar_users_are_the_nearest_and_never_the_user(self) -> None:
        model, users = self.fitted(), [f"u{number}" for number in range(USERS)]
        answer = model.similar_users(users, k=USERS)
        assert answer.columns == ["user_id", "similar_user_id", "score", "rank"]
        assert not (answer["user_id"] == answer["similar_user_id"]).any()
        assert answer.group_by("user_id").len()["len"].to_list() == [USERS - 1] * USERS
        scores = {(one, other): score for one, other, score, _ in answer.iter_rows()}
        assert all(abs(score - scores[other, one]) < 1e-4 for (one, other), score in scores.items())
        assert (
            model.similar_users("u3", k=2)["similar_user_id"].to_list()
            == answer.filter(user_id="u3")["similar_user_id"].to_list()[:2]
        )
        with pytest.raises(errors.UnknownUsers, match="u9999"):
            model.similar_users(["u9999"])

    # -- ids and frames ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", ["strings", "integers", "uuids"])
    def test_ids_of_any_type_go_in_and_come_out(self, kind: str) -> None:
        users, items, data = with_ids(kind)
        stranger = users.pop()
        model = self.fit(data)
        answer = model.recommend([users[1], users[2]], k=4)
        assert list(answer["user_id"]) == [users[1]] * 4 + [users[2]] * 4
        assert set(answer["item_id"]) <= set(items)
        listed = list(answer["item_id"])[:4]
        assert not set(listed) & {items[int(item.split()[1])] for item in history("u1")}
        scored = model.score([users[1]], items=listed)
        assert list(scored["item_id"]) == listed
        assert list(model.similar_items([items[0]], k=1)["item_id"]) == [items[0]]
        with pytest.warns(cautions.ColdUsers):
            mixed = model.recommend([users[1], stranger], k=1)
        assert list(mixed["user_id"]) == [users[1], stranger]
        by_history = model.recommend(histories=[[items[0], items[1]]], k=3)
        assert set(by_history["item_id"]) <= set(items) - {items[0], items[1]}

    @pytest.mark.parametrize("kind", ["polars", "pandas", "arrow"])
    def test_answers_are_frames_of_the_kind_that_came_in(self, kind: FrameKind) -> None:
        log = as_kind(make_log(), kind)
        answer = self.fit(Dataset.from_frames(log)).recommend(["u1"], k=3)
        assert type(answer) is type(log)
        same, found = to_polars(answer)
        assert found == kind
        assert same.columns == COLUMNS
        assert_sane(same, 3)

    # -- who asks ----------------------------------------------------------------------------------------------

    def test_known_users_are_answered_without_a_warning(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", cautions.SegueWarning)
            answer = self.fitted().recommend(pl.Series(["u1"]), k=2)
        assert answer.equals(self.fitted().recommend("u1", k=2))

    def test_nobody_asked_gives_an_empty_frame(self) -> None:
        model = self.fitted()
        for answer in (model.recommend([], k=3), model.recommend(histories=[], k=3)):
            assert answer.columns == COLUMNS
            assert not len(answer)

    def test_unknown_users_get_the_list_of_an_empty_history_and_a_warning(self) -> None:
        with pytest.warns(cautions.ColdUsers, match="1 of 2"):
            answer = self.fitted().recommend(["nobody", "u1"], k=5)
        assert answer["user_id"].to_list() == ["nobody"] * 5 + ["u1"] * 5
        assert _lists(answer)[0] == _lists(self.fitted().recommend(histories=[[]], k=5))[0]
        assert _lists(answer)[1] == _lists(self.fitted().recommend(["u1"], k=5))[0]

    def test_anyone_with_a_history_is_answered_as_a_user_with_that_history(self) -> None:
        users = ["u1", "u2", "u3"]
        wanted = _lists(self.fitted().recommend(users, k=6))
        given = make_log().filter(pl.col("user_id").is_in(users))
        assert _lists(self.fitted().recommend(histories=given, k=6)) == wanted
        by_history = self.fitted().recommend(histories=[history(user) for user in users], k=6)
        assert by_history["user_id"].unique(maintain_order=True).to_list() == [0, 1, 2]
        if not self.reads_time:
            assert _lists(by_history) == wanted

    def test_actions_and_values_of_a_history_count_as_those_of_a_user(self) -> None:
        log = with_behaviour()
        model, users = self.fit(Dataset.from_frames(log)), ["u1", "u2", "u3"]
        newest: Any = log["timestamp"].max()
        questions: Sequence[dict[str, Any]] = ({}, {"at": [newest, None, newest + 86_400]}, {"action": "buy"})
        for options in questions:
            wanted = model.recommend(users, k=6, **options)
            assert_sane(wanted, 6)
            given = model.recommend(histories=log.filter(pl.col("user_id").is_in(users)), k=6, **options)
            assert given.equals(wanted)

    def test_a_frame_of_histories_is_answered_in_the_order_of_its_time(self) -> None:
        model = self.fitted()
        rows = make_log().filter(pl.col("user_id").is_in(["u4", "u5"]))
        given = rows.with_columns(pl.format("new {}", "user_id").alias("user_id")).sort("timestamp", descending=True)
        answer = model.recommend(histories=given, k=6)
        lists = answer.group_by("user_id").agg("item_id").rows()
        assert dict(lists) == {f"new {user}": _lists(model.recommend([user], k=6))[0] for user in ("u4", "u5")}
        untimed = model.recommend(histories=given.drop("timestamp").reverse(), k=6)
        assert_sane(untimed, 6)
        if not self.reads_time:
            assert sorted(untimed.rows()) == sorted(answer.rows())

    def test_an_empty_history_gets_a_full_list(self) -> None:
        answer = self.fitted().recommend(histories=[[], ["item 1"], []], k=5)
        assert answer.group_by("user_id").len()["len"].to_list() == [5, 5, 5]
        lists = _lists(answer)
        assert lists[0] == lists[2]
        assert_sane(answer, 5)

    def test_unknown_items_of_a_history_are_skipped_with_a_warning(self) -> None:
        model = self.fitted()
        with pytest.warns(cautions.UnknownItemsInHistory, match="2 items"):
            answer = model.recommend(histories=[["item 1", "no such", "item 2", "nor this"]], k=5)
        assert answer.equals(model.recommend(histories=[["item 1", "item 2"]], k=5))
        with pytest.warns(cautions.UnknownItemsInHistory):
            nothing_left = model.recommend(histories=[["no such"]], k=5)
        assert nothing_left.equals(model.recommend(histories=[[]], k=5))

    def test_the_answer_for_one_does_not_depend_on_who_else_asks(self) -> None:
        users = [f"u{number}" for number in range(USERS)]
        together = self.fitted().score(users, items=["item 1", "item 2", "item 3"])
        for user in ("u0", "u7", "u39"):
            alone = self.fitted().score([user], items=["item 1", "item 2", "item 3"])
            theirs = together.filter(pl.col("user_id") == user)
            np.testing.assert_allclose(alone["score"], theirs["score"], rtol=1e-4, atol=1e-5)

    # -- scores and similar items ------------------------------------------------------------------------------

    def test_scores_agree_with_lists(self) -> None:
        users, everything = ["u1", "u2", "u3"], catalogue()
        scores = self.fitted().score(users, items=everything)
        assert scores.columns == COLUMNS[:3]
        listed = self.fitted().recommend(users, k=8, exclude_seen=False)
        together = listed.join(scores, on=["user_id", "item_id"], suffix="_asked", how="left")
        np.testing.assert_allclose(together["score"], together["score_asked"], rtol=1e-5)
        for user in users:
            best = scores.filter(pl.col("user_id") == user)["score"].sort(descending=True)[:8]
            np.testing.assert_allclose(listed.filter(pl.col("user_id") == user)["score"], best, rtol=1e-5)

    def test_scores_of_unknown_items_are_refused_with_the_nearest_name(self) -> None:
        with pytest.raises(errors.UnknownItems, match="item nobody met"):
            self.fitted().score(["u1"], items=["item 1", "item nobody mett"])

    def test_similar_items_never_list_the_item_itself(self) -> None:
        asked = catalogue()
        answer = self.fitted().similar_items(asked, k=1_000)
        assert answer.columns == ["item_id", "similar_item_id", "score", "rank"]
        assert not (answer["item_id"] == answer["similar_item_id"]).any()
        assert_sane(answer.rename({"item_id": "user_id", "similar_item_id": "item_id"}), len(asked) - 1)

    # -- the same again ----------------------------------------------------------------------------------------

    def test_two_fits_with_one_seed_give_equal_scores(self) -> None:
        users, everything = ["u1", "u2"], catalogue()
        first, second = self.fitted(), self.fit(small_data())
        assert first.score(users, items=everything).equals(second.score(users, items=everything))
        assert first.recommend(users, k=10).equals(second.recommend(users, k=10))

    def test_asking_twice_gives_the_same_answer(self) -> None:
        users = ["u1", "u2"]
        first = self.fitted().recommend(users, k=10)
        assert first.equals(self.fitted().recommend(users, k=10))
        self.fitted().similar_items(["item 1"])
        assert first.equals(self.fitted().recommend(users, k=10))

    def test_a_second_fit_forgets_the_first(self) -> None:
        model = self.fit(Dataset.from_frames(make_log(seed=1, users=12, items=9)))
        model.fit(small_data(), progress=False)
        assert model.recommend(["u1", "u39"], k=10).equals(self.fitted().recommend(["u1", "u39"], k=10))

    # -- disk --------------------------------------------------------------------------------------------------

    def test_save_and_load_give_identical_scores_items_and_order(self, tmp_path: Path) -> None:
        model, users = self.fitted(), [f"u{number}" for number in range(USERS)]
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert type(again) is type(model)
        assert again.config == model.config
        assert again.recommend(users, k=10).equals(model.recommend(users, k=10))
        histories = [[], ["item 3", "item 4"]]
        everything = catalogue()
        scores = model.score(histories=histories, items=everything)
        assert again.score(histories=histories, items=everything).equals(scores)

    def test_a_damaged_artefact_is_refused_whichever_file_it_is(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path / "model")
        files = sorted((tmp_path / "model").iterdir())
        assert artefacts.MANIFEST in {file.name for file in files}
        for file in files:
            sound = file.read_bytes()
            middle = len(sound) // 2
            for damaged in (sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :], sound[:middle]):
                file.write_bytes(damaged)
                with pytest.raises(errors.ArtefactCorrupt):
                    load(tmp_path / "model")
            file.write_bytes(sound)
        assert load(tmp_path / "model").recommend(["u1"]).equals(self.fitted().recommend(["u1"]))

    # -- mistakes ----------------------------------------------------------------------------------------------

    def test_what_is_not_fitted_says_so(self, tmp_path: Path) -> None:
        model = self.new()
        questions: Sequence[Callable[[], Any]] = (
            lambda: model.recommend(["u1"]),
            lambda: model.score(["u1"], items=["item 1"]),
            lambda: model.similar_items(["item 1"]),
            lambda: model.similar_users(["u1"]),
            lambda: model.generate(["u1"]),
            lambda: model.save(tmp_path / "model"),
        )
        for question in questions:
            with pytest.raises(errors.NotFitted, match=type(model).__name__):
                question()
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize("k", [0, -1, 2.5, True, "10", None])
    def test_a_k_that_is_no_whole_number_from_one_is_refused(self, k: Any) -> None:
        with pytest.raises(errors.BadK, match=str(k)):
            self.fitted().recommend(["u1"], k=k)
        with pytest.raises(errors.BadK):
            self.fitted().similar_items(["item 1"], k=k)

    def test_neither_or_both_of_users_and_histories_are_refused(self) -> None:
        with pytest.raises(errors.NothingAsked, match="Neither"):
            self.fitted().recommend(k=3)
        with pytest.raises(errors.NothingAsked, match="Both"):
            self.fitted().recommend(["u1"], k=3, histories=[["item 1"]])

    @pytest.mark.parametrize("histories", ["item 1", ["item 1", "item 2"], 7, [3]])
    def test_histories_that_are_no_lists_of_lists_are_refused(self, histories: Any) -> None:
        with pytest.raises(errors.HistoryMalformed):
            self.fitted().recommend(histories=histories)

    def test_an_unknown_setting_is_refused_with_the_nearest_name(self) -> None:
        cls = type(self.new())
        names = list(cls.Settings.model_fields)
        mistyped = f"{names[0]}x" if names else "anything"
        with pytest.raises(errors.ConfigUnknown, match=cls.__name__) as refused:
            cls(None, **{mistyped: 1})
        if names:
            assert f"Did you mean {names[0]!r}?" in str(refused.value)

    # -- hard logs and hard histories --------------------------------------------------------------------------

    @pytest.mark.parametrize("shape", ["one user", "one item", "one event", "one event per user"])
    def test_a_log_too_small_to_learn_from_is_still_answered(self, shape: str) -> None:
        log = make_log()
        if shape == "one event":
            log = log.head(1)
        elif shape == "one event per user":
            log = log.group_by("user_id", maintain_order=True).first()
        else:
            name = shape.replace("one ", "") + "_id"
            log = log.filter(pl.col(name) == log[name][0])
        listed = [*log["item_id"].unique(), "item nobody met", "nor this"]
        model = self.fit(Dataset.from_frames(log, pl.DataFrame({"item_id": listed})))
        answer = model.recommend([log["user_id"][0]], k=1_000, exclude_seen=False)
        assert sorted(answer["item_id"]) == sorted(listed)
        assert_sane(answer, len(listed))

    def test_answers_to_generated_histories_are_always_sane(self) -> None:
        histories = generated()
        known = set(catalogue())
        with pytest.warns(cautions.UnknownItemsInHistory):
            answer = self.fitted().recommend(histories=histories, k=10, exclude_seen=True)
        assert set(answer["item_id"]) <= known
        lengths = dict(answer.group_by("user_id").len().iter_rows())
        expected = {place: min(10, len(known - set(history))) for place, history in enumerate(histories)}
        assert lengths == {place: length for place, length in expected.items() if length}
        assert_sane(answer, 10)
        seen = {(place, item) for place, history in enumerate(histories) for item in history}
        assert not seen & set(answer.select("user_id", "item_id").iter_rows())


def assert_sane(answer: pl.DataFrame, longest: int) -> None:
    """Lists without gaps, repeats, or scores that are no numbers or rise; none above ``longest``."""
    assert answer["score"].is_finite().all(), "a score is NaN or infinite"
    assert not answer.select("user_id", "item_id").is_duplicated().any(), "an item is listed twice"
    expected = answer.select(pl.int_range(1, pl.len() + 1).over("user_id"))
    assert answer["rank"].to_list() == expected.to_series().to_list(), "ranks are not 1, 2, 3, ..."
    assert (answer["rank"] <= longest).all(), "a list is too long"
    rises = answer.select((pl.col("score").diff() > 0).over("user_id").fill_null(False).any()).item()
    assert not rises, "a score is higher than the one before it"


def _lists(answer: pl.DataFrame) -> list[list[Any]]:
    """The items of each list in order."""
    return answer.group_by("user_id", maintain_order=True).agg("item_id")["item_id"].to_list()
