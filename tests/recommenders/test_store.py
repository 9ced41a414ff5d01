from __future__ import annotations

from pathlib import Path

import pytest

import segue
from segue import artefacts
from segue.config import parse_assignments
from segue.errors import ArtefactForeign, ArtefactNotFound, ConfigUnknown, NoTargets
from segue.recommenders.store import BASELINES, CLASSES, fit_baselines, load_with_test, recommender_class, settings_of


@pytest.mark.parametrize("name", CLASSES)
def test_every_listed_recommender_is_found_by_its_name(name: str) -> None:
    assert recommender_class(name).__name__ == name
    assert recommender_class(name) is getattr(segue, name)


def test_an_unknown_recommender_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigUnknown, match="Did you mean 'ItemNeighbours'"):
        recommender_class("ItemNeighbors")


def test_an_artefact_of_something_else_is_refused_by_its_class(tmp_path: Path) -> None:
    with artefacts.writing(tmp_path / "thing", "Spaceship") as artefact:
        artefact.document("facts", {})
    with pytest.raises(ArtefactForeign, match="holds a 'Spaceship'"):
        segue.load(tmp_path / "thing")


def test_what_is_no_artefact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"not a model")
    for path in (tmp_path, tmp_path / "photo.jpg", tmp_path / "nothing"):
        with pytest.raises(ArtefactNotFound, match="is not an artefact"):
            segue.load(path)


def test_a_model_is_loaded_with_the_test_it_was_saved_with(split: segue.Split, tmp_path: Path) -> None:
    model = segue.Popular().fit(split.train, split.validation)
    model.save(tmp_path / "model", test=split.test)
    again, test = load_with_test(tmp_path / "model")
    assert (test.targets.events["row"] == split.test.targets.events["row"]).all()
    assert again.recommend(["u1"]).equals(model.recommend(["u1"]))
    model.save(tmp_path / "model")
    with pytest.raises(NoTargets):
        load_with_test(tmp_path / "model")


def test_baselines_are_fitted_on_all_that_is_known_when_the_test_asks(split: segue.Split) -> None:
    models = fit_baselines(split.test, besides="EASE", progress=False)
    assert [type(model).__name__ for model in models] == [name for name in BASELINES if name != "EASE"]
    assert all(model.item_counts.sum() == len(split.test.context) for model in models)


def test_the_command_line_wins_over_the_file_and_prefixes_choose_the_part() -> None:
    file = {"recommender": "EASE", "settings": {"max_items": 5, "regularisation": 1}, "cleaning": {"duplicates": False}}
    given = parse_assignments(["regularisation=2", "cleaning.min_user_events=3", "settings.max_items=7"])
    chosen = settings_of(file, given, None, None)
    assert chosen.recommender == "EASE"
    assert chosen.settings == {"max_items": 7, "regularisation": 2}
    assert chosen.cleaning == {"duplicates": False, "min_user_events": 3}
    assert settings_of(file, {"recommender": "Popular"}, "ALS", None).recommender == "Popular"
    assert settings_of(file, {}, "ALS", None).recommender == "ALS"


def test_a_seed_reaches_what_is_random_and_nothing_else() -> None:
    assert settings_of({}, {}, None, 7).settings == {"seed": 7}
    assert settings_of({}, {}, "Popular", 7).settings == {}


def test_a_misspelt_part_of_the_file_is_refused() -> None:
    with pytest.raises(ConfigUnknown, match="Did you mean 'settings'"):
        settings_of({"setting": {}}, {}, None, None)
