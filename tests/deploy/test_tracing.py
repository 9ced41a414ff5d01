"""What is traced computes what was trained: every encoder, every width, known moments and unknown ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import segue
from segue.data.histories import UNKNOWN_TIME, Histories
from segue.deploy.parts import in_fp32
from segue.nn import time
from segue.nn.encoders import ENCODERS
from tests.deploy.models import split, trained

BLOCKS: list[dict[str, object]] = [
    {"block": "plain"},
    {"blocks": 1, "time": ["calendar"]},
    {"time": [], "behaviour": []},
    {"time": ["relative"], "behaviour": ["values"]},
]


def questions(model: segue.SequenceRecommender) -> list[Histories]:
    """Known people, asked about moments that are known, not known, and inside their history; and bare lists."""
    known = model.histories.take(np.flatnonzero(model.histories.lengths > 0))
    assert known.timestamps is not None
    newest = known.timestamps[known.offsets[1:] - 1]
    some = np.where(np.arange(len(known)) % 3 == 0, UNKNOWN_TIME, newest + 3_600_000_000)
    kinds = np.arange(len(known)) % (len(model.action_names) + 1)
    bare = replace(known, timestamps=None, actions=None, values=None)
    return [known, known.asked(some, kinds), known.take(np.arange(3), last=1), known.take(np.array([5]), last=2), bare]


def same(model: segue.SequenceRecommender) -> None:
    exported = in_fp32(model)
    for histories in questions(model):
        wanted, found = model._plain_scores(histories), exported._plain_scores(histories)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
        assert np.ptp(wanted, axis=1).min() > 1e-3, "scores that are all alike would agree by chance"


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_gives_the_scores_of_the_trained_one(encoder: str) -> None:
    same(trained(encoder))


@pytest.mark.parametrize("settings", BLOCKS, ids=str)
def test_so_it_does_whatever_is_read(settings: dict[str, object]) -> None:
    chosen = {"embedding_size": 8, "blocks": 2, "epochs": 1, "max_length": 8, **settings}
    same(segue.SequenceRecommender(**chosen).fit(split().train, progress=False))


def test_the_model_that_was_exported_is_left_as_it_was() -> None:
    model = trained()
    before = model.weights_sha256()
    in_fp32(model)
    assert model.weights_sha256() == before
    assert not model.model.training


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20))
def test_spans_fall_into_the_same_buckets_whatever_the_logarithm(spans: list[int]) -> None:
    around = torch.tensor([spans, [each.bit_length() for each in spans]]).flatten()
    around = torch.cat([around, *(torch.tensor(time._BEGINS[:-1]) + shift for shift in (-1, 0, 1))]).clamp(min=0)
    assert (time._exact_bucket(around) == time.log_bucket(around)).all()
