"""RecTools' HSTU and BERT4Rec on a training log, at d = 64, 2 blocks, 200 events. Prints one JSON line.

For each: seconds of an epoch (the difference of two fits, so that start-up does not count), and milliseconds of one
history through its network and its scores against the whole catalogue, batch 1. That is the inside of ``recommend``:
``recommend`` itself builds a data set and a Lightning trainer on every call, which would not be a fair comparison.

Runs in the peers' environment: ``rectools_encoders.py TRAIN.parquet EVENTS [EPOCHS]``, EVENTS in the one history.
"""

import json
import sys
import time
from importlib import metadata

import numpy as np
import pandas as pd
import polars as pl
import torch
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.dataset.context import get_context
from rectools.models import BERT4RecModel, HSTUModel

COMMON = {"n_factors": 64, "n_blocks": 2, "n_heads": 2, "session_max_len": 200, "dropout_rate": 0.2, "loss": "softmax"}
MODELS = {
    "hstu": (HSTUModel, {"relative_time_attention": False}),
    "hstu_time": (HSTUModel, {"relative_time_attention": True}),
    "bidirectional": (BERT4RecModel, {"mask_prob": 0.2}),
}


def fit(cls, settings, dataset, epochs):
    torch.manual_seed(0)
    model = cls(
        **COMMON,
        **settings,
        batch_size=128,
        epochs=epochs,
        deterministic=True,
        get_trainer_func=lambda: Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        ),
    )
    began = time.perf_counter()
    model.fit(dataset)
    return model, time.perf_counter() - began


def latency(model, log, events):
    """Median and 99th percentile of the milliseconds of one row.

    ``recommend`` is called once for one user; what it gives its network is kept and given again.
    """
    user = log.groupby(Columns.User).size().idxmax()
    newest = log[log[Columns.User] == user].sort_values(Columns.Datetime).tail(events)
    context = None
    if getattr(model, "relative_time_attention", False):
        context = pd.DataFrame(
            {Columns.User: [user], Columns.Datetime: [newest[Columns.Datetime].max() + pd.Timedelta(hours=1)]}
        )
        context = get_context(context)
    network, given = model.torch_model, []
    encode = network.encode_sessions
    network.encode_sessions = lambda *args: given.append(args) or encode(*args)
    model.recommend(users=[user], dataset=Dataset.construct(newest), k=10, filter_viewed=True, context=context)
    network.encode_sessions = encode
    batch, items = given[-1]
    network.eval().to("cpu")
    times = []
    with torch.inference_mode():
        for _ in range(320):
            began = time.perf_counter()
            state = encode(batch, items)[:, -1]
            (state @ items.T).topk(10)
            times.append((time.perf_counter() - began) * 1e3)
    return {"milliseconds_median": float(np.median(times[20:])), "milliseconds_p99": float(np.quantile(times[20:], 0.99))}


path, events = sys.argv[1], int(sys.argv[2])
epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
log = pl.read_parquet(path)
frame = pd.DataFrame(
    {
        Columns.User: log["user_id"].to_numpy(),
        Columns.Item: log["item_id"].to_numpy(),
        Columns.Weight: 1.0,
        # one second apart, so that the order of ties is the log's
        Columns.Datetime: pd.to_datetime(range(len(log)), unit="s"),
    }
)
data = Dataset.construct(frame)
found = {}
for name, (cls, settings) in MODELS.items():
    _, short = fit(cls, settings, data, 1)
    model, long = fit(cls, settings, data, 1 + epochs)
    found[name] = {"epoch_seconds": (long - short) / epochs}
    try:
        found[name] |= latency(model, frame, events)
    except Exception as error:  # the inside of a network is no public interface: a release may move it
        found[name]["latency_error"] = repr(error)
versions = {"rectools": metadata.version("rectools"), "torch": torch.__version__, "threads": torch.get_num_threads()}
print(json.dumps({"models": found, **versions}))
