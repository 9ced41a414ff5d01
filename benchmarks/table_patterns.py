"""The rows of habits, what recommends by them, and blends in the measured tables."""

from __future__ import annotations

from typing import Any

from benchmarks.table_text import read

MINED = {
    "ml-100k": "MovieLens 100K, 10 % of the users",
    "beauty": "Amazon Beauty, 0.1 %",
    "generated-200000": "200,000 generated histories, 0.5 %",
    "generated-2000": "2,000 generated histories, 5 %, up to 3 long",
    "generated-2000-span": "the same, within 10 events",
}
LOGS = {"ml-100k": "MovieLens 100K", "beauty": "Amazon Beauty", "sports_and_outdoors": "Amazon Sports"}


def pattern_rows() -> list[str]:
    rows = ["", "| habits | measured | beside |", "|---|---|---|"]
    for name, title in MINED.items():
        if found := read(f"mining-{name}"):
            peers = ", ".join(f"{peer} {times(each)}" for peer, each in found["peers"].items())
            figure = f"**{found['seconds']:.2f} s** for {found['patterns']:,} patterns"
            rows.append(f"| sequential patterns, {title} | {figure} | {peers} |")
    if found := read("mining-memory"):
        peak = f"peak {found['peak_mb']:,.0f} MB, {found['before_mb']:,.0f} MB before"
        rows.append(f"| memory, 200,000 histories, 0.1 %, {found['patterns']:,} patterns | {peak} | |")
    if found := read("mining-scaling"):
        rows.append(f"| ten times the events at the same share | **{found['times']:.1f} x** the time | |")
    if found := read("rules"):
        for key, each in found.items():
            if key.startswith("min_support_"):
                title = f"association rules, {found['baskets']:,} baskets, {float(key.rpartition('_')[2]):.1%}"
                beside = f"mlxtend {each['times_mlxtend']:.0f} x the time, same rules: {words(each['same_rules'])}"
                rows.append(f"| {title} | **{each['seconds']:.1f} s** for {each['rules']:,} rules | {beside} |")
    if found := read("pattern-recommender"):
        for log, title in LOGS.items():
            own = found[log]["PatternRecommender"]
            low, high = own["interval"]
            others = ", ".join(f"{name} {found[log][name]['ndcg@10']:.4f}" for name in ("FirstOrder", "ItemNeighbours"))
            figure = f"**{own['ndcg@10']:.4f}** (95 % {low:.4f} to {high:.4f})"
            rows.append(f"| NDCG@10 of `PatternRecommender`, {title} | {figure} | {others} |")
    for log, title in LOGS.items():
        if found := read(f"hybrid-{log}"):
            name, blend = "logistic", found["blends"]["logistic"]  # the default
            others = ", ".join(
                f"{other} {each['ndcg@10']:.4f}" for other, each in found["blends"].items() if other != name
            )
            single = found["singles"][found["best_single"]]["ndcg@10"]
            figure = (
                f"**{blend['ndcg@10']:.4f}** ({name}), {blend['times_the_best_single']:.2f} x {found['best_single']}"
            )
            rows.append(f"| NDCG@10 of `Hybrid`, {title} | {figure} {single:.4f}, p {blend['p']:.4f} | {others} |")
    for name in ("prior", "interests", "candidates", "evidence"):
        for log in ("ml-100k", "industrial_and_scientific"):
            if found := read(f"pattern-route-{name}-{log}"):
                without, with_ = (found[kind]["ndcg@10"] for kind in ("without", "with"))
                low, high = found["difference"]["interval"]
                title = f"habits into the models: {name}, {log}"
                rows.append(f"| {title} | NDCG@10 {with_:.4f} | without {without:.4f} ({low:+.4f} to {high:+.4f}) |")
    return rows if len(rows) > 3 else []


def times(each: dict[str, Any]) -> str:
    if "failed" in each:
        return "failed"
    if isinstance(each["times"], str):
        return f"{each['times']} x the time"
    return f"{each['times']:.0f} x the time" + ("" if each["same"] else ", other patterns")


def words(same: bool) -> str:
    return "yes" if same else "no"
