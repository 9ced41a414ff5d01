"""Errors of the guard: keys, limits, deadlines."""

from __future__ import annotations
