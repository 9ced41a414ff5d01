"""Offline estimates against a truth that is known, because the shop is simulated."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

import segue
from segue.cli.main import app
from segue.data.histories import Histories
from segue.errors import EstimateImpossible
from segue.serving.answers.exploration import Draw, ExploreConfig, Explorer, explore, likelihood
from segue.serving.learning.estimates import EstimateConfig, Views, estimate
from segue.serving.learning.policies import views_of
from segue.serving.store import Event, ServedList, Store

ITEMS, PLACES = 8, 3
LISTS = 1_200  # in the store
CODES = np.arange(1, ITEMS + 1)
TASTE = np.linspace(0.02, 0.4, ITEMS)  # the served model has it upside down
LOOKED = np.array([1.0, 0.7, 0.5])
SERVES = ExploreConfig(method="plackett_luce", temperature=2.0)
OTHER = ExploreConfig(method="plackett_luce", temperature=1.0)


def draw_of(good: bool, config: ExploreConfig) -> Draw:
    scores = TASTE if good else -TASTE
    order = np.argsort(-scores)
    return Draw.of(CODES[order], scores[order], CODES, scores, config)


def simulate(lists: int, seed: int) -> Views:
    """A log of the served model, and how likely the other one would have made each list."""
    rng = np.random.default_rng(seed)
    order = np.argsort(TASTE)
    scores = -TASTE[order]
    target = draw_of(True, OTHER)
    rows = []
    eager = rng.uniform(0.5, 1.5, 200)  # people differ, so their lists are not independent
    for number in range(lists):
        user = int(rng.integers(200))
        codes, propensities = explore(CODES[order], scores, CODES, scores, PLACES, SERVES, f"{seed}-{number}")
        clicks = rng.random(PLACES) < TASTE[codes - 1] * LOOKED * eager[user]
        likely = likelihood(codes, target)
        rows += [(number, p, user, clicks[p], propensities[p], likely[p]) for p in range(PLACES)]
    table = np.array(rows, dtype=float)
    numbers = table[:, :3].astype(np.int64)
    return Views(numbers[:, 0], numbers[:, 1], numbers[:, 2], table[:, 3], table[:, 4], table[:, 5])


@pytest.fixture(scope="module")
def truth() -> float:
    """What the other policy earns, by letting it serve: its draws are the order of scores with Gumbel noise."""
    draw = draw_of(True, OTHER)
    noise = np.random.default_rng(99).gumbel(size=(100_000, ITEMS))
    lists = draw.items[np.argsort(-(draw.logits + noise), axis=1)[:, :PLACES]]
    return float((TASTE[lists - 1] * LOOKED).mean())


@pytest.fixture(scope="module")
def logs() -> list[Views]:
    return [simulate(400, seed) for seed in range(30)]


CASCADE = EstimateConfig(by="cascade", clip=50, min_effective=0)


def test_intervals_hold_the_truth_about_as_often_as_they_say(logs: list[Views], truth: float) -> None:
    held = dict.fromkeys(("ips", "snips", "doubly_robust"), 0)
    for views in logs:
        found = estimate(views, CASCADE)
        for name in held:
            figure = getattr(found, name)
            held[name] += figure.low <= truth <= figure.high
    assert min(held.values()) >= 24, held  # 95 % of 30, less what skewed weights cost


def test_snips_is_nearer_than_the_naive_mean_and_ips_has_no_bias(logs: list[Views], truth: float) -> None:
    found = [estimate(views, CASCADE) for views in logs]
    naive = np.array([each.served.rate for each in found])
    snips = np.array([each.snips.rate for each in found])
    ips = np.array([each.ips.rate for each in found])
    assert np.mean(np.abs(snips - truth) < np.abs(naive - truth)) > 0.9
    assert abs(ips.mean() - truth) < 3 * ips.std() / np.sqrt(len(ips)) + 0.002
    assert abs(naive.mean() - truth) > 10 * naive.std() / np.sqrt(len(naive))


def test_the_doubly_robust_estimate_varies_least_of_the_unbiased(logs: list[Views], truth: float) -> None:
    found = [estimate(views, CASCADE) for views in logs]
    spread = {name: np.std([getattr(each, name).rate for each in found]) for name in ("ips", "doubly_robust")}
    assert spread["doubly_robust"] < spread["ips"]


def test_wrong_propensities_miss_the_truth_and_are_found_out(logs: list[Views], truth: float) -> None:
    held = 0
    for views in logs[:20]:
        wrong = replace(views, propensities=np.full(len(views.clicks), 1 / ITEMS))
        found = estimate(wrong, CASCADE)
        held += found.ips.low <= truth <= found.ips.high
        assert any("mean weight" in note for note in found.notes)
    assert held < 10
    assert not any("mean weight" in note for note in estimate(logs[0], CASCADE).notes)


def test_by_position_the_items_above_are_those_served(logs: list[Views]) -> None:
    """Its truth: each place drawn by the other policy, below what the served one had put above."""
    rng = np.random.default_rng(5)
    served, other = draw_of(False, SERVES), draw_of(True, OTHER)
    rates = []
    for _ in range(2_000):
        above = np.ones(ITEMS, dtype=bool)
        for place in range(PLACES):
            chances = other.chances(~np.isin(other.items, served.items[~above]))
            rates.append(float((chances * TASTE[other.items - 1]).sum() * LOOKED[place]))
            above[rng.choice(ITEMS, p=served.chances(above))] = False
    found = [estimate(views).snips for views in logs]
    assert np.mean([each.rate for each in found]) == pytest.approx(np.mean(rates), abs=0.006)
    assert sum(each.low <= np.mean(rates) <= each.high for each in found) >= 24


def test_position_weights_are_tamer_than_those_of_whole_lists(logs: list[Views]) -> None:
    assert estimate(logs[0]).effective > 2 * estimate(logs[0], CASCADE).effective


def test_the_policy_that_served_is_estimated_as_it_was(logs: list[Views]) -> None:
    same = replace(logs[0], targets=logs[0].propensities)
    found = estimate(same, CASCADE)
    assert found.ips == found.served == found.snips
    assert found.effective == pytest.approx(found.views)


def test_little_overlap_is_told(logs: list[Views]) -> None:
    first = replace(logs[0], targets=(np.arange(len(logs[0].clicks)) < 30).astype(float))
    found = estimate(first)
    assert any("Poor overlap" in note for note in found.notes)
    assert found.effective < 31


def test_certain_lists_allow_no_estimate_of_another_model(logs: list[Views]) -> None:
    certain = replace(logs[0], propensities=np.ones(len(logs[0].clicks)))
    with pytest.raises(EstimateImpossible, match="all 400 were deterministic"):
        estimate(certain)


# -- withheld figures ---------------------------------------------------------------------------------------------


def bandit(number: int, users: int, seed: int) -> tuple[Views, float]:
    """Lists of one place of which a policy that shows one item nine times of ten is estimated, and what it earns."""
    rng = np.random.default_rng(seed)
    logged, target = np.full(10, 0.1), np.full(10, 0.1 / 9)
    target[0] = 0.9
    taste = np.linspace(0.15, 0.45, 10)
    user, item = rng.integers(users, size=number), rng.choice(10, number, p=logged)
    eager = rng.uniform(0.5, 1.5, users)
    clicks = (rng.random(number) < taste[item] * eager[user]).astype(float)
    zeros = np.zeros(number, dtype=np.int64)
    views = Views(np.arange(number), zeros, user, clicks, logged[item], target[item])
    return views, float((target * taste).sum())


def coverage(number: int, users: int, config: EstimateConfig, trials: int = 120) -> dict[str, list[bool]]:
    """Whether the intervals held the truth, in the trials that gave figures."""
    held: dict[str, list[bool]] = {"ips": [], "snips": [], "doubly_robust": []}
    for seed in range(trials):
        views, truth = bandit(number, users, seed)
        found = estimate(views, config)
        for name, each in held.items():
            figure = getattr(found, name)
            if figure.rate is not None:
                each.append(bool(figure.low <= truth <= figure.high))
    return held


def test_intervals_of_figures_that_are_given_hold_the_truth_in_95_of_100_logs() -> None:
    for each in coverage(900, 450, EstimateConfig()).values():
        assert len(each) > 100
        assert binomtest(sum(each), len(each), 0.95, "less").pvalue > 0.01


def test_intervals_that_are_withheld_would_hold_it_too_rarely() -> None:
    for name, each in coverage(60, 60, EstimateConfig(), 40).items():
        assert not each, name
    for each in coverage(60, 60, EstimateConfig(min_effective=0)).values():
        assert binomtest(sum(each), len(each), 0.95, "less").pvalue < 0.01


def matched(count: int) -> Views:
    """1,000 views of which the other policy would have shown ``count``, all of them clicked."""
    some = np.arange(1_000) < count
    zeros = np.zeros(1_000, dtype=np.int64)
    return Views(np.arange(1_000), zeros, np.arange(1_000) % 500, some.astype(float), np.full(1_000, 0.5), some * 0.5)


@pytest.mark.parametrize("count", [0, 1])
def test_without_overlap_no_figure_is_given_and_the_reason_names_n_eff(count: int) -> None:
    found = estimate(matched(count))
    assert found.effective == found.effective_people == count
    for name in ("ips", "clipped", "snips", "doubly_robust"):
        assert asdict(getattr(found, name)) == {"rate": None, "low": None, "high": None}
    assert found.served.rate == count / 1_000
    assert found.served.low is None
    assert found.withheld is not None
    assert f"n_eff = {count}.0 weighted views" in found.withheld
    assert "at least 50 are needed" in found.withheld
    assert "exploration" in found.withheld
    assert json.loads(json.dumps(found.document()))["snips"] == {"rate": None, "low": None, "high": None}


@pytest.mark.parametrize("clicks", [0.0, 1.0])
def test_a_rate_that_nothing_speaks_against_has_no_interval_of_width_zero(clicks: float) -> None:
    views = replace(matched(1_000), clicks=np.full(1_000, clicks))
    found = estimate(views)
    assert found.withheld is not None
    assert "n_eff = 0.0 weighted" in found.withheld
    assert found.snips.rate is None


def test_equal_weights_count_every_view() -> None:
    views = replace(matched(1_000), clicks=(np.arange(1_000) % 3 == 0).astype(float))
    found = estimate(views)
    assert (found.effective, found.effective_people) == (pytest.approx(1_000), pytest.approx(500))
    assert found.withheld is None
    assert found.snips.rate == found.served.rate == pytest.approx(0.334)
    assert found.snips.low < found.snips.high


def test_many_views_of_one_person_are_one_person() -> None:
    one = replace(matched(1_000), clicks=(np.arange(1_000) % 3 == 0).astype(float), users=np.zeros(1_000, dtype=int))
    found = estimate(one)
    assert found.effective == pytest.approx(1_000)
    assert found.effective_people == pytest.approx(1)
    assert found.snips.rate is None


def test_lists_that_were_almost_all_certain_say_nothing_of_another_policy() -> None:
    views = matched(1_000)
    certain = np.arange(1_000) >= 20
    mixed = replace(views, propensities=np.where(certain, 1.0, 0.5), targets=np.where(certain, 0.0, 0.5))
    found = estimate(mixed)
    assert found.effective_people == pytest.approx(20)
    assert found.snips.rate is None
    assert any("mean weight" in note for note in found.notes)


# -- from a store --------------------------------------------------------------------------------------------------


class Shop(segue.Popular):
    def score_codes(self, histories: Histories, exact: bool = True) -> np.ndarray:
        return np.tile(self._item_scores, (len(histories), 1))


def shop(favourite: int) -> segue.Popular:
    rows = [(f"u{n}", f"i{n % 6}", n) for n in range(60)] + [(f"v{n}", f"i{favourite}", 60 + n) for n in range(30)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return Shop().fit(segue.Dataset.from_frames(frame, None))


class Nobody:
    """A state that knows nobody."""

    def of(self, served: object, user_id: str, at: int | None = None) -> SimpleNamespace:
        return SimpleNamespace(histories=Histories(np.array([0, 0]), np.zeros(0, dtype=np.int64)))


def fill(store: Store, on: bool = True, impressions: bool = True) -> None:
    """Lists of a model whose favourite is i1; people like i4."""
    model = shop(1)
    explorer = Explorer(ExploreConfig(on=on, method="epsilon", share=0.5, few=100))
    scores = model.score_codes(Histories(np.array([0, 0]), np.zeros(0, dtype=np.int64)))[0]
    scores[0] = -np.inf
    served = SimpleNamespace(recommender=model)
    rng = np.random.default_rng(0)
    lists, events = [], []
    for number in range(LISTS):
        name, user = f"r{number}", f"u{number % 50}"
        draw = explorer.draw(served, scores, 2)
        if on:
            top = draw.items[draw.listed]
            pool = explorer.pool(served, scores)
            codes, chances = explore(top, scores[top], pool, scores[pool], 2, explorer.config, name)
        else:
            codes, chances = draw.items[draw.listed], np.ones(2)
        items = model.item_vocabulary.decode(codes).to_list()
        lists.append(ServedList(name, user, "shop", False, 1_000, 0, None, items, [1.0, 0.5], chances.tolist()))
        for place, item in enumerate(items):
            if impressions:
                events.append(Event(f"{name}-{place}", user, item, 1_000, "impression", None, name))
            if rng.random() < (0.6 if item == "i4" else 0.1):
                events.append(Event(f"{name}-{place}-c", user, item, 1_001, "click", None, name))
    lists.append(replace(lists[0], shadow=True, items=["i5", "i4"]))
    lists.append(replace(lists[0], recommendation_id="own", user_id=None))
    lists.append(replace(lists[0], recommendation_id="plain", propensities=None))
    store.log_served(lists)
    store.append(events)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'shop.db'}"


def test_lists_and_clicks_of_a_store_tell_that_another_model_is_better(url: str) -> None:
    store = Store.open(url)
    fill(store)
    views, notes = views_of(store, Nobody(), shop(4))
    found = estimate(views, notes=notes)
    assert found.lists == LISTS
    assert {note.partition(" lists ")[2] for note in notes} == {
        "without propensities, so deterministic, were left out.",
        "asked with a history of their own were left out.",
    }
    assert found.served.high < found.snips.low
    top = views.clicks[(views.positions == 0) & (views.targets == 1)].mean()
    assert top == pytest.approx(0.6, abs=0.15)
    store.close()


@pytest.mark.parametrize("impressions", [True, False])
def test_without_impressions_a_list_counts_as_seen(impressions: bool, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'shop.db'}")
    fill(store, impressions=impressions)
    views, _ = views_of(store, Nobody(), shop(4))
    assert len(views.clicks) == 2 * LISTS
    store.close()


def test_a_store_of_certain_lists_is_refused_by_name(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'shop.db'}")
    fill(store, on=False)
    views, notes = views_of(store, Nobody(), shop(4))
    with pytest.raises(EstimateImpossible, match="deterministic"):
        estimate(views, notes=notes)
    store.close()


def test_the_verb_prints_figures_and_json(
    url: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segue.Popular, "score_codes", Shop.score_codes, raising=False)
    where = tmp_path_factory.mktemp("models") / "other"
    data = shop(4)
    plain = segue.Popular()
    plain.__dict__.update({**data.__dict__, "config": plain.config})
    plain.save(where)
    run = CliRunner().invoke(app, ["estimate", "--store", url, "--model", str(where)])
    assert run.exit_code == 0, run.output
    assert "SNIPS" in run.output
    assert f"{LISTS:,} lists" in run.output
    more = ["--json", "--set", "by=cascade", "--impression", "impression"]
    run = CliRunner().invoke(app, ["estimate", "--model", str(where), *more], env={"SEGUE_STORE": url})
    assert json.loads(run.output)["lists"] == LISTS
