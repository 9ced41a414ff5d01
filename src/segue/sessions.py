"""ONNX models that answer: bytes in, arrays in and out, on one core unless told otherwise.

Where the bytes come from and what they mean is left to the callers; they hold them only after a checksum.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Self

import numpy as np

from segue.errors import ExtraMissing, GraphBroken


class Graph:
    """An ONNX model with one output; its session is opened when it is first needed.

    Args:
        content: of the model.
        threads: that compute one answer; None takes ``OMP_NUM_THREADS``, or one. Callers may ask from several threads
            at once, which serves a crowd better.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        self.content, self.threads = content, threads
        self._session: Any = None
        self._lock = threading.Lock()

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The output for these inputs.

        Raises:
            GraphBroken: the model does not take them.
        """
        session = self.opened()._session
        try:
            found: np.ndarray = session.run(None, inputs)[0]
        except Exception as error:  # noqa: BLE001 - the library has an error of its own for each status
            raise GraphBroken(reason=_first_line(error)) from None
        return found

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it takes; raises as :meth:`opened`."""
        return tuple(each.name for each in self.opened()._session.get_inputs())

    def opened(self) -> Self:
        """Itself, ready to answer.

        Raises:
            ExtraMissing: ``onnxruntime`` is not installed.
            GraphBroken: the bytes are no model that it reads.
        """
        with self._lock:
            if self._session is None:
                self._session = _session(self.content, self.threads)
        return self

    def with_threads(self, threads: int | None) -> Graph:
        """The same model, computing one answer with so many threads."""
        return Graph(self.content, threads)

    def __reduce__(self) -> Any:
        return type(self), (self.content, self.threads)


def _session(content: bytes, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ExtraMissing(what="An exported model", package="onnxruntime", extra="serve") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _asked_for()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - as above
        raise GraphBroken(reason=_first_line(error)) from None


def _asked_for() -> int:
    """Threads by ``OMP_NUM_THREADS``, which the library does not read itself; else one."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(asked)) if asked.isdigit() else 1


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
