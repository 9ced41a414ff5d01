"""Each public entry point with the wrong things people give it: a result or a named error, never an inner traceback."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import segue
from segue.errors import SegueError
from tests.conftest import make_log

Call = Callable[[SimpleNamespace, Any], Any]
SMALL: dict[str, Any] = {"embedding_size": 4, "blocks": 1, "heads": 1, "epochs": 1, "time": []}
RECOMMENDERS = (
    "ALS",
    "EASE",
    "FirstOrder",
    "ItemNeighbours",
    "PatternRecommender",
    "Popular",
    "RecentlyPopular",
    "TextNeighbours",
    "SequenceRecommender",
    "Ensemble",
    "Hybrid",
    "LanguageRanker",
)


@pytest.fixture(scope="module")
def known() -> SimpleNamespace:
    data = segue.Dataset.from_frames(make_log(users=12))
    split = segue.split.leave_last_out(data)
    model = segue.Popular().fit(split.train)
    ease, first = segue.EASE().fit(split.train), segue.FirstOrder().fit(split.train)
    sequence = segue.SequenceRecommender(**SMALL).fit(split.train, progress=False)
    users = data.user_vocabulary.ids.to_list()
    labels = pl.DataFrame({"user_id": users, "label": [n % 2 for n in range(len(users))]})
    classifier = segue.SequenceClassifier(false_discoveries=1.0, folds=2).fit(data, labels)
    report = segue.evaluate(model, split.test, progress=False)
    return SimpleNamespace(
        data=data,
        split=split,
        model=model,
        ease=ease,
        first=first,
        sequence=sequence,
        classifier=classifier,
        report=report,
        log=make_log(5),
    )


def wrong_things(known: SimpleNamespace) -> dict[str, Any]:
    return {
        "None": None,
        "a number": 3,
        "a fraction": 0.5,
        "a negative number": -1,
        "text": "text",
        "an empty list": [],
        "a list of numbers": [1, 2],
        "a list of text": ["u1", "u2"],
        "a dictionary": {"a": 1},
        "an array": np.arange(6).reshape(2, 3),
        "a pandas frame": known.log.to_pandas(),
        "a polars frame": known.log,
        "an Arrow table": known.log.to_arrow(),
        "a strange frame": pd.DataFrame({"a": [1, 2]}),
        "a split": known.split,
        "a holdout": known.split.test,
        "a data set": known.data,
        "a model": known.model,
        "a class": segue.EASE,
        "a report": known.report,
        "a function": len,
    }


def constructors() -> dict[str, Call]:
    made: dict[str, Call] = {}
    for name in RECOMMENDERS:
        made[f"{name}(x)"] = lambda known, x, name=name: getattr(segue, name)(x)
    made["Ensemble([x])"] = lambda known, x: segue.Ensemble([x])
    made["Ensemble(weights=x)"] = lambda known, x: segue.Ensemble(["EASE", "Popular"], weights=x)
    made["Ensemble.of(x)"] = lambda known, x: segue.Ensemble.of(x)
    made["Ensemble.of(seeds=x)"] = lambda known, x: segue.Ensemble.of("ALS", seeds=x)
    made["Ensemble(members=x)"] = lambda known, x: segue.Ensemble(members=x)
    made["Hybrid([x, x])"] = lambda known, x: segue.Hybrid([x, x])
    made["Hybrid.of_fitted(x)"] = lambda known, x: segue.Hybrid.of_fitted(x, [known.model], known.split.validation)
    made["Hybrid.of_fitted(_, x)"] = lambda known, x: segue.Hybrid.of_fitted([known.model], x, known.split.validation)
    made["Hybrid.of_fitted(_, _, x)"] = lambda known, x: segue.Hybrid.of_fitted([known.model], [known.model], x)
    made["SequenceClassifier(x)"] = lambda known, x: segue.SequenceClassifier(x)
    made["Dataset.from_frames(x)"] = lambda known, x: segue.Dataset.from_frames(x)
    made["Dataset.from_frames(items=x)"] = lambda known, x: segue.Dataset.from_frames(known.log, x)
    made["Dataset.from_frames(columns=x)"] = lambda known, x: segue.Dataset.from_frames(known.log, columns=x)
    made["Dataset.from_frames(cleaning=x)"] = lambda known, x: segue.Dataset.from_frames(known.log, cleaning=x)
    made["Dataset.from_frames(time_zone=x)"] = lambda known, x: segue.Dataset.from_frames(known.log, time_zone=x)
    made["Dataset.from_files(x)"] = lambda known, x: segue.Dataset.from_files(x)
    made["Holdout(x, _)"] = lambda known, x: segue.Holdout(x, known.data)
    made["Holdout(_, x)"] = lambda known, x: segue.Holdout(known.data, x)
    made["Split(x)"] = lambda known, x: segue.Split(x, known.split.validation, known.split.test, "own")
    made["Split(_, x)"] = lambda known, x: segue.Split(known.split.train, x, known.split.test, "own")
    made["Split(_, _, x)"] = lambda known, x: segue.Split(known.split.train, None, x, "own")
    made["load(x)"] = lambda known, x: segue.load(x)
    made["ExportedRecommender(x)"] = lambda known, x: segue.ExportedRecommender(x)
    made["datasets.fetch(x)"] = lambda known, x: segue.datasets.folder(x)
    return made


def splitting() -> dict[str, Call]:
    split = segue.split
    return {
        "leave_last_out(x)": lambda known, x: split.leave_last_out(x),
        "leave_last_out(_, x)": lambda known, x: split.leave_last_out(known.data, x),
        "by_time(x)": lambda known, x: split.by_time(x),
        "by_time(test=x)": lambda known, x: split.by_time(known.data, test=x),
        "by_time(validation=x)": lambda known, x: split.by_time(known.data, validation=x),
        "by_time(targets=x)": lambda known, x: split.by_time(known.data, targets=x),
        "k_shot(x)": lambda known, x: split.k_shot(x, 2),
        "k_shot(_, x)": lambda known, x: split.k_shot(known.data, x),
        "cold_items(x)": lambda known, x: split.cold_items(x),
        "cold_items(share=x)": lambda known, x: split.cold_items(known.data, x),
        "cold_items(seed=x)": lambda known, x: split.cold_items(known.data, seed=x),
        "from_frames(x)": lambda known, x: split.from_frames(x, known.log),
        "from_frames(_, x)": lambda known, x: split.from_frames(known.log, x),
        "from_frames(validation=x)": lambda known, x: split.from_frames(known.log, known.log, x),
        "from_frames(items=x)": lambda known, x: split.from_frames(known.log, known.log, items=x),
        "from_frames(columns=x)": lambda known, x: split.from_frames(known.log, known.log, columns=x),
    }


def learning() -> dict[str, Call]:
    made: dict[str, Call] = {
        "EASE().fit(x)": lambda known, x: segue.EASE().fit(x),
        "EASE().fit(_, x)": lambda known, x: segue.EASE().fit(known.split.train, x),
        "EASE().fit(frame, x)": lambda known, x: segue.EASE().fit(known.log, validation=x),
        "RecentlyPopular().fit(_, x)": lambda known, x: segue.RecentlyPopular().fit(known.split.train, x),
        "SequenceRecommender().fit(x)": lambda known, x: segue.SequenceRecommender(**SMALL).fit(x, progress=False),
        "SequenceRecommender().fit(_, x)": lambda known, x: segue.SequenceRecommender(**SMALL).fit(
            known.split.train, x, progress=False
        ),
        "Hybrid().fit(x)": lambda known, x: segue.Hybrid(["EASE", "Popular"]).fit(x),
        "Ensemble().fit(x)": lambda known, x: segue.Ensemble(["EASE", "Popular"]).fit(x),
        "init_from=x": lambda known, x: segue.SequenceRecommender(**SMALL).fit(
            known.split.train, init_from=x, progress=False
        ),
        "transfer(x)": lambda known, x: known.sequence.transfer(x),
        "update(x)": lambda known, x: known.sequence.update(x, progress=False, epochs=1),
        "update(items=x)": lambda known, x: known.sequence.update(known.log, items=x, progress=False, epochs=1),
        "add_items(x)": lambda known, x: known.ease.add_items(x),
        "SequenceClassifier().fit(x)": lambda known, x: segue.SequenceClassifier().fit(x, known.log),
        "SequenceClassifier().fit(_, x)": lambda known, x: segue.SequenceClassifier().fit(known.log, x),
        "mine(x)": lambda known, x: segue.mine(x, min_support=0.5, progress=False),
        "mine(items=x)": lambda known, x: segue.mine(known.log, x, min_support=0.5, progress=False),
        "mine(columns=x)": lambda known, x: segue.mine(known.log, columns=x, min_support=0.5, progress=False),
        "mine(min_support=x)": lambda known, x: segue.mine(known.log, min_support=x, top=3, progress=False),
        "mine(only=x)": lambda known, x: segue.mine(known.log, only=x, min_support=0.5, progress=False),
        "mine(threads=x)": lambda known, x: segue.mine(known.log, min_support=0.5, threads=x, progress=False),
        "tune(x)": lambda known, x: segue.tune(
            x, recommender="EASE", space={"regularisation": [1.0]}, trials=1, progress=False
        ),
    }
    for argument in ("validation", "recommender", "settings", "space", "trials", "storage", "metric", "seed"):
        made[f"tune({argument}=x)"] = lambda known, x, argument=argument: segue.tune(
            known.split.train,
            **{
                "validation": known.split.validation,
                "recommender": "EASE",
                "space": {"regularisation": [1.0]},
                "trials": 1,
                "progress": False,
                argument: x,
            },
        )
    return made


def answering() -> dict[str, Call]:
    made: dict[str, Call] = {}
    for kind in ("model", "ease", "first", "sequence"):
        made[f"{kind}.recommend(x)"] = lambda known, x, kind=kind: getattr(known, kind).recommend(x, progress=False)
        made[f"{kind}.recommend(histories=x)"] = lambda known, x, kind=kind: getattr(known, kind).recommend(
            histories=x, progress=False
        )
    made |= {
        "recommend(k=x)": lambda known, x: known.ease.recommend("u1", x),
        "recommend(at=x)": lambda known, x: known.ease.recommend("u1", at=x),
        "recommend(action=x)": lambda known, x: known.ease.recommend("u1", action=x),
        "recommend(exclude_seen=x)": lambda known, x: known.ease.recommend("u1", exclude_seen=x),
        "score(x)": lambda known, x: known.ease.score(x, items=["i1"]),
        "score(items=x)": lambda known, x: known.ease.score("u1", items=x),
        "score(histories=x)": lambda known, x: known.ease.score(histories=x, items=["i1"]),
        "similar_items(x)": lambda known, x: known.ease.similar_items(x),
        "save(x)": lambda known, x: known.ease.save(x),
        "predict(x)": lambda known, x: known.classifier.predict(x),
        "predict(histories=x)": lambda known, x: known.classifier.predict(histories=x),
        "predict(at=x)": lambda known, x: known.classifier.predict(["u1"], at=x),
        "similar_items(k=x)": lambda known, x: known.ease.similar_items(["i1"], x),
    }
    return made


def measuring() -> dict[str, Call]:
    made: dict[str, Call] = {
        "report.to_json(x)": lambda known, x: known.report.to_json(x),
        "evaluate(x)": lambda known, x: segue.evaluate(x, known.split.test, progress=False),
        "evaluate(_, x)": lambda known, x: segue.evaluate(known.model, x, progress=False),
        "compare(x, x)": lambda known, x: segue.compare(x, x),
        "compare(_, x)": lambda known, x: segue.compare(known.report, x),
        "compare(metric=x)": lambda known, x: segue.compare(known.report, known.report, x),
        "report[x]": lambda known, x: known.report[x],
        "report.interval(x)": lambda known, x: known.report.interval(x),
        "few_shot(x)": lambda known, x: segue.few_shot(x, {"EASE": segue.EASE}, users=[3], show=False),
        "few_shot(_, x)": lambda known, x: segue.few_shot(known.data, x, users=[3], show=False),
        "few_shot(_, {x})": lambda known, x: segue.few_shot(known.data, {"x": x}, users=[3], show=False),
        "TuningResult(x)": lambda known, x: segue.Report(x),  # type: ignore[call-arg]
    }
    for argument in ("k", "action", "exclude_seen", "beside"):
        made[f"evaluate({argument}=x)"] = lambda known, x, argument=argument: segue.evaluate(
            known.model, known.split.test, progress=False, **{argument: x}
        )
    for argument in ("users", "draws", "asked", "metric", "seed"):
        made[f"few_shot({argument}=x)"] = lambda known, x, argument=argument: segue.few_shot(
            known.data, {"Popular": segue.Popular}, **{"users": [3], "show": False, "draws": 1, argument: x}
        )
    return made


CALLS = {**constructors(), **splitting(), **learning(), **answering(), **measuring()}
_PYTHON_S_OWN = ("unexpected keyword argument", "positional argument", "required keyword-only argument")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CALLS)
def test_wrong_things_end_in_a_result_or_a_named_error(
    known: SimpleNamespace, name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for what, thing in wrong_things(known).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                CALLS[name](known, thing)
            except SegueError:
                continue
            except TypeError as error:
                if any(own in str(error) for own in _PYTHON_S_OWN):
                    continue
                pytest.fail(f"{name} with {what} ends in {error!r}")
            except Exception as error:  # noqa: BLE001 - all others are what is tested for
                pytest.fail(f"{name} with {what} ends in {type(error).__name__}: {error}")
