"""Finding and loading pretrained language models, offline first.

A name is one that ``segue fetch`` knows, a directory, or a Hugging Face name that is in its cache or can be brought
from the hub. What is done with a model is left to the other modules of this room.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging as standard_logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from segue.datasets.catalogue import SOURCES, folder
from segue.errors import ExtraMissing, LanguageModelBroken, LanguageModelUnknown, NotFetched

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
    """
    transformers = _transformers()
    path = locate(name)
    options: dict[str, Any] = {} if head != "classification" else {"num_labels": labels}
    with _quiet():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model = getattr(transformers, _CLASSES[head]).from_pretrained(
                path, trust_remote_code=False, use_safetensors=True, dtype="float32", **options
            )
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            raise LanguageModelBroken(name=name, reason=reason) from None
    _make_whole(name, tokenizer, model)
    causal = not getattr(model.config, "is_encoder_decoder", False) and _is_causal(model)
    return LanguageModel(name, weights_sha256(path), tokenizer, model.eval(), causal)


def locate(name: str) -> Path:
    """The folder of a model; raises ``LanguageModelUnknown`` where it is in no place that can be reached."""
    if name in SOURCES:
        try:
            return folder(name)
        except NotFetched:
            remedy = f"segue fetch {name}"
            raise LanguageModelUnknown(name=name, reason="it is not in the cache", command=remedy) from None
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            reason = "the directory holds no config.json"
            raise LanguageModelUnknown(name=name, reason=reason, command="segue fetch minilm")
        return path
    _transformers()
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", *_WEIGHTS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except Exception:  # noqa: BLE001 - not there, whatever form that takes; the network is asked next
        pass
    try:
        if os.environ.get("HF_HUB_OFFLINE"):
            raise OSError("HF_HUB_OFFLINE is set")
        with _quiet():
            return Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=3))
    except Exception as error:  # noqa: BLE001 - no network, no such name, no right to it: one error for the user
        reason = f"it is in no cache, and the hub cannot be asked ({type(error).__name__})"
        command = "segue fetch minilm"
        raise LanguageModelUnknown(name=name, reason=reason, command=command) from None


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


def _make_whole(name: str, tokenizer: Any, model: Any) -> None:
    """A pad token, and as many embeddings as the tokenizer has tokens."""
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
