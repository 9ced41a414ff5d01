"""Histories and items as text: templates, gaps in words, and what a person did with an item.

One history is told once, and any number of items are offered after it. What reads the text is left to ``classifier``,
and what spoils it in training to ``noise``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segue.data.histories import UNKNOWN_TIME, Histories

_UNITS = (
    ("minute", 60),
    ("hour", 3_600),
    ("day", 86_400),
    ("week", 604_800),
    ("month", 2_629_800),
    ("year", 31_557_600),
)
_EVIDENCE_WORDS = 5  # of each title in a piece of evidence
_LONGEST_WORD = 12  # characters that a word of a title has at most, on average


@dataclass(frozen=True)
class Template:
    """How a history and an item are told.

    Attributes:
        opening: stands before the events.
        between: stands between two of them.
        question: stands after them; ``{lead}`` is how much later and what for.
        offer: one item; ``{title}``.
    """

    opening: str
    between: str
    question: str
    offer: str


TEMPLATES = {
    "plain": Template("", "; ", ". Next{lead}:", " {title}"),
    "story": Template("First ", ", then ", ". What came next{lead}?", " {title}"),
    "list": Template("History: ", " | ", ". Candidate{lead}:", " {title}"),
    "question": Template(
        "What a customer chose, oldest first: ",
        "; ",
        ". Now{lead}.",
        ' Would the customer choose "{title}" next? Answer yes or no:',
    ),
}
"""By name. ``question`` ends where yes or no is the next word, so that a GPT-like model answers untuned."""


def gap_in_words(seconds: float) -> str:
    """``"3 days later"``; the largest unit of which there is at least one, rounded.

    >>> gap_in_words(3 * 86_400)
    '3 days later'
    """
    if seconds < 60:
        return "moments later"
    unit, size = next((name, size) for name, size in reversed(_UNITS) if seconds >= size)
    count = round(seconds / size)
    return f"{count} {unit}{'s' if count > 1 else ''} later"


def cut_to_words(text: str, words: int) -> str:
    """The first words of a text; endless ones are cut too."""
    return " ".join(text.split()[:words])[: _LONGEST_WORD * words]


class Prompts:
    """Tells histories and items.

    Args:
        titles: by item code, as they are to be told.
        action_names: by action code from 1; () tells none.
        clocked: whether moments are times, so that gaps can be told.
        valued: whether the value of an event (a rating) is told.
    """

    def __init__(self, titles: Sequence[str], action_names: Sequence[str], clocked: bool, valued: bool) -> None:
        self.titles = list(titles)
        self.actions = ["", *(name.replace("_", " ") for name in action_names)]
        self.clocked, self.valued = clocked, valued

    def histories(
        self, asked: Histories, templates: Sequence[Template], noise: Callable[[str], str] | None = None
    ) -> list[str]:
        """The beginning of a prompt for each row, oldest event first, up to the question.

        Args:
            templates: one for each row.
            noise: changes each title that is told.
        """
        leads = self._leads(asked)
        titles = [self.titles[item] for item in asked.items.tolist()]
        if noise is not None:
            titles = [noise(title) for title in titles]
        events = [f"{lead}: {title}" if lead else title for lead, title in zip(leads, titles, strict=True)]
        questions = self._questions(asked)
        told = []
        for row, template in enumerate(templates):
            begin, end = asked.offsets[row], asked.offsets[row + 1]
            lead = f", {questions[row]}" if questions[row] else ""
            told.append(
                template.opening + template.between.join(events[begin:end]) + template.question.format(lead=lead)
            )
        return told

    def evidence(self, items: np.ndarray, taken: np.ndarray, support: np.ndarray, of: np.ndarray) -> list[list[str]]:
        """What speaks for each of the (rows, items) codes, to stand before its offer; empty where ``taken`` is 0.

        Titles are cut to a few words. Where an offer is too long, this is what is cut off.

        Args:
            taken: (rows, items) code of what others had taken before.
            support, of: (rows, items) how many of them went on to the item, of how many.
        """
        short = {code: cut_to_words(self.titles[code], _EVIDENCE_WORDS) for code in np.unique([taken, items]).tolist()}
        parts = (items.tolist(), taken.tolist(), support.tolist(), of.tolist())
        return [
            [
                f" People who took {short[x]} then took {short[z]}: {some} of {all_}." if x else ""
                for z, x, some, all_ in zip(*row, strict=True)
            ]
            for row in zip(*parts, strict=True)
        ]

    def offers(
        self, items: np.ndarray, templates: Sequence[Template], noise: Callable[[str], str] | None = None
    ) -> list[list[str]]:
        """(rows, items) codes to the text of each."""
        change = noise or (lambda title: title)
        return [
            # Not by str.format: a title may hold braces.
            [template.offer.replace("{title}", change(self.titles[item])) for item in row]
            for row, template in zip(items.tolist(), templates, strict=True)
        ]

    def _leads(self, asked: Histories) -> list[str]:
        """What is told before the title of each event: how much later, what was done, and its value."""
        count = len(asked.items)
        gaps = [""] * count
        if self.clocked and asked.timestamps is not None and count:
            apart = np.diff(asked.timestamps, prepend=asked.timestamps[:1]).astype(np.float64) / 1e6
            first = np.zeros(count, dtype=bool)
            first[asked.offsets[:-1][asked.lengths > 0]] = True
            untold = first | (asked.timestamps == UNKNOWN_TIME) | (np.roll(asked.timestamps, 1) == UNKNOWN_TIME)
            gaps = _in_words(apart, untold)
        actions = [""] * count if asked.actions is None else [self.actions[code] for code in asked.actions.tolist()]
        values = [""] * count
        if self.valued and asked.values is not None:
            values = ["" if value != value else f"rated {value:g}" for value in asked.values.tolist()]
        return [", ".join(filter(None, parts)) for parts in zip(gaps, actions, values, strict=True)]

    def _questions(self, asked: Histories) -> list[str]:
        """How much later it is asked, and what for."""
        count = len(asked)
        gaps = [""] * count
        if self.clocked and asked.at is not None and asked.timestamps is not None and len(asked.timestamps):
            last = asked.timestamps[np.maximum(asked.offsets[1:] - 1, 0)]
            untold = (asked.lengths == 0) | (asked.at == UNKNOWN_TIME) | (last == UNKNOWN_TIME)
            gaps = _in_words((asked.at.astype(np.float64) - last) / 1e6, untold)
        wanted = [""] * count if asked.wanted is None else [self.actions[code] for code in asked.wanted.tolist()]
        return [", ".join(filter(None, parts)) for parts in zip(gaps, wanted, strict=True)]


def _in_words(seconds: np.ndarray, untold: np.ndarray) -> list[str]:
    return [
        "" if not_told else gap_in_words(gap) for gap, not_told in zip(seconds.tolist(), untold.tolist(), strict=True)
    ]
