"""Settings of the page, apart from it so that reading them loads nothing."""

from __future__ import annotations

from segue.config import Config


class PageConfig(Config):
    """The web page of the service."""

    on: bool = True
    """Whether there is one, at /ui/."""
