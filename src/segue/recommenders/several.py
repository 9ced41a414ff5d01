"""Several recommenders that answer as one: what ``Ensemble`` and ``Hybrid`` share.

Members as people write them, what all must agree on, growing together, and one artefact for all. How their scores
become one is left to the classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from segue import artefacts
from segue.config import Config
from segue.errors import MembersDiffer
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth
from segue.recommenders.spec import Spec
from segue.recommenders.store import recommender_class


class MemberSpec(Spec):
    """One of several: a recommender that is not several itself."""

    refused: ClassVar[dict[str, str]] = {
        "Ensemble": "an ensemble is no member of another; list its members instead",
        "Hybrid": "a hybrid is no member of another; list its members instead",
    }


class Several(Recommender):
    """A recommender made of others, which stand in its setting ``members``.

    Attributes:
        members: the fitted recommenders, in the order of ``config.members``.
    """

    members: list[Recommender]

    def __init__(self, members: Config | Sequence[Any] | None = None, **settings: Any) -> None:
        if isinstance(members, Config) or members is None:
            super().__init__(members, **settings)
        else:
            super().__init__(members=members, **settings)
        self.members = []

    def _adopt_fitted(self, members: Any) -> None:
        """Take the members as they are where all of them are fitted."""
        if isinstance(members, Sequence):
            fitted = [each for each in members if isinstance(each, Recommender) and each._fitted]
            if len(fitted) == len(members):
                self._adopt(fitted)

    def _adopt(self, members: list[Recommender]) -> None:
        for member in members[1:]:
            if (what := difference(members[0], member)) is not None:
                raise MembersDiffer(what=what)
        self.know_as(members[0])
        self.members = members
        self.report = {"recommender": type(self).__name__, "exclude_seen": self.exclude_seen}
        self.report["members"] = [member.report for member in members]
        self._fitted = True

    def _member_names(self) -> list[str]:
        """One for each member, as its part of a score is called."""
        return [f"member {number}: {type(each).__name__}" for number, each in enumerate(self.members, 1)]

    def _grow(self, growth: Growth) -> None:
        grown = []
        for member in self.members:
            member = copy.copy(member)
            member.report = dict(member.report)
            member.know_as(self)
            member._forget_answers()
            member._grow(growth)
            grown.append(member)
        self.members = grown

    def _save(self, artefact: artefacts.Writer) -> None:
        # What is known of the log is in the artefact once; each member adds only what it learnt.
        described = [
            {"recommender": type(member).__name__, "settings": member.config.model_dump()} for member in self.members
        ]
        artefact.document("members", described)
        for number, member in enumerate(self.members):
            member._save(artefact.within(name_of(number)))

    def _load(self, artefact: artefacts.Reader) -> None:
        described = artefact.document("members")
        # The report follows; zip refuses numbers of members that differ.
        for number, (each, _) in enumerate(zip(described, self.config.members, strict=True)):
            cls = recommender_class(each["recommender"])
            member = cls(cls.Settings.parse(each["settings"], owner=cls.__name__))
            member.know_as(self)
            member.report = self.report["members"][number]
            member._load(artefact.within(name_of(number)))
            member._fitted = True
            self.members.append(member)


def name_of(number: int) -> str:
    """What the part of an artefact or a checkpoint is called that belongs to one member."""
    return f"member-{number}"


def difference(one: Any, other: Any) -> str | None:
    """Where codes of one recommender mean something else in another, or in a data set; None where they do not.

    Recommenders must also know the same users: an ensemble has one history for each.
    """
    if not one.item_vocabulary.ids.equals(other.item_vocabulary.ids):
        counts = f"{len(one.item_vocabulary):,} and {len(other.item_vocabulary):,} items"
        return f"their catalogues differ ({counts})"
    for name in ("clock", "time_zone", "action_names"):
        if getattr(one, name) != getattr(other, name):
            return f"{name} is {getattr(one, name)!r} and {getattr(other, name)!r}"
    if not isinstance(other, Recommender):
        return None
    same = one.user_vocabulary.ids.equals(other.user_vocabulary.ids) and all(
        np.array_equal(getattr(one.histories, name), getattr(other.histories, name)) for name in ("offsets", "items")
    )
    return None if same else "their users or histories differ"
