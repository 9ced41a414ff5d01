"""Errors of export: what cannot be made small and fast."""

from __future__ import annotations

from segue.errors.base import SegueError


class DeployError(SegueError):
    """A model cannot be exported, or what was exported cannot do what was asked."""


class ExportWorse(DeployError):
    code = "X001"
    template = "In {precision} the model is no longer the same: {what}."
    remedy = "{remedy} Nothing was written."


class NotTrainedHere(DeployError):
    code = "X002"
    template = "An exported model answers; it does not learn."
    remedy = "Train the model that it was exported from, then: segue export DIR."


class TextNotExported(DeployError):
    code = "X003"
    template = "New items are known by their text here, and what reads it was left out of the export."
    remedy = "Export again without --no-text."


class GraphBroken(DeployError):
    code = "X004"
    template = "The ONNX model cannot be used: {reason}."
    remedy = "Export again, with versions of onnxruntime that are not older than at the export."


class NothingToExport(DeployError):
    code = "X005"
    template = "{owner} has no neural part to export."
    remedy = "It answers without torch as it is: serve its own directory."


class NotExportable(DeployError):
    code = "X006"
    template = "{what} cannot be written as ONNX: {reason}."
    remedy = "{remedy}"


class AlreadyExported(DeployError):
    code = "X007"
    template = "{path} is an export already."
    remedy = "Give the directory that segue train wrote."


class ExportOntoItself(DeployError):
    code = "X008"
    template = "The export of {path} would be written over it."
    remedy = "Choose another directory with --out; the trained model is needed to learn on."
