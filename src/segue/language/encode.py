"""Vectors of many texts at once, kept on disk by what they were made of.

Texts are sorted by length and cut into batches of about equally many tokens, so that padding is rare.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segue import progress
from segue.language.encoder import TextEncoder

_TOKENS = 2_048  # padded tokens per batch: their activations stay in cache


def encode_texts(encoder: TextEncoder, texts: Sequence[str], show: bool = True) -> np.ndarray:
    """(texts, D) float32; equal texts are encoded once, and an empty text is a row of zeros."""
    distinct = sorted({text for text in texts if text.strip()})
    place = {text: row for row, text in enumerate(distinct)}
    vectors = np.zeros((len(distinct) + 1, encoder.size), dtype=np.float32)
    rows = encoder.tokenise(distinct) if distinct else []
    with torch.inference_mode(), progress.bar("Reading item text", len(rows), show and len(rows) > 500) as advance:
        for batch in batches([len(row) for row in rows], _TOKENS):
            vectors[batch] = encoder(encoder.padded([rows[at] for at in batch])).float().numpy()
            advance(len(batch))
    return vectors[[place.get(text, len(distinct)) for text in texts]]


def batches(lengths: Sequence[int], tokens: int) -> list[np.ndarray]:
    """Row numbers, longest first, in groups of at most ``tokens`` padded positions (or of one row)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    groups, start = [], 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + size])
        start += size
    return groups
