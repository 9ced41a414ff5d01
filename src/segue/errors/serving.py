"""Errors of the service: what a request or its start can meet."""

from __future__ import annotations

from typing import ClassVar

from segue.errors.base import SegueError


class ServiceError(SegueError):
    """A request or the start of the service was refused; ``status`` is what HTTP says."""

    status: ClassVar[int] = 400
