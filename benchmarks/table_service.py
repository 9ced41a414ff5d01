"""The rows of the service in the measured tables."""

from __future__ import annotations

from benchmarks.table_text import read


def service_rows() -> list[str]:
    rows = ["", "| the service, loopback, server and client on one machine | measured | beside |", "|---|---|---|"]
    if found := read("service-latency"):
        ours, echo = found["recommend"], found["echo"]
        title = f"`POST /v1/recommend`, history {found['history']}, {found['items']:,} items, int8, open loop {found['rate']} a second, {found['seconds']} s"
        figure = f"**p50 {ours['p50_ms']:.1f} ms, p99 {ours['p99_ms']:.1f} ms**, {ours['errors']} errors"
        beside = f"plain FastAPI echo p50 {echo['p50_ms']:.1f} ms, p99 {echo['p99_ms']:.1f} ms: {found['times_echo_p50']:.1f} x"
        rows.append(f"| {title} | {figure} | {beside} |")
    for name, title in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL")):
        if found := read(f"service-events-{name}"):
            figure = f"**{found['events_a_second']:,} a second**, durable before each answer"
            beside = f"p50 {found['p50_ms']:.1f} ms a batch, {found['clients']} clients"
            rows.append(f"| events over HTTP, batches of {found['batch']}, {title} | {figure} | {beside} |")
    if found := read("service-freshness"):
        figure = f"**p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms** after its acknowledgement"
        rows.append(f"| an event counts in the user's next answer | {figure} | that answer's own time included |")
    if found := read("service-overload"):
        beyond = found["closed_loop"]["264"]
        figure = f"**{found['share_of_best']:.0%} of the best rate** ({found['best_a_second']:.0f} a second)"
        beside = (
            f"429 p99 {beyond['refusal_p99_ms']:.0f} ms at {beyond['refusals_a_second']:,.0f} a second, "
            f"/healthz p99 {beyond['health_p99_ms']:.0f} ms, lists p99 {beyond['p99_ms']:.0f} ms"
        )
        rows.append(f"| 264 clients, 66 places, none waits after a refusal | {figure} | {beside} |")
    if found := read("service-start"):
        figure = f"**{found['median_seconds']:.2f} s**, {found['resident_mb']:.0f} MB resident"
        beside = f"{found['resident_mb_after_1000_answers']:.0f} MB after 1,000 answers"
        rows.append(f"| start to ready, 10,000 items, page and metrics included | {figure} | {beside} |")
    if found := read("service-soak"):
        figure = f"**{found['mb_a_minute']:+.2f} MB a minute**, {found['errors']} errors of {found['requests']:,}"
        rows.append(
            f"| resident memory over {found['minutes']:g} minutes at {found['rate']} requests a second | {figure} | |"
        )
    for log, title in {"ml-100k": "MovieLens 100K", "10k": "10,000 generated items"}.items():
        if found := read(f"export-{log}"):
            before, after = found["torch fp32"], found["onnx int8"]
            change = after["ndcg@10"] / before["ndcg@10"] - 1
            figure = (
                f"**{after['p50_ms']:.2f} ms** a history, same top 10 {after['overlap@10']:.1%}, NDCG@10 {change:+.2%}"
            )
            beside = f"torch {before['p50_ms']:.2f} ms, ONNX fp32 {found['onnx fp32']['p50_ms']:.2f} ms"
            rows.append(f"| `segue export` in int8, {title}, one at a time | {figure} | {beside} |")
    if found := read("faults"):
        held = [number for number, row in found["rows"].items() if row["verdict"] == "holds"]
        failed = [number for number, row in found["rows"].items() if row["verdict"] != "holds"]
        rounds = "; ".join(f"{row['promise']}: {row['rounds']}" for row in found["rows"].values())
        rows.append(
            f"| promises in the long form, each with a broken twin | {len(held)} hold, {len(failed)} do not | {rounds} |"
        )
    if found := read("export-search"):
        for items in ("100,000", "1,000,000"):
            each = found[items]["best of 1,000"]
            figure = f"**{each['approximate_ms']:.1f} ms**, recall at 10 {each['recall']:.1%}"
            rows.append(
                f"| search by index, {items} generated item vectors | {figure} | exact {each['exact_ms']:.1f} ms |"
            )
    if found := read("online"):
        for log, title in {"ml-100k": "MovieLens 100K", "industrial_and_scientific": "Amazon Industrial"}.items():
            each = found[f"{log} SequenceRecommender"]["biases"]
            ndcg = each["ndcg@10"]
            figure = f"NDCG@10 **{ndcg['online']:.4f}**, p {ndcg['p']:.4f}"
            beside = f"frozen {ndcg['frozen']:.4f}; {each['microseconds_per_event']} microseconds an event"
            rows.append(f"| online mode, replay of the newest 40 % of {title}, sequence model | {figure} | {beside} |")
    if found := read("store"):
        figure = ", ".join(
            f"{name} **{found[key]['events_a_second']:,.0f}**"
            for key, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
            if "events_a_second" in found[key]
        )
        rows.append(
            f"| the store alone, events a second, batches of {found['batch']} | {figure} | a sync call of this disk {found['sync_ms']:.2f} ms |"
        )
    return rows if len(rows) > 3 else []
