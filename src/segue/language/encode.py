"""Vectors of many texts at once, as fast as the processor allows, and only of those that were not read before.

Texts are sorted by length and cut into batches of about equally many tokens, so that padding is rare; each core reads
batches of its own, which keeps a batch in its cache and lets no core wait for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from segue import progress
from segue.errors import EncodingMemory, LanguageModelBroken
from segue.language import vectors as disk
from segue.language.batching import batches
from segue.language.encoder import TextEncoder, Tokens
from segue.language.models import is_out_of_memory

_TOKENS = 512  # padded tokens per batch of a core: their activations stay in its cache
_TOKENS_GPU = 16_384
_PORTION = 16_384  # texts that are kept on disk at once: what a run that is stopped loses
_WORTH_A_BAR = 500


def encode_texts(encoder: TextEncoder, texts: Sequence[str], show: bool = True, *, cache: bool = True) -> np.ndarray:
    """(texts, D) float32; equal texts are encoded once, and an empty text is a row of zeros.

    Args:
        encoder: of any device; it is read without dropout and left as it was.
        texts: as ``item_texts`` gives them.
        show: a progress bar.
        cache: read and keep vectors on disk; never done for a model with adapters.

    Raises:
        EncodingMemory: not even one text fits into memory; batches that do not fit are halved before.
        LanguageModelBroken: the model gives no numbers.

    Warns:
        VectorsNotKept: the disk does not take them.
    """
    distinct = sorted({text for text in texts if text.strip()})
    found = np.zeros((len(distinct) + 1, encoder.size), dtype=np.float32)
    if distinct:
        _fill(encoder, encoder.tokenise(distinct), found, show, cache and not hasattr(encoder.backbone, "peft_config"))
    place = {text: row for row, text in enumerate(distinct)}
    return found[[place.get(text, len(distinct)) for text in texts]]


def _fill(encoder: TextEncoder, rows: list[np.ndarray], found: np.ndarray, show: bool, cache: bool) -> None:
    """Write the vector of each row of tokens into the same row of ``found``."""
    missing = np.arange(len(rows))
    if cache:
        folder = disk.folder_of(encoder.backbone, encoder.pooling, encoder.precision)
        keys = [disk.key_of(row) for row in rows]
        missing = np.flatnonzero(~disk.recall(folder, keys, found))
    if not len(missing):
        return
    trained = encoder.training
    quick = encoder.eval().quick()
    try:
        with progress.bar("Reading item text", len(missing), show and len(missing) > _WORTH_A_BAR) as advance:
            for start in range(0, len(missing), _PORTION):
                portion = missing[start : start + _PORTION]
                _read(quick, rows, portion, found, advance)
                if cache:
                    disk.keep(folder, [keys[row] for row in portion], found[portion])
    finally:
        encoder.train(trained)


def _read(
    encoder: TextEncoder, rows: list[np.ndarray], portion: np.ndarray, found: np.ndarray, advance: progress.Advance
) -> None:
    on_cpu = next(encoder.parameters()).device.type == "cpu"
    cut = batches([len(rows[row]) for row in portion], _TOKENS if on_cpu else _TOKENS_GPU)
    groups = [portion[batch] for batch in cut]
    with _workers(len(groups) if on_cpu else 1) as read_all:
        for group, vectors in zip(
            groups, read_all(lambda group: _vectors(encoder, [rows[row] for row in group]), groups), strict=True
        ):
            if not np.isfinite(vectors).all():
                raise LanguageModelBroken(name=encoder.name, reason="it gives vectors that are not numbers")
            found[group] = vectors
            advance(len(group))


def _vectors(encoder: TextEncoder, rows: list[np.ndarray]) -> np.ndarray:
    """(rows, D) of one batch; in halves where it does not fit into memory."""
    try:
        tokens = encoder.padded(rows)
        device = next(encoder.parameters()).device
        with torch.inference_mode():
            found: np.ndarray = encoder(Tokens(tokens.ids.to(device), tokens.mask.to(device))).float().cpu().numpy()
            return found
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(rows) == 1:
            width = len(rows[0])
            raise EncodingMemory(tokens=width, half=max(2, width // 2)) from None
    middle = len(rows) // 2
    return np.concatenate([_vectors(encoder, rows[:middle]), _vectors(encoder, rows[middle:])])


ReadAll = Callable[[Callable[[np.ndarray], np.ndarray], list[np.ndarray]], Iterator[np.ndarray]]


@contextmanager
def _workers(most: int) -> Iterator[ReadAll]:
    """A ``map`` over as many threads as torch has been given, each with one core; torch is left as it was."""
    before = torch.get_num_threads()
    count = min(before, most)
    if count <= 1:
        yield lambda function, groups: map(function, groups)
        return
    torch.set_num_threads(max(1, before // count))  # threads take it over when they first compute
    try:
        with ThreadPoolExecutor(count, "segue-encode") as pool:
            yield pool.map
    finally:
        torch.set_num_threads(before)
