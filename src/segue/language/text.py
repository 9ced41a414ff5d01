"""One text per item from the columns of any catalogue: what an item is called first, then the rest.

Tags and entities of HTML are taken out. What a model reads of a long text is left to the tokenizer, which cuts at the
end, so that the title stays.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Literal

import polars as pl

from segue.data.vocabulary import Vocabulary
from segue.errors import FeatureUnknown, nearest

_FIRST = ("title", "movie_title", "name", "product_title", "product_name", "brand", "manufacturer", "author", "artist")
_THEN = ("categories", "category", "genres", "genre", "class", "tags", "features", "description", "summary", "text")
_LONGEST = 20_000  # characters: far beyond what any model reads, far below what makes a tokenizer crawl
# What opens twice before it closes is not looked for from the first opening, or the time would grow with the square.
_TAGS = re.compile(
    r"<(script|style)\b(?:(?!<\1\b).)*?</\1\s*>|<!--(?:(?!<!--).)*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL | re.IGNORECASE
)
# Marks of direction, soft hyphens and halves of characters; the joiners of emoji and of Persian stay.
_UNSEEN = re.compile(r"[\u00ad\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff]")
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b]+")


def text_columns(items: pl.DataFrame | None) -> list[str]:
    """Columns of a catalogue that are text, the telling ones first; none where there are none."""
    if items is None:
        return []
    readable = [name for name in items.columns if name != "item_id" and _is_text(items[name])]
    named = {name.lower(): name for name in readable}
    first = [named[name] for name in _FIRST if name in named]
    then = [named[name] for name in _THEN if name in named]
    others = [name for name in readable if name not in {*first, *then} and _is_prose(items[name])]
    return [*first, *then, *others]


def item_texts(
    items: pl.DataFrame | None, vocabulary: Vocabulary, columns: Sequence[str] | Literal["auto"] = "auto"
) -> list[str]:
    """The text of each item by its code; ``""`` for padding (code 0) and for items without any.

    Raises:
        FeatureUnknown: a column that the catalogue does not have.
    """
    texts = [""] * (len(vocabulary) + 1)
    if items is None:
        return texts
    if columns == "auto":
        columns = text_columns(items)
    for name in columns:
        if name not in items.columns:
            found = ", ".join(items.columns)
            raise FeatureUnknown(name=name, found=found, hint=nearest(name, items.columns))
    if not columns:
        return texts
    codes = vocabulary.encode(items["item_id"]).tolist()
    table = items.select(_as_text(name, items.schema[name]) for name in columns)
    for code, row in zip(codes, table.iter_rows(), strict=True):
        if code:
            texts[code] = joined(row)
    return texts


def joined(fields: Sequence[str | None]) -> str:
    """Fields as one text, those that say again what stands there already left out."""
    told: list[str] = []
    for field in fields:
        clean = plain(field)
        if clean and not any(clean.lower() in before.lower() for before in told):
            told.append(clean)
    return ". ".join(part.rstrip(" .") for part in told)[:_LONGEST]


def plain(text: str | None) -> str:
    """Without tags, entities, control characters and runs of blanks."""
    if not text:
        return ""
    text = text[: 2 * _LONGEST]
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAGS.sub(" ", text)
    return _SPACE.sub(" ", _UNSEEN.sub("", text)).strip()[:_LONGEST]


def _is_text(column: pl.Series) -> bool:
    kind = column.dtype
    return kind in (pl.String, pl.Categorical, pl.Enum) or (isinstance(kind, pl.List) and kind.inner == pl.String)


def _is_prose(column: pl.Series) -> bool:
    """Words and not codes: most values have a blank between letters."""
    if isinstance(column.dtype, pl.List):
        return False
    known = column.cast(pl.String).drop_nulls().head(1_000)
    known = known.filter(known.str.strip_chars() != "")
    return bool(len(known)) and 2 * int(known.str.contains(r"\pL+\s+\pL+").sum()) > len(known)


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    return (
        column.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
        if isinstance(kind, pl.List)
        else column.cast(pl.String)
    )
