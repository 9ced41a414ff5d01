"""The space a search looks in: a range or a choice for each setting, checked against the recommender's settings.

Each recommender has a default space that holds its default settings; a dictionary or the ``[space]`` of a TOML file
replaces it. How the space is searched is left to ``study`` and ``tune``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from segue.config import Config, ReadWhere
from segue.errors import ConfigUnknown, ConfigValue, NothingToTune, nearest
from segue.numeric import as_python

if TYPE_CHECKING:
    from optuna.trial import Trial

Scalar = str | int | float | bool

DEFAULTS: dict[str, dict[str, Any]] = {
    "SequenceRecommender": {
        "embedding_size": [32, 48, 64, 96, 128],
        "blocks": {"low": 1, "high": 3},
        "block": ["ligr", "plain"],
        "dropout": {"low": 0.0, "high": 0.7},
        "learning_rate": {"low": 2e-4, "high": 2e-2, "log": True},
        "weight_decay": [0.0, 1e-3, 1e-2, 1e-1],
        "batch_tokens": [512, 1024, 2048, 4096],
        "max_length": {"low": 20, "high": 200, "log": True},
    },
    "ItemNeighbours": {
        "neighbours": {"low": 10, "high": 1000, "log": True},
        "shrink": {"low": 0.0, "high": 100.0},
        "last": {"low": 1, "high": 100, "log": True},
        "decay": {"low": 0.5, "high": 1.0},
    },
    "EASE": {"regularisation": {"low": 1.0, "high": 10_000.0, "log": True}},
    "ALS": {
        "embedding_size": [16, 32, 64, 128],
        "regularisation": {"low": 1e-3, "high": 10.0, "log": True},
        "alpha": {"low": 1.0, "high": 100.0, "log": True},
        "epochs": {"low": 5, "high": 30},
    },
    "PatternRecommender": {
        "max_length": {"low": 2, "high": 3},
        "window": {"low": 1, "high": 30, "log": True},
        "last": {"low": 1, "high": 30, "log": True},
        "min_support": {"low": 2, "high": 5},
    },
    "FirstOrder": {"smoothing": {"low": 0.1, "high": 100.0, "log": True}, "steps": {"low": 1, "high": 10}},
    "RecentlyPopular": {
        "decay": ["half_life", "window"],
        "days": {"low": 0.25, "high": 365.0, "log": True},
    },
}


class Range(Config):
    """From ``low`` to ``high``, both included; of whole numbers where both are."""

    low: int | float
    high: int | float
    log: bool = False
    """Even in the logarithm: for what is told in orders of magnitude."""

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log begins above 0, and low is {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def ends(self) -> list[Scalar]:
        """What it stands for in a check."""
        return [self.low, self.high]

    def __contains__(self, value: object) -> bool:
        value = as_python(value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = not self.whole or isinstance(value, int)
        return number and whole and self.low <= value <= self.high  # type: ignore[operator]

    def suggest(self, trial: Trial, name: str) -> Scalar:
        """Let a trial choose."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, float(self.low), float(self.high), log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Scalar, ...]

    def ends(self) -> list[Scalar]:
        """What it stands for in a check."""
        return list(self.values)

    def __contains__(self, value: object) -> bool:
        return any(value == each and type(value) is type(each) for each in self.values)

    def suggest(self, trial: Trial, name: str) -> Scalar:
        """Let a trial choose."""
        chosen: Scalar = trial.suggest_categorical(name, list(self.values))  # type: ignore[assignment]
        return chosen


@dataclass(frozen=True)
class Space:
    """A range or a choice for each setting that is searched, and where these settings are read."""

    parts: dict[str, Range | Choice]
    settings: type[Config] = Config
    """Of the recommender; a class, so that a space can be sent to another process."""

    @property
    def conditions(self) -> tuple[ReadWhere, ...]:
        """Where the settings are read."""
        return self.settings.read_where

    @classmethod
    def of(cls, owner: str, settings: type[Config], given: Mapping[str, Any] | None, fixed: Mapping[str, Any]) -> Space:
        """The given space, or the default one without the settings that are fixed.

        Raises:
            NothingToTune: no setting is left.
            ConfigUnknown: a name that the recommender does not have.
            ConfigValue: an end or a choice that the recommender cannot have, or a setting both fixed and searched.
        """
        wanted = given
        if wanted is None:
            wanted = {name: part for name, part in DEFAULTS.get(owner, {}).items() if name not in fixed}
        if not wanted:
            raise NothingToTune(why=f"the space of {owner} is empty")
        parts = {}
        for name, text in wanted.items():
            if name not in settings.model_fields:
                known = list(settings.model_fields)
                raise ConfigUnknown(name=name, owner=owner, hint=nearest(name, known), known=", ".join(known))
            if name in fixed:
                raise ConfigValue(name=name, owner="the space", value=fixed[name], reason="it is also a fixed setting")
            parts[name] = _part(name, text)
            _check(name, parts[name], owner, settings)
        return cls(parts, settings)

    def suggest(self, trial: Trial, decide: Callable[[dict[str, Any]], Config] | None = None) -> dict[str, Scalar]:
        """The settings of one trial, without those that the others leave unread.

        Args:
            decide: the whole configuration, with every ``"auto"`` decided, from the settings chosen so far; None
                chooses every setting.
        """
        chosen: dict[str, Scalar] = {}
        for name in self._order():
            if decide is None or self._is_read(name, decide, chosen):
                chosen[name] = self.parts[name].suggest(trial, name)
        return chosen

    def _is_read(self, name: str, decide: Callable[[dict[str, Any]], Config], chosen: dict[str, Any]) -> bool:
        conditions = [each for each in self.conditions if name in each.names and each.part is None]
        if not conditions:
            return True
        try:
            config = decide(chosen)
        except ConfigValue:  # those chosen so far need others that are still to come
            return True
        return all(each.met(config, None) for each in conditions)

    def _order(self) -> list[str]:
        """The settings in their order, each after those of the space that decide whether it is read."""
        order: dict[str, None] = {}

        def add(name: str) -> None:
            if name not in order and name in self.parts:
                for decider in (
                    each for condition in self.conditions if name in condition.names for each in condition.on
                ):
                    add(decider)
                order[name] = None

        for name in self.parts:
            add(name)
        return list(order)

    def as_dict(self) -> dict[str, Any]:
        """As it was given."""
        return {
            name: part.model_dump() if isinstance(part, Range) else list(part.values)
            for name, part in self.parts.items()
        }


def _part(name: str, text: Any) -> Range | Choice:
    if isinstance(text, Range):
        return text
    if isinstance(text, Mapping):
        return Range.parse(text, owner=f"the space of {name}")
    if isinstance(text, list | tuple) and text and all(isinstance(each, str | int | float | bool) for each in text):
        return Choice(tuple(text))
    raise ConfigValue(name=name, owner="the space", value=text, reason="it is neither {low, high, log} nor a list")


def _check(name: str, part: Range | Choice, owner: str, settings: type[Config]) -> None:
    for value in part.ends():
        try:
            settings.parse({name: value}, owner=owner)
        except ConfigValue as error:
            if error.values["name"] == name:  # what only goes with other settings shows in the trial that has both
                raise
