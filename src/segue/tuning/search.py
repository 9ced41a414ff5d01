"""What a search is about: recommender, data, metric, space; and what its study is recognised by.

It is handed to each process that takes part. How a trial is run is left to ``work``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segue.config import Config
from segue.data.dataset import Dataset
from segue.data.split import Holdout
from segue.recommenders.base import Recommender
from segue.tuning.space import Space

METRIC = "ndcg@10"
"""What is searched for where a recommender names no metric of its own."""


@dataclass(frozen=True)
class Search:
    """All that a process needs for its share.

    Attributes:
        trials: how many count in the end, over all processes and runs.
        until: the moment after which no trial begins.
        run: how trials are run today.
    """

    recommender: type[Recommender]
    train: Dataset
    validation: Holdout
    settings: dict[str, Any]
    space: Space
    metric: str
    trials: int
    seed: int
    url: str | None
    study: str
    until: float | None = None
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def by_epochs(self) -> bool:
        """Whether the recommender trains in epochs and watches a validation metric while it does."""
        if "validation_metric" not in self.recommender.Settings.model_fields:
            return False
        from segue.training.plan import SequenceConfig  # training brings torch, which a baseline does without

        return issubclass(self.recommender.Settings, SequenceConfig)

    def signature(self) -> dict[str, Any]:
        """What the study is about; it is refused for anything else."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation.context, self.validation.targets):
            known = part.histories
            for array in (*known.arrays(), part.item_counts):
                digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return {
            "recommender": self.recommender.__name__,
            "data": digest.hexdigest()[:16],
            "metric": self.metric,
            "settings": self.settings,
            "space": self.space.as_dict(),
            "seed": self.seed,
        }

    def decided(self, chosen: Mapping[str, Any]) -> Config:
        """The settings of a trial with every ``"auto"`` decided; all columns of the catalogue count as features."""
        owner = self.recommender.__name__
        config: Any = self.recommender.Settings.parse({**self.settings, **chosen}, owner=owner)
        if self.by_epochs:
            from segue.language.item_text import wanted_model
            from segue.training.plan import is_sparse, plan_for

            histories, items, n_items = self.train.histories, self.train.items, len(self.train.item_vocabulary)
            text = wanted_model(config.text, items, worth=is_sparse(histories, n_items))
            features = [] if items is None else [name for name in items.columns if name != "item_id"]
            config = plan_for(config, histories, n_items, features, text)
        decided: Config = config
        return decided

    def first(self) -> dict[str, Any]:
        """The settings a user would have without a search, where the space holds them."""
        values = self.decided({}).model_dump()
        return {name: values[name] for name, part in self.space.parts.items() if values[name] in part}
