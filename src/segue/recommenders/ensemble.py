"""``Ensemble``: several recommenders behind the contract of one, and one model distilled from them.

Builds and keeps the members, and averages what they score. How scores are brought onto one scale is left to
``ranking.fusion``, and what a student learns from its teachers to ``training.distillation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from segue import progress
from segue.arguments import refusal
from segue.config import Config
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.errors import ConfigValue, DistilRefused, MembersDiffer
from segue.ranking.fusion import reciprocal_ranks, standardised
from segue.recommenders.base import Recommender
from segue.recommenders.several import MemberSpec, Several, difference, name_of

if TYPE_CHECKING:
    from segue.recommenders.sequence import SequenceRecommender

_SCORES = 1_000_000  # floats of one member's scores that are being brought onto the common scale


class Member(MemberSpec):
    """One member of an :class:`Ensemble`: a recommender, and what it weighs."""

    weight: float = Field(1.0, ge=0)
    """Its share of the average, relative to the others."""


class EnsembleConfig(Config):
    """Settings of :class:`Ensemble`."""

    members: list[Member] = Field(
        default_factory=lambda: [Member(settings={"seed": seed}) for seed in range(3)], min_length=1
    )
    """Classes with their settings and weights. Default: ``SequenceRecommender`` with the seeds 0, 1 and 2."""
    average: Literal["score", "rank"] = "score"
    """Of standardised scores, or of reciprocal ranks."""
    seed: int = Field(0, ge=0)
    """Added to the seed of every member that has one."""

    @field_validator("members")
    @classmethod
    def _some_weight(cls, members: list[Member]) -> list[Member]:
        if not any(member.weight for member in members):
            raise ValueError("every weight is 0, so that no member would count")
        return members


class Ensemble(Several):
    """The average of several recommenders, for example of several seeds or encoders.

    ``average="score"`` averages z-scores: each member's scores of a row are brought to mean 0 and deviation 1 over the
    catalogue, so that neither the scale of a member nor its offset matters. (Log-softmax would make the average a
    product of experts, but leaves the scale: the counts of ``Popular`` would outweigh everything.)
    ``average="rank"`` averages ``1 / (60 + rank)`` over the whole catalogue (reciprocal rank fusion, Cormack et al.,
    SIGIR 2009) and looks at nothing but order, which suits members whose scores are of different kinds.

    Args:
        members: mappings such as ``{"recommender": "EASE", "regularisation": 100}`` or ``{"encoder": "hstu"}`` (a
            ``SequenceRecommender``), names of classes, or recommenders. Where all are fitted the ensemble is too;
            otherwise :meth:`fit` trains all of them anew and leaves the objects given as they are.
        weights: one for each member, if they do not say theirs.
        settings: see :class:`EnsembleConfig`.

    Raises:
        ConfigUnknown, ConfigValue: no members, one that does not exist, weights that mean nothing.
        MembersDiffer: fitted members that were not trained on one log.

    Attributes:
        members: the fitted recommenders, in the order of ``config.members``.
    """

    Settings = EnsembleConfig

    def __init__(
        self, members: Config | Sequence[Any] | None = None, *, weights: Sequence[float] | None = None, **settings: Any
    ) -> None:
        super().__init__(members, **settings)
        if weights is not None:
            self.config = _weighted(self.config, weights)
        self._adopt_fitted(members)

    @classmethod
    def of(
        cls,
        recommender: str = "SequenceRecommender",
        seeds: Sequence[int] = (0, 1, 2),
        *,
        average: Literal["score", "rank"] = "score",
        **settings: Any,
    ) -> Ensemble:
        """Members of one class and with the same ``settings`` that differ by their seed."""
        if not isinstance(seeds, Sequence | np.ndarray) or isinstance(seeds, str):
            raise refusal(seeds, "Ensemble.of", "seeds", "a list of whole numbers", "For example seeds=(0, 1, 2).")
        members = [{"recommender": recommender, "settings": {**settings, "seed": seed}} for seed in seeds]
        return cls(members, average=average)

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        self.members = []
        count = len(self.config.members)
        for number, spec in enumerate(self.config.members):
            own = dict(run)
            if own.get("checkpoint") is not None:
                own["checkpoint"] = Path(own["checkpoint"]) / name_of(number)
            with progress.part(f"Member {number + 1} of {count}"):
                self.members.append(spec.build(self.config.seed).fit(data, validation, **own))
        self.report["members"] = [member.report for member in self.members]

    def _score_block(self, histories: Histories) -> np.ndarray:
        total = np.zeros((len(histories), len(self.item_vocabulary) + 1), dtype=np.float32)
        step = max(1, _SCORES // total.shape[1])
        for member, weight in self._weights():
            scores = member._score_block(histories)
            for start in range(0, len(scores), step):
                total[start : start + step] += weight * self._common(scores[start : start + step])
        return total

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        """The weighted score of each member that counts, on the common scale."""
        shares = {id(member): weight for member, weight in self._weights()}
        return {
            name: shares[id(member)] * self._common(member._score_block(histories))[0]
            for name, member in zip(self._member_names(), self.members, strict=True)
            if id(member) in shares
        }

    def _common(self, scores: np.ndarray) -> np.ndarray:
        """Scores of one member on the scale that all share."""
        if self.config.average == "score":
            return standardised(scores)
        return reciprocal_ranks(scores, self.item_counts)

    def _weights(self) -> list[tuple[Recommender, np.float32]]:
        """The members that count, and their shares of 1."""
        weights = [spec.weight for spec in self.config.members]
        pairs = zip(self.members, weights, strict=True)
        return [(member, np.float32(weight / sum(weights))) for member, weight in pairs if weight]

    def distil(
        self,
        data: Dataset,
        validation: Holdout | None = None,
        *,
        alpha: float = 0.5,
        temperature: float = 2.0,
        candidates: int = 50,
        **settings: Any,
    ) -> SequenceRecommender:
        """One sequence model trained to answer as the ensemble does (Hinton et al., 2015).

        At every training position the loss is ``(1 - alpha)`` times that of the next item plus ``alpha * temperature
        ** 2`` times the divergence from the ensemble's distribution over its best ``candidates``. The members score the
        batches as they come, so nothing is stored. They must be sequence models: only those score every position of a
        window. The teacher is always the average of scores; an average of ranks has no probabilities.

        Members that were refitted have seen the validation events, which makes the student's early stopping optimistic:
        for figures on the validation events train them with ``refit=False``.

        Args:
            data, validation: as for :meth:`fit`; of the log that the members were trained on.
            alpha: above 0 and below 1 (the items that are no candidates are told by the next items alone).
            temperature: above 0; higher ones tell more of the lower places.
            candidates: items per position that the teacher tells about.
            settings: of the student, a ``SequenceRecommender``, and how to run today (``progress``, ``checkpoint``,
                ...). ``max_length`` is the members' unless given.

        Returns:
            An ordinary fitted ``SequenceRecommender``; ``report["distilled"]`` says from what.

        Raises:
            NotFitted, ConfigUnknown, ConfigValue.
            DistilRefused: a member that is no sequence model, or one that reads more than the student.
            MembersDiffer: the data are of another log.
            ResumeRefused: the checkpoint belongs to another training or other teachers.
        """
        from segue.recommenders.running import RUN_OPTIONS
        from segue.recommenders.sequence import SequenceRecommender
        from segue.training.distillation import Distillation, DistillationConfig

        self._require_fitted()
        told = {"alpha": alpha, "temperature": temperature, "candidates": candidates}
        config = DistillationConfig.parse(told, owner="distil")
        teachers = [(member, weight) for member, weight in self._weights() if isinstance(member, SequenceRecommender)]
        if others := [type(each).__name__ for each, _ in self._weights() if not isinstance(each, SequenceRecommender)]:
            raise DistilRefused(reason=f"{', '.join(others)} scores whole histories, not each position of one")
        if (what := difference(self, data)) is not None:
            raise MembersDiffer(what=what)
        run = {name: settings.pop(name) for name in RUN_OPTIONS if name in settings}
        settings.setdefault("max_length", min(member.plan.max_length for member, _ in teachers))
        student = SequenceRecommender(**settings)
        student.distillation = Distillation.of(
            [(each.model, each.plan, float(share)) for each, share in teachers], config
        )
        try:
            student.fit(data, validation, **run)
        finally:
            student.distillation = None  # from here on it is as any other
        members = [
            {"recommender": type(each).__name__, "weights_sha256": each.weights_sha256()} for each, _ in teachers
        ]
        student.report["distilled"] = {"from": members, **config.model_dump()}
        return student


def _weighted(config: EnsembleConfig, weights: Sequence[float]) -> EnsembleConfig:
    def refuse(reason: str) -> ConfigValue:
        return ConfigValue(name="weights", owner=Ensemble.__name__, value=weights, reason=reason)

    if not isinstance(weights, Sequence | np.ndarray) or isinstance(weights, str) or np.ndim(weights) != 1:
        raise refuse("weights are a list of numbers, one for each member")
    if not all(isinstance(weight, int | float | np.number) for weight in weights):
        raise refuse("weights are numbers from 0, and one of them at least is above")
    if len(weights) != len(config.members):
        raise refuse(f"there are {len(config.members)} members and {len(weights)} weights")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise refuse("weights are numbers from 0, and one of them at least is above")
    pairs = zip(config.members, weights, strict=True)
    return config.model_copy(update={"members": [each.model_copy(update={"weight": float(w)}) for each, w in pairs]})
