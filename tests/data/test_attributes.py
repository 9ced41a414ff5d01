from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from segue import artefacts
from segue.data.attributes import ItemFeatures, item_features
from segue.data.vocabulary import Vocabulary
from segue.errors import FeatureUnknown

ITEMS = 200
RNG = np.random.default_rng(0)


def catalogue(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{number}" for number in range(ITEMS)], **columns}, strict=False)


def features(frame: pl.DataFrame, wanted: Any = "auto") -> ItemFeatures | None:
    return item_features(frame, Vocabulary.of(frame["item_id"]), wanted)


def bag(found: ItemFeatures, code: int) -> dict[str, dict[str | int, float]]:
    """What an item has of each feature: external value (or bin, 0 for the unknown) to weight."""
    names: list[tuple[str, str | int]] = []
    for feature in found.features:
        values: tuple[str | int, ...] = feature.values if feature.kind == "categorical" else tuple(range(1, 100))
        names += [(feature.name, value) for value in (0, *values)][: feature.size]
    bags: dict[str, dict[str | int, float]] = {}
    for entry in range(found.offsets[code], found.offsets[code + 1]):
        name, value = names[found.rows[entry]]
        bags.setdefault(name, {})[value] = float(found.weights[entry])
    return bags


def pick(*values: Any) -> list[Any]:
    return [values[number % len(values)] for number in range(ITEMS)]


def test_the_values_of_one_feature_of_one_item_add_up_to_one() -> None:
    found = features(catalogue(kinds=pick(["a", "b", "b", None, " "], ["a"], [], None), brand=pick("x", "y")))
    assert found is not None
    assert bag(found, 1) == {"kinds": {"a": 0.5, "b": 0.5}, "brand": {"x": 1.0}}
    assert bag(found, 2) == {"kinds": {"a": 1.0}, "brand": {"y": 1.0}}
    assert bag(found, 3) == {"kinds": {0: 1.0}, "brand": {"x": 1.0}}
    assert bag(found, 0) == {}, "padding has nothing"
    assert [found.coverage(0), found.coverage(1)] == [0.5, 1.0]


def test_a_value_that_one_item_alone_has_counts_as_unknown() -> None:
    found = features(catalogue(brand=["only", *pick("x", "y")[1:]]))
    assert found is not None
    assert bag(found, 1) == {"brand": {0: 1.0}}
    assert found.described() == [{"name": "brand", "kind": "categorical", "values": 2, "coverage": 0.995}]


def test_numbers_fall_into_bins_of_about_equally_many_items() -> None:
    prices = RNG.lognormal(size=ITEMS)
    prices[:3] = [np.nan, np.inf, -np.inf]
    found = features(catalogue(price=prices))
    assert found is not None
    bins = [next(iter(bag(found, code)["price"])) for code in range(1, ITEMS + 1)]
    assert bins[:3] == [0, 0, 0]
    assert found.features[0].size == 17
    assert {count for _, count in zip(*np.unique(bins[3:], return_counts=True), strict=True)} <= set(range(11, 15))
    order = np.argsort(prices[3:])
    assert (np.diff(np.array(bins[3:])[order]) >= 0).all()


def test_named_columns_are_taken_whatever_is_in_them_and_in_that_order() -> None:
    frame = catalogue(title=[f"title {number}" for number in range(ITEMS)], brand=pick("x", "y"), more=pick("z", "y"))
    found = features(frame, ["brand", "title", "brand"])
    assert found is not None
    assert found.names == ["brand", "title"]
    assert found.described()[1] == {"name": "title", "kind": "categorical", "values": 0, "coverage": 0.0}
    assert features(frame, []) is None


def test_a_name_that_the_catalogue_lacks_is_refused_with_the_nearest() -> None:
    with pytest.raises(FeatureUnknown, match="Did you mean 'brand'"):
        features(catalogue(brand=pick("x", "y")), ["brnd"])
    with pytest.raises(FeatureUnknown, match="none"):
        item_features(None, Vocabulary.of(pl.Series(["a"])), ["brand"])


@pytest.mark.parametrize("frame", [None, catalogue()], ids=["no catalogue", "ids alone"])
def test_without_attributes_there_are_no_features(frame: pl.DataFrame | None) -> None:
    assert item_features(frame, Vocabulary.of(pl.Series(["i1", "i2"]))) is None


def test_items_that_the_catalogue_lacks_have_unknown_values() -> None:
    frame = catalogue(brand=pick("x", "y"), price=pick(*np.linspace(0.5, 9.7, 50)))
    found = item_features(frame, Vocabulary.of(frame["item_id"], pl.Series(["stranger"])))
    assert found is not None
    assert bag(found, ITEMS + 1) == {"brand": {0: 1.0}, "price": {0: 1.0}}


def test_another_catalogue_with_values_types_and_columns_never_met_falls_back() -> None:
    found = features(catalogue(brand=pick("x", "y"), price=pick(*np.linspace(0.5, 9.7, 50)), year=pick("2", "3")))
    assert found is not None
    later = pl.DataFrame({"item_id": ["n1", "n2"], "brand": ["z", "x"], "price": ["dear", "$3.10"]})
    other = found.encoded(later, Vocabulary.of(later["item_id"]))
    assert other.sizes == found.sizes
    assert bag(other, 1) == {"brand": {0: 1.0}, "price": {0: 1.0}, "year": {0: 1.0}}
    assert bag(other, 2)["brand"] == {"x": 1.0}
    assert 0 not in bag(other, 2)["price"]
    odd = pl.DataFrame({"item_id": ["n1"], "brand": [["x", "y"]], "price": [["a"]], "year": [2.0]})
    assert bag(found.encoded(odd, Vocabulary.of(odd["item_id"])), 1) == {
        "brand": {"x": 0.5, "y": 0.5},
        "price": {0: 1.0},
        "year": {"2": 1.0},
    }


def test_what_is_saved_comes_back_the_same(tmp_path: Path) -> None:
    found = features(
        catalogue(brand=pick("x", "y", "ü|🙂"), price=RNG.lognormal(size=ITEMS), kinds=pick(["a", "b"], ["c"]))
    )
    assert found is not None
    with artefacts.writing(tmp_path / "a", "Test", {}) as artefact:
        artefact.document("features", found.document())
        artefact.table("values", found.table())
        artefact.tensors("items", found.arrays())
    read = artefacts.read(tmp_path / "a")
    restored = ItemFeatures.restored(read.document("features"), read.table("values"), read.tensors("items"))
    assert restored.features == found.features
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(restored.arrays()[name], array)


def test_arrays_that_do_not_fit_are_refused() -> None:
    found = features(catalogue(brand=pick("x", "y")))
    assert found is not None
    arrays = found.arrays()
    for broken in ({"rows": arrays["rows"] + 5}, {"rows": arrays["rows"][1:]}, {"offsets": arrays["offsets"][::-1]}):
        with pytest.raises(ValueError, match="do not fit"):
            ItemFeatures.restored(found.document(), found.table(), {**arrays, **broken})
