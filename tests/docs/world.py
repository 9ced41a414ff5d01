"""The directory in which the pages' snippets run: a small shop's files, a trained model, and programs of its own.

The pages call their files ``events.parquet``, ``items.parquet`` and so on, and their model ``models/shop``; here these
are a log of 72 users. ``ml-100k`` is the real one unless a page asks for small logs; ``minilm`` and ``smollm2`` are
language models of random weights, since the real ones take minutes on a test machine.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import polars as pl

import segue
from segue.datasets import SOURCES, cache_directory, fetch
from tests.conftest import ITEMS, make_log
from tests.language.makers import tiny_model

SHOP_USERS = 72
WORDS = (
    "kettle",
    "teapot",
    "cup",
    "film",
    "number",
    "red",
    "blue",
    "drama",
    "comedy",
    "crime",
    *map(str, range(ITEMS + 9)),
)

_PROGRAM = """#!{python}
import runpy, sys
sys.argv[0] = {name!r}
sys.path.insert(0, {root!r})
from tests.docs.programs import {function}
{function}()
"""


def make_items(numbers: range) -> pl.DataFrame:
    """Rows of the shop's catalogue."""
    names = ("Kettle", "Teapot", "Cup", "Film")
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in numbers],
            "title": [f"{names[n % 4]} number {n}" for n in numbers],
            "description": [("red drama", "blue comedy", "red crime")[n % 3] for n in numbers],
            "categories": [[("drama", "comedy", "crime")[n % 3]] for n in numbers],
            "brand": [("Acme", "Bolt")[n % 2] for n in numbers],
            "price": [5.0 + n for n in numbers],
        }
    )


def write_shop(folder: Path) -> None:
    """The files that the pages name, and ``models/shop``."""
    log = make_log(users=SHOP_USERS)
    log.write_parquet(folder / "events.parquet")
    for name in ("events", "log", "other"):
        log.write_parquet(folder / f"{name}.parquet")
    for name in ("items", "other_items"):
        make_items(range(ITEMS)).write_parquet(folder / f"{name}.parquet")
    make_items(range(ITEMS, ITEMS + 3)).write_parquet(folder / "new.parquet")
    later = pl.col("timestamp") + int(log["timestamp"].max() - log["timestamp"].min()) + 3_600  # type: ignore[operator]
    log.head(200).with_columns(later).write_parquet(folder / "today.parquet")
    users = log["user_id"].unique(maintain_order=True)
    pl.DataFrame({"user_id": users, "label": [("stays", "leaves")[n % 2] for n in range(len(users))]}).write_csv(
        folder / "labels.csv"
    )
    later = pl.col("timestamp") + 86_400
    log.head(20).select("user_id", "item_id", later).write_csv(folder / "new.csv")
    log.write_csv(folder / "log.csv")
    pl.DataFrame({"item_id": [f"i{n}" for n in range(20)]}).write_csv(folder / "in_stock.csv")
    at = pl.Series("at", ["2024-12-24 18:00"] * 3)
    pl.DataFrame({"user_id": users.head(3), "at": at}).write_csv(folder / "tonight.csv")
    log.head(20).select("user_id", "item_id", "timestamp").write_csv(folder / "new_people.csv")
    data = segue.Dataset.from_files(folder / "events.parquet", folder / "items.parquet")
    split = segue.split.leave_last_out(data)
    segue.SequenceRecommender(text=str(cache_of(folder) / "minilm"), epochs=2, embedding_size=16).fit(
        split.train, split.validation
    ).save(folder / "models" / "shop", test=split.test)
    others = {"a": segue.Popular(), "b": segue.FirstOrder(), "other": segue.ItemNeighbours(), "ease": segue.EASE()}
    for name, other in others.items():
        other.fit(split.train, split.validation).save(folder / "models" / name, test=split.test)
    shutil.copytree(folder / "models" / "ease", folder / "shop")


def cache_of(folder: Path) -> Path:
    """Where data and weights of this world are."""
    return folder.parent / "cache"


def write_cache(folder: Path) -> None:
    """Stand-ins of the weights and of the logs."""
    cache = cache_of(folder)
    for name, kind in (("minilm", "bert"), ("smollm2", "llama")):
        tiny_model(cache / name, kind, WORDS)
        for file in {*SOURCES[name].kept, "stand-in"}:
            if not (cache / name / file).exists():
                (cache / name / file).write_text("{}" if file.endswith(".json") else "")
    for name in ("ml-100k", "ml-1m"):
        write_small_log(cache / name, name)


def use_real_log(folder: Path, name: str) -> None:
    """Put a real data set in the place of its stand-in; it is fetched where this machine lacks it."""
    fetch(name, progress=False)
    shutil.rmtree(cache_of(folder) / name)
    shutil.copytree(cache_directory() / name, cache_of(folder) / name)


def write_small_log(folder: Path, name: str) -> None:
    """A log in MovieLens' format: 72 users and 40 films, with the ids that the pages name among them."""
    folder.mkdir(parents=True)
    users, films = [196, 22, 244, *range(1, SHOP_USERS - 2)], [50, 172, 181, 174, *range(1, ITEMS - 3)]
    log = (
        make_log(users=SHOP_USERS)
        .with_columns(pl.col("user_id", "item_id").str.slice(1).cast(pl.Int64))
        .with_columns(
            pl.col("user_id").replace_strict(dict(enumerate(users))).alias("user_id:token"),
            pl.col("item_id").replace_strict(dict(enumerate(films))).alias("item_id:token"),
            pl.col("value").alias("rating:float"),
            pl.col("timestamp").cast(pl.Float64).alias("timestamp:float"),
        )
    )
    log.select(pl.col("^.*:.*$")).write_csv(folder / f"{name}.inter", separator="\t")
    genres = "class" if name == "ml-100k" else "genre"
    rng = np.random.default_rng(0)
    rows = {
        "item_id:token": films,
        "movie_title:token_seq": [f"Film {n}" for n in films],
        "release_year:token": [1990 + n % 10 for n in range(ITEMS)],
        f"{genres}:token_seq": [("Drama", "Comedy", "Crime Drama")[int(n)] for n in rng.integers(3, size=ITEMS)],
    }
    pl.DataFrame(rows).write_csv(folder / f"{name}.item", separator="\t")
    for other in ("user", "kg", "link"):
        (folder / f"{name}.{other}").touch()
    (folder / "stand-in").touch()


def write_programs(folder: Path, python: Path = Path(sys.executable)) -> Path:
    """A directory for ``PATH``: ``segue`` of this source tree, and programs that a page may not really run."""
    programs = folder.parent / "bin"
    programs.mkdir()
    root = str(Path(__file__).parents[2])
    for name, function in (("segue", "segue"), ("pip", "pip"), ("make", "make"), ("tensorboard", "tensorboard")):
        path = programs / name
        path.write_text(_PROGRAM.format(python=python, root=root, name=name, function=function))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    for name in ("python", "python3"):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (programs / ".curlrc").write_text("silent\nshow-error\n")
    return programs


def environment(folder: Path, programs: Path) -> dict[str, str]:
    """Of the commands, and of the page's Python."""
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "SEGUE_CACHE": str(cache_of(folder)),
        "SEGUE_PROGRESS": "0",
        "CURL_HOME": str(programs),
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "PYTHONWARNINGS": "ignore",
    }
