"""Errors of export: what cannot be made small and fast."""

from __future__ import annotations
