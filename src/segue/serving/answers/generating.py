"""Sequences of next items, as the library generates them (``recommenders.generation``)."""

from segue.recommenders.generation import continued, generate, next_codes, step_of

__all__ = ["continued", "generate", "next_codes", "step_of"]
