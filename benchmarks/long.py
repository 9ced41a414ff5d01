"""Long histories: time and memory of one answer and of training at 100, 1,000 and 10,000 events, for every encoder.

Each figure comes from a process of its own on one thread, which may take at most ``LIMIT`` bytes: what needs more is not
run. Times are of the processor, so that a busy machine does not lengthen them.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

LENGTHS = (100, 1_000, 10_000)
LIMIT = 6 * 2**30
ITEMS = 2_000
READ = 200


def long_histories() -> dict[str, Any]:
    """Answers that read 200 events and answers that read all; training in windows of 200; what reading more brings."""
    import segue.recommenders.sequence  # noqa: F401 - so that the copies need not
    from segue.nn.encoders import ENCODERS

    answers = [
        _fresh(_answer, encoder, length, read)
        for encoder in ENCODERS
        for length in LENGTHS
        for read in dict.fromkeys((READ, max(length, READ)))
    ]
    training = [_fresh(_training, encoder, length, READ) for encoder in ENCODERS for length in LENGTHS]
    return {"answers": answers, "training": training, "planted": _fresh(_planted, "transformer", 300, 40)}


def rows(found: dict[str, Any]) -> list[str]:
    """The tables of docs/time.md."""

    def answer(encoder: str, events: int, read: int) -> str:
        for each in found["answers"]:
            if (each["encoder"], each["events"], each["read"]) == (encoder, events, read):
                above = f"above {LIMIT / 2**30:.0f} GB"
                return f"{each['milliseconds']:,.0f} ms, {each['megabytes']:,} MB" if "megabytes" in each else above
        return ""

    head = " | ".join(f"{length:,} events" for length in LENGTHS)
    table = [f"| one answer, one thread | {head} |", "|---" * (len(LENGTHS) + 1) + "|"]
    for encoder in dict.fromkeys(each["encoder"] for each in found["answers"]):
        cells = [answer(encoder, length, READ) for length in LENGTHS]
        table.append(f"| {encoder}, reads {READ} | {' | '.join(cells)} |")
        cells = [answer(encoder, length, max(length, READ)) for length in LENGTHS]
        table.append(f"| {encoder}, reads all | {' | '.join(cells)} |")
    for encoder in dict.fromkeys(each["encoder"] for each in found["training"]):
        cells = [
            f"{each['seconds_per_1000_events']:.2f} s, {each['megabytes']:,} MB"
            for each in found["training"]
            if each["encoder"] == encoder
        ]
        table.append(
            f"| {encoder}, training per 1,000 events of a log of 10,000 (sampled loss), windows of {READ} | {' | '.join(cells)} |"
        )
    table += ["", "| NDCG@10 (95 % interval) | newest | representatives |", "|---|---|---|"]
    for name, title in (("planted", "a log with a lasting taste, and much else lately"), ("films", "MovieLens 100K")):
        cells = [
            "{:.4f} ({:.4f} to {:.4f})".format(found[name][how]["ndcg@10"], *found[name][how]["interval"])
            for how in ("newest", "representatives")
        ]
        table.append(f"| {title}, {found[name]['read']} events read | {' | '.join(cells)} |")
    return table


def _log(length: int, users: int = 2, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    count = users * length
    seconds = 1_600_000_000 + np.cumsum(rng.integers(1, 3_600, count))
    items = np.minimum((rng.pareto(1.2, count) * 50).astype(np.int64), ITEMS - 1)
    return pl.DataFrame({"user_id": np.repeat(np.arange(users), length), "item_id": items, "timestamp": seconds})


def _answer(encoder: str, length: int, read: int) -> dict[str, Any]:
    import torch

    from segue.data.batches import inference_batches
    from segue.data.dataset import Dataset
    from segue.nn.inputs import Inputs
    from segue.training.build import LogShape, build_model
    from segue.training.plan import SequenceConfig, plan_for

    data = Dataset.from_frames(_log(length))
    histories = data.histories.take(np.array([1]))
    config = SequenceConfig(encoder=encoder, max_length=read, blocks=2)
    model = build_model(plan_for(config, data.histories, ITEMS), LogShape(ITEMS)).eval()

    def once() -> None:
        for _, batch in inference_batches(histories, read, 4_096):
            model.last(Inputs.of(batch)) @ model.tower.vectors().T

    times = []
    with torch.inference_mode():
        for _, batch in inference_batches(histories.take(np.array([0]), last=20), read, 4_096):
            model.last(Inputs.of(batch))
        before = _peak()
        for _ in range(3):
            began = time.process_time()
            once()
            times.append(time.process_time() - began)
    return {"milliseconds": round(float(np.median(times)) * 1e3, 1), "megabytes": round(_peak() - before)}


def _training(encoder: str, length: int, read: int) -> dict[str, Any]:
    import segue

    data = segue.Dataset.from_frames(_log(length, users=max(1, 10_000 // length)))
    settings = {"encoder": encoder, "max_length": read, "blocks": 2, "epochs": 1, "refit": False, "loss": "sampled"}
    model = segue.SequenceRecommender(**settings, batch_tokens=2_048)
    model.fit(segue.Dataset.from_frames(_log(20)), progress=False)
    before, began = _peak(), time.process_time()
    model.fit(data, progress=False)
    seconds = time.process_time() - began
    return {"seconds_per_1000_events": round(1_000 * seconds / len(data), 3), "megabytes": round(_peak() - before)}


def _planted(encoder: str, length: int, read: int) -> dict[str, Any]:
    """What users do last comes from a taste that only their older events show: NDCG@10 by which events are read."""
    import segue

    rng = np.random.default_rng(0)
    rows = []
    for user in range(150):
        taste = 20 * int(rng.integers(20)) + rng.permutation(20)
        events = int(rng.integers(150, 300))
        # A long past of their own taste with much else in it, a recent month of what everyone does, and back again.
        own = np.where(rng.random(events) < 0.3, rng.choice(taste, events), rng.integers(0, 400, events))
        month = rng.integers(0, 400, read)
        rows += [(user, int(item)) for item in (*own, *month, *rng.choice(taste, 2))]
    log = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    log = log.with_columns(timestamp=1_600_000_000 + 3_600 * pl.int_range(pl.len()).over("user_id"))
    split = segue.split.leave_last_out(segue.Dataset.from_frames(log))
    return _both_ways(split, encoder, read)


def _films(encoder: str, length: int, read: int) -> dict[str, Any]:
    """The same on MovieLens 100K, for the users with more events than are read."""
    import segue

    data = segue.datasets.movielens_100k()
    return _both_ways(segue.split.leave_last_out(data.where(pl.len().over("user") > read + 3)), encoder, read)


def _both_ways(split: Any, encoder: str, read: int) -> dict[str, Any]:
    import segue

    found = {}
    settings = {"max_length": read, "epochs": 5, "blocks": 1, "refit": False, "encoder": encoder, "dropout": 0.2}
    model = segue.SequenceRecommender(**settings).fit(split.train, split.validation, progress=False)
    for how in ("newest", "representatives"):
        model.plan = model.plan.model_copy(update={"long_history": how})
        report = segue.evaluate(model, split.test, k=10, progress=False)
        found[how] = {"ndcg@10": report["ndcg@10"], "interval": report.interval("ndcg@10")}
    return found


def _peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _fresh(measure: Callable[[str, int, int], dict[str, Any]], encoder: str, length: int, read: int) -> dict[str, Any]:
    """Measure in a copy of this process, so that its peak of memory is its own."""
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(tell, measure, encoder, length, read))
    child.start()
    tell.close()
    try:
        found = told.recv()
    except EOFError:
        raise RuntimeError(f"{measure.__name__} of {encoder} at {length} ended without a result") from None
    child.join()
    result = {"encoder": encoder, "events": length, "read": read, **found}
    print(result, flush=True)
    return result


def _tell(tell: Any, measure: Callable[[str, int, int], dict[str, Any]], *asked: Any) -> None:
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    try:
        tell.send(measure(*asked))
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error).lower():
            raise
        tell.send({"above_the_limit_of_gb": LIMIT / 2**30})
