"""Programs of the system that tests start, and what happens where one is missing.

With ``CI=true`` the test fails. Elsewhere it is skipped, and the end of the run counts the skipped tests by program.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
POSTGRESQL = Path("/usr/lib/postgresql")

_PRESENT: dict[str, Callable[[], bool]] = {
    "postgresql": lambda: any(POSTGRESQL.glob("*/bin/initdb")),
    "chromium": CHROMIUM.exists,
    "libatomic1": lambda: ctypes.util.find_library("atomic") is not None,
    "strace": lambda: shutil.which("strace") is not None,
    "curl": lambda: shutil.which("curl") is not None,
}
_PATTERN = re.compile(r"(?P<package>\w+) is missing: apt-get install (?P=package)")


def need(package: str) -> None:
    """Skip the test where Debian's ``package`` is missing, or fail it with ``CI=true``."""
    if _PRESENT[package]():
        return
    reason = f"{package} is missing: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: no test is skipped)")
    pytest.skip(reason)


def skipped_by_package(reasons: Iterable[str]) -> dict[str, int]:
    """How many of the reasons of skipped tests name each package."""
    found = (_PATTERN.search(reason) for reason in reasons)
    return dict(Counter(match["package"] for match in found if match and match["package"] in _PRESENT))
