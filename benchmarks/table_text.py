"""The rows of text, cold items, little data and language models in the measured tables."""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

from benchmarks.results_file import RESULTS


def read(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def several(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"{pattern}.json"))]


def text_rows() -> list[str]:
    rows = ["", "| language models inside, Amazon Industrial | measured | beside |", "|---|---|---|"]
    ids, text = several("item-text-ids-seed*"), several("item-text-text-seed*")
    if ids and len(ids) == len(text):
        ours, theirs = (mean(each["metrics"]["ndcg@10"] for each in found) for found in (text, ids))
        hits = [mean(each["metrics"]["hit_rate@10"] for each in found) for found in (text, ids)]
        rows.append(
            f"| NDCG@10, text (minilm) beside ids, d 128, {len(ids)} seeds | **{ours:.4f}**, HR@10 {hits[0]:.4f} "
            f"| ids alone {theirs:.4f}, {hits[1]:.4f}: {ours / theirs:.2f} x, {hits[0] / hits[1]:.2f} x |"
        )
    if cold := several("cold-items-seed*"):
        ours, neighbours, by_ids = (
            mean(each[name]["cold targets among all items"] for each in cold)
            for name in ("text", "text_neighbours", "ids")
        )
        warm = [mean(each[name]["warm targets"] for each in cold) for name in ("text", "ids")]
        rows.append(
            f"| NDCG@10 of cold targets among all items, a fifth of the items cold, {len(cold)} draws | **{ours:.4f}** "
            f"| text neighbours {neighbours:.4f}: {ours / neighbours:.2f} x; ids {by_ids:.4f}; "
            f"warm targets {warm[0]:.4f} against {warm[1]:.4f} |"
        )
    if few := read("few-shot-users"):
        at = {row["recommender"]: row for row in few["curves"] if row["users"] == 64}
        figures = ", ".join(f"{way} {row['ndcg@10']:.4f}" for way, row in at.items() if way != "text")
        rows.append(f"| NDCG@10 after 64 training users | **{at['text']['ndcg@10']:.4f}** | {figures} |")
    if other := read("cross-domain-departments"):
        figures = ", ".join(
            f"{name} {other[name]['ndcg@10']:.4f}"
            for name in ("text neighbours", "from scratch on 64 users", "popular")
        )
        low, high = other["zero-shot"]["interval"]
        title = "NDCG@10 in a department never trained on (the catalogue cut in two by its text)"
        rows.append(f"| {title} | **{other['zero-shot']['ndcg@10']:.4f}** (95 % {low:.4f} to {high:.4f}) | {figures} |")
    if ranker := read("language-ranker-answers"):
        report = ranker["report"]
        low, high = report["intervals"]["auc"]
        beside = ", ".join(
            f"{name} {report['beside'][name]['figures']['auc']:.3f}"
            for name in ("language model alone", "sequence model", "item neighbours")
        )
        rows.append(
            "| AUC of the language ranker, the true next item against one drawn by popularity "
            f"| **{report['figures']['auc']:.3f}** (95 % {low:.3f} to {high:.3f}) | {beside} |"
        )
    if steps := read("tuning-steps"):
        lora = steps["lora (3 of 6 layers)"]
        rows.append(
            f"| a step of LoRA, 64 texts of 32 tokens, minilm | **{lora['of_full']:.0%}** of the time of full tuning "
            f"| {lora['share']:.1%} of the parameters |"
        )
    return rows if len(rows) > 3 else []
