from __future__ import annotations

import numpy as np
import pytest

from segue.data.histories import UNKNOWN_TIME, Histories
from segue.language.prompts import TEMPLATES, Prompts, cut_to_words, gap_in_words

DAY = 86_400_000_000  # microseconds
TITLES = ["", "red tea", "blue pot", "odd {cup}"]


def asked(**columns: np.ndarray) -> Histories:
    return Histories(np.array([0, 2, 2, 3]), np.array([1, 2, 3]), **columns)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "moments later"),
        (60, "1 minute later"),
        (3 * 3_600, "3 hours later"),
        (3 * 86_400, "3 days later"),
        (15 * 86_400, "2 weeks later"),
        (61 * 86_400, "2 months later"),
        (800 * 86_400, "2 years later"),
    ],
)
def test_a_gap_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    assert gap_in_words(seconds) == words


def test_titles_actions_gaps_and_the_moment_of_the_question_are_told() -> None:
    prompts = Prompts(TITLES, ["view", "add_to_cart"], clocked=True, valued=False)
    history = asked(
        timestamps=np.array([0, 3 * DAY, 0]), actions=np.array([1, 2, 0]), at=np.array([4 * DAY, UNKNOWN_TIME, 0])
    )
    told = prompts.histories(history, [TEMPLATES["plain"]] * 3)
    assert told == [
        "view: red tea; 3 days later, add to cart: blue pot. Next, 1 day later:",
        ". Next:",
        "odd {cup}. Next, moments later:",
    ]


def test_what_is_not_known_is_not_told() -> None:
    bare = Prompts(TITLES, [], clocked=False, valued=False)
    history = asked(timestamps=np.array([0, 3 * DAY, 0]), at=np.array([DAY, DAY, DAY]))
    assert bare.histories(history, [TEMPLATES["plain"]] * 3)[0] == "red tea; blue pot. Next:"
    assert Prompts(TITLES, [], True, False).histories(asked(), [TEMPLATES["plain"]] * 3)[2] == "odd {cup}. Next:"


def test_what_is_wanted_and_ratings_are_told() -> None:
    prompts = Prompts(TITLES, ["buy"], clocked=False, valued=True)
    history = asked(values=np.array([4, np.nan, 2.5], dtype=np.float32), wanted=np.array([1, 0, 0]))
    told = prompts.histories(history, [TEMPLATES["list"]] * 3)
    assert told[0] == "History: rated 4: red tea | blue pot. Candidate, buy:"
    assert told[2] == "History: rated 2.5: odd {cup}. Candidate:"


def test_an_offer_may_hold_braces() -> None:
    prompts = Prompts(TITLES, [], clocked=False, valued=False)
    offers = prompts.offers(np.array([[3, 1]]), [TEMPLATES["question"]])
    assert offers[0][0] == ' Would the customer choose "odd {cup}" next? Answer yes or no:'
    assert "red tea" in offers[0][1]


def test_long_titles_and_endless_words_are_cut() -> None:
    assert cut_to_words("one two  three four", 2) == "one two"
    assert len(cut_to_words("x" * 10_000, 3)) == 36
    assert cut_to_words("", 3) == ""
