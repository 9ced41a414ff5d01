"""Writes the measured tables into README.md, docs/benchmarks.md and docs/training.md from the files in ``results/``.

python -m benchmarks.table
"""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import by_time, long, text, toolkit
from benchmarks.results_file import RESULTS
from benchmarks.table_patterns import pattern_rows
from benchmarks.table_service import service_rows
from benchmarks.table_text import text_rows
from segue.nn.encoders import ENCODERS

ROOT = Path(__file__).parent.parent
LOGS = {
    "ml-100k": "MovieLens 100K",
    "ml-1m": "MovieLens 1M, d 128",
    "beauty": "Amazon Beauty",
    "sports_and_outdoors": "Amazon Sports",
}
VARIANTS = {"": "", "-search": "", "-ids": ", ids alone"}
_WITHOUT_TIME = "without the request's time, not refitted"
_AMAZON = "published, not refitted"
# By log and by whether a request says when it is made; NDCG@10 / HR@10 with what the anchor's own run was given.
ANCHORS = {
    ("ml-100k", True): "none that is given the time",
    ("ml-100k", False): f"RecTools SASRec 0.0763 NDCG@10, {_WITHOUT_TIME}",
    ("ml-1m", True): "published, with time, trained on the validation event: HSTU-large 0.2164 / 0.3642, "
    "RecTools HSTU 0.1879 / 0.3227",
    ("ml-1m", False): f"published, {_WITHOUT_TIME}: WEARec 0.1904 / 0.3334, eSASRec 0.1772 / 0.3133",
    ("beauty", False): f"{_AMAZON}: WEARec 0.0614 / 0.1041, BSARec 0.0609 / 0.1004, TV-Rec 0.0608 / 0.1017",
    (
        "sports_and_outdoors",
        False,
    ): f"{_AMAZON}: WEARec 0.0367 / 0.0631, TV-Rec 0.0363 / 0.0635, BSARec 0.0342 / 0.0596",
}
START, END = "<!-- figures -->", "<!-- end of figures -->"


def read(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def quality_rows() -> list[str]:
    """A row per log, variant and protocol: ranges over seeds and intervals over users have a column each."""
    rows = [
        "| leave-last-out, full ranking | request's time | refitted on validation | NDCG@10 | seeds, lowest to highest "
        "| 95 % over users, seed 0 | HR@10 | best baseline here | anchor, NDCG@10 / HR@10 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (log, title), (variant, words) in product(LOGS.items(), VARIANTS.items()):
        seeds = [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"quality-{log}{variant}-seed*.json"))]
        if not seeds:
            continue
        rows.append(_quality_row(log, title + words, seeds, [each["metrics"] for each in seeds]))
        if all(each.get("moment_not_told") and each["plan"].get("time") for each in seeds):
            rows.append(_quality_row(log, title + words, seeds, [each["moment_not_told"] for each in seeds]))
    return rows


def _quality_row(log: str, title: str, seeds: list[dict[str, Any]], figures: list[dict[str, float]]) -> str:
    has_time = bool(seeds[0]["plan"].get("time"))
    with_time = has_time and figures[0] is seeds[0]["metrics"]
    refitted = seeds[0]["plan"]["refit"]
    ndcg = [each.get("ndcg@10", each.get("ndcg", 0.0)) for each in figures]
    hits = mean(each.get("hit_rate@10", each.get("hit_rate", 0.0)) for each in figures)
    spread = f"{min(ndcg):.4f} to {max(ndcg):.4f}, {len(ndcg)} seeds" if len(ndcg) > 1 else "1 seed"
    interval = "{:.4f} to {:.4f}".format(*seeds[0]["interval"]) if figures[0] is seeds[0]["metrics"] else ""
    time = ("given" if with_time else "not given") if has_time else "the log has an order alone"
    cells = (title, time, "yes" if refitted else "no", f"**{mean(ndcg):.4f}**", spread, interval, f"{hits:.4f}")
    return f"| {' | '.join(cells)} | {best_baseline(log)} | {ANCHORS[log, with_time]} |"


def best_baseline(log: str) -> str:
    found = read(f"baselines-{log}") or {}
    figures = {
        name: value["ndcg@10"] for name, value in found.items() if isinstance(value, dict) and "ndcg@10" in value
    }
    if not figures:
        return ""
    name = max(figures, key=lambda each: figures[each])
    return f"{name} {figures[name]:.4f}"


def by_time_rows() -> list[str]:
    """The split by time: baselines, peers and ours on the same users."""
    rows: list[str] = []
    for log in by_time.LOGS:
        if not (found := read(f"by-time-{log}")):
            continue
        named = {name: found[name] for name in (*by_time.BASELINES, "SequenceRecommender")}
        for peer in ("sasrec", "hstu"):
            if other := read(f"by-time-{log}-rectools-{peer}"):
                named[f"RecTools {other['rectools']} {peer}, {other['epochs']} epochs"] = other
        title, users = LOGS[log].partition(",")[0], found["users"]
        rows += [
            "",
            f"| {title}, newest tenth of the log, {users:,} users | NDCG@10 | 95 % | HR@10 |",
            "|---|---|---|---|",
        ]
        for name, each in named.items():
            interval = "{:.4f} to {:.4f}".format(*each["interval"]) if "interval" in each else ""
            rows.append(f"| {name} | {each['ndcg@10']:.4f} | {interval} | {each['hit_rate@10']:.4f} |")
    return rows


def encoder_rows() -> list[str]:
    """Each encoder's speed beside the peers'."""
    if not (found := read("encoders")):
        return []
    head = "| encoder | events trained per second | ms for one history of 50 events: median | p99 |"
    rows = [head, "|---|---|---|---|"]
    named = {
        f"{name}, {words}": found[f"{name}_{label}"]
        for name in ENCODERS
        for label, words in (("time", "with time"), ("no_time", "without"))
        if f"{name}_{label}" in found
    }
    titles = {"hstu": "HSTU, without", "hstu_time": "HSTU, with time", "bidirectional": "BERT4Rec"}
    named |= {
        f"RecTools {titles.get(name, name)}": each for name, each in found.get("rectools", {}).get("models", {}).items()
    }
    for name, each in named.items():
        latency = [f"{each[key]:.1f}" if key in each else "" for key in ("milliseconds_median", "milliseconds_p99")]
        rows.append(f"| {name} | {each['events_per_second']:,.0f} | {' | '.join(latency)} |")
    return rows


def speed_rows() -> list[str]:
    rows = ["| speed on 2 cores | measured |", "|---|---|"]
    if training := read("training-speed"):
        peer = training.get("rectools")
        for block, title in (("ligr", "gated blocks, items alone"), ("plain", "plain blocks, items alone")):
            ours = training[f"segue_{block}"]
            beside = f", {ours['times_rectools']:.1f} x RecTools {peer['rectools']} in the same run" if peer else ""
            rows.append(
                f"| events trained per second, {title}, d 64, 2 blocks, length 200 | {ours['events_per_second']:,.0f}{beside} |"
            )
    if batch := read("batch-recommendation"):
        title = f"top-10 for {batch['histories']:,} histories over {batch['items']:,} items"
        rows.append(f"| {title} | {batch['users_per_second']:,.0f} users a second, peak {batch['peak_gb']:.2f} GB |")
    if large := read("preparation"):
        figure = f"{large['dataset_seconds']:.0f} s, {large['with_split_seconds']:.0f} s with a split, peak {large['peak_gb']:.1f} GB"
        rows.append(f"| {large['events']:,} events prepared | {figure} |")
    if loss := read("softmax"):
        figure = f"{loss['fp32_milliseconds']:.0f} ms, {loss['bf16_milliseconds']:.0f} ms with bf16 products (gradient moves by {loss['gradient_difference']:.1e})"
        rows.append(f"| full softmax, {loss['tokens']:,} positions over {loss['items']:,} items | {figure} |")
    if bare := read("bare-machine"):
        demo, test = bare["demo"], bare["test"]
        size = bare["demo_environment_megabytes"]
        title = "on a Debian with nothing but Python, venv, make, git and certificates"
        rows.append(
            f"| `make demo` {title} | {demo['seconds']} s, {demo['install_seconds']} s of them installing {size:,} MB |"
        )
        rows.append(f"| `make test` there | {test['seconds']} s: {test['last_line'].strip()} |")
    if start := read("import"):
        rows.append(f"| `import segue` | {start['seconds']:.2f} s, no torch loaded |")
    return rows


def machine_line() -> str:
    files = sorted(RESULTS.glob("*.json"))
    if not files:
        return ""
    on = json.loads(files[0].read_text())["machine"]
    return (
        f"Python {on['python']}, torch {on['torch']}, lightning {on['lightning']}, polars {on['polars']}, "
        f"{on['cores']} cores ({on['processor']}). `make bench` measures it again; every file is in `benchmarks/results/`."
    )


def plan_rows() -> list[str]:
    rows = ["| log | seed | epochs | seconds | chosen for this log |", "|---|---|---|---|---|"]
    for file in sorted(RESULTS.glob("quality-*.json")):
        seed = json.loads(file.read_text())
        names = ("blocks", "dropout", "max_length", "loss", "batch_tokens", "learning_rate", "patience")
        plan = ", ".join(f"{name} {seed['plan'][name]}" for name in names)
        rows.append(
            f"| {seed['log']}{', with attributes' if seed.get('features') else ''}{'' if seed['plan']['refit'] else ', not refitted'} | {seed['seed']} | {seed['epochs']} of {seed['epochs_run']} | {seed['seconds']:,.0f} | {plan} |"
        )
    return rows


def baseline_rows() -> list[str]:
    rows = ["| log | recommender | NDCG@10 | HR@10 | coverage@10 |", "|---|---|---|---|---|"]
    for log in LOGS:
        for name, value in (read(f"baselines-{log}") or {}).items():
            if isinstance(value, dict) and "ndcg@10" in value:
                rows.append(
                    f"| {log} | {name} | {value['ndcg@10']:.4f} | {value['hit_rate@10']:.4f} | {value['coverage@10']:.3f} |"
                )
    return rows


def write_into(page: Path, figures: str) -> None:
    """Put figures between the marks of a page."""
    text = page.read_text()
    block = f"{START}\n{figures}\n{END}"
    text = re.sub(f"{START}.*?{END}", lambda _: block, text, flags=re.S) if END in text else text.replace(START, block)
    page.write_text(text)


def main() -> None:
    figures = "\n".join(
        [
            *quality_rows(),
            *by_time_rows(),
            *text_rows(),
            *pattern_rows(),
            *service_rows(),
            "",
            *speed_rows(),
            "",
            machine_line(),
        ]
    )
    if speeds := encoder_rows():
        write_into(ROOT / "docs" / "encoders.md", "\n".join(speeds))
    write_into(ROOT / "README.md", figures)
    if toolkit.FILE.exists():
        write_into(ROOT / "docs" / "training.md", "\n".join(toolkit.rows()))
    notes = (ROOT / "benchmarks" / "notes.md").read_text()
    page = [
        "# Benchmarks",
        "",
        figures,
        "",
        "## Baselines",
        "",
        *baseline_rows(),
        "",
        "## Runs",
        "",
        *plan_rows(),
        "",
        notes,
    ]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(page))
    if found := read("text-encoding"):
        page_of_language = ROOT / "docs" / "language.md"
        table = "\n".join(["<!-- text-encoding -->", *text.rows(found), "<!-- end of text-encoding -->"])
        pattern = "<!-- text-encoding -->.*<!-- end of text-encoding -->"
        page_of_language.write_text(re.sub(pattern, lambda _: table, page_of_language.read_text(), flags=re.S))
    if found := read("long"):
        time_page = ROOT / "docs" / "time.md"
        tables = "\n".join(["<!-- long -->", *long.rows(found), "<!-- end of long -->"])
        time_page.write_text(
            re.sub("<!-- long -->.*<!-- end of long -->", lambda _: tables, time_page.read_text(), flags=re.S)
        )


if __name__ == "__main__":
    main()
