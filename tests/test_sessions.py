"""ONNX models that answer."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from segue.errors import ExtraMissing, GraphBroken
from segue.sessions import Graph


def doubling() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [x], [y])
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_a_model_answers_and_so_does_its_copy() -> None:
    graph = Graph(doubling())
    x = np.array([1.0, 2.5], dtype=np.float32)
    for each in (graph, pickle.loads(pickle.dumps(graph)), graph.with_threads(2)):  # noqa: S301 - made here
        assert each(x=x).tolist() == [2.0, 5.0]


def test_threads_are_one_those_of_the_environment_or_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(graph: Graph) -> int:
        return int(graph.opened()._session.get_session_options().intra_op_num_threads)

    for asked, wanted in ((None, 1), ("3", 3), ("many", 1), ("0", 1)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if asked is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert threads(Graph(doubling())) == wanted
    assert threads(Graph(doubling(), threads=2)) == 2


def test_bytes_that_are_no_model_and_inputs_that_do_not_fit_are_one_named_error() -> None:
    with pytest.raises(GraphBroken):
        Graph(b"no model").opened()
    with pytest.raises(GraphBroken):
        Graph(doubling())(x=np.zeros((2, 2), dtype=np.int64))


def test_without_onnxruntime_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExtraMissing, match="onnxruntime"):
        Graph(doubling()).opened()
