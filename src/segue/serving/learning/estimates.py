"""What another model or policy would have earned, from lists that were drawn by chance: off-policy estimates.

A click at a position counts by how much likelier the other policy would have put that item there than the one that
served: weight = its probability / the propensity in the log, both given the items above. Two readings:

``position``: each place is weighted alone. What is estimated is the click rate of the other policy at a place whose
items above are as they were served: little variance, and right where clicks hardly depend on what stands above.
``cascade``: weights multiply from the top down (McInerney et al., KDD 2020), the other policy serves the whole list:
exact where a click depends on its item and those above, and far more uncertain at low places.

Estimators: IPS (Horvitz and Thompson, 1952), the same with clipped weights, SNIPS (Swaminathan and Joachims, 2015) and
a doubly robust one (Dudík et al., 2011) whose click model knows positions alone. Intervals come from the bootstrap over
people. Who served and how is in the store; what the other policy does is ``policies``'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.errors import EstimateImpossible

_RESAMPLES = 1_000
_CERTAIN = 1 - 1e-9
_FEW = 100.0  # effective views below which an estimate is not to be relied on
_LEAST_PEOPLE = 20.0  # effective people
_LEAST_CLICKS = 5.0  # effective people with a click, and with a view that was passed


class EstimateConfig(Config):
    """Settings of an estimate."""

    by: Literal["position", "cascade"] = "position"
    """How weights are made; see the module."""
    clip: float = Field(10.0, gt=0)
    """The largest weight of the clipped estimate."""
    min_effective: float = Field(50.0, ge=0)
    """Effective views below which figures are withheld: intervals from fewer hold the truth too rarely. 0 gives all."""
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True)
class Views:
    """Places of lists that people saw, one row each.

    Attributes:
        lists: (n,) int64, which list, in groups; positions run upwards in each.
        positions: (n,) int64 from 0.
        users: (n,) int64, who saw it.
        clicks: (n,) float64, 1 where it was taken.
        propensities: (n,) float64, how likely it was to stand there; 1 where no chance had a say.
        targets: (n,) float64, how likely the other policy would have put it there.
    """

    lists: np.ndarray
    positions: np.ndarray
    users: np.ndarray
    clicks: np.ndarray
    propensities: np.ndarray
    targets: np.ndarray

    def weights(self, by: str) -> np.ndarray:
        """(n,) importance weights."""
        ratios: np.ndarray = self.targets / self.propensities
        if by == "position" or not len(ratios):
            return ratios
        # The running product of each list: places of one list are together, and few.
        found: np.ndarray = ratios.copy()
        for position in range(1, int(self.positions.max()) + 1):
            at = np.flatnonzero(self.positions == position)
            found[at] *= found[at - 1]
        return found


@dataclass(frozen=True)
class Figure:
    """A click rate and its 95 % interval; all None where they are withheld."""

    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Estimate:
    """Click rates per place that was seen.

    Attributes:
        served: of the lists as they were, the naive mean.
        ips, clipped, snips, doubly_robust: of the other policy.
        views, lists, people: what they come from.
        effective: as many views without weights would say as much, (sum of w)^2 / sum of w^2 (Kish, 1965).
        effective_people: the same of the sums of each person's weights, for it is people who are independent.
        effective_clicks, effective_passes: the same of each person's weighted clicks, and views without one.
        min_effective: below which ``effective``, or the sum of the weights, has figures withheld.
        withheld: why ``ips``, ``clipped``, ``snips`` and ``doubly_robust`` are withheld, and what to do; None where
            they are given. ``served`` then keeps its rate, for that is a count.
        mean_weight: 1 but for chance where propensities are right and whatever the other policy shows could be served.
        largest_weight: of one view.
        notes: in words, why not to rely on it.
    """

    served: Figure
    ips: Figure
    clipped: Figure
    snips: Figure
    doubly_robust: Figure
    views: int
    lists: int
    people: int
    effective: float
    effective_people: float
    effective_clicks: float
    effective_passes: float
    min_effective: float
    withheld: str | None
    mean_weight: float
    largest_weight: float
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def estimate(views: Views, config: EstimateConfig | None = None, notes: Sequence[str] = ()) -> Estimate:
    """Estimate another policy's click rate.

    Raises:
        EstimateImpossible: there are no views, or all were certain.
    """
    config = config or EstimateConfig()
    if not len(views.clicks):
        raise EstimateImpossible(
            reason="; ".join(note.rstrip(".") for note in notes) or "none holds an item that was seen"
        )
    if (views.propensities >= _CERTAIN).all():
        raise EstimateImpossible(
            reason=f"all {len(np.unique(views.lists)):,} were deterministic (every propensity is 1), so their clicks "
            "say nothing about items that another model would have shown"
        )
    weights = views.weights(config.by)
    people, owner = np.unique(views.users, return_inverse=True)
    places = int(views.positions.max()) + 1
    cell = owner * places + views.positions

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values, minlength=len(people) * places).reshape(len(people), places)

    known = np.bincount(views.positions, views.clicks, places) / np.maximum(
        np.bincount(views.positions, None, places), 1
    )
    guess = known[views.positions]
    table = np.stack(
        [
            sums(np.ones(len(weights))),
            sums(views.clicks),
            sums(weights),
            sums(weights * views.clicks),
            sums(np.minimum(weights, config.clip) * views.clicks),
            sums(guess + weights * (views.clicks - guess)),
        ],
        axis=1,
    )
    rates = _rates(table.sum(0)[None])[0]
    effective = _kish(weights)
    per_person = table.sum(2)
    people_sizes = _kish(per_person[:, 2]), _kish(per_person[:, 3]), _kish(per_person[:, 2] - per_person[:, 3])
    # Equal weights that are all small count as many by Kish, and yet hold little of what the other policy shows.
    withheld = _withheld(min(effective, float(weights.sum())), *people_sizes, config.min_effective)
    low, high = (
        np.nanquantile(_resampled(table, config.seed), [0.025, 0.975], axis=0) if withheld is None else (rates,) * 2
    )
    figures = [Figure(*map(float, each)) for each in zip(rates, low, high, strict=True)]
    if withheld is not None:
        figures = [_served(table, figures[0], config), *[Figure(None, None, None)] * 4]
    doubts = [*notes, *([] if withheld is None else [withheld]), *_doubts(weights, table, effective, config)]
    counts = len(weights), len(np.unique(views.lists)), len(people)
    mean, largest = float(weights.mean()), float(weights.max())
    sizes = effective, *people_sizes, config.min_effective
    served, ips, clipped, snips, robust = figures
    return Estimate(served, ips, clipped, snips, robust, *counts, *sizes, withheld, mean, largest, tuple(doubts))


def _kish(weights: np.ndarray) -> float:
    """(sum of w)^2 / sum of w^2; 0 where all are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _withheld(views: float, people: float, clicks: float, passes: float, least: float) -> str | None:
    """Why figures are withheld, and what to do; None where there is enough."""
    clicked, passed = "weighted clicks (people)", "weighted views without a click (people)"
    sizes = {"weighted views": (views, least), "people behind the weighted views": (people, min(least, _LEAST_PEOPLE))}
    sizes |= {clicked: (clicks, min(least, _LEAST_CLICKS)), passed: (passes, min(least, _LEAST_CLICKS))}
    for what, (size, needed) in sizes.items():
        if size < needed:
            return (
                f"No figures: n_eff = {size:.1f} {what}, and at least {needed:g} are needed. Serve with more "
                "exploration (plackett_luce with a higher temperature), wait for more lists and events, or estimate a "
                "policy that is nearer to the one that served."
            )
    return None


def _served(table: np.ndarray, served: Figure, config: EstimateConfig) -> Figure:
    """The rate of the lists as they were, with its interval where enough people clicked, and passed."""
    sums = table.sum(2)
    views, clicks = sums[:, 0], sums[:, 1]
    if (
        _withheld(float(views.sum()), _kish(views), _kish(clicks), _kish(views - clicks), config.min_effective)
        is not None
    ):
        return Figure(served.rate, None, None)
    low, high = np.quantile(_resampled(table, config.seed)[:, 0], [0.025, 0.975])
    return Figure(served.rate, float(low), float(high))


def _rates(sums: np.ndarray) -> np.ndarray:
    """(samples, 5) rates from (samples, 6, places) sums."""
    views, clicks, weights, weighted, clipped, robust = np.moveaxis(sums, 1, 0)
    everything = np.maximum(views.sum(1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(weights > 0, weighted / weights, np.nan)  # normalised place by place
    share = np.where(np.isnan(own), 0, views)
    with np.errstate(invalid="ignore", divide="ignore"):
        snips = np.nansum(own * share, 1) / share.sum(1)
    plain = [each.sum(1) / everything for each in (clicks, weighted, clipped)]
    return np.stack([*plain, snips, robust.sum(1) / everything], 1)


def _resampled(table: np.ndarray, seed: int) -> np.ndarray:
    """(resamples, 5) rates where each person counts as often as chance has it, once on average (Poisson bootstrap)."""
    rng = np.random.default_rng(seed)
    flat = table.reshape(len(table), -1)
    size = max(1, 4_000_000 // len(table))
    parts = []
    for done in range(0, _RESAMPLES, size):
        times = rng.poisson(1.0, (min(size, _RESAMPLES - done), len(table))).astype(np.float64)
        parts.append(_rates((times @ flat).reshape(len(times), *table.shape[1:])))
    return np.concatenate(parts)


def _doubts(weights: np.ndarray, table: np.ndarray, effective: float, config: EstimateConfig) -> list[str]:
    """Why not to rely on it, in words."""
    doubts = []
    if effective < _FEW:
        doubts.append(
            f"Poor overlap: the {len(weights):,} views count as {effective:.0f}; the other policy would rarely have "
            "shown what was shown. Explore more, or estimate a policy that is nearer."
        )
    if len(table) < 30:
        doubts.append(f"Only {len(table)} people: the intervals are too narrow.")
    if (cut := float((weights > config.clip).mean())) > 0.01:
        doubts.append(f"{cut:.1%} of the weights are clipped: the clipped estimate leans towards the lists as served.")
    per_person = table[:, 2].sum(1) - table[:, 0].sum(1)
    error = float(np.sqrt((per_person**2).sum())) / len(weights)
    if abs(weights.mean() - 1) > 3 * error + 1e-9:
        doubts.append(
            f"The mean weight is {weights.mean():.3f}, not 1: the propensities are wrong, or the other policy shows "
            "what could not have been served. IPS is biased by as much."
        )
    return doubts
