"""Habits found by counting: windows, sequential patterns, association rules, contrasts, regularity, classification."""
