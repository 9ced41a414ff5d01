"""Numba, imported so that ``OMP_NUM_THREADS`` holds for it too: it reads a name of its own, once, when it is imported.

Whoever compiles takes ``numba`` from here. Where somebody has imported it already its threads stay as they are: changed
afterwards, its next compilation would fail.
"""

from __future__ import annotations

import os
import sys

if os.environ.get("OMP_NUM_THREADS", "").isdigit() and "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

import numba

__all__ = ["numba"]
