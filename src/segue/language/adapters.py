"""Bottleneck adapters (Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", ICML 2019).

A small network with a waist, added to what attention and feed-forward put out before each is joined to its residual;
it begins as the identity. The norms of the layers learn with it, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from segue.errors import TuningUnsuitable


class Adapter(nn.Module):
    """(..., size) to what is added to it, (..., size): zeros at the start.

    Args:
        size: of the hidden vectors.
        width: of the waist.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(size, width), nn.Linear(width, size)
        nn.init.normal_(self.down.weight, std=size**-0.5)
        for zeros in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zeros)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to ``x``."""
        added: Tensor = self.up(F.gelu(self.down(x)))
        return added


def add_adapters(model: nn.Module, layers: Iterable[nn.Module], width: int) -> None:
    """Put two adapters into each layer, and open its norms.

    The places are found by shape, so that any transformer will do: of the matrices that put out hidden vectors, the
    last of a layer is the feed-forward's and the one before it is the attention's.

    Raises:
        TuningUnsuitable: a layer has no two such matrices.
    """
    settings: Any = model.config
    for layer in layers:
        places = [module for module in layer.modules() if _puts_out(module) == settings.hidden_size]
        if len(places) < 2:
            reason = "its layers have no two matrices that put out hidden vectors"
            raise TuningUnsuitable(model=type(model).__name__, mode="adapter", reason=reason)
        for norm in layer.modules():
            if "Norm" in type(norm).__name__:
                norm.requires_grad_(True)
        for place in places[-2:]:
            weight: Tensor = place.weight  # type: ignore[assignment]
            place.add_module("adapter", Adapter(settings.hidden_size, width).to(weight.device))
            place.register_forward_hook(_adapted)


def _adapted(place: nn.Module, _: Any, out: Tensor) -> Tensor:
    # Asks the module for its adapter, so that a copy of the model uses its own.
    added: Tensor = place.adapter(out)  # type: ignore[operator]
    return out + added


def _puts_out(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    return int(module.nf) if type(module).__name__ == "Conv1D" else 0  # type: ignore[arg-type]
