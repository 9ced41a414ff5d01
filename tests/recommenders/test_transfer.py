"""What is learnt on one log serves another: by text and attributes, never by ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ArtefactNotFound, LanguageModelChanged, NotFitted, TransferRefused
from tests.language.makers import tiny_model
from tests.recommenders.shops import reader, shop


def other_shop(actions: tuple[str, ...] = ()) -> segue.Dataset:
    """Other goods in the same three colours, other people, few events."""
    colours = ("green", "red", "blue")
    rows = [
        (f"v{user}", f"g{3 * n + user % 3}", 1_700_000_000 + 60 * (9 * user + n))
        for user in range(9)
        for n in (0, 2, 3)
    ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    if actions:
        events = events.with_columns(pl.Series("action", [actions[n % len(actions)] for n in range(len(events))]))
    items = pl.DataFrame(
        {"item_id": [f"g{n}" for n in range(12)], "name": [f"{colours[n % 3]} drill" for n in range(12)]}
    )
    return segue.Dataset.from_frames(events, items)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("language") / "tiny")


@pytest.fixture(scope="module")
def learnt(language: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("learnt") / "shop"
    reader(language).fit(shop(), progress=False).save(place)
    return place


@pytest.fixture
def model(learnt: Path) -> segue.SequenceRecommender:
    loaded = segue.load(learnt)
    assert isinstance(loaded, segue.SequenceRecommender)
    return loaded


def colours_of(answer: Any, data: segue.Dataset) -> list[str]:
    assert data.items is not None
    names = dict(data.items.select("item_id", "name").iter_rows())
    return [names[item].split()[0] for item in answer["item_id"]]


def test_without_training_people_of_another_log_are_answered_by_its_texts(model: segue.SequenceRecommender) -> None:
    data = other_shop()
    moved = model.transfer(data, progress=False)
    for user, colour in (("v0", "green"), ("v1", "red"), ("v2", "blue")):
        assert colours_of(moved.recommend([user], k=2, exclude_seen=False), data) == [colour] * 2
    assert len(model.item_vocabulary) == 30, "the source stays as it is"


def test_what_was_transferred_is_saved_and_loaded(model: segue.SequenceRecommender, tmp_path: Path) -> None:
    moved = model.transfer(other_shop(), progress=False)
    moved.save(tmp_path / "moved")
    assert segue.load(tmp_path / "moved").recommend(["v0"], k=5).equals(moved.recommend(["v0"], k=5))
    assert moved.add_items(pl.DataFrame({"item_id": ["new"], "name": ["red drill"]})).new == 1


def test_ids_do_not_carry_over(model: segue.SequenceRecommender) -> None:
    moved = model.transfer(shop(), progress=False)
    assert not moved.model.tower.ids.weight.any()
    assert not moved.model.tower.get_buffer("known").any()


def test_a_training_begins_where_the_other_ended(model: segue.SequenceRecommender, learnt: Path, language: str) -> None:
    data = other_shop()
    begun = reader(language, epochs=1, learning_rate=1e-9).fit(data, init_from=learnt, progress=False)
    ours, theirs = begun.model.state_dict(), model.model.state_dict()
    for name in theirs:
        if name not in ("tower.ids.weight", "tower.known"):
            np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
    assert begun.report["init_from"]["weights_sha256"] == model.weights_sha256()
    again = reader(language, epochs=1, learning_rate=1e-9).fit(data, init_from=model, progress=False)
    assert again.weights_sha256() == begun.weights_sha256()


def test_a_fit_after_it_begins_anew(model: segue.SequenceRecommender, language: str) -> None:
    fresh = reader(language, epochs=1).fit(other_shop(), progress=False).weights_sha256()
    twice = reader(language, epochs=1).fit(other_shop(), init_from=model, progress=False)
    assert twice.weights_sha256() != fresh
    assert twice.fit(other_shop(), progress=False).weights_sha256() == fresh


def test_kinds_of_action_are_matched_by_name(language: str) -> None:
    events = other_shop(("buy", "look"))
    source = reader(language, epochs=1).fit(events, progress=False)
    moved = source.transfer(other_shop(("gaze", "look")), progress=False)
    assert moved.action_names == ("buy", "look")
    assert moved.histories.actions is not None
    assert set(moved.histories.actions.tolist()) == {0, 2}, "what the source never met is unknown to it"
    reader(language, epochs=1).fit(other_shop(("gaze", "look")), init_from=source, progress=False)


@pytest.mark.parametrize("settings", [{"embedding_size": 16}, {"encoder": "gru"}, {"max_length": 7}])
def test_settings_that_differ_are_told(
    model: segue.SequenceRecommender, language: str, settings: dict[str, Any]
) -> None:
    name = next(iter(settings))
    with pytest.raises(TransferRefused, match=name):
        reader(language, **settings).fit(other_shop(), init_from=model, progress=False)


def test_shape_left_at_its_default_is_the_sources(model: segue.SequenceRecommender) -> None:
    begun = segue.SequenceRecommender(epochs=1).fit(other_shop(), init_from=model, progress=False)
    assert begun.plan.embedding_size == 8
    assert begun.plan.text == model.plan.text


def test_another_language_model_is_refused(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "own")
    source = reader(place, epochs=1).fit(shop(), progress=False)
    tiny_model(tmp_path / "own", seed=1)
    with pytest.raises(LanguageModelChanged):
        source.transfer(other_shop(), progress=False)
    with pytest.raises(LanguageModelChanged):
        reader(place).fit(other_shop(), init_from=source, progress=False)


def test_what_knows_ids_alone_has_nothing_to_bring(language: str) -> None:
    source = reader(language, text=None, epochs=1).fit(shop(), progress=False)
    with pytest.raises(TransferRefused, match="ids alone"):
        source.transfer(other_shop())
    with pytest.raises(TransferRefused, match="Popular"):
        reader(language).fit(other_shop(), init_from=segue.Popular().fit(shop()))
    with pytest.raises(NotFitted):
        reader(language).transfer(other_shop())
    with pytest.raises(ArtefactNotFound):
        reader(language).fit(other_shop(), init_from="nowhere")


def test_a_catalogue_without_text_is_answered_all_the_same(model: segue.SequenceRecommender) -> None:
    bare = segue.Dataset.from_frames(pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": [1, 2]}))
    assert model.transfer(bare, progress=False).recommend([1], k=2, exclude_seen=False).height == 2
