"""What tests of recommenders inherit. Needs pytest; nothing else of the library imports this room."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("segue.testing.contract")

from segue.testing.contract import RecommenderContract  # noqa: E402 - after its assertions learn to speak

__all__ = ["RecommenderContract"]
