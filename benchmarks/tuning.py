"""Tuning modes of minilm on Amazon Industrial: what a step of each takes, and what each gives.

python -m benchmarks.run --data DIR --only tuning-steps tuning
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

import segue
from benchmarks.results_file import WORK
from segue.evaluation.tuning_modes import compare_tuning
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.text import item_texts
from segue.language.tuning import TuningConfig, tuned

LOG = "industrial_and_scientific"
SETTINGS: dict[str, Any] = {"text": "minilm", "text_max_tokens": 32, "text_batch": 64}
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"mode": "full"},
    "top (2 of 6 layers)": {"mode": "top"},
    "lora (3 of 6 layers)": {"mode": "lora"},
    "lora (6 of 6 layers)": {"mode": "lora", "layers": 6},
    "dora (3 of 6 layers)": {"mode": "dora"},
    "adalora (3 of 6 layers)": {"mode": "adalora"},
    "prefix (3 of 6 layers)": {"mode": "prefix"},
    "adapter (3 of 6 layers)": {"mode": "adapter"},
    "full, activations twice": {"mode": "full", "gradient_checkpointing": True},
}


def split(data: Path) -> segue.Split:
    made = segue.Dataset.from_files(data / LOG / "events.parquet", data / LOG / "items.parquet")
    return segue.split.leave_last_out(made)


def steps(data: Path, repeats: int = 7) -> dict[str, Any]:
    """Forward, backward and AdamW of the language model alone, 64 texts of at most 32 tokens.

    Seconds of the processor and not of the clock, so that other work on the machine counts for little.
    """
    train = split(data).train
    texts = [text for text in item_texts(train.items, train.item_vocabulary) if text]
    found: dict[str, Any] = {"texts": 64, "tokens": 32, "threads": torch.get_num_threads()}
    for name, settings in VARIANTS.items():
        language = load_language_model("minilm")
        tuning = tuned(language.model.train(), TuningConfig(**settings), steps=100)
        encoder = TextEncoder(language, TextConfig(max_tokens=32))
        optimizer = torch.optim.AdamW(tuning.parameters.values(), lr=1e-5, fused=True)
        rows, spent = encoder.tokenise(texts), []
        for at in range(repeats):
            tokens = encoder.padded(rows[64 * at : 64 * (at + 1)])
            began = time.process_time()
            optimizer.zero_grad()
            encoder(tokens).square().mean().backward()
            optimizer.step()
            spent.append(time.process_time() - began)
        found[name] = {
            "trainable": tuning.trainable,
            "share": round(tuning.share, 5),
            "cpu_seconds": round(statistics.median(spent[1:]), 4),
        }
        found[name]["of_full"] = round(found[name]["cpu_seconds"] / found["full"]["cpu_seconds"], 3)
        print(name, found[name], flush=True)
    return found


def modes(data: Path, names: tuple[str, ...] = ("lora", "full"), epochs: int = 3) -> dict[str, Any]:
    """``segue compare-tuning`` on Amazon Industrial; finished modes survive an interruption."""
    table: pl.DataFrame = compare_tuning(
        split(data), {**SETTINGS, "tuning_epochs": epochs}, names, checkpoint=WORK / "tuning", progress=False, threads=1
    )
    return {"log": LOG, "settings": SETTINGS, "epochs": epochs, "modes": table.to_dicts()}


PARTS = {
    "tuning-steps": steps,
    "tuning": modes,
    "tuning-others": partial(modes, names=("top", "prefix", "adapter")),
}
