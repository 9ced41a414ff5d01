"""Writes docs/errors.md from the catalogue in ``segue.errors``; a test compares the two."""

from __future__ import annotations

from pathlib import Path

from segue.errors import catalogue


def text() -> str:
    """The page: one row per error."""
    rows = [f"| {error.code} | `{error.__name__}` | {error.template} | {error.remedy} |" for error in catalogue()]
    head = "# Errors\n\nEach message gives the value met and the remedy. Codes are stable.\n\n"
    return head + "| code | class | message | remedy |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("errors.md").write_text(text())
