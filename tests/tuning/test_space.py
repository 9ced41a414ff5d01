"""The space: what it accepts, what it refuses, and that the default one holds the default settings."""

from __future__ import annotations

import optuna
import pytest

from segue.errors import ConfigUnknown, ConfigValue, NothingToTune
from segue.recommenders.store import CLASSES, recommender_class
from segue.training.plan import SequenceConfig, plan_for
from segue.tuning.space import DEFAULTS, Choice, Range, Space


def space(given: object = None, fixed: dict[str, object] | None = None) -> Space:
    return Space.of("SequenceRecommender", SequenceConfig, given, fixed or {})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_default_space_suits_its_recommender(name) -> None:
    if name == "ALS":
        pytest.importorskip("implicit")
    settings = recommender_class(name).Settings
    made = Space.of(name, settings, None, {})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        settings.parse(made.suggest(study.ask()))


def test_a_recommender_without_settings_has_nothing_to_search() -> None:
    without = set(CLASSES) - set(DEFAULTS)
    assert without == {"Popular", "Ensemble", "Hybrid", "TextNeighbours", "LanguageRanker", "ExportedRecommender"}, (
        "their parts are tuned one by one, or before they are exported"
    )
    for name in without:
        with pytest.raises(NothingToTune, match=name):
            Space.of(name, recommender_class(name).Settings, None, {})


def test_the_default_space_holds_what_the_plan_chooses(split) -> None:
    plan = plan_for(SequenceConfig(), split.train.histories, 40).model_dump()
    assert all(plan[name] in part for name, part in space().parts.items())


def test_a_setting_that_is_fixed_leaves_the_default_space() -> None:
    assert "dropout" not in space(fixed={"dropout": 0.1}).parts
    with pytest.raises(ConfigValue, match="also a fixed setting"):
        space({"dropout": [0.1, 0.2]}, fixed={"dropout": 0.1})


def test_ranges_and_choices_come_as_toml_gives_them() -> None:
    parts = space({"learning_rate": {"low": 1e-4, "high": 1, "log": True}, "block": ["ligr"], "heads": [1, 2]}).parts
    assert parts["learning_rate"] == Range(low=1e-4, high=1, log=True)
    assert not parts["learning_rate"].whole
    assert parts["block"] == Choice(("ligr",))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"learning_rat": [1e-3]}, ConfigUnknown, "learning_rate"),
        ({"block": ["ligr", "plane"]}, ConfigValue, "plane"),
        ({"dropout": {"low": 0.0, "high": 1.5}}, ConfigValue, "1.5"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, ConfigValue, "above"),
        ({"dropout": {"low": 0.0, "high": 0.1, "log": True}}, ConfigValue, "above 0"),
        ({"dropout": {"low": 0.0, "high": 0.1, "logs": True}}, ConfigUnknown, "'log'"),
        ({"dropout": {"low": "a", "high": 0.1}}, ConfigValue, "low"),
        ({"dropout": {"low": 0.1}}, ConfigValue, "high"),
        ({"dropout": 0.1}, ConfigValue, "neither"),
        ({"dropout": []}, ConfigValue, "neither"),
        ({"dropout": [[0.1]]}, ConfigValue, "neither"),
        ({}, NothingToTune, "empty"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(given, error, words) -> None:
    with pytest.raises(error, match=words):
        space(given)


def test_a_whole_range_holds_whole_numbers_and_no_truth_values() -> None:
    whole = Range(low=1, high=3)
    assert 2 in whole
    assert 2.5 not in whole
    assert True not in whole
    assert 4 not in whole
    assert 2.5 in Range(low=1.0, high=3)
    assert True not in Choice((1, 2))
