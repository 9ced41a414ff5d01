"""Checks of the arguments of public functions: a wrong kind is a named error with a remedy."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import Any

from segue.errors import ArgumentKind
from segue.numeric import as_python


def kind_of(value: Any) -> str:
    """The kind of a value for a message: ``None``, ``'text'``, ``the class EASE``, ``a DataFrame``."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:37]}...")
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"a{'n' if name[0] in 'AEIOaeio' else ''} {name}"


def is_scalar(value: Any) -> bool:
    """Whether a value is one thing and no collection; text is one."""
    return isinstance(value, str | bytes) or not isinstance(value, Sized)


def refusal(value: Any, owner: str, name: str, expected: str, advice: str) -> ArgumentKind:
    """The error of an argument ``name`` of ``owner`` that is not what is ``expected``."""
    return ArgumentKind(owner=owner, name=name, kind=kind_of(value), expected=expected, advice=advice)


def require(value: Any, kinds: type | tuple[type, ...], owner: str, name: str, expected: str, advice: str) -> None:
    """Raise ``ArgumentKind`` where a value is of none of the kinds; a number of numpy is one of Python."""
    if not isinstance(as_python(value), kinds):
        raise refusal(value, owner, name, expected, advice)


def require_mapping(value: Any, owner: str, name: str, example: str) -> None:
    """Raise ``ArgumentKind`` where a value is no mapping; ``example`` is a right one."""
    require(value, Mapping, owner, name, "a mapping", f"For example {name}={example}.")


def require_path(value: Any, owner: str, name: str = "path") -> Path:
    """The path; raises ``ArgumentKind`` where it is neither text nor a path."""
    require(value, (str, os.PathLike), owner, name, "a path", "Give the path as text or a pathlib.Path.")
    return Path(value)


def require_text(value: Any, owner: str, name: str, example: str) -> None:
    """Raise ``ArgumentKind`` where a value is no text; ``example`` is a right one."""
    require(value, str, owner, name, "text", f"For example {name}={example!r}.")


def require_flag(value: Any, owner: str, name: str) -> None:
    """Raise ``ArgumentKind`` where a value is neither true nor false."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise refusal(value, owner, name, "True or False", f"For example {name}=True.")


def require_whole(value: Any, owner: str, name: str, least: int = 1) -> int:
    """The whole number (of numpy too) as an ``int``; raises ``ArgumentKind``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        expected = f"a whole number of at least {least}"
        raise refusal(value, owner, name, expected, f"For example {name}={max(least, 3)}.")
    return int(value)


def require_callable(value: Any, owner: str, name: str, expected: str, advice: str) -> Callable[..., Any]:
    """The function or class; raises ``ArgumentKind``."""
    if not callable(value):
        raise refusal(value, owner, name, expected, advice)
    made: Callable[..., Any] = value
    return made
