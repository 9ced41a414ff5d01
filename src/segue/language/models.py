"""Finding and loading pretrained language models, offline first.

A name is one that ``segue fetch`` knows, a directory, or a Hugging Face name that is in its cache or can be brought
from the hub. What is done with a model is left to the other modules of this room.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging as standard_logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from segue.datasets.catalogue import SOURCES, folder
from segue.errors import (
    ExtraMissing,
    LanguageModelBroken,
    LanguageModelTooLarge,
    LanguageModelUnknown,
    NotFetched,
    nearest,
)

Head = Literal["none", "masked", "causal", "classification"]
_CLASSES = {
    "none": "AutoModel",
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "classification": "AutoModelForSequenceClassification",
}
_WEIGHTS = ("*.safetensors",)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A pretrained model with its tokenizer.

    Attributes:
        name: as asked for.
        sha256: of its configuration and weights; what was tuned on one model fits no other.
        tokenizer: of ``transformers``; it has a pad token.
        model: on the CPU, in fp32, in eval mode.
        causal: whether a token sees only those before it (GPT-like), so that the last one knows most.
    """

    name: str
    sha256: str
    tokenizer: Any
    model: nn.Module
    causal: bool

    @property
    def size(self) -> int:
        """Of its hidden vectors."""
        config: Any = self.model.config
        return int(config.hidden_size)


def load_language_model(name: str, head: Head = "none", labels: int = 1) -> LanguageModel:
    """Load a model by name or path.

    Args:
        name: ``"minilm"``, ``"smollm2"``, a directory, or a name on the Hugging Face hub.
        head: ``"none"`` gives hidden states; the others what their name says.
        labels: outputs of a classification head.

    Raises:
        ExtraMissing: ``transformers`` is not installed.
        LanguageModelUnknown: no such model, and none of this name can be brought; says which command brings it.
        LanguageModelBroken: it is there, but its weights and its tokenizer or configuration do not fit together.
        LanguageModelTooLarge: it does not fit into memory.
        LanguageModelTooLarge: it does not fit into memory.
    """
    transformers = _transformers()
    path = locate(name)
    options: dict[str, Any] = {} if head != "classification" else {"num_labels": labels}
    with _quiet():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model, found = getattr(transformers, _CLASSES[head]).from_pretrained(
                path,
                trust_remote_code=False,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # noqa: BLE001 - a folder can be wrong in as many ways as libraries read it
            if is_out_of_memory(error):
                size = sum(file.stat().st_size for pattern in _WEIGHTS for file in path.glob(pattern))
                raise LanguageModelTooLarge(name=name, gigabytes=round(size / 1e9, 1)) from None
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            raise LanguageModelBroken(name=name, reason=reason) from None
    _make_whole(name, tokenizer, model, found["missing_keys"])
    causal = not getattr(model.config, "is_encoder_decoder", False) and _is_causal(model)
    return LanguageModel(name, weights_sha256(path), tokenizer, model.eval(), causal)


def locate(name: str) -> Path:
    """The folder of a model; raises ``LanguageModelUnknown`` where it is in no place that can be reached."""
    if name in _models():
        try:
            return folder(name)
        except NotFetched:
            remedy = f"segue fetch {name}"
            raise LanguageModelUnknown(name=name, reason="it is not in the cache", hint="", command=remedy) from None
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise _unknown(name, "the directory holds no config.json")
        return path
    _transformers()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted = ["*.json", "*.txt", "*.model", *_WEIGHTS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (HFValidationError, ValueError):
        raise _unknown(name, "there is no such directory, and the hub has no names of this form") from None
    except Exception:  # noqa: BLE001 - not there, whatever form that takes; the network is asked next
        pass
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise _unknown(name, "it is in no cache, and HF_HUB_OFFLINE forbids to ask the hub")
    try:
        with _quiet():
            return Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=3))
    except Exception as error:  # noqa: BLE001 - no network, no such name, no right to it: one error for the user
        why = "the hub has none of this name" if "NotFound" in type(error).__name__ else "the hub cannot be asked"
        raise _unknown(name, f"it is in no cache, and {why} ({type(error).__name__})") from None


def _models() -> list[str]:
    return [name for name, source in SOURCES.items() if source.is_model]


def _unknown(name: str, reason: str) -> LanguageModelUnknown:
    """The error for a name that is none of ours, with the one of ours that it may have meant."""
    meant = next((own for own in _models() if own in name.lower()), None)
    hint = f" Did you mean {meant!r}?" if meant else nearest(name, _models())
    return LanguageModelUnknown(name=name, reason=reason, hint=hint, command=f"segue fetch {meant or 'minilm'}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, in any of the ways that Python and torch say so."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def weights_sha256(path: Path) -> str:
    """One hash over the configuration and the weights of a model's folder."""
    digest = hashlib.sha256()
    for pattern in ("config.json", *_WEIGHTS):
        for file in sorted(path.glob(pattern)):
            digest.update(file.name.encode())
            with file.open("rb") as content:
                while block := content.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _make_whole(name: str, tokenizer: Any, model: Any, missing: Iterable[str]) -> None:
    """A pad token, as many embeddings as the tokenizer has tokens, and weights for all that the model is built of."""
    body = {key for key, _ in model.base_model.named_parameters() if "pooler" not in key}
    prefix = f"{model.base_model_prefix}."
    if absent := sorted(key for key in missing if key.removeprefix(prefix) in body):
        reason = f"{len(absent)} of its weights are missing, such as {absent[0]}"
        raise LanguageModelBroken(name=name, reason=reason)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what is made where its files are missing
        raise LanguageModelBroken(name=name, reason="its tokenizer knows no words")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise LanguageModelBroken(name=name, reason="its tokenizer has no token that could pad")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        reason = f"its tokenizer has {len(tokenizer)} tokens and its weights only {rows}"
        raise LanguageModelBroken(name=name, reason=reason)


def _is_causal(model: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    kind = model.config.model_type
    return bool(getattr(model.config, "is_decoder", False) or (kind in CAUSAL and kind not in MASKED))


def _transformers() -> Any:
    try:
        with _quiet():
            import transformers
    except ImportError:
        raise ExtraMissing(what="A language model", package="transformers", extra="language") from None
    return transformers


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and reports of the library; ours says what matters."""
    names = ("transformers", "huggingface_hub")
    loggers = [standard_logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    before = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    bars: Any = None
    with contextlib.suppress(ImportError):
        from transformers.utils import logging

        bars = logging
    shown = bars is not None and bars.is_progress_bar_enabled()
    try:
        if bars is not None:
            bars.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(standard_logging.ERROR)
        yield
    finally:
        if bars is not None and shown:
            bars.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if before is None:
            del os.environ["HF_HUB_DISABLE_PROGRESS_BARS"]
        else:
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = before
