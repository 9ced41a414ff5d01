"""Errors of learning from feedback: models that serve, updates, estimates."""

from __future__ import annotations
