"""Errors of learning from feedback: models that serve, updates, estimates."""

from __future__ import annotations

from segue.errors.serving import ServiceError


class LearningError(ServiceError):
    """Models that serve, and what they learn from feedback."""


class ModelNotThere(LearningError):
    code = "V060"
    status = 404
    template = "There is no model {name!r}.{hint}"
    remedy = "Known: {known}. Show them with: segue models --store URL"


class ModelNameTaken(LearningError):
    code = "V061"
    status = 409
    template = "The name {name!r} belongs to the model in {path}."
    remedy = "Give another name."


class NoModelServes(LearningError):
    code = "V062"
    status = 503
    template = "No model can answer: {reason}."
    remedy = "Start the service with a sound artefact: segue serve DIR --store URL"


class NothingToRollBackTo(LearningError):
    code = "V063"
    status = 409
    template = "There is no model to go back to: {reason}."
    remedy = "Choose one by name: segue models --store URL lists them."


class ModelNeedsTorch(LearningError):
    code = "V064"
    status = 422
    template = "The model in {path} ({found}) needs {missing}, which is not installed here."
    remedy = "Export it where it was trained, and serve the export: segue export {path} --out DIR"


class WeightsBad(LearningError):
    code = "V065"
    status = 422
    template = "Weights cannot be {weights}: {reason}."
    remedy = "Give each active model a number of 0 or more, at least one of them above 0."


class UpdateRunning(LearningError):
    code = "V066"
    status = 409
    template = "Another update is at work ({holder}); its lease ends {until}."
    remedy = "Wait until it is done; a lease that is not renewed ends by itself."


class UpdateUnclear(LearningError):
    code = "V067"
    template = "It is not clear what to learn from: {reason}."
    remedy = (
        "For a file: segue update DIR EVENTS --out OUT. For what a service has recorded: segue update DIR --store URL"
    )


class ModelInUse(LearningError):
    code = "V068"
    status = 409
    template = "The model {name!r} cannot be taken away: it is {role}."
    remedy = "Activate another one first."


class ModelNameBad(LearningError):
    code = "V069"
    status = 422
    template = "No model can be called {name!r}."
    remedy = "Give a name of letters, digits, spaces and . @ + - _ that begins with a letter or digit, up to 200."


class OnlineUnknown(LearningError):
    code = "V072"
    status = 404
    template = "Online mode does not learn for a model {name!r}."
    remedy = "It learns for: {known}. Switch it on in the settings, or name one of these."


class NothingToUndo(LearningError):
    code = "V073"
    status = 409
    template = "Cannot undo {asked} batches of online learning: {kept} are kept."
    remedy = "Undo at most that many, or reset to begin anew."


class EstimateImpossible(LearningError):
    code = "V074"
    template = "No estimate of another model is possible from these lists: {reason}."
    remedy = (
        "Serve with exploration on for a while: only where the served list could have been another one do its clicks "
        "tell of other lists."
    )
