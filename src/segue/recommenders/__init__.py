"""The estimators: one contract (``base``), counting baselines, and the sequence model."""
