"""Strict typed configuration: the base class of every settings object, TOML files and ``--set``.

A configuration says *what to learn* and is saved with the model. How to run today (device, threads,
progress bars) are arguments of the call and never live here. Unknown names are refused with the nearest
known one. Each component keeps its own small ``Config`` subclass beside its code; this module knows none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from segue.arguments import require_mapping
from segue.errors import ConfigFile, ConfigSet, ConfigUnknown, ConfigValue, nearest
from segue.numeric import as_python


class Config(BaseModel):
    """Base of all settings: frozen, typed, and closed to unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, settings: Mapping[str, Any], owner: str | None = None) -> Self:
        """Build from a mapping.

        Raises:
            ArgumentKind: it is no mapping.
            ConfigUnknown: a name that does not exist, with the nearest that does.
            ConfigValue: a value of the wrong type or out of range.
        """
        owner = owner or cls.__name__.removesuffix("Config")
        require_mapping(settings, owner, "settings", "{'name': value}")
        try:
            return cls.model_validate({str(name): _plain(value) for name, value in settings.items()})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "(all)"
            if first["type"] == "extra_forbidden":
                known = list(cls.model_fields)
                raise ConfigUnknown(name=name, owner=owner, hint=nearest(name, known), known=", ".join(known)) from None
            reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            raise ConfigValue(name=name, owner=owner, value=first["input"], reason=reason) from None


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

    A value is read as TOML where it is TOML (numbers, true, lists, quoted strings) and as plain text
    otherwise. Raises ``ConfigSet`` for a text without ``=``.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigSet(text=text, form="key=value", example="--set epochs=20")
        settings[name.strip()] = _read_value(value)
    return settings


def _read_value(text: str) -> Any:
    try:
        # On one line, so that the text cannot bring a second setting with it.
        return tomllib.loads(f"x = {text}")["x"] if len(text.splitlines()) <= 1 else text.strip()
    except (ValueError, RecursionError):
        return text.strip()
