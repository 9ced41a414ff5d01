"""RecTools' SASRec on a training log: seconds of an epoch at d = 64, 2 blocks, 200 events. Prints one JSON line.

Runs in the peers' environment. An epoch's time is the difference of two fits, so that start-up does not count.
"""

import json
import sys
import time
from importlib import metadata

import pandas as pd
import polars as pl
import torch
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def fit(dataset: Dataset, epochs: int) -> float:
    torch.manual_seed(0)
    model = SASRecModel(
        n_factors=64,
        n_blocks=2,
        n_heads=2,
        session_max_len=200,
        dropout_rate=0.2,
        loss="softmax",
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
    return time.perf_counter() - began


events = pl.read_parquet(sys.argv[1])
frame = pd.DataFrame(
    {
        Columns.User: events["user_id"].to_numpy(),
        Columns.Item: events["item_id"].to_numpy(),
        Columns.Weight: 1.0,
        # one second apart, so that the order of ties is the log's
        Columns.Datetime: pd.to_datetime(range(len(events)), unit="s"),
    }
)
data = Dataset.construct(frame)
short, long = fit(data, 1), fit(data, 4)
print(json.dumps({"epoch_seconds": (long - short) / 3, "rectools": metadata.version("rectools"), "torch": torch.__version__, "threads": torch.get_num_threads()}))
