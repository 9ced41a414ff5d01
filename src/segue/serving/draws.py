"""Random numbers that are a function of a text, so that whatever was drawn can be drawn again from the log.

They come from SHAKE-128 and not from a generator's stream: the same text gives the same numbers with any version of any
library. Nothing secret goes in, and nothing that must stay secret may be drawn here.
"""

from __future__ import annotations

import hashlib

import numpy as np


def uniforms(text: str, count: int) -> np.ndarray:
    """(count,) float64 in [0, 1), from the text alone; a longer draw begins with the shorter one."""
    words = np.frombuffer(hashlib.shake_128(text.encode()).digest(8 * count), dtype="<u8")
    return (words >> np.uint64(11)) * 2.0**-53
