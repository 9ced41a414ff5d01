"""Protocols, metrics, intervals, slices and the report: what a recommender is worth, honestly."""
