"""Who is dealt to which of the models that answer: by a hash of their id, in shares by the models' weights.

Which models answer is ``models``'s.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from dataclasses import dataclass

from segue.errors import NoModelServes
from segue.serving.models.served import Served


@dataclass(frozen=True)
class Serving:
    """What requests read; replaced whole, never changed."""

    active: tuple[Served, ...] = ()
    arms: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # cumulative, the last is 1
    shadows: tuple[Served, ...] = ()

    def at(self, point: float) -> Served:
        """The active model in whose share a number in [0, 1) lies; raises ``NoModelServes``."""
        self._require_any()
        return self.active[bisect.bisect_right(self.shares, point, hi=len(self.shares) - 1)]

    def main(self) -> Served:
        """The active model of the greatest weight, of equals the first; raises ``NoModelServes``."""
        self._require_any()
        weights = [after - before for before, after in itertools.pairwise((0.0, *self.shares))]
        return self.active[weights.index(max(weights))]

    def _require_any(self) -> None:
        if not self.active:
            raise NoModelServes(reason="none is loaded")


def share_of(salt: str, user_id: str) -> float:
    """A number in [0, 1) that belongs to a user: a keyed hash, even over users, the same on every machine."""
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    digest = hashlib.blake2b(user_id.encode(errors="surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest) / 2**64
