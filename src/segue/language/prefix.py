"""Prefix tuning (Li and Liang, ACL 2021): learnt keys and values that every layer's attention finds before the text.

They are handed to the attention itself. ``peft`` goes over a cache of past keys, and that way is not open everywhere:
an encoder such as BERT drops the cache that it is given, the positions of the text move, and activations cannot be
computed twice. Learnt directly, without the paper's network that makes them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from segue.errors import TuningUnsuitable

_STD = 0.02


class Prefix(nn.Module):
    """Keys and values of one layer; stands in for the cache that an attention would put its own into.

    The values begin as zeros and the keys near them, so that at first all texts lose a like, small share of what
    attention adds.

    Args:
        tokens: of the prefix.
        heads, size: of keys and values.
    """

    def __init__(self, tokens: int, heads: int, size: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.empty(heads, tokens, size).normal_(std=_STD))
        self.values = nn.Parameter(torch.zeros(heads, tokens, size))

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """(texts, heads, width, size) keys and values with the prefix before them."""
        batch = len(keys)
        before = [own.to(keys.dtype).expand(batch, -1, -1, -1) for own in (self.keys, self.values)]
        return torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)


def add_prefixes(model: nn.Module, layers: Iterable[nn.Module], tokens: int) -> None:
    """Put a prefix into each layer.

    Raises:
        TuningUnsuitable: the attention of the layers takes no keys and values besides its own.
    """
    settings: Any = model.config
    heads = getattr(settings, "num_key_value_heads", None) or settings.num_attention_heads
    size = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    for layer in layers:
        able = [module for module in layer.modules() if _takes_keys(module)]
        inner = [module for module in able if not any(_takes_keys(below) for below in list(module.modules())[1:])]
        if not inner:
            reason = "its attention takes no keys and values besides its own"
            raise TuningUnsuitable(model=type(model).__name__, mode="prefix", reason=reason)
        attention = inner[0]
        attention.add_module("prefix", Prefix(tokens, heads, size).to(next(attention.parameters()).device))
        attention.register_forward_pre_hook(_prefixed, with_kwargs=True)


def _takes_keys(module: nn.Module) -> bool:
    takes = inspect.signature(module.forward).parameters
    return "past_key_values" in takes and "attention_mask" in takes


def _prefixed(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    # A name for what came by its place alone.
    told = {**dict(zip(inspect.signature(attention.forward).parameters, args, strict=False)), **kwargs}
    prefix: Any = attention.prefix
    told["attention_mask"] = _widened(
        told.get("attention_mask"), told["hidden_states"], attention, prefix.keys.shape[1]
    )
    told["past_key_values"] = prefix
    return (), told


def _widened(mask: Tensor | None, hidden: Tensor, attention: nn.Module, tokens: int) -> Tensor | None:
    """A mask, (texts, 1, width, width), under which every place also sees the prefix."""
    if mask is None:
        if not getattr(attention, "is_causal", False):
            return None  # everything sees everything
        width = hidden.shape[1]
        mask = torch.ones(width, width, dtype=torch.bool, device=hidden.device).tril()[None, None]
    seen = 1 if mask.dtype == torch.bool else 0  # a mask of numbers is added to what attention finds
    return torch.cat([mask.new_full((*mask.shape[:-1], tokens), seen), mask], dim=-1)
