from __future__ import annotations

import polars as pl
import pytest

import segue
from segue.serving.answers.catalogue import Catalogue
from segue.serving.answers.questions import Filters

NAMES = [f"{who} {what}" for who in ("Men", "Women", "Kids", "Baby") for what in ("Shoes", "Shirts", "Hats", "Coats")]


def catalogue_of(categories: list[str], column: str = "category") -> Catalogue:
    ids = [f"i{number}" for number in range(len(categories))]
    events = pl.DataFrame({"user_id": "u", "item_id": ids, "timestamp": range(len(ids))})
    items = pl.DataFrame({"item_id": ids, column: categories})
    return Catalogue(segue.Popular().fit(segue.Dataset.from_frames(events, items)))


def passing(catalogue: Catalogue, *categories: str) -> int:
    mask = catalogue.listable(Filters(categories=categories))
    assert mask is not None
    return int(mask.sum())


def test_a_filter_finds_items_of_one_category_and_of_several() -> None:
    genres = catalogue_of([["Drama", "Comedy", "Drama|Comedy"][number % 3] for number in range(39)], "genres")
    assert passing(genres, "drama") == passing(genres, "Comedy") == 26
    assert passing(genres, "Drama|Comedy") == 13
    assert genres.category_names(10) == ["comedy", "drama"]


@pytest.mark.parametrize("more", [[], [NAMES[15]] * 20, ["Drama|Comedy"] * 200])
def test_a_name_of_two_words_is_one_category_whatever_the_other_items_are(more: list[str]) -> None:
    shop = catalogue_of([*(NAMES[number % 15] for number in range(75)), *more])
    assert passing(shop, "Men Shoes") == 5
    assert passing(shop, "men") == 0


def test_a_filter_finds_levels_of_a_path_and_parts_of_a_name() -> None:
    shop = catalogue_of(["Clothing, Shoes & Jewelry > Men Shoes", "Comedy, Drama", "Drama"])
    assert passing(shop, "Clothing, Shoes & Jewelry") == passing(shop, "men shoes") == passing(shop, "clothing") == 1
    assert passing(shop, "drama") == 2
    assert passing(shop, "comedy, drama") == 1
