"""Tuning a pretrained language model by one switch: which of its weights learn, and what of it is worth keeping.

Any backbone of ``transformers`` is changed in place, whatever it is then trained for; training itself is left to the
caller, as are texts and items. The modes:

- ``frozen``: nothing learns.
- ``top``: the uppermost layers.
- ``lora``, ``dora``, ``adalora``: products of two thin matrices added to all matrices of a layer (Hu et al., 2022), the
  length of its columns learnt apart (Liu et al., 2024), or ranks given to where they tell most (Zhang et al., 2023);
  by ``peft``.
- ``prefix``: keys and values before each text (Li and Liang, 2021); see ``prefix``.
- ``adapter``: bottlenecks after attention and feed-forward (Houlsby et al., 2019); see ``adapters``.
- ``full``: everything.

Dropout is turned off: vectors of one text have to agree from step to step where others are kept for later.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from segue.config import Config
from segue.errors import ExtraMissing, TuningUnsuitable
from segue.language.adapters import add_adapters
from segue.language.prefix import add_prefixes

Mode = Literal["frozen", "top", "lora", "dora", "adalora", "prefix", "adapter", "full"]
MODES: tuple[Mode, ...] = get_args(Mode)
_RANKS = {"prefix": 16, "adapter": 32}
_LORA_RANK = 8
_ORTHOGONAL = 0.1  # weight of AdaLoRA's regularisation, as in the paper


class TuningConfig(Config):
    """Which weights of a language model learn."""

    mode: Mode = "frozen"
    """frozen, top, lora, dora, adalora, prefix, adapter or full."""
    layers: Annotated[int, Field(ge=1)] | None = None
    """How many of the uppermost layers are tuned; full tunes all. None: a third for top, else half."""
    rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of LoRA and its kin, tokens of a prefix, width of an adapter. None: 8, 16 and 32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""


class Tuning:
    """A language model that is being tuned.

    Attributes:
        model: the backbone, changed in place.
        parameters: what learns, by its name in the model.
        total: parameters of the model before anything was added.
        first: the lowest layer that is changed; what lies below gives the same as ever. 0 where all of it may change.
    """

    def __init__(self, model: nn.Module, total: int, first: int, tuner: Any = None) -> None:
        self.model, self.total, self.first, self._tuner = model, total, first, tuner
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}

    @property
    def trainable(self) -> int:
        """How many parameters learn."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @property
    def share(self) -> float:
        """Of the model's parameters."""
        return self.trainable / self.total

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what learns, and of nothing else."""
        return {name: parameter.detach().cpu().numpy().copy() for name, parameter in self.parameters.items()}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Put what :meth:`state` gave back in its place; raises ``ValueError`` for another model or mode."""
        if set(state) != set(self.parameters):
            odd = sorted(set(state) ^ set(self.parameters))[0]
            raise ValueError(f"what was tuned does not fit this model and mode: {odd}")
        for name, parameter in self.parameters.items():
            if parameter.shape != state[name].shape:
                raise ValueError(f"what was tuned does not fit this model and mode: {name}")
            parameter.data.copy_(torch.from_numpy(np.array(state[name])))

    def penalty(self) -> Tensor | float:
        """To be added to the loss: how far AdaLoRA's matrices are from orthogonal ones; 0 for the other modes."""
        if self._tuner is None:
            return 0.0
        off = []
        for name, p in self.parameters.items():
            if "lora_A" in name or "lora_B" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                off.append((product - torch.eye(len(product), device=p.device)).norm())
        return _ORTHOGONAL * torch.stack(off).mean()

    def stepped(self, step: int) -> None:
        """To be called after each optimiser step (from 1), before gradients are cleared: AdaLoRA moves its ranks."""
        if self._tuner is not None:
            self._tuner.update_and_allocate(step)


def tuned(model: nn.Module, config: TuningConfig, steps: int = 0, besides: Sequence[str] = ()) -> Tuning:
    """Freeze a backbone and open, or add, what a mode tunes. All modes begin where the pretrained model is, but
    ``prefix``, which begins near it.

    Args:
        model: of ``transformers``, with or without a head; changed in place. Initial values of what is added come from
            torch's generator.
        config: the mode.
        steps: optimiser steps there will be; AdaLoRA has to know.
        besides: names of modules that learn in every mode, such as ``"classifier"``.

    Raises:
        TuningUnsuitable: this mode cannot be had of this model.
        ExtraMissing: ``peft`` is not installed.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    model.requires_grad_(False)
    _settle(model, config)
    layers = layers_of(model)
    count = _layer_count(config, len(layers))
    first, chosen = len(layers) - count, layers[len(layers) - count :]
    rank = _RANKS.get(config.mode, _LORA_RANK) if config.rank is None else config.rank
    tuner = None
    if config.mode == "top":
        for layer in chosen:
            layer.requires_grad_(True)
    elif config.mode in ("lora", "dora", "adalora"):
        tuner = _with_lora(
            model, config.mode, [f"{_path(model, layers)}.{n}" for n in range(first, len(layers))], rank, steps
        )
    elif config.mode == "prefix":
        add_prefixes(model, chosen, rank)
    elif config.mode == "adapter":
        add_adapters(model, chosen, rank)
    elif config.mode == "full":
        model.requires_grad_(True)
        first = 0
    for name in besides:
        model.get_submodule(name).requires_grad_(True)
    return Tuning(model, total, first, tuner)


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The stack of equal layers that a transformer is: the longest list of modules of one class.

    Raises:
        TuningUnsuitable: there is none.
    """
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len({type(each) for each in m}) == 1]
    if not stacks or getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise TuningUnsuitable(model=type(model).__name__, mode="any mode", reason="it is no single stack of layers")
    return max(stacks, key=len)


def _path(model: nn.Module, layers: nn.ModuleList) -> str:
    return str(next(name for name, module in model.named_modules() if module is layers))


def _layer_count(config: TuningConfig, there: int) -> int:
    if config.mode in ("frozen", "full"):
        return there if config.mode == "full" else 0
    if config.layers is None:
        return max(1, there // 3 if config.mode == "top" else there // 2)
    return min(config.layers, there)


def _settle(model: nn.Module, config: TuningConfig) -> None:
    """Without dropout, and without a cache of keys and values that only generation needs."""
    settings: Any = getattr(model, "config", None)
    if settings is not None:
        settings.use_cache = False
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]
    if config.gradient_checkpointing:
        if not getattr(model, "supports_gradient_checkpointing", False):
            reason = "it cannot compute its activations twice"
            raise TuningUnsuitable(model=type(model).__name__, mode="gradient_checkpointing", reason=reason)
        backbone: Any = model
        if hasattr(model, "activation_checkpointing_enable"):  # its name from transformers 5.20 on
            backbone.activation_checkpointing_enable()
        else:
            backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        # It asks for gradients down to the embeddings; those below what learns would be for nothing.
        backbone.disable_input_require_grads()


def _with_lora(model: nn.Module, mode: str, layers: Sequence[str], rank: int, steps: int) -> Any:
    """Add LoRA to every matrix of the layers; returns peft's tuner where it has something to do in each step."""
    try:
        import peft
    except ImportError:
        raise ExtraMissing(what=f"tuning={mode!r}", package="peft", extra="language") from None
    targets = [name for name in _matrices(model) if name.startswith(tuple(f"{layer}." for layer in layers))]
    common: dict[str, Any] = {"target_modules": targets, "lora_alpha": 2 * rank, "lora_dropout": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mode != "adalora":
            peft.inject_adapter_in_model(peft.LoraConfig(r=rank, use_dora=mode == "dora", **common), model)
            return None
        begin, end = max(1, steps // 10), max(1, steps // 3)  # as many ranks as at first, and at last no more changes
        config = peft.AdaLoraConfig(
            target_r=rank,
            init_r=rank + rank // 2,
            tinit=begin,
            tfinal=end,
            total_step=max(steps, begin + end + 1),
            **common,
        )
        tuner: Any = peft.AdaLoraModel
        return tuner(model, config, "default")


def _matrices(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            yield name
