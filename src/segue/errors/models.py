"""Errors of recommenders and language models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from segue.errors.base import SegueError


class RecommenderError(SegueError):
    """A recommender was asked for something it cannot do."""


class NotFitted(RecommenderError):
    code = "R001"
    template = "This {owner} has not been trained."
    remedy = "Call fit(data), or load an artefact with segue.load(path)."


class NothingAsked(RecommenderError):
    code = "R002"
    template = "{given}."
    remedy = "Give users=[...] or histories=[...], one of the two."


class BadK(RecommenderError):
    code = "R003"
    template = "k must be a whole number of at least 1, not {value!r}."
    remedy = "For example k=10."


class UnknownItems(RecommenderError):
    code = "R004"
    template = "{count} of the items asked for are not in the catalogue, for example {example!r}.{hint}"
    remedy = "Ask for items that the model was trained with or that are in its catalogue."


class ExtraMissing(RecommenderError):
    code = "R005"
    template = "{what} needs the package {package!r}, which is not installed."
    remedy = "Install it with: pip install 'segue[{extra}]'."


EXTRAS = {
    "train": ("torch", "lightning", "tensorboard"),
    "mine": ("numba",),
    "tune": ("optuna",),
    "tracking": ("wandb", "mlflow"),
    "language": ("transformers", "peft", "gguf", "huggingface_hub"),
    "als": ("implicit", "threadpoolctl"),
    "classify": ("sklearn",),
    "boosting": ("lightgbm",),
    "frames": ("pandas", "pyarrow"),
    "export": ("onnx",),
    "serve": (
        *("alembic", "fastapi", "httptools", "nicegui", "onnxruntime", "orjson", "prometheus_client", "psycopg"),
        *("sqlalchemy", "starlette", "tokenizers", "usearch", "uvicorn"),
    ),
}
"""Optional packages, by the extra of ``pyproject.toml`` that installs them."""


@contextlib.contextmanager
def extras_named(what: str) -> Iterator[None]:
    """Raise ``ExtraMissing`` of ``what`` in place of Python's own error where an optional package is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        raise ExtraMissing(what=what, package=package, extra=extra) from None


class ResumeRefused(RecommenderError):
    code = "R006"
    template = "Cannot resume from {path}: {reason}."
    remedy = "Train again without --resume."


class TrainingDiverged(RecommenderError):
    code = "R007"
    template = "Training diverged: the loss became {value} at step {step}."
    remedy = "Lower learning_rate, or set gradient_clip."


class MomentUnreadable(RecommenderError):
    code = "R008"
    template = "at={value!r} {reason}."
    remedy = "Give a datetime, ISO 8601 text, a number as in the log or 'now'; one for all, or one for each user."


class ActionUnknown(RecommenderError):
    code = "R009"
    template = "There is no action {name!r} in this log; it has {known}.{hint}"
    remedy = "Ask for one that the log has."


class MembersDiffer(RecommenderError):
    code = "R020"
    template = "The members must be of one log: {what}."
    remedy = "Train them on the same data set, or give their settings instead and call fit(data)."


class DistilRefused(RecommenderError):
    code = "R021"
    template = "This ensemble cannot be distilled: {reason}."
    remedy = "Distil sequence models into a student that reads no longer histories and no fewer columns than they do."


class ActionNotLearnt(RecommenderError):
    code = "R010"
    template = "This model has learnt to tell {learnt}, not {name!r}."
    remedy = "Ask for that, or train without target= (and with a weight above 0 for {name!r})."


class ItemsNotTaken(RecommenderError):
    code = "R030"
    template = "A {owner} cannot take new items without training."
    remedy = "Train it again with the whole catalogue, or use one that can, such as SequenceRecommender(text='minilm')."


class TransferRefused(RecommenderError):
    code = "R031"
    template = "What was learnt on one log cannot be taken to the other: {reason}."
    remedy = "Leave settings that differ at their defaults, or train anew (without init_from or --init-from)."


class UpdateRefused(RecommenderError):
    code = "R032"
    template = "This model cannot be updated: {reason}."
    remedy = "Give new events of the same kind of log, or train again on everything."


class AnswerRefused(RecommenderError):
    code = "R033"
    template = "A language ranker cannot learn answer={answer!r} here: {reason}."
    remedy = "{advice}"


class ItemFilterMalformed(RecommenderError):
    code = "R050"
    template = "{name}= takes item ids, not {kind}."
    remedy = "Give a list of item ids, a frame with item_id (and user_id), or a mapping from user id to item ids."


class UnknownUsers(RecommenderError):
    code = "R051"
    template = "{count} of the users asked for are not in the log or have no event, for example {example!r}.{hint}"
    remedy = "Ask for users with events in the log that the model was trained on."


class DiversityUnreadable(RecommenderError):
    code = "R052"
    template = "diversity must be a number from 0 to 1, not {value!r}."
    remedy = "For example diversity=0.3; 0 lists the best items, 1 those that are least alike."


class LanguageError(SegueError):
    """A language model that is not there, or that does not fit."""


class LanguageModelUnknown(LanguageError):
    code = "L001"
    template = "The language model {name!r} cannot be loaded: {reason}.{hint}"
    remedy = "Bring a model with: {command} (or give a directory, or a name of the Hugging Face hub)."


class LanguageModelBroken(LanguageError):
    code = "L002"
    template = "The language model {name!r} is not sound: {reason}."
    remedy = "Bring it anew; its folder needs config.json, *.safetensors and the files of its tokenizer."


class LanguageModelChanged(LanguageError):
    code = "L003"
    template = "What was tuned belongs to another {name!r}: its hash is {found}, and {wanted} was tuned."
    remedy = "Give the language model that this was trained with, or train again with the one that is there."


class PretrainingRefused(LanguageError):
    code = "L020"
    template = "There is nothing to learn by {task!r}: {reason}."
    remedy = "Give a catalogue (--items) whose items have titles or descriptions that differ, or another task."


class OutOfMemory(LanguageError):
    code = "L021"
    template = "The memory did not suffice for batch_size={value} ({reason})."
    remedy = "Set batch_size={half}, which halves what a step needs; or max_tokens={tokens}, or gradient_checkpointing."


class LanguageModelTooLarge(LanguageError):
    code = "L010"
    template = "The language model {name!r} does not fit into memory: {gigabytes} GB of weights, in fp32."
    remedy = "Choose a smaller one, such as minilm (0.1 GB)."


class EncodingMemory(LanguageError):
    code = "L011"
    template = "Reading item text ran out of memory at a single text of {tokens} tokens."
    remedy = "Halve max_tokens (text_max_tokens of a recommender), to {half}: it halves what is needed."


class TuningUnsuitable(LanguageError):
    code = "L004"
    template = "{mode} cannot be had of a {model}: {reason}."
    remedy = "Choose another tuning (lora, adapter and top suit most models), or another language model."


class LanguageMemory(LanguageError):
    code = "L005"
    template = "Tuning the language model ran out of memory at {texts} texts of up to {tokens} tokens a step."
    remedy = "Halve text_batch or text_max_tokens: either halves it. Or set gradient_checkpointing=true, at more time."


class LanguageModelUnsuited(LanguageError):
    code = "L030"
    template = "The language model {name!r} cannot rank: {reason}."
    remedy = "Choose another one, such as minilm, or another tuning= than 'none'."


class ArgumentKind(SegueError):
    code = "R040"
    template = "{owner}: {name} is {kind}, not {expected}."
    remedy = "{advice}"
