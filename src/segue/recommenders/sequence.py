"""``SequenceRecommender``: a sequence model trained on histories; the next item is a dot product away.

Decides nothing about training itself (``training.plan`` and ``training.fit`` do) and knows no metrics beyond
the one that early stopping watches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue import artefacts
from segue.data.batches import inference_batches
from segue.data.dataset import Dataset
from segue.data.histories import Histories, repeat_share
from segue.data.split import Holdout, leave_last_out
from segue.errors import ConfigUnknown, SplitEmpty, nearest
from segue.nn.sequence import SequenceModel
from segue.recommenders.base import REPEAT_THRESHOLD, Recommender
from segue.training.fit import RunOptions, TrainingData, build_model, fit
from segue.training.plan import Plan, SequenceConfig, plan_for
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

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        options = _run_options(run)
        if validation is None and self.config.epochs == "auto":
            data, validation = _inner_validation(data)
        plan = plan_for(self.config, data.histories, len(self.item_vocabulary))
        search = TrainingData(data.histories, data.item_counts, self._validation(validation, plan))
        everything = None if validation is None else TrainingData(validation.all.histories, validation.all.item_counts)
        self.plan = plan
        self.model, report = fit(plan, search, everything, options)
        self.report["training"] = {field.name: getattr(report, field.name) for field in fields(report)}
        self.report["training"]["weights_sha256"] = self.weights_sha256()

    def _validation(self, holdout: Holdout | None, plan: Plan) -> Validation | None:
        if holdout is None:
            return None
        known = holdout.context.histories
        users = holdout.users[known.lengths[holdout.users] > 0]
        if len(users) > plan.validation_users:
            users = np.sort(np.random.default_rng(plan.seed).choice(users, plan.validation_users, replace=False))
        if not len(users):
            return None
        return Validation(
            known.take(users),
            holdout.targets.histories.take(users),
            plan.validation_metric,
            repeat_share(known) <= REPEAT_THRESHOLD,
            holdout.context.item_counts.astype(np.float32),
            plan.max_length,
        )

    def _score_block(self, histories: Histories) -> np.ndarray:
        with torch.inference_mode():
            return (self._encode(histories) @ self.model.tower.vectors().T).numpy()

    def _encode(self, histories: Histories) -> torch.Tensor:
        """(rows, d): the state of each history; none is empty."""
        states = torch.empty((len(histories), self.plan.embedding_size))
        for rows, batch in inference_batches(histories, self.plan.max_length, _INFERENCE_TOKENS):
            states[rows] = self.model.last(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths))
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

    def _load(self, artefact: artefacts.Reader) -> None:
        self.plan = Plan.parse(artefact.document("plan"))
        self.model = build_model(self.plan, len(self.item_vocabulary))
        weights = {name: torch.from_numpy(array) for name, array in artefact.tensors("weights").items()}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from None
        self.model.eval()


def _inner_validation(data: Dataset) -> tuple[Dataset, Holdout | None]:
    """Hold the last event of each user out for early stopping when the caller gave nothing to validate on."""
    try:
        inner = leave_last_out(data)
    except SplitEmpty:
        return data, None
    context = inner.test.context
    return (context, Holdout(context, inner.test.targets)) if len(context) else (data, None)


def _run_options(run: Mapping[str, Any]) -> RunOptions:
    known = [field.name for field in fields(RunOptions)]
    for name in run:
        if name not in known:
            raise ConfigUnknown(name=name, owner="fit", hint=nearest(name, known), known=", ".join(known))
    settings = dict(run)
    for name in ("checkpoint", "log_dir"):
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    return RunOptions(**settings)
