"""Smaller numbers: the matrices of an ONNX model as int8, its activations on the way (dynamic quantisation).

Weights get a scale for each column; activations one per tensor, found while answering. Which of a model's matrices
can bear it differs, so there are several ways, from the smallest model to the most faithful; ``deploy.export`` takes
the first that answers as before.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segue.errors import ExtraMissing

_ATTENTION = ("query_key_value", "/attention/", "packed")
_FEED = ("/feed/", "/up/", "/down/")


def _any(name: str) -> bool:
    return True


def _feed_forward(name: str) -> bool:
    return any(part in name for part in _FEED)


def _without_gates(name: str) -> bool:
    return not any(part in name for part in (*_ATTENTION, "gate"))


WAYS: dict[str, Callable[[str], bool]] = {
    "all matrices": _any,
    "all but attention and gates": _without_gates,
    "feed-forward layers": _feed_forward,
}
"""What is quantised, by the names of the nodes; the first way is the smallest model."""


def quantised(content: bytes, way: str = "all matrices", tables: bool = False) -> bytes | None:
    """An ONNX model in int8; None where this way finds nothing to make smaller.

    Args:
        content: of a model in fp32.
        way: one of ``WAYS``.
        tables: whether tables that rows are taken from shrink too (those of a language model are half of it).

    Raises:
        ExtraMissing: ``onnx`` is not installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise ExtraMissing(what="int8", package="onnx", extra="export") from None
    model = onnx.load_model_from_string(content)
    kinds = ["MatMul", "Gemm", "LSTM", *(["Gather"] if tables else [])]
    chosen = [each.name for each in model.graph.node if each.op_type in kinds and WAYS[way](each.name)]
    if not chosen:
        return None
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "model.onnx"
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=kinds,
            nodes_to_quantize=chosen,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return target.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice to prepare models, which changes nothing for these."""
    before, logging.root.disabled = logging.root.disabled, True
    try:
        yield
    finally:
        logging.root.disabled = before
