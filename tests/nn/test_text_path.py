from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.nn.text_path import TextPath, TextVectors


def raw(rows: int = 200, width: int = 6, seed: int = 0) -> np.ndarray:
    """Vectors as language models make them: far from the origin, in a narrow cone; row 0 is padding, row 3 textless."""
    rng = np.random.default_rng(seed)
    found = (5 + rng.normal(size=(rows, width)) * np.linspace(0.1, 2, width)).astype(np.float32)
    found[[0, 3]] = 0
    return found


def test_whitening_makes_all_directions_equally_wide() -> None:
    text = TextVectors.of(raw(), normalise=False)
    known = text.vectors[[at for at in range(200) if at not in (0, 3)]]
    np.testing.assert_allclose(known.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(known, rowvar=False), np.eye(6), atol=0.02)


def test_what_tells_most_stands_first() -> None:
    wide = np.zeros((100, 3), dtype=np.float32)
    wide[1:] = np.random.default_rng(0).normal(size=(99, 3)) * [0.1, 10, 1]
    matrix = TextVectors.of(wide, normalise=False).matrix
    assert np.abs(matrix).argmax(0).tolist() == [1, 2, 0]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("whiten", [True, False])
def test_items_without_text_stay_zero_and_all_is_kept_in_half_precision(normalise: bool, whiten: bool) -> None:
    text = TextVectors.of(raw(), normalise, whiten)
    assert not text.vectors[[0, 3]].any()
    assert text.vectors[1:3].any(1).all()
    np.testing.assert_array_equal(text.vectors, text.vectors.astype(np.float16))


def test_directions_alone_count_where_vectors_are_normalised() -> None:
    text = TextVectors.of(raw())
    longer = text.with_items(raw() * 7)
    np.testing.assert_allclose(longer.vectors, text.vectors, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(text.vectors[1], axis=-1), 6**0.5, rtol=1e-3)


def test_new_items_go_through_what_was_learnt_from_the_catalogue() -> None:
    text = TextVectors.of(raw())
    some = text.with_items(raw()[[5, 9]])
    np.testing.assert_array_equal(some.vectors, text.vectors[[5, 9]])


@given(st.sampled_from([0, 1, 2]), st.booleans())
def test_catalogues_without_anything_to_compare_are_no_error(texts: int, same: bool) -> None:
    few = np.zeros((4, 5), dtype=np.float32)
    few[1 : 1 + texts] = 1.0 if same else np.arange(5)
    text = TextVectors.of(few)
    assert np.isfinite(text.vectors).all()
    assert TextPath(text, 8, 0.02)(torch.zeros(4, 1, dtype=torch.bool)).isfinite().all()


def test_it_comes_back_from_disk_as_it_was() -> None:
    text = TextVectors.of(raw())
    again = TextVectors.restored(text.arrays(), normalise=True)
    np.testing.assert_array_equal(again.vectors, text.vectors)
    np.testing.assert_array_equal(again.with_items(raw()).vectors, text.vectors)


@pytest.mark.parametrize("projection", ["linear", "mlp"])
def test_text_adds_at_the_scale_of_an_id_and_nothing_where_there_is_none(projection: str) -> None:
    path = TextPath(TextVectors.of(raw(width=64)), 32, 0.02, projection)  # type: ignore[arg-type]
    added = path(torch.zeros(200, 1, dtype=torch.bool)).detach()
    assert not added[[0, 3]].any()
    assert 0.002 < float(added[1:3].std()) < 0.06
