"""``SequenceRecommender``: a sequence model trained on histories; the next item is a dot product away.

Decides nothing about training itself (``training.plan`` and ``training.fit`` do) and knows no metrics beyond
the one that early stopping watches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch

from segue import artefacts
from segue.data.attributes import ItemFeatures, item_features
from segue.data.batches import inference_batches
from segue.data.dataset import Dataset, as_dataset
from segue.data.histories import Histories
from segue.data.split import Holdout, training_parts
from segue.language.encode import encode_texts
from segue.language.encoder import TextEncoder
from segue.language.item_text import ItemText, read_item_text, tuned_encoder, wanted_model
from segue.language.text import item_texts
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.nn.text_path import TextVectors
from segue.recommenders.growing import Growth
from segue.recommenders.kinds import rarely_again
from segue.recommenders.pattern_prior import PatternPrior
from segue.recommenders.running import RUN_OPTIONS, run_options
from segue.recommenders.sequence_scores import SequenceScores
from segue.recommenders.stages import as_searched, inner_validation
from segue.recommenders.transfer import Source, transferred
from segue.recommenders.updating import Updated, update
from segue.training.build import LogShape, build_model, readable, text_config
from segue.training.distillation import Distillation
from segue.training.fit import TrainingData, fit
from segue.training.growth import grown_model, grown_text
from segue.training.held import Held
from segue.training.plan import Plan, SequenceConfig, is_sparse, plan_for
from segue.training.targets import kind_weights, refuse_no_targets, target_weights
from segue.training.text_tuning import detached
from segue.training.trend import TrendWeights
from segue.training.trend_fit import fit_trend
from segue.training.validation import Validation

_INFERENCE_TOKENS = 4_096  # padded positions per batch: their activations stay in cache


class SequenceRecommender(SequenceScores):
    """A causal transformer over the history, scored against every item of the catalogue.

    SASRec's setting (Kang and McAuley, 2018) with LiGR-gated blocks and softmax losses (eSASRec, 2025). With no
    argument it adapts to the log; what it chose stands in ``model.report["training"]["plan"]``. What is popular of late
    is weighed beside it (``training.trend``), as learnt on the validation events; see ``model.report["trend"]``.
    Settings: :class:`segue.training.plan.SequenceConfig`.
    """

    Settings = SequenceConfig
    model: SequenceModel
    plan: Plan
    language_tuned: dict[str, np.ndarray] | None = None  # what a language model has learnt, by its name there
    distillation: Distillation | None = None  # while a student is being fitted (see Ensemble.distil)
    source: Source | None = None  # while a fit begins from another model
    before_refit: Callable[[SequenceRecommender], None] | None = None  # while a blend is learnt (see stages)

    @property
    def target(self) -> str | None:
        """The kind of action of the setting ``target``."""
        target: str | None = self.config.target
        return target

    def fit(self, data: Any, validation: Any = None, *, init_from: Any = None, **run: Any) -> Self:
        """As in the base.

        Args:
            data, validation, run: see ``Recommender.fit``.
            init_from: a trained sequence model, or the folder of one, to begin from: its encoder, its way of reading
                time, behaviour and text, not its ids. Its shape holds where settings are left at their defaults.

        Raises:
            TransferRefused: settings differ from those of the source, or it has nothing to bring along.
            LanguageModelChanged: texts were read there by other weights.
            ResumeRefused, TrainingDiverged, LanguageModelUnknown, ConfigUnknown.
        """
        if init_from is None:
            return super().fit(data, validation, **run)
        data, validation = training_parts(data, validation, type(self).__name__)
        self.source = source = Source.of(init_from)
        try:
            super().fit(source.in_its_words(data), source.holdout_in_its_words(validation), **run)
        finally:
            self.source = None
        self.report["init_from"] = {"name": source.name, "weights_sha256": source.model.weights_sha256()}
        return self

    def transfer(self, data: Any, *, progress: bool = True) -> SequenceRecommender:
        """The same model for another log, without training: its items are known by their text and attributes.

        Histories and, where the trend was learnt, counts of events are those of ``data``; nothing is learnt from them.

        Raises:
            NotFitted.
            TransferRefused: items are known by their ids alone.
            LanguageModelUnknown, LanguageModelChanged: what read the texts in training is not there.
        """
        return transferred(Source.of(self), as_dataset(data, owner="transfer"), progress)

    def update(self, events: Any, *, items: Any = None, **settings: Any) -> Updated:
        """Learn on from new events without forgetting the old ones; new people and new items join.

        Args:
            events: a frame like the log's, of any kind; events that are known already are left out.
            items: rows of the catalogue for new items (see :meth:`add_items`); without them they join by their id.
            settings: of :class:`segue.training.continual.UpdateConfig`, such as ``forgetting="ewc"``, and how to run
                today (``progress``, ``device``, ``threads``).

        Raises:
            NotFitted, ConfigUnknown, ConfigValue, ColumnMissing, EmptyLog, IdsDiffer.
            UpdateRefused: timestamps are of another kind, or there is no encoder to teach.
            DistilRefused: the encoder learns from masked events; use ``forgetting="ewc"``.
            LanguageModelUnknown, LanguageModelChanged, TrainingDiverged.
        """
        self._require_fitted()
        run = {name: settings.pop(name) for name in RUN_OPTIONS if name in settings}
        return update(self, events, items, settings, run_options(run))

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        options = run_options(run)
        kinds = kind_weights(self.config, self.action_names)
        if validation is not None and self.target is not None and not len(validation.about(self.target).users):
            data, validation = validation.all, None  # it holds none of what is to be told
        if validation is None and self.config.epochs == "auto":
            data, validation = inner_validation(data, self.target)
        histories = self._timed(data.histories)
        source = self.source
        features = (
            item_features(self.items, self.item_vocabulary, self.config.features)
            if source is None
            else source.features(self.items, self.item_vocabulary)
        )
        names = features.names if features is not None else []
        sparse = is_sparse(histories, len(self.item_vocabulary))
        language = wanted_model(self.config.text, self.items, worth=sparse)
        plan = plan_for(self.config, histories, len(self.item_vocabulary), names, language)
        self.plan = plan = plan if source is None else source.plan(self.config, plan)
        self._warn_unread(plan, histories, validation is not None)
        text, texts = self._text(plan, options.progress)
        self.log = LogShape.of(histories, len(self.item_vocabulary), len(self.action_names), features, text)
        self.log = self.log if source is None else source.shaped(self.log)
        common: dict[str, Any] = {"start": None if source is None else source.weights(), "texts": texts}
        common |= {"log": self.log, "time_zone": self.time_zone, "distillation": self.distillation}
        checked = self._validation(validation, plan)
        counted = target_weights(kinds, histories)
        refuse_no_targets(histories, counted)
        search = TrainingData(histories, data.item_counts, validation=checked, weights=counted, **common)
        everything = None
        if validation is not None:
            known = validation.all
            counted = target_weights(kinds, known.histories)
            common["log"] = replace(self.log, known=known.item_counts > 0)
            everything = TrainingData(self._timed(known.histories), known.item_counts, weights=counted, **common)
        weights: TrendWeights | None = None

        def searched(model: SequenceModel) -> None:
            nonlocal weights
            if validation is None:
                return
            self.model = model
            self._forget_vectors()
            held = self._held(data, validation)
            if plan.pattern_prior:
                self.prior, self.report["prior"] = PatternPrior.learnt(data, held, self._plain_scores)
            # What is popular of late is learnt on a holdout, where the log has a clock.
            if "trend" in plan.time and self.clock == "time":
                weights, self.report["trend"] = fit_trend(held, self._scores_without_trend)
            if self.before_refit is not None:
                self.before_refit(as_searched(self, model, data, weights))

        self.trend = self.prior = None
        self.model, report = fit(plan, search, everything, options, searched)
        self.language_tuned, self.log = detached(self.model, self.log)
        self._forget_vectors()
        self._count_again(weights)
        training = {field.name: getattr(report, field.name) for field in fields(report)}
        worth = training.pop("worth") or [None] * len(names)
        described = features.described() if features is not None else []
        self.report["features"] = [{**each, "worth": drop} for each, drop in zip(described, worth, strict=True)]
        self.report["training"] = training
        self.report["training"]["weights_sha256"] = self.weights_sha256()

    def _warn_settings(self) -> None:
        """Nothing yet: the plan of a fit decides what is read."""

    def _warn_unread(self, plan: Plan, histories: Histories, validated: bool) -> None:
        """Name the settings that this fit does not read."""
        facts = {
            "clock": self.clock == "time",
            "validation": validated,
            "actions": bool(self.action_names) and histories.actions is not None,
            "values": histories.values is not None,
        }
        owner = type(self).__name__
        self.config.warn_unread(owner, plan, [name for name, is_so in facts.items() if is_so])

    def _text(self, plan: Plan, show: bool) -> tuple[TextVectors | None, tuple[str, ...] | None]:
        """What the language model of the plan says of the items, and their texts; None where it has none."""
        if plan.text is None:
            return None, None
        read = self._read_text(plan, show)
        if self.source is not None:
            return self.source.text(read), read.texts
        return TextVectors.of(read.vectors, plan.text_normalise, plan.text_whiten), read.texts

    def _read_text(self, plan: Plan, show: bool) -> ItemText:
        read = read_item_text(self.items, self.item_vocabulary, text_config(plan), plan.text_columns, show)
        self.report["text"] = {
            "model": plan.text,
            "sha256": read.sha256,
            "columns": list(read.columns),
            "coverage": round(read.coverage, 4),
        }
        return read

    def text_encoder(self) -> TextEncoder:
        """The language model as it was tuned here, to read the text of more items with.

        Raises:
            LanguageModelChanged: the model of that name is not the one that was tuned.
            LanguageModelUnknown, LanguageModelBroken.
        """
        tuning = self.plan.tuning_config if self.language_tuned is not None else None
        return tuned_encoder(text_config(self.plan), self.report["text"]["sha256"], tuning, self.language_tuned)

    def _grow(self, growth: Growth) -> None:
        text, features = self.log.text, self.log.features
        if text is not None:
            text = grown_text(text, growth.told, self._told(growth), len(growth.vocabulary))
        if features is not None:
            features = features.encoded(growth.items, growth.vocabulary)
        self.log = replace(self.log, catalogue=len(growth.vocabulary), features=features, text=text)
        self.model = grown_model(self.model, self.plan, self.log)
        self.trend = self._trend_of(None if self.trend is None else self.trend.weights)
        self.prior = None if self.prior is None else self.prior.grown(self, growth)

    def _told(self, growth: Growth) -> np.ndarray:
        """(new and changed items, D) what the language model of the training says of them, as it was tuned."""
        texts = item_texts(growth.told_items, growth.told_vocabulary, self.report["text"]["columns"])
        return encode_texts(self.text_encoder(), texts)[1:]

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

    def _held(self, data: Dataset, holdout: Holdout) -> Held:
        """What is weighed beside the model is learnt on this."""
        if self.target is not None:
            holdout = holdout.about(self.target)
        return Held(
            data.histories,
            self._about_target(holdout.asked()),
            holdout.targets.histories.take(holdout.users),
            holdout.users,
            len(self.item_vocabulary),
            rarely_again(holdout.context.histories, self._kind(self.target)),
            self.plan.max_length,
            self.plan.seed,
        )

    def _count_again(self, weights: TrendWeights | None) -> None:
        """Trend and habits with the weights learnt and the counts of all that is known."""
        self.trend = self._trend_of(weights)
        self.prior = None if self.prior is None else self.prior.counted_for(self)

    @property
    def item_table(self) -> np.ndarray:  # noqa: D102 - as in the base
        vectors: np.ndarray = self._vectors.detach().numpy()
        return vectors

    @cached_property
    def _vectors(self) -> torch.Tensor:
        """(catalogue + 1, d) of the tower; they stay the same once it is trained."""
        with torch.inference_mode():
            return self.model.tower.vectors()

    def _products(self, histories: Histories) -> np.ndarray:
        with torch.inference_mode():
            products: np.ndarray = (self._encode(histories) @ self._vectors.T).float().numpy()
            return products

    def _states(self, histories: Histories) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self._encode(histories).float().numpy())

    def _encode(self, histories: Histories) -> torch.Tensor:
        """(rows, d), or longer with a likeness: the state of each history; none is empty."""
        states = torch.empty((len(histories), self._vectors.shape[1]))
        read, plan = readable(self._timed(histories), self.plan), self.plan
        batches = inference_batches(read, plan.max_length, _INFERENCE_TOKENS, self.time_zone, plan.long_history)
        for rows, batch in batches:
            states[rows] = self.model.last(Inputs.of(batch), self._vectors)
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
        if (features := self.log.features) is not None:
            artefact.document("features", features.document())
            artefact.table("feature_values", features.table())
            artefact.tensors("item_features", features.arrays())
        if self.log.text is not None:
            artefact.tensors("item_text", self.log.text.arrays())
        if self.language_tuned is not None:
            artefact.tensors("language_tuned", self.language_tuned)
        self._save_beside(artefact)

    def _load(self, artefact: artefacts.Reader) -> None:
        self.plan = Plan.parse(artefact.document("plan"))
        features = None
        if "features" in artefact:
            parts = artefact.document("features"), artefact.table("feature_values"), artefact.tensors("item_features")
            features = ItemFeatures.restored(*parts)
        text = None
        if "item_text" in artefact:
            text = TextVectors.restored(artefact.tensors("item_text"), self.plan.text_normalise)
        self.language_tuned = artefact.tensors("language_tuned") if "language_tuned" in artefact else None
        self.log = LogShape.from_document(artefact.document("log"), features, text)
        self._forget_vectors()
        self.model = build_model(self.plan, self.log)
        weights = {name: torch.from_numpy(array) for name, array in artefact.tensors("weights").items()}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from None
        self.model.eval()
        self._load_beside(artefact)
