"""Garbage collection around the start: it waits meanwhile, and never looks again at what the start made.

Importing and loading make hundreds of thousands of objects that stay; looking through them again and again is a tenth
of a start, and later a pause in an answer.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """No collection inside; what is left at the end is taken for lasting."""
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
