"""Exact matching of paths: a path names one id, and no other path names it.

Starlette's patterns end in ``$``, which matches before a last newline, and their ``.*`` matches no newline, so that
``/users/carol%0A`` would name ``carol``. Here a path matches as a whole. A slash that is escaped (``%2F``) belongs to
an id: ``/items/a%2Fsimilar`` is the item ``a/similar``, and ``/items/a/similar`` lists what is similar to ``a``.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.routing import compile_path

from segue.serving.guard.refusing import Scope


class PathPattern:
    """The template of a route.

    Args:
        template: as FastAPI takes it, such as ``/v1/items/{item_id:path}/similar``.
        pattern: of a mount, which matches what is below it too.
    """

    def __init__(self, template: str, pattern: re.Pattern[str] | None = None) -> None:
        text = (pattern or compile_path(template)[0]).pattern
        self._pattern = re.compile(text.removesuffix("$"), re.DOTALL)
        self._ending = template.rpartition("}")[2] if "}" in template else ""

    def match(self, scope: Scope) -> dict[str, Any] | None:
        """The parameters of a request's path, or None where it does not match."""
        found = self._pattern.fullmatch(scope["path"])
        raw = scope.get("raw_path")
        if found is None or (self._ending and raw is not None and not raw.endswith(self._ending.encode())):
            return None
        return found.groupdict()
