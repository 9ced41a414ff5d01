"""Lists of a RecTools model for users at the moments they come back: one JSON line, and the lists as Parquet.

python rectools_lists.py {hstu,sasrec} TRAIN.parquet REQUESTS.parquet OUT.parquet EPOCHS

Runs in the peers' environment. HSTU gets the moment of each request as its context, as its documentation shows.
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
from rectools.models import HSTUModel, SASRecModel

name, train, requests, out, epochs = *sys.argv[1:5], int(sys.argv[5])


def frame(path: str) -> pd.DataFrame:
    table = pd.DataFrame({column.name: column.to_numpy() for column in pl.read_parquet(path)})
    table[Columns.Datetime] = pd.to_datetime(table.pop("timestamp"), unit="us")
    table[Columns.Weight] = 1.0
    return table


events, context = frame(train), frame(requests)
# Ties keep the log's order: a nanosecond between neighbours sorts them and changes no gap.
events[Columns.Datetime] += pd.to_timedelta(range(len(events)), unit="ns")
data = Dataset.construct(events)
torch.manual_seed(0)
settings = dict(
    n_factors=64, n_blocks=2, n_heads=2, session_max_len=200, dropout_rate=0.2, loss="softmax", batch_size=128,
    epochs=epochs, deterministic=True,
    get_trainer_func=lambda: Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ),
)
model = HSTUModel(**settings) if name == "hstu" else SASRecModel(**settings)
began = time.perf_counter()
model.fit(data)
seconds = time.perf_counter() - began
users = context[Columns.User].to_numpy()
lists = model.recommend(users, data, k=20, filter_viewed=True, context=context if name == "hstu" else None)
pl.DataFrame({name: lists[name].to_numpy() for name in (Columns.User, Columns.Item, Columns.Rank)}).write_parquet(out)
print(json.dumps({"seconds": seconds, "epochs": epochs, "rectools": metadata.version("rectools"), "torch": torch.__version__}))
