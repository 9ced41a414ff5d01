"""Where the page of a test is served, and what the test may bring about there."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """An address, and the log of the process behind it."""

    address: str
    log: Path

    def control(self, what: str, count: int = 1) -> int:
        """Bring something about; see ``fake.FakeSource.control``. How often the source was asked so far."""
        request = urllib.request.Request(f"{self.address}/control/{what}?count={count}", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.read())

    def asks(self) -> int:
        """How often the source was asked so far."""
        with urllib.request.urlopen(f"{self.address}/asks", timeout=10) as answer:
            return int(answer.read())
