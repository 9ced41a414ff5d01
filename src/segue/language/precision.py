"""Smaller numbers for a language model that is read and not trained: bf16, and eight-bit products.

In int8 each linear map of a block multiplies whole numbers: weights are rounded with one scale per output, activations
with one scale and one offset per token, so that a vector does not depend on its batch. Before, the mean of each input
is moved into the bias and its width is shared between activations and weights (SmoothQuant, Xiao et al., ICML 2023,
arXiv:2211.10438), both measured on random tokens, so that the same model always gives the same numbers. What suffers
most and costs little, the values of attention, stays in fp32; so do embeddings, norms and attention itself.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from segue.data.jit import kernel

Precision = Literal["fp32", "bf16", "int8"]

_SENSITIVE = ("value", "v_proj", "v_lin")  # names of the values of attention
_SHARE = 0.5  # of an input's width that is moved into the weights
_ROWS, _WIDTH = 64, 16  # random tokens that activations are measured on
_TINY = 1e-5
_CUTS = (1.0, 0.97, 0.94, 0.9, 0.86, 0.82)  # the largest weights of an output may be cut to these shares


def lowered(backbone: nn.Module, precision: Precision) -> nn.Module:
    """A copy in smaller numbers, on the same device; the model itself where they are fp32.

    int8 is for processors; it is not differentiable. Linear maps outside the blocks stay as they are.
    """
    if precision == "fp32":
        return backbone
    twin = copy.deepcopy(backbone).eval().requires_grad_(False)
    if precision == "bf16":
        return twin.to(torch.bfloat16)
    for name, (mean, width) in _measured(twin).items():
        parent, _, own = name.rpartition(".")
        setattr(twin.get_submodule(parent), own, Int8Linear(twin.get_submodule(name), mean, width))
    return twin


class Int8Linear(nn.Module):
    """A linear map that multiplies in int8 and adds in int32.

    Args:
        linear: the map, (D in, D out).
        mean: (D in,) of its inputs.
        width: (D in,) the largest distance of an input from its mean.
    """

    weight: Tensor

    def __init__(self, linear: Any, mean: Tensor, width: Tensor) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()
        reach = weight.abs().amax(0).clamp_min(_TINY)
        smooth = width.clamp_min(_TINY) ** _SHARE / reach ** (1 - _SHARE)
        scaled = weight * smooth
        scale, whole = _nearest(scaled)
        self.register_buffer("weight", whole.to(torch.int8).t())
        self._in = (1 / smooth).numpy(), (mean / smooth).numpy()
        self._out = scale.numpy(), (whole.sum(1) * scale).numpy(), (bias + weight @ mean).numpy()

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D in) float32 to (..., D out) float32."""
        rows = hidden.detach().reshape(-1, hidden.shape[-1])
        whole = np.empty(rows.shape, dtype=np.int8)
        steps = np.empty((len(rows), 2), dtype=np.float32)
        _to_whole(rows.numpy(), *self._in, whole, steps)
        product = torch._int_mm(torch.from_numpy(whole), self.get_buffer("weight"))
        found = torch.empty(product.shape, dtype=torch.float32)
        _from_whole(product.numpy(), steps, *self._out, found.numpy())
        return found.view(*hidden.shape[:-1], -1)


def _nearest(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The scale of each output, of some around the largest weight's, whose whole numbers are nearest in squares."""
    most = weight.abs().amax(1, keepdim=True).clamp_min(_TINY * _TINY) / 127
    tried = [most * cut for cut in _CUTS]
    whole = [(weight / scale).round().clamp(-127, 127) for scale in tried]
    apart = torch.stack([(each * scale - weight).square().sum(1) for each, scale in zip(whole, tried, strict=True)])
    best, rows = apart.argmin(0), torch.arange(len(weight))
    return torch.stack(tried)[best, rows, 0], torch.stack(whole)[best, rows]


def _measured(backbone: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and width of the inputs of each linear map of the blocks, on random tokens."""
    blocks = next((name for name, part in backbone.named_modules() if isinstance(part, nn.ModuleList)), None)
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        part.register_forward_hook(lambda _, inputs, __, name=name: seen.setdefault(name, []).append(inputs[0]))
        for name, part in backbone.named_modules()
        if type(part) is nn.Linear
        and blocks is not None
        and name.startswith(f"{blocks}.")
        and name.rpartition(".")[2] not in _SENSITIVE
    ]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, backbone.get_input_embeddings().num_embeddings, (_ROWS, _WIDTH), generator=generator)
    try:
        with torch.no_grad():
            backbone(input_ids=ids)
    finally:
        for hook in hooks:
            hook.remove()
    rows = {name: torch.cat(parts).flatten(0, -2).float() for name, parts in seen.items()}
    return {name: (each.mean(0), (each - each.mean(0)).abs().amax(0)) for name, each in rows.items()}


@kernel(fastmath=True, error_model="numpy")
def _to_whole(
    rows: np.ndarray, factor: np.ndarray, mean: np.ndarray, whole: np.ndarray, steps: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Round each row to int8; ``steps`` takes its scale and its offset."""
    size = rows.shape[1]
    moved = np.empty(size, dtype=np.float32)
    for row in range(rows.shape[0]):
        low = high = rows[row, 0] * factor[0] - mean[0]
        for at in range(size):
            value = rows[row, at] * factor[at] - mean[at]
            moved[at] = value
            low, high = min(low, value), max(high, value)
        offset = np.float32(0.5) * (low + high)
        scale = max((high - low) / np.float32(254), np.float32(1e-12))
        inverse = np.float32(1) / scale
        steps[row, 0], steps[row, 1] = scale, offset
        for at in range(size):
            whole[row, at] = np.int8(np.rint((moved[at] - offset) * inverse))


@kernel(fastmath=True, error_model="numpy")
def _from_whole(
    product: np.ndarray, steps: np.ndarray, scale: np.ndarray, total: np.ndarray, bias: np.ndarray, found: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Undo both scales, and add what the offset and the bias stand for."""
    for row in range(product.shape[0]):
        step, offset = steps[row, 0], steps[row, 1]
        for at in range(product.shape[1]):
            found[row, at] = np.float32(product[row, at]) * (step * scale[at]) + offset * total[at] + bias[at]
