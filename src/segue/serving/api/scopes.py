"""Which scope a route needs; who has it is the guard's.

A stand-in until the guard's own ``needs`` takes its place: it lets everybody in and only records the scope.
"""

from __future__ import annotations

from collections.abc import Callable


def needs(scope: str | None) -> Callable[[], None]:
    """A dependency that carries its scope."""

    def check() -> None:
        return None

    check.scope = scope  # type: ignore[attr-defined]
    return check
