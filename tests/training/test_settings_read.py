"""Every setting of a sequence model changes what is learnt or answered, or something says that it does not."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import segue
from segue.cautions import SettingUnread
from segue.errors import ConfigError, NothingToLearn, ScheduleNotBegun, SegueError
from segue.training.plan import READ_WHERE, SequenceConfig
from segue.tuning.space import Space
from tests.conftest import make_log

BASE: dict[str, Any] = {"embedding_size": 8, "blocks": 1, "epochs": 2, "batch_tokens": 256, "warmup_steps": 2}

OTHER: dict[str, Any] = {
    "encoder": "gru", "block": "plain", "embedding_size": 12, "blocks": 2, "heads": 4, "expansion": 2,
    "time": ["gaps"], "behaviour": ["values"], "pattern_prior": True, "mask_share": 0.5,
    "text_columns": ["title"], "text_pooling": "cls", "text_prompt": "a ", "text_max_tokens": 5,
    "text_precision": "bf16", "text_normalise": False, "text_whiten": False, "text_projection": "mlp",
    "text_likeness": 4, "tuning": "lora", "tuning_layers": 1, "tuning_rank": 3, "tuning_learning_rate": 0.1,
    "tuning_epochs": 2, "tuning_fallback": False, "text_batch": 3, "gradient_checkpointing": True,
    "id_dropout": 0.3, "target": "purchase",
    "action_weights": {"view": 0.1}, "forget": 0.5, "dropout": 0.6, "max_length": 4, "loss": "sampled",
    "negatives": 7, "negatives_from": "uniform", "popular_negatives": 0.1, "calibration": 0.2,
    "label_smoothing": 0.3, "augment": ["crop"], "augment_share": 0.9, "adversarial": "fgm",
    "adversarial_epsilon": 0.9, "adversarial_steps": 2, "contrastive": "dropout", "contrastive_weight": 0.9,
    "contrastive_temperature": 0.9, "interest_weight": 0.9, "batch_tokens": 128,
    "optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.5, "warmup_steps": 1, "schedule": "cosine",
    "gradient_accumulation_steps": 2, "gradient_clip": 0.01, "average_weights": False, "epochs": 3,
    "patience": 3, "validation_metric": "recall@3", "validation_users": 5, "refit": False, "seed": 1,
}  # fmt: skip
ELSEWHERE = {
    "features": "needs a catalogue: tests/recommenders/test_sequence.py",
    "long_history": "read by answers to histories longer than max_length: tests/data/test_long.py",
    "precision": "what differs depends on the processor: tests/recommenders/test_sequence.py",
    "text": "needs a language model: tests/recommenders/test_sequence_text.py",
    "interests": "needs mined interests: tests/training/test_interests.py",
    "patience": "ends a search early: tests/training/test_fit.py",
    "validation_metric": "is what the report shows: tests/training/test_validation.py",
    "validation_users": "is whom the report is about",
    "pattern_prior": "weighed beside the model: tests/recommenders/test_pattern_prior.py",
}
CONTEXTS = [
    {"encoder": "transformer", "loss": "full"},
    {"encoder": "hstu"},
    {"encoder": "gru"},
    {"encoder": "lstm"},
    {"encoder": "bidirectional"},
    {"loss": "sampled"},
    {"loss": "bce"},
    {"loss": "gbce"},
]
CASES = [({}, name) for name in OTHER if name not in ELSEWHERE] + [
    (context, name)
    for context in CONTEXTS
    for name in OTHER
    if name not in context and any(name in each.names and set(each.on) & {"encoder", "loss"} for each in READ_WHERE)
]


@pytest.fixture(scope="module")
def split() -> segue.Split:
    return segue.split.leave_last_out(segue.Dataset.from_frames(make_log(users=24, items=12)))


def outcome(split: segue.Split, **settings: Any) -> tuple[str, list[str]]:
    """The hash of the weights, and what was said; an error of ours is said too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = segue.SequenceRecommender(**{**BASE, **settings})
            model.fit(split.train, split.validation, progress=False, threads=1)
        except SegueError as error:
            return "", [str(error)]
    return model.weights_sha256(), [str(each.message) for each in caught if each.category is SettingUnread]


@pytest.fixture(scope="module")
def plain(split: segue.Split) -> dict[str, str]:
    return {str(context): outcome(split, **context)[0] for context in ({}, *CONTEXTS)}


@pytest.mark.parametrize(("context", "name"), CASES, ids=[f"{'-'.join(c.values()) or 'auto'}-{n}" for c, n in CASES])
def test_a_setting_is_read_or_said_not_to_be(split, plain, context: dict[str, Any], name: str) -> None:
    found, said = outcome(split, **context, **{name: OTHER[name]})
    if found == plain[str(context)]:
        assert any(name in message for message in said), f"{name} changes nothing, and nothing says so"
    elif found:
        assert not [message for message in said if message.startswith(f"{name}=")], f"{name} is read after all"


def test_every_setting_has_another_value_here_or_a_test_elsewhere() -> None:
    assert set(SequenceConfig.model_fields) == {*OTHER, *ELSEWHERE}


@pytest.mark.parametrize("name", ["patience", "validation_metric", "validation_users", "pattern_prior"])
def test_what_needs_validation_events_is_named_without_them(split, name: str) -> None:
    with pytest.warns(SettingUnread, match=f"{name}=.* there are validation events"):
        segue.SequenceRecommender(**{**BASE, name: OTHER[name]}).fit(split.train, progress=False, threads=1)


def test_a_schedule_within_its_warm_up_is_refused_and_the_remedy_works(split) -> None:
    settings = {**BASE, "schedule": "cosine", "warmup_steps": 100}
    with pytest.raises(ScheduleNotBegun) as caught:
        segue.SequenceRecommender(**settings).fit(split.train, split.validation, progress=False)
    settings["warmup_steps"] = caught.value.values["most"]
    constant = outcome(split, **{**settings, "schedule": "constant"})[0]
    assert outcome(split, **settings)[0] not in ("", constant)


@pytest.mark.parametrize("settings", [{"action_weights": {"view": 0, "purchase": 0}}])
def test_weights_that_leave_no_target_are_refused(split, settings: dict[str, Any]) -> None:
    with pytest.raises(NothingToLearn, match="action_weights"):
        segue.SequenceRecommender(**{**BASE, **settings}).fit(split.train, split.validation, progress=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"heads": 3}, {"dropout": 1.0}, {"epochs": 0}, {"patience": 0}, {"negatives": 0}, {"label_smoothing": 1.0},
        {"mask_share": 0}, {"blocks": 0}, {"max_length": 1}, {"learning_rate": 0}, {"schedule": "linear"},
        {"action_weights": {"view": -1}}, {"loss": "bce", "label_smoothing": 0.1}, {"calibration": 1.1},
        {"warmup_steps": -1}, {"gradient_clip": -1}, {"validation_users": 0},
    ],
)  # fmt: skip
def test_an_impossible_value_is_an_error_that_names_it(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        segue.SequenceRecommender(**settings)
    assert all(name in caught.value.message for name in settings)


def test_more_negatives_than_items_and_more_patience_than_epochs_are_fitted(split) -> None:
    assert outcome(split, loss="sampled", negatives=500, patience=50)[0]


def test_a_saved_model_whose_settings_are_not_read_loads_without_a_word(split, tmp_path: Path) -> None:
    with pytest.warns(SettingUnread):
        model = segue.SequenceRecommender(**BASE, encoder="gru", heads=4).fit(split.train, progress=False, threads=1)
    model.save(tmp_path / "model")
    assert segue.load(tmp_path / "model").recommend(["u1"]).equals(model.recommend(["u1"]))


def test_a_search_does_not_choose_what_its_trial_does_not_read() -> None:
    optuna = pytest.importorskip("optuna")
    given = {"heads": [1, 2], "block": ["ligr", "plain"], "encoder": ["gru", "hstu", "transformer"]}
    space = Space.of("SequenceRecommender", SequenceConfig, given, {})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {}
    for _ in range(30):
        chosen = space.suggest(study.ask(), SequenceConfig.parse)
        seen[chosen["encoder"]] = set(chosen)
    assert seen == {"gru": {"encoder"}, "hstu": {"encoder", "heads"}, "transformer": {"encoder", "heads", "block"}}


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| (.*) \| (.*) \|$", text, re.MULTILINE))
    for each in READ_WHERE:
        names = ", ".join(f"`{name}`" if each.part is None else f"`{name}` with {each.part}" for name in each.names)
        assert (names, each.where) in rows, f"| {names} | {each.where} |"
