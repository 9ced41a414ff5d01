"""``make demo`` and ``make test`` in a root file system with nothing installed; needs root and debootstrap."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.results_file import WORK

SCRIPT = Path(__file__).parents[1] / "scripts" / "bare_machine.sh"


def possible() -> bool:
    """Whether a root file system can be built here."""
    return os.getuid() == 0 and shutil.which("debootstrap") is not None


def both_commands() -> dict[str, Any]:
    """Times, sizes and the last lines of both; raises ``CalledProcessError`` where one of them fails."""
    subprocess.run([str(SCRIPT), str(WORK / "bare-machine")], check=True)
    return dict(json.loads((WORK / "bare-machine" / "result.json").read_text()))
