"""Which scope a route needs; who has it is the guard's.

A stand-in until the guard's own ``needs`` takes its place: it lets everybody in and only records the scope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


def needs(scope: str | None) -> Callable[[], Awaitable[None]]:
    """A dependency that carries its scope."""

    async def check() -> None:
        return None

    check.scope = scope  # type: ignore[attr-defined]
    return check
