"""What an error is: a code, the value that was met, and the remedy; and the list of all of them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any, ClassVar


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or ``""`` when none is close."""
    choices = {str(k).lower(): str(k) for k in known}
    found = difflib.get_close_matches(str(name).lower(), list(choices), n=1, cutoff=0.5)
    return f" Did you mean {choices[found[0]]!r}?" if found else ""


class SegueError(Exception):
    """Base of all errors a user can meet; ``code`` is stable across releases."""

    code: ClassVar[str] = "S000"
    template: ClassVar[str] = "{detail}"
    remedy: ClassVar[str] = ""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.message = self.template.format(**values)
        self.advice = self.remedy.format(**values)
        super().__init__(f"[{self.code}] {self.message} {self.advice}".rstrip())

    def __reduce__(self) -> Any:
        # So that a worker process can hand an error back: the values make it anew.
        return functools.partial(type(self), **self.values), ()


def catalogue() -> list[type[SegueError]]:
    """All error classes with a code, in the order of their codes."""

    def below(cls: type[SegueError]) -> list[type[SegueError]]:
        return [cls, *(d for sub in cls.__subclasses__() for d in below(sub))]

    return sorted((c for c in below(SegueError) if "code" in c.__dict__), key=lambda c: c.code)
