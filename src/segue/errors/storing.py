"""Errors of the event store."""

from __future__ import annotations
