"""Errors of learning from feedback: models that serve, updates, estimates."""

from __future__ import annotations

from segue.errors.serving import ServiceError


class LearningError(ServiceError):
    """What learning from feedback refuses."""


class OnlineUnknown(LearningError):
    code = "V072"
    template = "Online mode does not learn for a model {name!r}."
    remedy = "It learns for: {known}. Switch it on in the settings, or name one of these."


class NothingToUndo(LearningError):
    code = "V073"
    template = "Cannot undo {asked} batches of online learning: {kept} are kept."
    remedy = "Undo at most that many, or reset to begin anew."


class EstimateImpossible(LearningError):
    code = "V074"
    template = "No estimate of another model is possible from these lists: {reason}."
    remedy = (
        "Serve with exploration on for a while: only where the served list could have been another one do its clicks "
        "tell of other lists."
    )
