"""Which models answer: roles, weights, swaps."""
