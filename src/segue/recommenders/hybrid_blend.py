"""The learnt blends of ``Hybrid``: from what members say of candidates to one score for each.

Nothing here can run what it reads: a linear blend is a list of numbers, and boosted trees are LightGBM's own text.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from segue.errors import ExtraMissing
from segue.ranking.blend import Blend, fit_lists
from segue.ranking.candidates import PER_MEMBER, Candidates

LEARNT = ("logistic", "lambdamart")
_LIST = 64  # items that a linear blend learns from for each user, the one that came true among them
_ENOUGH = 10  # users whose candidates came true, below which nothing is learnt
_HELD = 5  # every fifth user decides how many trees there are
_TREES = 400
_PATIENCE = 30
_LIGHTGBM: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.8,
    "lambdarank_truncation_level": 20,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def require_lightgbm() -> Any:
    """The package; raises ``ExtraMissing``."""
    try:
        import lightgbm
    except ImportError:
        raise ExtraMissing(what="The blend lambdamart", package="lightgbm", extra="boosting") from None
    return lightgbm


class LearntBlend:
    """What each signal is worth, learnt from lists in which one item came true.

    Args:
        kind: ``"logistic"`` or ``"lambdamart"``.
        seed: draws the candidates that lists are made of.
        members: names of the members, in order.
    """

    def __init__(self, kind: str, seed: int, members: list[str]) -> None:
        self.kind, self.seed, self.members = kind, seed, members
        self._rng = np.random.default_rng(seed)
        self._drawn: list[np.ndarray] = []
        self._whole: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._linear: Blend | None = None
        self._trees: Any = None
        self.lists = 0

    @property
    def names(self) -> list[str]:
        """Of the signals."""
        own = [f"{number}: {name}" for number, name in enumerate(self.members)]
        names = [f"{member}: {signal}" for member in own for signal in PER_MEMBER]
        names += ["popularity", *(f"{member}: score x history length" for member in own)]
        # What is the same for a whole list says nothing to a linear blend.
        return names if self.kind == "logistic" else [*names, "history length"]

    def signals(self, found: Candidates, counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(candidates, signals) float32."""
        popularity = np.log1p(counts[found.items]).astype(np.float32)[:, None]
        length = np.log1p(lengths[found.rows]).astype(np.float32)[:, None]
        flat = found.signals.reshape(len(found.rows), int(np.prod(found.signals.shape[1:])))  # also of no candidate
        columns = [flat, popularity, found.signals[:, :, 0] * length]
        return np.concatenate(columns if self.kind == "logistic" else [*columns, length], axis=1)

    def observe(self, found: Candidates, wanted: np.ndarray, counts: np.ndarray, lengths: np.ndarray) -> None:
        """Take the lists of a block of users in; those without the item that came true teach nothing."""
        true = found.items == wanted[found.rows]
        told = np.bincount(found.rows[true], minlength=len(wanted)) > 0
        kept = told[found.rows]
        rows, true = found.rows[kept], true[kept]
        signals = self.signals(found, counts, lengths)[kept]
        sizes = np.bincount(rows, minlength=len(wanted))[told]
        # The true one first, then others by chance: the loss of so many is that of all, but for a constant.
        drawn = (self._rng.random((len(sizes), _LIST - 1)) * sizes[:, None]).astype(np.int64)
        index = np.concatenate([np.flatnonzero(true)[:, None], (np.cumsum(sizes) - sizes)[:, None] + drawn], axis=1)
        self._drawn.append(signals[index])
        if self.kind == "lambdamart":
            self._whole.append((signals, true, sizes))
        self.lists += len(sizes)

    def fit(self) -> bool:
        """Learn from what was observed, and forget it; False where that is too little to learn from."""
        enough = self.lists >= _ENOUGH
        if enough:
            lists = np.concatenate(self._drawn)
            free = np.array([name == "popularity" or "length" in name for name in self.names])
            self._linear = fit_lists(lists, np.zeros(len(lists), dtype=np.int64), free)
        if self._linear is not None and self.kind == "lambdamart":
            self._trees = self._boosted(self._linear)
        self._drawn, self._whole = [], []
        return enough

    def _boosted(self, linear: Blend) -> Any:
        """Trees that correct a linear blend; the users held back tell how many."""
        lightgbm = require_lightgbm()
        signals, answers, sizes = (np.concatenate(parts) for parts in zip(*self._whole, strict=True))
        start = linear(signals)
        held = np.arange(len(sizes)) % _HELD == 0
        rows = np.repeat(held, sizes)
        options = {"feature_name": [name.replace(":", "").replace(" ", "_") for name in self.names]}
        train = lightgbm.Dataset(signals[~rows], answers[~rows], group=sizes[~held], init_score=start[~rows], **options)
        check = train.create_valid(signals[rows], answers[rows], group=sizes[held], init_score=start[rows])
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        booster = lightgbm.train({**_LIGHTGBM, "seed": self.seed}, train, _TREES, valid_sets=[check], callbacks=[stop])
        return _restored(booster.model_to_string(num_iteration=booster.best_iteration), len(self.names))

    def __call__(self, found: Candidates, counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(candidates,) float32 scores."""
        signals = self.signals(found, counts, lengths)
        assert self._linear is not None
        scores = self._linear(signals)
        if self._trees is not None and len(signals):
            scores = scores + self._trees.predict(signals, num_threads=1)
        return np.asarray(scores, dtype=np.float32)

    def parts(self, found: Candidates, counts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(candidates, members + 1) what the signals of each member, and popularity, add to a score; and the rest.

        Trees are split by their Shapley values (Lundberg et al., 2018), as LightGBM computes them; the rest,
        (candidates,), is what they say of every item alike, and what the length of the history adds.
        """
        signals = self.signals(found, counts, lengths)
        assert self._linear is not None
        each = signals.astype(np.float64) * self._linear.weights
        rest = np.full(len(signals), self._linear.bias)
        if self._trees is not None and len(signals):
            shares = self._trees.predict(signals, num_threads=1, pred_contrib=True)
            each, rest = each + shares[:, :-1], rest + shares[:, -1]
        owners = [name.partition(":")[0] for name in self.names]
        groups = [*map(str, range(len(self.members))), "popularity"]
        columns = [each[:, [owner == group for owner in owners]].sum(1) for group in groups]
        return np.stack(columns, axis=1), rest + each[:, [owner not in groups for owner in owners]].sum(1)

    def described(self) -> dict[str, Any]:
        """For the report: each signal's weight, and its share of what the trees gain."""
        assert self._linear is not None
        told: dict[str, Any] = {"blend": self.kind, "lists": self.lists, "weights": self._named(self._linear.weights)}
        if self._trees is not None:
            gains = np.asarray(self._trees.feature_importance("gain"), dtype=np.float64)
            told |= {"trees": self._trees.num_trees(), "gains": self._named(gains / max(gains.sum(), 1e-12))}
        return told

    def _named(self, values: np.ndarray) -> dict[str, float]:
        return {name: round(float(value), 4) for name, value in zip(self.names, values, strict=True)}

    def document(self) -> dict[str, Any]:
        """For an artefact."""
        assert self._linear is not None
        common = {"kind": self.kind, "seed": self.seed, "members": self.members, "lists": self.lists}
        trees = None if self._trees is None else self._trees.model_to_string()
        return {**common, "linear": self._linear.document(), "trees": trees}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """What :meth:`document` gave; raises ``ValueError`` where it does not fit together, and ``ExtraMissing``."""
        made = cls(document["kind"], document["seed"], document["members"])
        made.lists = document["lists"]
        made._linear = Blend.from_document(document["linear"])
        if made._linear.weights.shape != (len(made.names),):
            raise ValueError("the weights of the blend do not fit its members")
        if made.kind == "lambdamart":
            made._trees = _restored(document["trees"], len(made.names))
        return made


def _restored(text: str, signals: int) -> Any:
    """LightGBM's trees from their text; raises ``ValueError`` where it is none, or of other signals."""
    lightgbm = require_lightgbm()
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"the trees of the blend cannot be read ({error})") from None
    if booster.num_feature() != signals:
        raise ValueError("the trees of the blend do not fit its members")
    return booster
