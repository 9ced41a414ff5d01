"""Errors of settings, artefacts and what is fetched."""

from __future__ import annotations

from segue.errors.base import SegueError


class ConfigError(SegueError):
    """A setting that is unknown or has an impossible value."""


class ConfigUnknown(ConfigError):
    code = "C001"
    template = "Unknown setting {name!r} for {owner}.{hint}"
    remedy = "Known settings: {known}."


class ConfigValue(ConfigError):
    code = "C002"
    template = "Setting {name!r} of {owner} cannot be {value!r}: {reason}."
    remedy = "See the documentation of {owner}."


class ConfigFile(ConfigError):
    code = "C003"
    template = "Cannot read the configuration {path}: {reason}."
    remedy = "It must be a TOML file."


class ConfigSet(ConfigError):
    code = "C004"
    template = "{text!r} is not of the form {form}."
    remedy = "For example {example}."


class NothingToLearn(ConfigError):
    code = "C010"
    template = "There is nothing to learn: {reason}."
    remedy = "{advice}"


class ScheduleNotBegun(ConfigError):
    code = "C011"
    template = (
        "The {schedule} schedule never begins: training takes {steps} steps at most, and the warm-up alone {warmup}."
    )
    remedy = "Set warmup_steps={most} or less, or more epochs, or leave schedule out."


class ArtefactError(SegueError):
    """A directory that is not, or no longer, a sound artefact."""


class ArtefactNotFound(ArtefactError):
    code = "A001"
    template = "{path} is not an artefact: {reason}."
    remedy = "Give a directory that segue wrote (it holds manifest.json)."


class ArtefactCorrupt(ArtefactError):
    code = "A002"
    template = "The artefact {path} is damaged: {reason}."
    remedy = "Bring it back from a copy, or train again; nothing of it was loaded."


class ArtefactTooNew(ArtefactError):
    code = "A003"
    template = "The artefact {path} has format {found}; this version reads up to {known}."
    remedy = "Upgrade segue."


class ArtefactForeign(ArtefactError):
    code = "A004"
    template = "The artefact {path} holds a {found!r}, not {wanted}."
    remedy = "Give the directory of a {wanted}."


class ArtefactInTheWay(ArtefactError):
    code = "A005"
    template = "{path} exists and is not an artefact; it is left as it is."
    remedy = "Choose another directory, or move that one away."


class ArtefactNotWritten(ArtefactError):
    code = "A006"
    template = "Could not write {path}: {reason}. What was there before is untouched."
    remedy = "Free some space or fix the permissions, then save again."


class FetchError(SegueError):
    """Data or weights could not be brought."""


class DatasetUnknown(FetchError):
    code = "F001"
    template = "There is no ready data set or model {name!r}.{hint}"
    remedy = "Known: {known}."


class DownloadFailed(FetchError):
    code = "F002"
    template = "Could not download {name}: {reason}."
    remedy = "Check the network and pip's settings, then try again; what was there before is untouched."


class ChecksumDiffers(FetchError):
    code = "F003"
    template = "{name} is not the file expected: SHA-256 {found}, not {wanted}."
    remedy = "Nothing was kept. Try again; if it persists the source has changed."


class NotFetched(FetchError):
    code = "F004"
    template = "{name} is not in the cache ({path})."
    remedy = "Bring it with: segue fetch {name}"
