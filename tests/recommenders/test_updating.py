"""``update``: new events are learnt, old ones are not forgotten, and nothing is half done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ColumnMissing, ConfigValue, DistilRefused, EmptyLog, IdsDiffer, NotFitted, UpdateRefused
from segue.recommenders.updating import Updated
from tests.language.makers import tiny_model
from tests.recommenders.shops import reader, shop

LATER = 1_600_200_000


def turned(seed: int = 1, users: int = 40) -> pl.DataFrame:
    """What new people do later: from red goods they go to green ones."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for place in range(4):
            item = 3 * int(rng.integers(10)) + (0, 2)[place % 2]
            rows.append((f"w{user}", item, LATER + 60 * (9 * user + place)))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("learnt")
    language = tiny_model(place / "tiny")
    reader(language).fit(shop(), progress=False).save(place / "shop")
    reader(language, text=None, time=[]).fit(shop(), progress=False).save(place / "ids")
    return place


def load(learnt: Path, name: str = "shop") -> segue.SequenceRecommender:
    loaded = segue.load(learnt / name)
    assert isinstance(loaded, segue.SequenceRecommender)
    return loaded


def likes(model: segue.SequenceRecommender, history: list[int], colour: int) -> float:
    """By how much goods of a colour are ahead of all others after a history."""
    answer = model.score(histories=[history], items=list(range(30)))
    scores = np.array(answer["score"])
    mine = np.arange(30) % 3 == colour
    return float(scores[mine].mean() - scores[~mine].mean()) / float(scores.std())


@pytest.mark.parametrize("forgetting", ["distil", "ewc", "none"])
def test_new_habits_are_learnt(learnt: Path, forgetting: str) -> None:
    model = load(learnt)
    before = likes(model, [0], 2)
    added = model.update(turned(), forgetting=forgetting, epochs=10, learning_rate=0.01, progress=False)
    assert added == Updated(events=160, known=0, users=40, items=0)
    assert likes(model, [0], 2) > before + 0.1


def test_replay_keeps_what_new_events_say_nothing_about(learnt: Path) -> None:
    kept = {}
    for replay in (0.0, 2.0):
        model = load(learnt)
        model.update(turned(), forgetting="none", replay=replay, epochs=10, learning_rate=0.01, progress=False)
        kept[replay] = likes(model, [1, 4], 1)
    assert kept[2.0] > kept[0.0]


@pytest.mark.parametrize("forgetting", ["distil", "ewc"])
def test_without_replay_the_model_before_is_still_remembered(learnt: Path, forgetting: str) -> None:
    kept = {}
    for name, settings in {
        "none": {},
        forgetting: {"alpha": 0.9} if forgetting == "distil" else {"strength": 50.0},
    }.items():
        model = load(learnt)
        old = np.array(model.score(histories=[[1, 4]], items=list(range(30)))["score"])
        settings = {**settings, "forgetting": name, "replay": 0.0, "epochs": 10, "learning_rate": 0.01}
        model.update(turned(), progress=False, **settings)
        now = np.array(model.score(histories=[[1, 4]], items=list(range(30)))["score"])
        kept[name] = float(np.corrcoef(old, now)[0, 1])
    assert kept[forgetting] > kept["none"]


def test_new_people_and_items_are_known_afterwards(learnt: Path, tmp_path: Path) -> None:
    model = load(learnt)
    events = pl.concat([turned(), pl.DataFrame({"user_id": ["w0"], "item_id": [77], "timestamp": [LATER + 10**6]})])
    items = pl.DataFrame({"item_id": [77, 78], "title": ["red saw", "blue saw"]})
    assert model.update(events, items=items, epochs=1, progress=False).items == 2
    assert 77 not in model.recommend(["w0"], k=100)["item_id"].to_list(), "it is in the history now"
    assert model.item_counts[model.item_vocabulary.encode([77])] == 1
    assert bool(model.model.tower.get_buffer("known")[model.item_vocabulary.encode([77])])
    assert model.histories.lengths.sum() == 360 + 161
    model.save(tmp_path / "updated")
    assert segue.load(tmp_path / "updated").recommend(["w0"], k=5).equals(model.recommend(["w0"], k=5))


def test_items_without_a_catalogue_join_by_their_id(learnt: Path) -> None:
    events = pl.DataFrame({
        "user_id": [f"w{n // 2}" for n in range(60)], "item_id": [(0, 500)[n % 2] for n in range(60)],
        "timestamp": [LATER + n for n in range(60)],
    })  # fmt: skip
    for name in ("shop", "ids"):
        model = load(learnt, name)
        settings: dict[str, Any] = {"epochs": 30, "learning_rate": 0.02, "candidates": 5, "progress": False}
        assert model.update(events, **settings).items == 1
        listed = model.recommend(histories=[[0]], k=30)["item_id"].to_list()
        assert listed.index(500) < 12, "beside the red ones"


def test_events_that_are_known_are_learnt_once(learnt: Path) -> None:
    model = load(learnt)
    model.update(turned(), epochs=1, progress=False)
    weights = model.weights_sha256()
    assert model.update(turned(), epochs=1, progress=False) == Updated(events=0, known=160, users=0, items=0)
    assert model.weights_sha256() == weights
    assert len(model.report["updates"]) == 1


def test_the_same_update_gives_the_same_weights(learnt: Path) -> None:
    models = [load(learnt), load(learnt)]
    for model in models:
        model.update(turned(), epochs=2, progress=False, threads=1)
    assert models[0].weights_sha256() == models[1].weights_sha256()
    assert models[0].weights_sha256() == models[0].report["training"]["weights_sha256"]


@pytest.mark.parametrize(
    ("events", "error"),
    [
        (turned().drop("timestamp"), ColumnMissing),
        (turned().head(0), EmptyLog),
        (turned().with_columns(timestamp=pl.int_range(pl.len())), UpdateRefused),
        (turned().with_columns(item_id=pl.lit("no number")), IdsDiffer),
    ],
)
def test_events_that_do_not_fit_leave_the_model_as_it_was(learnt: Path, events: Any, error: type[Exception]) -> None:
    model = load(learnt)
    weights = model.weights_sha256()
    with pytest.raises(error):
        model.update(events, progress=False)
    assert (model.weights_sha256(), len(model.item_vocabulary), len(model.user_vocabulary)) == (weights, 30, 60)


def test_impossible_settings_are_refused(learnt: Path) -> None:
    with pytest.raises(ConfigValue, match="forgetting"):
        load(learnt).update(turned(), forgetting="never")
    with pytest.raises(NotFitted):
        reader("").update(turned())


def test_an_encoder_that_learns_from_masks_is_updated_by_ewc_and_not_by_distillation(learnt: Path) -> None:
    masked = reader("", text=None, encoder="bidirectional", epochs=1).fit(shop(), progress=False)
    with pytest.raises(DistilRefused):
        masked.update(turned(), progress=False)
    assert masked.update(turned(), forgetting="ewc", epochs=1, progress=False).events == 160
