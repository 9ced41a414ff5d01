"""``SequenceRecommender``: a sequence model trained on histories; the next item is a dot product away.

Decides nothing about training itself (``training.plan`` and ``training.fit`` do) and knows no metrics beyond
the one that early stopping watches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue import artefacts
from segue.data.batches import inference_batches
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout, leave_last_out
from segue.errors import ConfigUnknown, SplitEmpty, nearest
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.recommenders.base import Recommender
from segue.recommenders.kinds import rarely_again
from segue.training.build import LogShape, build_model, readable
from segue.training.fit import RunOptions, TrainingData, fit
from segue.training.plan import Plan, SequenceConfig, plan_for
from segue.training.targets import kind_weights, target_weights
from segue.training.validation import Validation

_INFERENCE_TOKENS = 4_096  # padded positions per batch: their activations stay in cache


class SequenceRecommender(Recommender):
    """A causal transformer over the history, scored against every item of the catalogue.

    SASRec's setting (Kang and McAuley, 2018) with LiGR-gated blocks and softmax losses (eSASRec, 2025). With no
    argument it adapts to the log; what it chose stands in ``model.report["training"]["plan"]``.
    Settings: :class:`segue.training.plan.SequenceConfig`.
    """

    Settings = SequenceConfig
    model: SequenceModel
    plan: Plan

    @property
    def target(self) -> str | None:
        """The kind of action of the setting ``target``."""
        target: str | None = self.config.target
        return target

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        options = _run_options(run)
        kinds = kind_weights(self.config, self.action_names)
        if validation is not None and self.target is not None and not len(validation.about(self.target).users):
            data, validation = validation.all, None  # it holds none of what is to be told
        if validation is None and self.config.epochs == "auto":
            data, validation = _inner_validation(data, self.target)
        histories = self._timed(data.histories)
        self.plan = plan = plan_for(self.config, histories, len(self.item_vocabulary))
        self.log = LogShape.of(histories, len(self.item_vocabulary), len(self.action_names))
        common: dict[str, Any] = {"log": self.log, "time_zone": self.time_zone}
        checked = self._validation(validation, plan)
        weights = target_weights(kinds, histories)
        search = TrainingData(histories, data.item_counts, validation=checked, weights=weights, **common)
        everything = None
        if validation is not None:
            known = validation.all
            weights = target_weights(kinds, known.histories)
            everything = TrainingData(self._timed(known.histories), known.item_counts, weights=weights, **common)
        self.model, report = fit(plan, search, everything, options)
        self.report["training"] = {field.name: getattr(report, field.name) for field in fields(report)}
        self.report["training"]["weights_sha256"] = self.weights_sha256()

    def _validation(self, holdout: Holdout | None, plan: Plan) -> Validation | None:
        if holdout is None:
            return None
        if self.target is not None:
            holdout = holdout.about(self.target)
        known = holdout.context.histories
        users = holdout.users[known.lengths[holdout.users] > 0]
        if len(users) > plan.validation_users:
            users = np.sort(np.random.default_rng(plan.seed).choice(users, plan.validation_users, replace=False))
        if not len(users):
            return None
        asked = self._about_target(holdout.asked(users))
        return Validation(
            readable(self._timed(asked), plan),
            holdout.targets.histories.take(users),
            plan.validation_metric,
            rarely_again(known, self._kind(self.target)),
            holdout.context.item_counts.astype(np.float32),
            plan.max_length,
            self.time_zone,
            asked.of_the_kind_wanted(),
            plan.long_history,
        )

    def _timed(self, histories: Histories) -> Histories:
        """Without timestamps where they are only an order."""
        return histories if self.clock == "time" else replace(histories, timestamps=None, at=None)

    def _score_block(self, histories: Histories) -> np.ndarray:
        with torch.inference_mode():
            return (self._encode(histories) @ self.model.tower.vectors().T).numpy()

    def _encode(self, histories: Histories) -> torch.Tensor:
        """(rows, d): the state of each history; none is empty."""
        states = torch.empty((len(histories), self.plan.embedding_size))
        read, plan = readable(self._timed(histories), self.plan), self.plan
        batches = inference_batches(read, plan.max_length, _INFERENCE_TOKENS, self.time_zone, plan.long_history)
        for rows, batch in batches:
            states[rows] = self.model.last(Inputs.of(batch))
        return states

    def weights_sha256(self) -> str:
        """One hash over all weights, to tell two trainings apart."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("weights", {name: tensor.numpy() for name, tensor in self.model.state_dict().items()})
        artefact.document("plan", self.plan.model_dump())
        artefact.document("log", self.log.document())

    def _load(self, artefact: artefacts.Reader) -> None:
        self.plan = Plan.parse(artefact.document("plan"))
        self.log = LogShape.from_document(artefact.document("log"))
        self.model = build_model(self.plan, self.log)
        weights = {name: torch.from_numpy(array) for name, array in artefact.tensors("weights").items()}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from None
        self.model.eval()


def _inner_validation(data: Dataset, target: str | None) -> tuple[Dataset, Holdout | None]:
    """Hold the last event of each user out for early stopping when the caller gave nothing to validate on."""
    try:
        inner = leave_last_out(data, target)
    except SplitEmpty:
        return data, None
    context = inner.test.context
    return (context, Holdout(context, inner.test.targets, until=data)) if len(context) else (data, None)


def _run_options(run: Mapping[str, Any]) -> RunOptions:
    known = [field.name for field in fields(RunOptions)]
    for name in run:
        if name not in known:
            raise ConfigUnknown(name=name, owner="fit", hint=nearest(name, known), known=", ".join(known))
    settings = dict(run)
    if settings.get("checkpoint") is not None:
        settings["checkpoint"] = Path(settings["checkpoint"])
    return RunOptions(**settings)
