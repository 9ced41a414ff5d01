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


class RuleSupportUnusable(MiningError):
    code = "M010"
    template = "min_support is {value!r}, neither a share nor a number of {units}."
    remedy = "Give a share of the {units}, above 0 and up to 1 (0.01), or a whole number of {units} from 1."


class RuleShareUnusable(MiningError):
    code = "M011"
    template = "{name} is {value!r}, not a share."
    remedy = "Give a number from 0 to 1."


class RuleLengthUnusable(MiningError):
    code = "M012"
    template = "{name} is {value!r}, not {expected}."
    remedy = "A rule has at least one item on each side: max_length counts both sides, max_consequent the second."


class BasketsUnknown(MiningError):
    code = "M013"
    template = "Cannot make baskets by {baskets!r}: the log has no such column.{hint}"
    remedy = "Use moment, session, user, or a column of the log such as an order number: {known}."


class RuleSpanUnusable(MiningError):
    code = "M015"
    template = "within is {value!r}: {reason}."
    remedy = "Give a span such as '7d' or a whole number of places from 1, together with order='before'."


class TooManyItemsets(MiningError):
    code = "M016"
    template = "More than {most} sets of items are frequent enough."
    remedy = "Raise min_support, or lower max_length."


class PermutationsUnusable(MiningError):
    code = "M017"
    template = "{name} is {value!r}, not a whole number from 1."
    remedy = "999 permutations let a p value be as low as 0.001."


class PatternsUnknown(MiningError):
    code = "M018"
    template = "No history holds {label!r}, of pattern number {number}."
    remedy = "Patterns are lists of what stands in the column pattern of a mining result, counted over the same log."


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


class NumberUnusable(MiningError):
    code = "M025"
    template = "{name} is {value!r}, not {wanted}."
    remedy = "Give {wanted}."


class LabelsUnclear(MiningError):
    code = "M030"
    template = "{given}."
    remedy = "Give fit(data, labels) a frame of user_id and label, or set target= to will_leave or will_do:ACTION."


class OneClass(MiningError):
    code = "M031"
    template = "All {users} users have the label {label!r}."
    remedy = "Give labels of at least two kinds; of a ready target, change horizon, cutoff or active."


class ClassTooSmall(MiningError):
    code = "M032"
    template = "The label {label!r} has {users} users, fewer than the {folds} folds."
    remedy = "Set folds= to at most that number, or join the label with another."


class LabelsOfNobody(MiningError):
    code = "M033"
    template = "None of the {count} labels belongs to a user of the log.{hint}"
    remedy = "Give user_id as the log has them, each with a label."


class LabelsContradict(MiningError):
    code = "M034"
    template = "The user {user!r} has two labels, {left!r} and {right!r}."
    remedy = "Give each user one label."


class NothingFrequent(MiningError):
    code = "M035"
    template = "No pattern is had by a share of {min_support} of any class ({users} users)."
    remedy = "Lower min_support, or mine over something coarser, such as of='action' or a column of the catalogue."


class TargetUnknown(MiningError):
    code = "M036"
    template = "There is no target {target!r}.{hint}"
    remedy = "Set target= to will_leave or will_do:ACTION, or leave it out and give labels."


class CutOffUnusable(MiningError):
    code = "M037"
    template = "The cut-off {cutoff} leaves nothing to learn from: {reason}."
    remedy = "Move cutoff= into the log, or set a shorter horizon= (days) or a longer active=."


class MomentsMissing(MiningError):
    code = "M038"
    template = "This classifier reads moments, and the histories have none."
    remedy = "Give a frame with a column timestamp, or train with moments=False."


class OptionElsewhere(MiningError):
    code = "M090"
    template = "{option} says nothing about {what}.{hint}"
    remedy = "With --what {what} go: {known}."


class SetsUnsupported(MiningError):
    code = "M040"
    template = "Patterns whose elements are sets do not come with {what}."
    remedy = "Leave it out, or mine with elements='single'."
