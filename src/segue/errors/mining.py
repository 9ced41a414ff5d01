"""Errors of mining habits (M...)."""

from segue.errors.base import SegueError


class MiningError(SegueError):
    """A mistake in what is to be mined."""


class SymbolsMissing(MiningError):
    code = "M001"
    template = "Cannot mine over {of!r}: {reason}.{hint}"
    remedy = "Mine over item, action, action+item, or a column of the catalogue."


class SupportUnusable(MiningError):
    code = "M002"
    template = "min_support is {value}, not {reason}."
    remedy = "Give a share of the users, above 0 and up to 1, or a whole number of users from 1; or ask for top=n."


class ConstraintsContradict(MiningError):
    code = "M003"
    template = "No pattern can meet these constraints: {reason}."
    remedy = "Change one of the two."


class NoClock(MiningError):
    code = "M004"
    template = "{what} needs moments, and the log's timestamps are an order alone."
    remedy = "Leave it out, or give timestamps that are times (datetimes, ISO 8601, or seconds since 1970)."


class SymbolsUnknown(MiningError):
    code = "M005"
    template = "{count} of the symbols of {name} are not in the log, for example {example!r}.{hint}"
    remedy = "Name them as they stand in the log or the catalogue."


class SpanUnreadable(MiningError):
    code = "M020"
    template = "{value!r} is {reason}."
    remedy = "Write text such as '7d', '36h' or '1d 12h', a timedelta, or a number of days."


class CountUnusable(MiningError):
    code = "M021"
    template = "{name} is {value!r}, not a whole number from {least}."
    remedy = "Give a whole number from {least}."


class ChoiceUnknown(MiningError):
    code = "M022"
    template = "{name} is {value!r}, which is none of the choices.{hint}"
    remedy = "Give one of: {known}."


class GroupsUnusable(MiningError):
    code = "M023"
    template = "There are no two groups to compare: {reason}.{hint}"
    remedy = (
        "Give groups= (user_id to one of two labels; with more labels also target=), since= a moment inside the log, "
        "or action= something that some users did and others did not."
    )


class DateUnreadable(MiningError):
    code = "M024"
    template = "{name} is {value!r}, which is no {wanted}."
    remedy = "Give a date, a datetime or ISO 8601 text; for a log that knows an order alone, a whole number of it."
