"""``Hybrid``: recommenders of different kinds blended into one, by a rule or as held-out events teach.

What members say of a candidate is gathered by ``ranking.candidates``; how a blend is learnt from it is
``hybrid_blend``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from segue import artefacts, progress
from segue.arguments import require
from segue.config import Config, ReadWhere
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.errors import ConfigValue, MembersDiffer
from segue.ranking.candidates import Candidates, candidates
from segue.ranking.fusion import reciprocal_ranks, standardised
from segue.recommenders import kinds
from segue.recommenders.base import Recommender
from segue.recommenders.hybrid_blend import LEARNT, LearntBlend, require_lightgbm
from segue.recommenders.several import MemberSpec, Several, difference, name_of
from segue.recommenders.stages import in_two_stages, inner_validation

_LEARNING_SCORES = 4_000_000  # floats of one member's scores alive at once while a blend is learnt


class HybridConfig(Config):
    """Settings of :class:`Hybrid`."""

    read_where = (
        ReadWhere(
            ("candidates", "users"),
            "blend is logistic or lambdamart",
            lambda config: config.blend in ("logistic", "lambdamart"),
            on=("blend",),
        ),
    )
    members: list[MemberSpec] = Field(
        default_factory=lambda: [
            MemberSpec(recommender=name) for name in ("SequenceRecommender", "PatternRecommender", "ItemNeighbours")
        ],
        min_length=1,
    )
    """Classes with their settings."""
    blend: Literal["rank", "score", "logistic", "lambdamart"] = "logistic"
    """Reciprocal rank fusion, the mean of standardised scores, or learnt: a linear model, or boosted trees."""
    candidates: int = Field(100, ge=1)
    """Best items of each member that a learnt blend ranks; all others stand below them."""
    refit: bool = True
    """Whether members learn from the validation events too, once the blend is learnt on them."""
    users: int = Field(10_000, ge=1)
    """At most so many users of the validation teach the blend."""
    seed: int = Field(0, ge=0)
    """Added to the seed of every member that has one; chooses users and negatives."""


class Hybrid(Several):
    """Several recommenders as one.

    ``blend="rank"`` adds ``1 / (60 + rank)`` (reciprocal rank fusion, Cormack et al., SIGIR 2009) and ``"score"``
    standardised scores; they learn nothing. ``"logistic"`` (multinomial logistic regression, the first choice of
    Plackett and Luce) and ``"lambdamart"`` (Burges, 2010; LightGBM, ``pip install segue[boosting]``) learn from the
    validation events, never from a test, what each member's standardised score, reciprocal rank and listing of an item
    is worth, beside popularity and the length of the history; the trees go on from where the regression ends. Their
    candidates are the union of the members' best.

    What that costs: the blend is learnt with members that know the training events alone, and kept for members that
    learn from the validation events too. So every member is fitted twice, except sequence models, whose search is the
    first fit and whose refit the second, and habits, which are weighed once; with ``refit=False`` no member is. The
    blend then meets members that know a little more than those it was learnt with.

    Without a holdout each user's last training event teaches the blend. Where no event can teach it, for lack of users
    or of candidates that came true, scores are averaged and ``report["blend"]`` says so.

    Args:
        members: names of classes, mappings such as ``{"recommender": "EASE", "regularisation": 100}``, or recommenders,
            whose settings are taken. Where all are fitted and the blend learns nothing, the hybrid is fitted as well;
            see also :meth:`of_fitted`.
        settings: see :class:`HybridConfig`.

    Raises:
        ConfigUnknown, ConfigValue: no members, or one that does not exist.
        ExtraMissing: LightGBM is not installed.
        MembersDiffer: fitted members that were not trained on one log.
    """

    Settings = HybridConfig
    _learnt: LearntBlend | None = None

    def __init__(self, members: Config | Sequence[Any] | None = None, **settings: Any) -> None:
        super().__init__(members, **settings)
        if self.config.blend == "lambdamart":
            require_lightgbm()
        if self.config.blend not in LEARNT:
            self._adopt_fitted(members)
            self.report["blend"] = {"blend": self.config.blend}

    @classmethod
    def of_fitted(
        cls, first: Sequence[Recommender], members: Sequence[Recommender], validation: Holdout, **settings: Any
    ) -> Self:
        """A hybrid of fitted members, with the blend alone to learn.

        Args:
            first: the members as they were before they learnt from the validation events; nothing else may teach a
                blend.
            members: the members as they are to answer, in the same order.
            validation: what the blend is learnt on.
            settings: see :class:`HybridConfig`.

        Raises:
            ConfigValue: the two are not of the same classes.
            MembersDiffer, NotFitted, ConfigUnknown, ExtraMissing.
        """
        for name, several in (("first", first), ("members", members)):
            advice = "Give two lists of fitted recommenders, of the same classes in the same order."
            require(several, (list, tuple), "Hybrid.of_fitted", name, "a list of recommenders", advice)
            for each in several:
                require(each, Recommender, "Hybrid.of_fitted", f"one of {name}", "a recommender", advice)
        require(validation, Holdout, "Hybrid.of_fitted", "validation", "a holdout", "Give split.validation.")
        if [type(each) for each in first] != [type(each) for each in members]:
            given = ", ".join(type(each).__name__ for each in first)
            raise ConfigValue(name="first", owner="Hybrid.of_fitted", value=given, reason="members differ in class")
        for each in (*first, *members):
            each._require_fitted()
        for one, other in [(first[0], each) for each in first[1:]] + [(first[0], validation.context)]:
            if (what := difference(one, other)) is not None:
                raise MembersDiffer(what=what)
        if (what := difference(members[0], validation.context)) is not None:
            raise MembersDiffer(what=what)
        model = cls(list(members), **settings)
        model._adopt(list(members))
        model.report["blend"] = {"blend": model.config.blend}
        if model.config.blend in LEARNT:
            model._learn(list(first), validation, show=True)
        return model

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        learns = self.config.blend in LEARNT
        if validation is None and learns:
            data, validation = inner_validation(data)
        self._learnt, self.members, first = None, [], []
        count = len(self.config.members)
        for number, spec in enumerate(self.config.members):
            own = dict(run)
            if own.get("checkpoint") is not None:
                own["checkpoint"] = Path(own["checkpoint"]) / name_of(number)
            with progress.part(f"Member {number + 1} of {count}"):
                if validation is None or not learns:
                    self.members.append(spec.build(self.config.seed).fit(data, validation, **own))
                elif self.config.refit:
                    early, final = in_two_stages(spec.build(self.config.seed), data, validation, own)
                    first.append(early)
                    self.members.append(final)
                else:
                    model = spec.build(self.config.seed, refit=False)
                    searches = "refit" in type(model).Settings.model_fields
                    self.members.append(model.fit(data, validation if searches else None, **own))
        self.report["members"] = [member.report for member in self.members]
        self.report["blend"] = {"blend": self.config.blend}
        if validation is not None and learns:
            self._learn(first or self.members, validation, bool(run.get("progress", True)))
        for member in self.members:
            member.know_as(self)
        if learns and self._learnt is None:
            self.report["blend"] = {"blend": "score", "reason": "no held-out event could teach a blend"}

    def _learn(self, members: Sequence[Recommender], validation: Holdout, show: bool) -> None:
        """Learn the blend on held-out events, with members that have not met them."""
        users = validation.users
        users = users[validation.context.histories.lengths[users] > 0]
        if len(users) > self.config.users:
            users = np.sort(np.random.default_rng(self.config.seed).choice(users, self.config.users, replace=False))
        asked, targets = validation.asked(users), validation.targets.histories
        wanted = targets.items[targets.offsets[users]]
        blend = LearntBlend(self.config.blend, self.config.seed, [type(each).__name__ for each in members])
        counts = validation.context.item_counts
        step = max(1, _LEARNING_SCORES // len(counts))
        with progress.bar("Learning the blend", len(users), show and len(users) > 1_000) as advance:
            for start in range(0, len(users), step):
                part = asked.take(np.arange(start, min(start + step, len(users))))
                # What is left out of a list must not teach its order: members that praise it are not wrong.
                found = self._gathered(members, part, counts).without(*self._seen(part))
                blend.observe(found, wanted[start : start + step], counts, part.lengths)
                advance(len(part))
        self._learnt = blend if blend.fit() else None
        if self._learnt is not None:
            self.report["blend"] = self._learnt.described()

    def _gathered(self, members: Sequence[Recommender], histories: Histories, counts: np.ndarray) -> Candidates:
        scores = [member._score_block(histories) for member in members]
        return candidates(scores, self.config.candidates, counts.astype(np.float32), *self._seen(histories))

    def _seen(self, histories: Histories) -> tuple[np.ndarray, np.ndarray]:
        """Ragged codes that are left out of each list by default."""
        seen = kinds.seen(histories, self.exclude_seen)
        return seen.offsets, seen.items

    def _score_block(self, histories: Histories) -> np.ndarray:
        if self._learnt is None:
            total = np.zeros((len(histories), len(self.item_vocabulary) + 1), dtype=np.float32)
            for member in self.members:
                scores = member._score_block(histories)
                by_rank = self.config.blend == "rank"
                total += reciprocal_ranks(scores, self.item_counts) if by_rank else standardised(scores)
            return total / np.float32(len(self.members))
        found = self._gathered(self.members, histories, self.item_counts)
        scores = self._learnt(found, self.item_counts, histories.lengths)
        least = np.full(len(histories), np.inf, dtype=np.float32)
        np.minimum.at(least, found.rows, scores)
        least[~np.isfinite(least)] = 0
        # All others keep their order among themselves, between one and two below the last candidate.
        rest = 1 / (1 + np.exp(-found.rest))
        total = np.asarray(least[:, None] - 2 + rest, dtype=np.float32)
        total[found.rows, found.items] = scores
        return total

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        """What each member adds; of a learnt blend also popularity, and being among the candidates at all."""
        names = self._member_names()
        if self._learnt is None:
            found = {}
            for name, member in zip(names, self.members, strict=True):
                scores = member._score_block(histories)
                by_rank = self.config.blend == "rank"
                common = reciprocal_ranks(scores, self.item_counts) if by_rank else standardised(scores)
                found[name] = common[0] / np.float32(len(names))
            return found
        gathered = self._gathered(self.members, histories, self.item_counts)
        shares, rest = self._learnt.parts(gathered, self.item_counts, histories.lengths)
        parts = {name: np.zeros(len(self.item_counts)) for name in (*names, "popularity")}
        for column, name in enumerate(parts):
            parts[name][gathered.items] = shares[:, column]
        # All others are ranked below the candidates, which no sum of members says.
        among = self._score_block(histories)[0].astype(np.float64)
        among[gathered.items] = rest
        return {**parts, "being a candidate": among}

    def _save(self, artefact: artefacts.Writer) -> None:
        super()._save(artefact)
        if self._learnt is not None:
            artefact.document("blend", self._learnt.document())

    def _load(self, artefact: artefacts.Reader) -> None:
        super()._load(artefact)
        if "blend" in artefact:
            self._learnt = LearntBlend.from_document(artefact.document("blend"))
