"""The language model under the item tower while it learns with the next-item loss.

In each step it reads the texts of some items of the batch anew, with a gradient; the vectors of all others are as last
read, from the text path's bank (a memory bank, Wu et al., CVPR 2018). What learns belongs to the sequence model, and so
to its optimiser, its running average and its checkpoints; the weights that stay as they are do not, and are in none.
How a language model is opened is ``language.tuning``'s, when it learns ``training.fit``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from segue.language.batching import batches
from segue.language.encoder import TextEncoder, Tokens
from segue.language.models import load_language_model
from segue.language.tuning import tuned
from segue.nn.sequence import SequenceModel
from segue.nn.text_path import TextPath
from segue.training.build import LogShape, text_config
from segue.training.plan import Plan

_TOKENS = 2_048  # padded tokens per batch without a gradient


class TunedWeights(nn.ParameterList):
    """What learns of a language model, by its ``names`` there."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__(parameters.values())
        self.names = tuple(parameters)


class TunedText:
    """A language model that learns, and the texts of a catalogue.

    Args:
        plan: which model, what of it learns, how text is read; initial values follow from its seed.
        texts: of each item by its code, (catalogue + 1).
        steps: optimiser steps there will be.

    Raises:
        LanguageModelUnknown, LanguageModelBroken, TuningUnsuitable.
    """

    def __init__(self, plan: Plan, texts: Sequence[str], steps: int) -> None:
        assert plan.text is not None
        language = load_language_model(plan.text)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.tuning = tuned(language.model, plan.tuning_config, steps)
        self.encoder = TextEncoder(language, text_config(plan))
        self.some = torch.tensor([bool(text.strip()) for text in texts])
        self.rows = self.encoder.tokenise(texts)
        self.text_batch, self.seed = plan.text_batch, plan.seed

    def attach(self, model: SequenceModel) -> None:
        """Hand what learns to a sequence model; its bank is saved with it from now on."""
        model.language = TunedWeights(self.tuning.parameters)
        path = _path(model)
        path.register_buffer("bank", path.get_buffer("bank").clone(), persistent=True)

    def share_bank(self, model: SequenceModel, average: SequenceModel) -> None:
        """One bank for both; what is in it is read by the average, or by the newest weights since then."""
        _path(average).register_buffer("bank", _path(model).get_buffer("bank"), persistent=True)

    def bank(self, model: SequenceModel, items: Tensor, targets: Tensor) -> Tensor:
        """(catalogue + 1, D) comparable vectors, those of some items of the batch with a gradient.

        Where a batch has more than ``text_batch`` items, chance (torch's generator) decides which.
        """
        path = _path(model)
        bank = path.get_buffer("bank")
        if not self.tuning.parameters:
            return bank
        met = torch.unique(torch.cat([items.flatten(), targets.flatten()])).cpu()
        met = met[self.some[met]]
        if len(met) > self.text_batch:
            met = met[torch.randperm(len(met))[: self.text_batch]]
        if not len(met):
            return bank
        codes = met.to(bank.device)
        fresh = path.comparable(self.encoder(self._tokens(met.numpy(), bank.device)).float())
        read = bank.index_copy(0, codes, fresh)
        with torch.no_grad():
            bank.index_copy_(0, codes, fresh)
        return read

    @torch.no_grad()
    def read_again(self, model: SequenceModel) -> None:
        """Bring the whole bank up to date with what a model, or its average, has of the language model."""
        assert isinstance(model.language, TunedWeights)
        if not self.tuning.parameters:
            return
        path = _path(model)
        bank = path.get_buffer("bank")
        weights = {f"backbone.{name}": p for name, p in zip(model.language.names, model.language, strict=True)}
        codes = np.flatnonzero(self.some.numpy())
        for batch in batches([len(self.rows[code]) for code in codes], _TOKENS):
            tokens = self._tokens(codes[batch], bank.device)
            raw = functional_call(self.encoder, weights, (tokens,)).float()
            # As it will be saved: training ends with the very vectors that answer later.
            bank[torch.from_numpy(codes[batch]).to(bank.device)] = path.comparable(raw).half().float()

    def _tokens(self, codes: np.ndarray, device: torch.device) -> Tokens:
        tokens = self.encoder.padded([self.rows[code] for code in codes])
        return Tokens(tokens.ids.to(device), tokens.mask.to(device))


def detached(model: SequenceModel, log: LogShape) -> tuple[dict[str, np.ndarray] | None, LogShape]:
    """What a language model has learnt, by name, taken from a trained model, and the log with the vectors it gives.

    None where no weight of it was trained.
    """
    if not isinstance(model.language, TunedWeights) or log.text is None:
        return None, log
    state = {name: p.detach().cpu().numpy() for name, p in zip(model.language.names, model.language, strict=True)}
    path = _path(model)
    bank = path.get_buffer("bank")
    path.register_buffer("bank", bank, persistent=False)
    model.language = None
    return state or None, replace(log, text=replace(log.text, vectors=bank.cpu().numpy()))


def _path(model: SequenceModel) -> TextPath:
    assert model.tower.text is not None
    return model.tower.text
