"""Warnings that a user should act on; errors have their own module. Nothing here knows what warns."""

from __future__ import annotations


class SegueWarning(UserWarning):
    """Base of warnings a user should act on."""


class SettingUnread(SegueWarning):
    """A setting changes nothing here, since what it belongs to is not in use."""


class ColdUsers(SegueWarning):
    """Some of the users asked for are not in the log; they get what suits an empty history."""


class UnknownItemsInHistory(SegueWarning):
    """Some items of the histories given are not in the catalogue; they are skipped."""


class ItemFilterIncomplete(SegueWarning):
    """``among=`` or ``exclude=`` names items or users that are not known, or leaves a request without any item."""


class RequestBeforeHistory(SegueWarning):
    """Some requests are for a moment before their history begins; they get what suits an empty history."""


class NoItemText(SegueWarning):
    """The catalogue has no text to read; what is popular is listed instead."""


class TrackerFailed(SegueWarning):
    """A tracker is not installed, cannot be reached or failed; training goes on without it."""


class VectorsNotKept(SegueWarning):
    """Vectors of item text could not be kept on disk; they are made again the next time."""


class LabelsSkipped(SegueWarning):
    """Some labels have no user in the log, or some users no label; they are left out."""


class ManyPatterns(SegueWarning):
    """There are more patterns than were asked to be found; a higher support, or ``top=``, finds the telling ones."""


class PatternsCut(SegueWarning):
    """The search for patterns ended early; those that are there are complete for the first symbols told."""


class MiningStopped(PatternsCut):
    """The user stopped the search for patterns; what was complete by then is there."""
