"""Metrics, online rates, drift and alerts."""
