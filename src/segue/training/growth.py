"""A trained model for a longer catalogue: new items have no vector of their own, they speak by text and attributes.

Weights stay what they are, so that every answer about known items does too. Which items are new is decided by
``recommenders.growing``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from segue.nn.sequence import SequenceModel
from segue.nn.text_path import TextVectors
from segue.training.build import LogShape, build_model
from segue.training.plan import Plan


def grown_text(text: TextVectors, codes: np.ndarray, raw: np.ndarray, catalogue: int) -> TextVectors:
    """The vectors of a longer catalogue, by the transformation learnt on the first one.

    Args:
        text: of the items so far.
        codes: (n,) of the items to place.
        raw: (n, D) what the language model says of them; rows of zeros where there is no text.
        catalogue: number of items.
    """
    vectors = np.zeros((catalogue + 1, text.vectors.shape[1]), dtype=np.float32)
    vectors[: len(text.vectors)] = text.vectors
    vectors[codes] = text.with_items(raw).vectors
    return replace(text, vectors=vectors)


def grown_model(model: SequenceModel, plan: Plan, log: LogShape) -> SequenceModel:
    """The same weights over the catalogue of ``log``, which goes on where the model's ends."""
    weights = dict(model.state_dict())
    for name in ("tower.ids.weight", "tower.known"):
        rows = weights[name]
        weights[name] = torch.cat([rows, rows.new_zeros(log.catalogue + 1 - len(rows), *rows.shape[1:])])
    made = build_model(plan, replace(log, known=None))
    made.load_state_dict(weights)
    return made.eval()
