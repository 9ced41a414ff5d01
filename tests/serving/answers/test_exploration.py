"""Exploration: exact propensities, draws that can be repeated, and frequencies that agree with both."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

import segue
from segue.errors import ConfigUnknown
from segue.serving.answers.exploration import Draw, ExploreConfig, Explorer, candidates, explore, likelihood
from segue.serving.settings import ServiceConfig

LIST, SCORES = np.array([5, 3, 8, 1]), np.array([4.0, 3.0, 2.5, 1.0])
POOL, POOL_SCORES = np.array([7, 9, 8]), np.array([0.5, 0.2, 2.5])
METHODS = pytest.mark.parametrize("method", ["epsilon", "plackett_luce"])


def draw(method: str, seed: str, k: int = 3, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    config = ExploreConfig(method=method, share=share, temperature=0.7)
    return explore(LIST, SCORES, POOL, POOL_SCORES, k, config, seed)


def tree(method: str, k: int = 2) -> dict[tuple[int, ...], float]:
    """The probability of each beginning of a list, by its logged propensities, from many draws."""
    found: dict[tuple[int, ...], float] = {}
    for number in range(4_000):
        codes, propensities = draw(method, f"r{number}", k)
        for length in range(1, k + 1):
            found[tuple(codes[:length].tolist())] = float(propensities[:length].prod())
    return found


@METHODS
def test_the_propensities_of_all_that_could_stand_at_a_position_sum_to_one(method: str) -> None:
    chances = tree(method)
    assert sum(p for beginning, p in chances.items() if len(beginning) == 1) == pytest.approx(1)
    for first in {beginning[0] for beginning in chances if chances[beginning[:1]] > 0.1}:
        below = sum(p for beginning, p in chances.items() if len(beginning) == 2 and beginning[0] == first)
        assert below == pytest.approx(chances[(first,)])


def misfit(method: str, told: str, rounds: int = 6_000) -> float:
    """The p value of the chi-squared test of the frequencies of whole lists of two against their propensities."""
    chances = {beginning: p for beginning, p in tree(told).items() if len(beginning) == 2}
    counts = dict.fromkeys(chances, 0)
    other = 0
    for number in range(rounds):
        drawn = tuple(draw(method, f"again-{number}", 2)[0].tolist())
        if drawn in counts:
            counts[drawn] += 1
        else:
            other += 1
    rare = [beginning for beginning, p in chances.items() if p * rounds < 5]
    seen = [count for beginning, count in counts.items() if beginning not in rare]
    expected = [p * rounds for beginning, p in chances.items() if beginning not in rare]
    seen.append(other + sum(counts[beginning] for beginning in rare))
    expected.append(rounds - sum(expected))
    kept = [(a, b) for a, b in zip(seen, expected, strict=True) if b > 1]
    scale = sum(a for a, _ in kept) / sum(b for _, b in kept)
    return float(chisquare([a for a, _ in kept], [b * scale for _, b in kept]).pvalue)


@METHODS
def test_lists_come_as_often_as_their_propensities_say(method: str) -> None:
    assert misfit(method, method) > 0.01


def test_propensities_of_another_policy_do_not_fit_the_frequencies() -> None:
    assert misfit("epsilon", "plackett_luce") < 1e-6


@METHODS
def test_a_list_can_be_drawn_again_from_its_id(method: str) -> None:
    first, again = draw(method, "abc"), draw(method, "abc")
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert len({tuple(draw(method, f"r{number}")[0].tolist()) for number in range(50)}) > 1


def test_a_known_list_stays_what_it_was_drawn_as() -> None:
    codes, propensities = draw("epsilon", "r7")
    assert codes.tolist() == GOLDEN[0]
    assert propensities.tolist() == pytest.approx(GOLDEN[1], abs=1e-12)


GOLDEN: tuple[list[int], list[float]] = ([7, 5, 3], [0.1, 0.7, 0.7])


def test_without_a_share_the_list_is_the_models_and_certain() -> None:
    codes, propensities = draw("epsilon", "r1", k=4, share=0)
    assert codes.tolist() == LIST.tolist()
    assert propensities.tolist() == [1, 1, 1, 1]


def test_epsilon_gives_candidates_their_share_of_positions() -> None:
    fresh = [np.isin(draw("epsilon", f"r{number}", k=1)[0], [7, 9]).mean() for number in range(4_000)]
    assert np.mean(fresh) == pytest.approx(0.3 * 2 / 3, abs=0.025)  # a third of the share draws 8, which is listed too


def test_a_low_temperature_gives_the_models_list() -> None:
    config = ExploreConfig(method="plackett_luce", temperature=1e-3)
    codes, propensities = explore(LIST, SCORES, POOL, POOL_SCORES, 4, config, "x")
    assert codes.tolist() == [5, 3, 8, 1]
    assert propensities == pytest.approx(1)


@given(
    st.lists(st.integers(0, 30), max_size=12, unique=True),
    st.lists(st.integers(0, 30), max_size=12, unique=True),
    st.integers(1, 15),
    st.sampled_from(["epsilon", "plackett_luce"]),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.text(max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_any_list_holds_no_repeats_and_only_what_was_offered(
    listed: list[int], pool: list[int], k: int, method: str, share: float, seed: str
) -> None:
    listed = [code for code in listed if code] + [0] * (0 in listed)
    config = ExploreConfig(method=method, share=share)
    scores = np.linspace(1, 0, len(listed))
    pool_scores = np.where(np.array(pool) % 7 == 0, -np.inf, np.array(pool, dtype=float)) if pool else np.zeros(0)
    codes, propensities = explore(np.array(listed), scores, np.array(pool), pool_scores, k, config, seed)
    assert len(set(codes.tolist())) == len(codes) <= k
    assert set(codes.tolist()) <= ({*listed, *pool} - {0})
    assert ((propensities > 0) & (propensities <= 1 + 1e-12)).all()
    assert len(codes) >= min(k, len([code for code in listed if code]))


def test_candidates_are_those_with_few_events() -> None:
    assert candidates(np.array([0, 3, 4, 100]), ExploreConfig(few=3)).tolist() == [True, True, False, False]


def test_an_item_that_came_since_is_a_candidate(popular: segue.Popular) -> None:
    grown = copy.copy(popular)
    grown.add_items(pl.DataFrame({"item_id": ["new"]}))
    assert candidates(grown.item_counts, ExploreConfig(few=0)).tolist()[-1]


def test_a_setting_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ConfigUnknown, match="days"):
        ServiceConfig.read(None, ["explore.days=7"])


@METHODS
def test_the_likelihood_of_a_list_that_was_drawn_is_its_propensity(method: str) -> None:
    config = ExploreConfig(method=method, share=0.3, temperature=0.7)
    for number in range(50):
        codes, propensities = draw(method, f"r{number}")
        assert likelihood(codes, Draw.of(LIST, SCORES, POOL, POOL_SCORES, config)) == pytest.approx(propensities)


def test_what_could_not_be_drawn_has_no_likelihood() -> None:
    certain = Draw.of(LIST, SCORES, POOL, POOL_SCORES, ExploreConfig(share=0))
    assert likelihood(np.array([5, 8, 99, 3]), certain).tolist() == [1, 0, 0, 1]


@dataclass(frozen=True)
class Ranked:
    codes: np.ndarray
    scores: np.ndarray
    propensities: np.ndarray | None = None
    by_chance: np.ndarray | None = None


@METHODS
def test_an_explorer_lists_only_what_may_be_listed_and_tells_its_propensities(method: str) -> None:
    counts = np.array([0, 90, 90, 90, 90, 90, 2, 1, 0])
    served = SimpleNamespace(recommender=SimpleNamespace(item_counts=counts))
    scores = np.array([-np.inf, 5, 4, 3, 2, 1, 0.5, -np.inf, 0.2])
    ranked = Ranked(np.array([1, 2, 3]), scores[[1, 2, 3]])
    explorer = Explorer(ExploreConfig(on=True, method=method, share=0.5, temperature=1.0))
    lists = [explorer.explore(served, scores, ranked, f"r{number}") for number in range(200)]
    shown = {int(code) for each in lists for code in each.codes}
    assert 7 not in shown
    assert {6, 8} <= shown
    for each in lists:
        assert len(each.codes) == 3
        assert (each.scores == scores[each.codes]).all()
        assert likelihood(each.codes, explorer.draw(served, scores, 3)) == pytest.approx(each.propensities)
    assert Explorer(ExploreConfig(method=method)).explore(served, scores, ranked, "r") is ranked


# -- the whole catalogue -----------------------------------------------------------------------------------------


def catalogue(size: int, new: int) -> tuple[SimpleNamespace, np.ndarray, Ranked]:
    """``size`` items of which the model likes the last least; the last ``new`` have no event."""
    counts = np.full(size + 1, 90)
    counts[-new:] = 0
    scores = np.linspace(1, 0, size + 1, dtype=np.float32)
    scores[0] = -np.inf
    codes = np.arange(1, 11)
    return SimpleNamespace(recommender=SimpleNamespace(item_counts=counts)), scores, Ranked(codes, scores[codes])


def first_places(draws: int, new: int, best: int | None = None) -> np.ndarray:
    """What stands in the first place of lists from a catalogue of 10,000, of which ``new`` are new."""
    served, scores, ranked = catalogue(10_000, new)
    explorer = Explorer(ExploreConfig(on=True, share=0.5))
    pool = explorer.pool(served, scores)[:best]
    given = (ranked.codes, ranked.scores, pool, scores[pool])
    return np.array([explore(*given, 1, explorer.config, f"r{number}")[0][0] for number in range(draws)])


def rarely_so(count: int, draws: int, probability: float) -> bool:
    """Whether a count is one that the probability gives in fewer than one of a thousand trials."""
    return float(binomtest(count, draws, probability).pvalue) < 1e-3


def test_every_new_item_of_a_large_catalogue_is_reached_as_often_as_stated() -> None:
    drawn = first_places(20_000, new=400)
    assert not rarely_so(int((drawn > 9_600).sum()), 20_000, 0.5)
    counts = np.bincount(drawn, minlength=10_001)[-400:]
    assert counts.min() > 0
    assert not rarely_so(int(counts[-1]), 20_000, 0.5 / 400)
    assert float(chisquare(counts).pvalue) > 1e-3


def test_a_pool_of_the_models_best_hundred_would_be_noticed() -> None:
    counts = np.bincount(first_places(20_000, new=400, best=100), minlength=10_001)[-400:]
    assert counts.min() == 0
    assert rarely_so(int(counts[-1]), 20_000, 0.5 / 400)


def test_filters_and_seen_items_hold_for_what_is_drawn_by_chance() -> None:
    served, scores, ranked = catalogue(10_000, 400)
    scores[9_700:] = -np.inf
    explorer = Explorer(ExploreConfig(on=True, share=1.0))
    lists = [explorer.explore(served, scores, ranked, f"r{number}") for number in range(300)]
    shown = np.unique(np.concatenate([each.codes for each in lists]))
    assert shown.min() > 9_600
    assert shown.max() < 9_700
    assert all(each.propensities[0] == pytest.approx(1 / 99) for each in lists)
    assert all(each.propensities[9] == pytest.approx(1 / 90) for each in lists)


def enumerated(items: Draw, k: int) -> dict[tuple[int, ...], float]:
    """The probability of every list of ``k``, by walking through all of them."""
    found = {(): 1.0}
    for _ in range(k):
        longer: dict[tuple[int, ...], float] = {}
        for places, chance in found.items():
            left = ~np.isin(np.arange(len(items.items)), places)
            for place, step in enumerate(items.chances(left)):
                if step > 0:
                    longer[(*places, place)] = chance * step
        found = longer
    return {tuple(items.items[list(places)].tolist()): chance for places, chance in found.items()}


@METHODS
def test_logged_propensities_are_those_of_all_lists_enumerated(method: str) -> None:
    config = ExploreConfig(method=method, share=0.3, temperature=0.7)
    every = enumerated(Draw.of(LIST, SCORES, POOL, POOL_SCORES, config), 3)
    assert sum(every.values()) == pytest.approx(1)
    for number in range(300):
        codes, propensities = draw(method, f"r{number}")
        assert every[tuple(codes.tolist())] == pytest.approx(propensities.prod())


def test_lists_are_drawn_as_often_as_the_enumeration_says() -> None:
    for method in ("epsilon", "plackett_luce"):
        config = ExploreConfig(method=method, share=0.3, temperature=0.7)
        every = enumerated(Draw.of(LIST, SCORES, POOL, POOL_SCORES, config), 2)
        counts = dict.fromkeys(every, 0)
        for number in range(6_000):
            counts[tuple(draw(method, f"again-{number}", 2)[0].tolist())] += 1
        often = [key for key, chance in every.items() if chance * 6_000 >= 5]
        rest = sum(every.values()) - sum(every[key] for key in often)
        seen = [counts[key] for key in often] + [6_000 - sum(counts[key] for key in often)]
        expected = [every[key] * 6_000 for key in often] + [rest * 6_000]
        kept = [(a, b) for a, b in zip(seen, expected, strict=True) if b > 1e-6]
        assert float(chisquare([a for a, _ in kept], [b for _, b in kept]).pvalue) > 0.01


def test_the_plackett_luce_probabilities_are_the_softmax_of_what_is_left() -> None:
    config = ExploreConfig(method="plackett_luce", temperature=0.7)
    every = Draw.of(LIST, SCORES, POOL, POOL_SCORES, config)
    scores = np.concatenate([SCORES, [0.5, 0.2]])
    powers = np.exp(scores / (scores.std() * 0.7))
    codes, propensities = draw("plackett_luce", "r1")
    places = [every.items.tolist().index(code) for code in codes]
    for position, place in enumerate(places):
        assert propensities[position] == pytest.approx(powers[place] / np.delete(powers, places[:position]).sum())


def test_what_the_model_would_have_listed_itself_is_not_by_chance() -> None:
    config = ExploreConfig(share=0.3)
    told = Draw.of(LIST, SCORES, POOL, POOL_SCORES, config)
    assert told.by_chance([0, 1, 2]).tolist() == [False, False, False]
    assert told.by_chance([4, 0, 2, 1]).tolist() == [True, False, True, False]
    luce = Draw.of(LIST, SCORES, POOL, POOL_SCORES, ExploreConfig(method="plackett_luce"))
    assert luce.by_chance([0, 1]).all()
