"""Maximal marginal relevance, as the library computes it (``ranking.diversity``)."""

from segue.ranking.diversity import pool_size, spread, unit

__all__ = ["pool_size", "spread", "unit"]
