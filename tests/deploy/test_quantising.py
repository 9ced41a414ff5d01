"""Smaller numbers: what each way makes smaller, and that it is nearly the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from segue.deploy.quantising import WAYS, quantised
from segue.deploy.tracing import traced
from segue.errors import ExtraMissing
from segue.sessions import Graph


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query_key_value, self.up = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.query_key_value(x))


def model() -> bytes:
    torch.manual_seed(0)
    return traced(Layers(), {"x": torch.randn(2, 3, 64)}, "y", {"x": ("rows", "width")})


def test_each_way_is_larger_and_nearer_than_the_one_before() -> None:
    plain, x = model(), np.random.default_rng(0).normal(size=(2, 4, 64)).astype(np.float32)
    wanted = Graph(plain)(x=x)
    small = [quantised(plain, way) for way in WAYS]
    sizes = [len(each or b"") for each in small]
    assert sizes[0] < sizes[1] <= sizes[2] < len(plain)
    off = [np.abs(Graph(each or b"")(x=x) - wanted).max() for each in small]
    assert 0 < off[1] < off[0] < 0.1 * np.abs(wanted).max()


def test_a_way_that_finds_nothing_says_so() -> None:
    bare = traced(nn.LayerNorm(8), {"input": torch.randn(2, 8)}, "y", {"input": ("rows",)})
    assert quantised(bare) is None


def test_without_onnx_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraMissing, match="onnx"):
        quantised(b"")
