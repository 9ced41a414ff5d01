"""Labels from the order of events: what must be told, what must not be, and what is refused."""

from __future__ import annotations

import builtins
import json

import numpy as np
import polars as pl
import pytest
from scipy import sparse

import segue
from segue.cautions import ColdUsers, LabelsSkipped
from segue.errors import (
    ActionUnknown,
    ArtefactCorrupt,
    ArtefactForeign,
    ClassTooSmall,
    ConfigValue,
    CutOffUnusable,
    ExtraMissing,
    HistoryMalformed,
    LabelsContradict,
    LabelsOfNobody,
    LabelsUnclear,
    MomentsMissing,
    MomentUnreadable,
    NoClock,
    NotFitted,
    NothingAsked,
    NothingFrequent,
    OneClass,
    TargetUnknown,
)
from segue.patterns import classification
from segue.patterns.classification import SequenceClassifierConfig, folds_of
from segue.patterns.labels import labelled
from segue.patterns.learners import Forest, LightGBM, Logistic
from segue.patterns.reading import learn_reading
from segue.patterns.selection import candidates, information_gain, telling
from segue.patterns.sequences import sequences
from tests.patterns.orders import DAY, FIRST, ordered_log, shop_log

SMALL = {"patterns": 40, "max_length": 2, "candidates": 300}
# Patterns alone, and as many as can fit what means nothing.
GREEDY = {"plain": False, "moments": False, "false_discoveries": 1, "candidates": 1_000, "patterns": 150}


@pytest.fixture(scope="module")
def ordered():
    return ordered_log()


@pytest.fixture(scope="module")
def fitted(ordered):
    return segue.SequenceClassifier(**SMALL).fit(*ordered)


@pytest.fixture(scope="module")
def judged(fitted):
    return fitted.cross_validate()


@pytest.fixture(scope="module")
def shop():
    return shop_log()


# -- what it is worth ----------------------------------------------------------------------------------------------


def test_what_depends_on_order_is_told_and_a_bag_of_items_cannot_tell_it(judged):
    assert judged["auc"] > 0.95
    assert 0.35 < judged.figure("auc", "bag of items") < 0.65
    assert judged.figure("auc", "majority") == 0.5
    difference, low, high = judged.difference("auc", "bag of items")
    assert 0.3 < low < difference < high


def test_a_forest_tells_it_too(ordered):
    assert segue.SequenceClassifier(classifier="forest", trees=20, **SMALL).cross_validate(*ordered)["auc"] > 0.95


def shuffled_labels(ordered, seed: int) -> pl.DataFrame:
    drawn = np.random.default_rng(seed).integers(0, 2, len(ordered[1]))
    return ordered[1].with_columns(pl.Series("label", drawn))


def test_of_labels_that_mean_nothing_nothing_is_told(ordered):
    model = segue.SequenceClassifier(**GREEDY)
    found = [model.cross_validate(ordered[0], shuffled_labels(ordered, seed))["auc"] for seed in range(4)]
    assert 0.4 < np.mean(found) < 0.6


def test_patterns_chosen_on_all_users_would_seem_to_tell_what_means_nothing(ordered, monkeypatch):
    """The broken twin of the test above: it shows that the check can fail."""
    settings = SequenceClassifierConfig(**GREEDY)
    found = []
    for seed in range(3):
        made = labelled(segue.Dataset.from_frames(ordered[0]), shuffled_labels(ordered, seed), settings)
        leaked, _ = learn_reading(made, np.arange(len(made.users)), settings)

        def again(made, rows, settings, leaked=leaked):
            return leaked, leaked.features(made.known, made.users[rows], made.at).matrix

        monkeypatch.setattr(classification, "learn_reading", again)
        found.append(classification.cross_validate(made, settings)["auc"])
    assert np.mean(found) > 0.6


def test_every_class_is_in_every_fold():
    classes = np.repeat([0, 1, 2], [50, 23, 5])
    fold = folds_of(classes, 5, seed=1)
    sizes = np.array([np.bincount(fold[classes == kind], minlength=5) for kind in range(3)])
    assert (sizes.max(1) - sizes.min(1) <= 1).all()
    assert (fold != folds_of(classes, 5, seed=2)).any()


def test_the_report_has_figures_with_intervals_beside_the_baselines(ordered, judged, tmp_path):
    report, table = judged, judged.table()
    assert table["figure"].to_list() == ["accuracy", "f1", "auc", "log_loss"]
    assert table.columns == ["figure", "logistic", "low", "high", "majority", "bag of items"]
    assert (table["low"] <= table["logistic"]).all()
    assert (table["logistic"] <= table["high"]).all()
    report.to_json(tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["figures"]["auc"]["logistic"] == report["auc"]
    assert figures["users"] == dict(ordered[1]["label"].value_counts().iter_rows())


def test_figures_are_those_of_scikit_learn(ordered):
    metrics = pytest.importorskip("sklearn.metrics")
    report = segue.SequenceClassifier(**SMALL).cross_validate(ordered[0], shuffled_labels(ordered, 1))
    said, true = report.probabilities["logistic"], report.classes
    assert report["log_loss"] == pytest.approx(metrics.log_loss(true, said))
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(true, said.argmax(1)))
    assert report["f1"] == pytest.approx(metrics.f1_score(true, said.argmax(1)))
    folds = [metrics.roc_auc_score(true[report.folds == n], said[report.folds == n, 1]) for n in range(5)]
    assert report["auc"] == pytest.approx(np.mean(folds))


# -- what mattered -------------------------------------------------------------------------------------------------


def test_the_order_that_decides_is_named_first(ordered, fitted):
    mattered = fitted.patterns_that_mattered()
    first = mattered.row(0, named=True)
    assert first["feature"].startswith(("a > b", "b > a"))
    told = mattered.filter(pl.col("feature") == "a > b: present").row(0, named=True)
    assert told["pattern"] == ["a", "b"]
    assert told["label"] == "yes"
    assert told["odds"] == pytest.approx(np.exp(told["weight"]))
    assert told["odds"] > 1
    assert told["support"] == (ordered[1]["label"] == "yes").sum()
    assert (told["share no"], told["share yes"]) == (0, 1)
    plain = mattered.filter(pl.col("pattern").is_null())["feature"].to_list()
    assert "length" in plain
    # Nobody has it twice: the count would be the presence again.
    assert "a > b: count" not in set(mattered["feature"])


def test_what_a_forest_uses_loses_most_when_shuffled(ordered):
    model = segue.SequenceClassifier(classifier="forest", trees=20, **SMALL).fit(*ordered)
    assert set(model.patterns_that_mattered()["feature"][:2]) == {"a > b", "b > a"}


def test_a_pattern_that_says_the_same_again_is_passed_over():
    classes = np.array([0] * 10 + [1] * 10)
    best = (classes == 1).astype(float)
    best[0] = 1
    other = np.zeros(20)
    other[10:16] = 1
    noise = np.arange(20) % 2.0
    present = sparse.csr_array(np.stack([best, best, other, noise], axis=1))
    chosen, gains = telling(present, classes, 2)
    assert chosen.tolist() == [0, 2]
    assert gains[3] == pytest.approx(0)
    # 11 of 20 have it, ten of them of class 1; the other nine are all of class 0
    some = 11 / 20 * -(10 / 11 * np.log2(10 / 11) + 1 / 11 * np.log2(1 / 11))
    assert information_gain(present, classes, classes * 0)[0] == pytest.approx(1 - some)


def test_support_goes_down_until_there_are_enough(ordered):
    found = sequences(segue.Dataset.from_frames(ordered[0]))
    classes = np.arange(len(found)) % 2
    few, many = (candidates(found, classes, 0.02, enough, 2) for enough in (5, 100))
    assert 5 <= len(few) < 100 <= len(many)


# -- learners ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    matrix = sparse.csr_array(rng.random((90, 12)) * (rng.random((90, 12)) < 0.4))
    return matrix, rng.integers(0, 3, 90)


@pytest.mark.parametrize("kinds", [2, 3])
def test_a_forest_read_from_arrays_says_exactly_what_scikit_learn_says(rows, kinds):
    ensemble = pytest.importorskip("sklearn.ensemble")
    matrix, classes = rows[0], rows[1] % kinds
    settings = SequenceClassifierConfig(trees=15, seed=4)
    theirs = ensemble.RandomForestClassifier(15, random_state=4).fit(matrix.toarray(), classes)
    ours = Forest().fit(matrix, classes, settings)
    np.testing.assert_array_equal(ours.proba(matrix), theirs.predict_proba(matrix.toarray()))


@pytest.mark.parametrize("kinds", [2, 3])
def test_weights_read_from_arrays_say_what_scikit_learn_says(rows, kinds):
    linear = pytest.importorskip("sklearn.linear_model")
    matrix, classes = rows[0], rows[1] % kinds
    scaled = matrix.toarray() / matrix.toarray().max(0)
    theirs = linear.LogisticRegression(C=0.5, max_iter=2_000).fit(scaled, classes)
    ours = Logistic().fit(matrix, classes, SequenceClassifierConfig(regularisation=2))
    np.testing.assert_allclose(ours.proba(matrix), theirs.predict_proba(scaled), atol=1e-4)


def test_lightgbm_is_kept_as_text(ordered, tmp_path):
    pytest.importorskip("lightgbm")
    model = segue.SequenceClassifier(classifier="lightgbm", trees=20, **SMALL).fit(*ordered)
    model.save(tmp_path / "model")
    again = segue.SequenceClassifier.load(tmp_path / "model")
    assert again.predict_proba(["u1", "u2"]).equals(model.predict_proba(["u1", "u2"]))
    assert model.cross_validate()["auc"] > 0.95


@pytest.mark.parametrize(("learner", "package"), [(LightGBM, "boosting"), (Logistic, "classify"), (Forest, "classify")])
def test_a_package_that_is_not_installed_is_named(rows, monkeypatch, learner, package):
    usual = builtins.__import__

    def without(name, *arguments, **named):
        if name.partition(".")[0] in ("lightgbm", "sklearn"):
            raise ModuleNotFoundError(name)
        return usual(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    with pytest.raises(ExtraMissing, match=rf"R005.*segue\[{package}\]"):
        learner().fit(*rows, SequenceClassifierConfig())


# -- asking --------------------------------------------------------------------------------------------------------


def test_users_of_the_log_and_the_same_histories_from_outside_are_answered_alike(ordered, fitted):
    users = ["u3", "u1", "u7"]
    known = fitted.predict_proba(users, at=FIRST + 40 * DAY)
    outside = ordered[0].filter(pl.col("user_id").is_in(users))
    asked = fitted.predict_proba(histories=outside, at=FIRST + 40 * DAY)
    joined = known.join(asked, on=["user_id", "label"])
    assert joined.height == 6
    np.testing.assert_allclose(joined["probability"], joined["probability_right"])
    assert known["user_id"].to_list() == ["u3", "u3", "u1", "u1", "u7", "u7"]
    best = fitted.predict(users)
    truth = dict(ordered[1].iter_rows())
    assert best["label"].to_list() == [truth[user] for user in users]


def test_the_answer_comes_in_the_kind_of_frame_that_was_given(ordered, fitted):
    pandas = pytest.importorskip("pandas")
    model = segue.SequenceClassifier(**SMALL).fit(*(frame.to_pandas() for frame in ordered))
    assert isinstance(model.predict(["u1"]), pandas.DataFrame)
    assert isinstance(fitted.predict(histories=ordered[0].to_pandas()), pandas.DataFrame)
    assert isinstance(fitted.predict(histories=ordered[0].to_arrow()).column_names, list)


def test_lists_can_be_asked_where_moments_are_not_read(ordered, fitted):
    model = segue.SequenceClassifier(moments=False, **SMALL).fit(*ordered)
    answer = model.predict(histories=[["a", "x1", "b"], [], ["b", "nowhere", "a"]])
    assert answer["user_id"].to_list() == [0, 1, 2]
    assert answer["label"].to_list()[::2] == ["yes", "no"]
    with pytest.raises(MomentsMissing, match="M038"):
        fitted.predict(histories=[["a", "b"]])


def test_someone_new_is_answered_with_a_note(fitted):
    with pytest.warns(ColdUsers):
        answer = fitted.predict(["u1", "nobody"])
    assert answer["user_id"].to_list() == ["u1", "nobody"]


def test_what_cannot_be_asked_is_refused(fitted):
    with pytest.raises(NothingAsked):
        fitted.predict()
    with pytest.raises(HistoryMalformed):
        fitted.predict(histories=3)
    with pytest.raises(HistoryMalformed):
        fitted.predict(histories=["abc"])
    with pytest.raises(HistoryMalformed):
        fitted.predict(histories=[[]])
    with pytest.raises(MomentUnreadable):
        fitted.predict(["u1"], at="soon")
    with pytest.raises(NotFitted):
        segue.SequenceClassifier().predict(["u1"])
    with pytest.raises(NotFitted):
        segue.SequenceClassifier().cross_validate()


# -- ready targets -------------------------------------------------------------------------------------------------


def test_a_purchase_to_come_is_told_from_what_was_before(shop):
    model = segue.SequenceClassifier(target="will_do:purchase", horizon=30, **SMALL).fit(shop)
    assert model.labels.to_list() == ["no purchase", "purchase"]
    assert model.cross_validate()["auc"] > 0.95
    yes = dict(zip(model._labelled.users.tolist(), model._labelled.classes.tolist(), strict=True))
    buyers = set(shop.filter(pl.col("action") == "purchase")["user_id"])
    names = model._data.user_vocabulary.decode(np.array(list(yes)))
    assert {name for name, code in zip(names, yes, strict=True) if yes[code]} == buyers
    assert "last" not in set(names)  # who comes after the cut-off alone is not learnt of


def test_features_of_a_ready_target_never_see_what_is_after_the_cut_off(shop):
    """Whatever happens after it, with the same labels everything that is learnt is the same."""
    cut = FIRST + 70 * DAY
    other = shop.with_columns(
        item_id=pl.when((pl.col("timestamp") >= cut) & (pl.col("user_id") != "last"))
        .then(pl.lit("pen"))
        .otherwise("item_id")
    )
    settings = {"target": "will_do:purchase", "horizon": 30, "regularisation": 1, **SMALL}
    one, two = (segue.SequenceClassifier(**settings).fit(each) for each in (shop, other))
    assert one.patterns_that_mattered().equals(two.patterns_that_mattered())
    at = int(one._labelled.known.events["timestamp"].max())
    assert at < one._labelled.at
    # When users are asked about, all of the log is known, or what was before the moment asked about.
    users = ["u0", "u1"]
    now, then = one.predict_proba(users), one.predict_proba(users, at=one._labelled.at / 1e6)
    assert not now.equals(then)
    assert then.equals(two.predict_proba(users, at=two._labelled.at / 1e6))


def test_who_leaves_has_no_event_in_the_horizon(shop):
    made = labelled(segue.Dataset.from_frames(shop), None, SequenceClassifierConfig(target="will_leave", horizon=30))
    names = made.known.user_vocabulary.decode(made.users)
    gone = {name for name, kind in zip(names, made.classes, strict=True) if kind == 1}
    after = shop.filter(pl.col("timestamp") > FIRST + 70 * DAY)["user_id"]
    assert gone == set(shop["user_id"]) - set(after)
    cut = SequenceClassifierConfig(target="will_leave", horizon=30, cutoff="2020-11-20", active=8)
    recent = labelled(segue.Dataset.from_frames(shop), None, cut)
    assert 0 < len(recent.users) < len(made.users)


@pytest.mark.parametrize(
    ("settings", "error", "code"),
    [
        ({"target": "will_leaf"}, TargetUnknown, "M036.*Did you mean 'will_leave'"),
        ({"target": "will_do:"}, TargetUnknown, "M036"),
        ({"target": "will_do:purchas"}, ActionUnknown, "R009.*Did you mean 'purchase'"),
        ({"target": "will_leave", "horizon": 200}, CutOffUnusable, "M037.*no event before"),
        ({"target": "will_leave", "cutoff": "2020-12-20"}, CutOffUnusable, r"M037.*goes on for 2\."),
        ({"target": "will_leave", "active": 0.0001}, CutOffUnusable, "M037.*nobody"),
        ({"target": "will_leave", "cutoff": "some day"}, MomentUnreadable, "R008"),
        ({"target": "will_leave", "cutoff": 12}, MomentUnreadable, "R008.*clock"),
        ({"target": "will_leave", "horizon": 99.5, "cutoff": FIRST + DAY // 3}, OneClass, "M031"),
        ({}, LabelsUnclear, "M030.*Neither"),
    ],
)
def test_a_target_that_cannot_be_had_is_refused(shop, settings, error, code):
    early = shop.filter((pl.col("timestamp") > FIRST + 2 * DAY) | (pl.col("user_id") == "u0"))
    early = pl.concat(
        [early, early.head(1).with_columns(user_id=pl.lit("u0"), timestamp=pl.lit(FIRST, dtype=pl.Int64))]
    )
    with pytest.raises(error, match=code):
        segue.SequenceClassifier(**settings).fit(early)


def test_an_order_has_no_horizon(ordered):
    order = ordered[0].with_columns(timestamp=pl.int_range(pl.len()))
    with pytest.raises(NoClock):
        segue.SequenceClassifier(target="will_leave").fit(order)
    model = segue.SequenceClassifier(**SMALL).fit(order, ordered[1])
    assert model.predict(histories=[["a", "x1", "b"]])["label"].to_list() == ["yes"]


# -- bad labels ----------------------------------------------------------------------------------------------------


def test_labels_that_cannot_be_used_are_refused(ordered):
    events, labels = ordered
    fit = segue.SequenceClassifier(**SMALL).fit
    with pytest.raises(LabelsUnclear, match=r"M030.*Both"):
        segue.SequenceClassifier(target="will_leave").fit(events, labels)
    with pytest.raises(OneClass, match=r"M031.*'yes'"):
        fit(events, labels.with_columns(label=pl.lit("yes")))
    with pytest.raises(LabelsOfNobody, match="M033"):
        fit(events, labels.with_columns(user_id="other " + pl.col("user_id")))
    with pytest.raises(LabelsOfNobody, match="M033"):
        fit(events, labels.head(0))
    both = pl.concat([labels, labels.head(1).with_columns(label=pl.lit("maybe"))])
    with pytest.raises(LabelsContradict, match=r"M034.*'u0'.*'maybe'"):
        fit(events, both)
    with pytest.raises(segue.errors.ColumnMissing):
        fit(events, labels.rename({"label": "what"}))


def test_unknown_users_and_users_without_a_label_are_left_out_with_a_note(ordered):
    events, labels = ordered
    some = pl.concat([labels.head(60), pl.DataFrame({"user_id": ["ghost", "u61"], "label": ["yes", None]})])
    with pytest.warns(LabelsSkipped, match=r"2 labels are empty or of users.*100 users have no label"):
        model = segue.SequenceClassifier(**SMALL).fit(events, some)
    assert len(model._labelled.users) == 60


def test_a_class_smaller_than_the_folds_is_refused(ordered):
    events, labels = ordered
    rare = labels.with_columns(label=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("rare")).otherwise("label"))
    with pytest.raises(ClassTooSmall, match=r"M032.*'rare' has 3 users.*5 folds"):
        segue.SequenceClassifier(**SMALL).cross_validate(events, rare)
    report = segue.SequenceClassifier(folds=3, **SMALL).cross_validate(events, rare)
    assert report["auc"] > 0.6  # of three classes: each against the rest
    assert report["f1"] > 0.5


def test_where_nothing_is_frequent_it_says_so_and_plain_features_still_work():
    log = pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(20)],
            "item_id": [f"i{n}" for n in range(20)],
            "timestamp": range(FIRST, FIRST + 20),
        }
    )
    labels = pl.DataFrame({"user_id": log["user_id"], "label": [n % 2 == 0 for n in range(20)]})
    with pytest.raises(NothingFrequent, match="M035"):
        segue.SequenceClassifier().fit(log, labels)
    model = segue.SequenceClassifier(patterns=0).fit(log, labels)  # histories of one event
    assert model.predict(["u1"])["label"].dtype == pl.Boolean
    with pytest.raises(ConfigValue, match="no feature"):
        segue.SequenceClassifier(patterns=0, plain=False)


# -- disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"classifier": "forest", "trees": 10}, {"of": "action+item"}])
def test_a_saved_classifier_says_exactly_what_it_said(ordered, tmp_path, settings):
    model = segue.SequenceClassifier(**SMALL, **settings).fit(*ordered)
    model.save(tmp_path / "model")
    again = segue.SequenceClassifier.load(tmp_path / "model")
    users = [f"u{number}" for number in range(40)]
    assert again.predict_proba(users).equals(model.predict_proba(users))
    assert again.predict(histories=ordered[0]).equals(model.predict(histories=ordered[0]))
    assert again.patterns_that_mattered().equals(model.patterns_that_mattered())
    assert again.config == model.config


def test_a_saved_classifier_can_be_judged_again(fitted, judged, tmp_path):
    fitted.save(tmp_path / "model")
    assert segue.SequenceClassifier.load(tmp_path / "model").cross_validate()["log_loss"] == judged["log_loss"]


def test_a_saved_ready_target_knows_its_cut_off(shop, data, tmp_path):
    model = segue.SequenceClassifier(target="will_do:purchase", **SMALL).fit(shop)
    model.save(tmp_path / "model")
    again = segue.SequenceClassifier.load(tmp_path / "model")
    assert len(again._labelled.known) == len(model._labelled.known) < len(shop)
    segue.Popular().fit(data).save(tmp_path / "other")
    with pytest.raises(ArtefactForeign, match="A004"):
        segue.SequenceClassifier.load(tmp_path / "other")
    from segue import artefacts

    reader = artefacts.read(tmp_path / "model")
    with artefacts.writing(tmp_path / "half", "SequenceClassifier", reader.manifest["config"]) as half:
        half.table("labels", reader.table("labels"))
    with pytest.raises(ArtefactCorrupt, match="A002"):
        segue.SequenceClassifier.load(tmp_path / "half")


def test_user_ids_keep_their_type_where_some_are_unknown(ordered):
    events, labels = (frame.with_columns(pl.col("user_id").rank("dense").cast(pl.Int64)) for frame in ordered)
    made = segue.SequenceClassifier(**SMALL).fit(events, labels)
    for users in ([1, 2, 99_999], np.array([1, 2, 99_999])):
        with pytest.warns(ColdUsers):
            assert made.predict(users)["user_id"].to_list() == [1, 2, 99_999]
        with pytest.warns(ColdUsers):
            assert made.predict_proba(users)["user_id"].unique(maintain_order=True).to_list() == [1, 2, 99_999]
    with pytest.warns(ColdUsers):
        assert made.predict([1, "zz"])["user_id"].to_list() == ["1", "zz"]
