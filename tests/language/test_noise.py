from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.language.noise import TextNoise, neighbours
from segue.language.prompts import TEMPLATES
from tests.language.makers import tiny_tokenizer


def noise(*tools: str, share: float = 0.3, synonyms: np.ndarray | None = None, seed: int = 0) -> TextNoise:
    return TextNoise(tools, share, synonyms, np.random.default_rng(seed))  # type: ignore[arg-type]


@given(text=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8).map(" ".join), seed=st.integers(0, 99))
def test_words_go_but_never_all_and_never_their_order(text: str, seed: int) -> None:
    left = noise("words", share=0.9, seed=seed).title(text).split()
    assert left
    words = iter(text.split())
    assert all(word in words for word in left), "no subsequence"


def test_nothing_is_touched_without_a_tool() -> None:
    plain = noise()
    assert plain.title("red tea pot") == "red tea pot"
    assert plain.tokens([5, 6]) == [5, 6]
    assert plain.templates(TEMPLATES["plain"], 3) == [TEMPLATES["plain"]] * 3


def test_templates_vary_from_row_to_row() -> None:
    drawn = noise("templates").templates(TEMPLATES["plain"], 60)
    assert {id(each) for each in drawn} == {id(each) for each in TEMPLATES.values()}


def test_tokens_give_way_to_their_neighbours_as_often_as_asked() -> None:
    synonyms = np.array([0, 2, 1, 3])
    changed = noise("synonyms", share=0.25, synonyms=synonyms).tokens([1] * 4_000)
    assert set(changed) == {1, 2}
    assert 0.2 < changed.count(2) / 4_000 < 0.3


def test_neighbours_are_the_nearest_whole_words_of_the_catalogue() -> None:
    tokenizer = tiny_tokenizer(["red", "crimson", "pot", "7"], "bert")
    table = torch.nn.Embedding(len(tokenizer), 3)
    number = {word: tokenizer.convert_tokens_to_ids(word) for word in ("red", "crimson", "pot", "7")}
    with torch.no_grad():
        table.weight.zero_()
        table.weight[number["red"]] = torch.tensor([1.0, 0.1, 0.0])
        table.weight[number["crimson"]] = torch.tensor([1.0, 0.0, 0.0])
        table.weight[number["7"]] = torch.tensor([1.0, 0.1, 0.0])
        table.weight[number["pot"]] = torch.tensor([0.0, 0.0, 1.0])
    found = neighbours(table, tokenizer, np.array(sorted(number.values())))
    assert found[number["red"]] == number["crimson"]
    assert found[number["crimson"]] == number["red"]
    assert found[number["pot"]] == number["pot"], "nothing is like a pot"
    assert found[number["7"]] == number["7"], "numbers stay"
    assert (neighbours(table, tokenizer, np.array([number["red"]])) == np.arange(len(tokenizer))).all()
