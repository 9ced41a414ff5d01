"""Strict typed configuration: the base class of every settings object, TOML files and ``--set``.

A configuration says *what to learn* and is saved with the model. How to run today (device, threads,
progress bars) are arguments of the call and never live here. Unknown names are refused with the nearest
known one. Each component keeps its own small ``Config`` subclass beside its code; this module knows none.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from segue.arguments import require_mapping
from segue.cautions import SettingUnread
from segue.errors import ConfigFile, ConfigSet, ConfigUnknown, ConfigValue, nearest
from segue.numeric import as_python

_OFF = ("none", "null", "off")


@dataclass(frozen=True)
class ReadWhere:
    """A condition under which settings are read; elsewhere their values change nothing.

    Attributes:
        names: the settings.
        where: the condition in words; it completes "is read only where".
        holds: the condition on a configuration with every ``"auto"`` decided.
        on: the settings that decide it.
        fact: a fact of the fit that has to be known to hold too, such as ``"validation"``; None: none.
        part: the element of a list, or the value, that the condition is about; None: any value.
    """

    names: tuple[str, ...]
    where: str
    holds: Callable[[Any], bool] = lambda _: True
    on: tuple[str, ...] = ()
    fact: str | None = None
    part: str | None = None

    def met(self, decided: Any, facts: Collection[str] | None) -> bool:
        """Whether the settings are read; facts that are not known (None) count as true."""
        return self.holds(decided) and (self.fact is None or facts is None or self.fact in facts)


class Config(BaseModel):
    """Base of all settings: frozen, typed, and closed to unknown names.

    ``none``, ``null`` and ``off`` stand for None where a setting may be None, and for no elements where it is a list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    read_where: ClassVar[tuple[ReadWhere, ...]] = ()
    """Where settings are read that are not read everywhere; the documentation and the warnings follow from it."""

    @model_validator(mode="before")
    @classmethod
    def _read_off(cls, settings: Any) -> Any:
        """TOML has no null and a command line only text, so that a word has to stand for None."""
        if not isinstance(settings, Mapping):
            return settings
        read = dict(settings)
        for name, value in settings.items():
            field = cls.model_fields.get(name) if isinstance(name, str) else None
            if field is not None and isinstance(value, str) and value.strip().lower() in _OFF:
                read[name] = _off(field.annotation, value)
        return read

    @classmethod
    def parse(cls, settings: Mapping[str, Any], owner: str | None = None) -> Self:
        """Build from a mapping.

        Raises:
            ArgumentKind: it is no mapping.
            ConfigUnknown: a name that does not exist, with the nearest that does.
            ConfigValue: a value of the wrong type or out of range, or values that contradict each other.
        """
        owner = owner or cls.__name__.removesuffix("Config")
        require_mapping(settings, owner, "settings", "{'name': value}")
        try:
            return cls.model_validate({str(name): _plain(value) for name, value in settings.items()})
        except ValidationError as error:
            raise _readable(cls, owner, error) from None

    def unread(self, decided: Config | None = None, facts: Collection[str] | None = None) -> dict[str, ReadWhere]:
        """The settings that differ from their defaults and are not read, each with the condition that does not hold.

        Args:
            decided: the same configuration with every ``"auto"`` decided; None: this one.
            facts: what is known of the fit; None: nothing, and conditions on it count as met.
        """
        decided = self if decided is None else decided
        unread: dict[str, ReadWhere] = {}
        for condition in self.read_where:
            if condition.met(decided, facts):
                continue
            for name in condition.names:
                value = getattr(self, name)
                if value == type(self).model_fields[name].get_default(call_default_factory=True):
                    continue
                if condition.part is None or condition.part == value or condition.part in _elements(value):
                    unread.setdefault(name, condition)
        return unread

    def warn_unread(self, owner: str, decided: Config | None = None, facts: Collection[str] | None = None) -> None:
        """Warn (``SettingUnread``) of each of :meth:`unread`; arguments as there."""
        for name, condition in self.unread(decided, facts).items():
            value = getattr(self, name) if condition.part is None else condition.part
            here = ", ".join(f"{each} is {getattr(decided or self, each)!r}" for each in condition.on)
            text = f"{name}={value!r} of {owner} changes nothing here: it is read only where {condition.where}"
            warnings.warn(f"{text}{f' ({here})' if here else ''}", SettingUnread, stacklevel=3)


def _elements(value: Any) -> Collection[Any]:
    return value if isinstance(value, list | tuple | dict) else ()


def _options(annotation: Any) -> Iterator[Any]:
    """The types of a union, without what ``Annotated`` adds."""
    if hasattr(annotation, "__metadata__"):
        yield from _options(annotation.__origin__)
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _options(each)
    else:
        yield annotation


def _off(annotation: Any, word: str) -> Any:
    """What ``"none"``, ``"null"`` and ``"off"`` mean for a field of this type; the word itself where it is a choice."""
    options = list(_options(annotation))
    if any(word in get_args(each) for each in options):
        return word
    if NoneType in options:
        return None
    return [] if any(get_origin(each) in (list, tuple) for each in options) else word


def _readable(cls: type[Config], owner: str, error: ValidationError) -> ConfigUnknown | ConfigValue:
    """The first fault of a validation as an error of ours; a name in a table stands behind the table's."""
    first = error.errors()[0]
    reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    names = [str(each) for each in first["loc"]]
    group: Any = cls
    depth = 0  # how many of the names are tables of settings
    for name in names:
        field = group.model_fields.get(name)
        inner = None if field is None else next((each for each in _options(field.annotation) if _is_config(each)), None)
        if inner is None:
            break
        group, depth = inner, depth + 1
    path = names[: depth + 1]
    if first["type"] == "extra_forbidden" and len(path) == len(names):
        known = list(group.model_fields)
        hint = nearest(path[-1], known)
        return ConfigUnknown(name=".".join(path), owner=owner, hint=hint, known=", ".join(known))
    if len(path) <= depth and isinstance(first["input"], Mapping) and _is_config(group):  # of a whole table
        values = {name: field.get_default(call_default_factory=True) for name, field in group.model_fields.items()}
        values |= {str(name): value for name, value in first["input"].items()}
        among = [name for name in values if re.search(rf"\b{re.escape(name)}\b", reason)] or list(first["input"])
        name, value = (" and ".join(str(each) for each in texts) for texts in (among, [values[n] for n in among]))
        return ConfigValue(name=".".join([*path, name]), owner=owner, value=value, reason=reason)
    return ConfigValue(name=".".join(path) or owner, owner=owner, value=first["input"], reason=reason)


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Config)


def _plain(value: Any) -> Any:
    """A setting with Python's numbers in place of numpy's, however deep they lie."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return as_python(value)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file into a dictionary; raises ``ConfigFile`` when it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not TOML, not UTF-8, or an endless number
        raise ConfigFile(path=path, reason=error) from None


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Turn ``["epochs=5", "loss=full"]`` into ``{"epochs": 5, "loss": "full"}``.

    A name with dots is a place in a table, as in TOML: ``online.step.rank=4`` is ``{"online": {"step": {"rank": 4}}}``.
    A value is read as TOML where it is TOML (numbers, true, lists, quoted strings) and as plain text otherwise; the
    elements of a list need no quotes. Later assignments take the place of earlier ones.

    Raises:
        ConfigSet: a text without ``=`` or without a name, or a table where an earlier text has a value.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        path = _read_name(name.strip())
        if not equals or not all(path):
            raise ConfigSet(text=text, form="key=value", example="--set epochs=20")
        table = settings
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                form = f"key=value beside another --set, in which {part!r} is a value and no table"
                raise ConfigSet(text=text, form=form, example=f"one --set for each value of {part}: --set {name}=1")
        table[path[-1]] = _read_value(value)
    return settings


def merged(settings: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them; tables are joined, all else is replaced."""
    joined = dict(settings)
    for name, value in over.items():
        below = joined.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        joined[name] = merged(below, value) if both else value  # type: ignore[arg-type]
    return joined


def _read_name(name: str) -> list[str]:
    """The parts of a dotted name; quotes keep a dot inside a part, as in TOML."""
    if '"' not in name and "'" not in name:
        return name.split(".")
    try:
        table: Any = tomllib.loads(f"{name} = 0") if len(name.splitlines()) == 1 else 0
    except (ValueError, RecursionError):
        return [name]
    path = []
    while isinstance(table, dict):
        part, table = next(iter(table.items()))
        path.append(part)
    return path or [name]


def _read_value(text: str) -> Any:
    text = text.strip()
    try:
        # On one line, so that the text cannot bring a second setting with it.
        return tomllib.loads(f"x = {text}")["x"] if len(text.splitlines()) <= 1 else text
    except (ValueError, RecursionError):
        plain = re.fullmatch(r"\[([^\[\]\"'{}]*)\]", text)
        return [_read_value(each) for each in plain[1].split(",") if each.strip()] if plain else text
