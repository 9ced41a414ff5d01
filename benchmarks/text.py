"""Item text to vectors: seconds for the titles and genres of MovieLens 1M, beside sentence-transformers.

Every figure is the least of five repeats, since others may use the machine; the load at the time is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import segue
from benchmarks.results_file import WORK

PEER = Path(__file__).parent / "peers" / "sentence_transformers_titles.py"
REPEATS = 5


def encoding(peers_python: str | None) -> dict[str, Any]:
    """fp32, bf16 and int8 with their neighbours' overlap, the cache, and the peer."""
    import torch

    from segue.datasets.fetch import fetch
    from segue.language.encode import encode_texts
    from segue.language.encoder import TextConfig, TextEncoder
    from segue.language.models import load_language_model
    from segue.language.text import item_texts

    folder = fetch("minilm")
    data = segue.datasets.movielens_1m()
    texts = item_texts(data.items, data.item_vocabulary)[1:]
    language = load_language_model("minilm")
    lengths = [len(row) for row in TextEncoder(language, TextConfig()).tokenise(texts)]
    found: dict[str, Any] = {"texts": len(texts), "tokens": sum(lengths), "threads": torch.get_num_threads()}
    found["load_before"] = os.getloadavg()[0]
    encoders = {name: TextEncoder(language, TextConfig(precision=name)) for name in ("fp32", "bf16", "int8")}
    vectors = {name: encode_texts(encoder, texts, False, cache=False) for name, encoder in encoders.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    for _ in range(REPEATS):
        for name, encoder in encoders.items():
            began, used = time.perf_counter(), time.process_time()
            encode_texts(encoder, texts, False, cache=False)
            times[name].append((time.perf_counter() - began, time.process_time() - used))
    for name, each in times.items():
        found[name] = {
            "seconds": min(seconds for seconds, _ in each),
            "every": [seconds for seconds, _ in each],
            "core_seconds": min(used for _, used in each),
            "top10_overlap": overlap(vectors["fp32"], vectors[name]),
        }
    found["cached_seconds"] = _cached(encoders["fp32"], texts)
    if peers_python is not None:
        WORK.mkdir(exist_ok=True)
        file, out = WORK / "texts.json", WORK / "texts.npy"
        file.write_text(json.dumps(texts), encoding="utf-8")
        output = subprocess.run(
            [peers_python, str(PEER), str(file), str(folder), str(REPEATS), str(out)],
            capture_output=True,
            text=True,
            check=True,
        )
        peer = json.loads(output.stdout.splitlines()[-1])
        found["sentence_transformers"] = peer | {"top10_overlap": overlap(vectors["fp32"], np.load(out))}
    return found | {"load_after": os.getloadavg()[0]}


def _cached(encoder: Any, texts: list[str]) -> float:
    """Seconds when every vector is on disk."""
    from segue.language.encode import encode_texts

    before = os.environ.get("SEGUE_CACHE")
    with tempfile.TemporaryDirectory() as place:
        os.environ["SEGUE_CACHE"] = place
        try:
            encode_texts(encoder, texts, False)
            times = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                encode_texts(encoder, texts, False)
                times.append(time.perf_counter() - began)
        finally:
            os.environ.pop("SEGUE_CACHE") if before is None else os.environ.update(SEGUE_CACHE=before)
    return min(times)


def rows(found: dict[str, Any]) -> list[str]:
    """The table of docs/language.md."""
    peer = found.get("sentence_transformers")
    named = {"Segue, fp32": found["fp32"], "Segue, bf16": found["bf16"], "Segue, int8": found["int8"]}
    if peer:
        named[f"sentence-transformers {peer['version']}"] = peer
    lines = [
        f"| {found['texts']:,} titles with genres ({found['tokens']:,} tokens), minilm, {found['threads']} cores | seconds | core seconds | top-10 neighbours kept |",
        "|---|---|---|---|",
    ]
    for name, each in named.items():
        lines.append(f"| {name} | {each['seconds']:.1f} | {each['core_seconds']:.1f} | {each['top10_overlap']:.3f} |")
    lines.append(f"| all of it on disk | {found['cached_seconds']:.2f} | | 1.000 |")
    busy = max(found["load_before"], found["load_after"])
    return [*lines, "", f"The least of {REPEATS} runs; at most {busy:.0f} processes shared the cores meanwhile."]


def overlap(exact: np.ndarray, other: np.ndarray, k: int = 10) -> float:
    """The share of each text's nearest ``k`` by cosine that both agree on."""
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(_nearest(exact, k), _nearest(other, k), strict=True)])
    )


def _nearest(vectors: np.ndarray, k: int) -> np.ndarray:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argpartition(-likeness, k, axis=1)[:, :k]
