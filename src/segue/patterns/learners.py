"""Rows of features to probabilities of classes: what three known learners learnt, as arrays.

Learning is scikit-learn's and LightGBM's. Scoring a logistic regression or a forest needs neither of them: weights
and trees are kept as arrays and read here, so that nothing on disk can run code. What the features are is left to
``features``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse, special

from segue import artefacts
from segue.data.jit import kernel
from segue.errors import ExtraMissing


class Learner(ABC):
    """Learns classes 0, 1, ... from rows; ``fit`` or ``read`` comes first."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, matrix: sparse.csr_array, classes: np.ndarray, settings: Any) -> Self:
        """Learn; ``settings`` are those of :class:`segue.SequenceClassifier`. Raises ``ExtraMissing``."""

    @abstractmethod
    def proba(self, matrix: sparse.csr_array) -> np.ndarray:
        """(rows, classes) probabilities."""

    @abstractmethod
    def write(self, artefact: artefacts.Writer) -> None:
        """Write what was learnt."""

    @abstractmethod
    def read(self, artefact: artefacts.Reader) -> Self:
        """Read what :meth:`write` wrote."""


class Logistic(Learner):
    """Logistic regression with an L2 penalty; columns are scaled to a largest value of 1.

    Attributes:
        weights: (features, 1) of the second class, or (features, classes) where there are more than two.
    """

    name = "logistic"

    def fit(self, matrix: sparse.csr_array, classes: np.ndarray, settings: Any) -> Self:  # noqa: D102 - as the base
        linear = _sklearn("linear_model")
        largest = np.asarray(abs(matrix).max(axis=0).todense()).ravel()
        self.scale = np.where(largest > 0, 1 / np.where(largest > 0, largest, 1), 0.0)
        learner = linear.LogisticRegression(C=1 / settings.regularisation, max_iter=2_000)
        learner.fit(_narrow(self._scaled(matrix)), classes)
        self.weights, self.bias = learner.coef_.T.copy(), learner.intercept_.copy()
        return self

    def proba(self, matrix: sparse.csr_array) -> np.ndarray:  # noqa: D102
        said = self._scaled(matrix) @ self.weights + self.bias
        if said.shape[1] > 1:
            return np.asarray(special.softmax(said, axis=1))
        positive = special.expit(said[:, 0])
        return np.stack([1 - positive, positive], axis=1)

    def write(self, artefact: artefacts.Writer) -> None:  # noqa: D102
        artefact.tensors("logistic", {"weights": self.weights, "bias": self.bias, "scale": self.scale})

    def read(self, artefact: artefacts.Reader) -> Self:  # noqa: D102
        arrays = artefact.tensors("logistic")
        self.weights, self.bias, self.scale = arrays["weights"], arrays["bias"], arrays["scale"]
        return self

    def _scaled(self, matrix: sparse.csr_array) -> sparse.csr_array:
        return sparse.csr_array(matrix @ sparse.diags_array(self.scale))


class Forest(Learner):
    """Random forest (Breiman, 2001).

    Attributes:
        arrays: the nodes of all trees one after the other: ``roots``, ``left`` and ``right`` (numbers of nodes, -1 at
            a leaf), ``feature``, ``threshold`` and ``value`` (nodes, classes).
    """

    name = "forest"

    def fit(self, matrix: sparse.csr_array, classes: np.ndarray, settings: Any) -> Self:  # noqa: D102
        ensemble = _sklearn("ensemble")
        learner = ensemble.RandomForestClassifier(settings.trees, random_state=settings.seed, n_jobs=1)
        learner.fit(_narrow(matrix), classes)
        trees = [each.tree_ for each in learner.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]

        def children(name: str) -> np.ndarray:
            sides = [getattr(tree, name) for tree in trees]
            return np.concatenate(
                [np.where(side >= 0, side + root, -1) for side, root in zip(sides, roots, strict=True)]
            )

        self.arrays = {
            "roots": roots.astype(np.int64),
            "left": children("children_left").astype(np.int64),
            "right": children("children_right").astype(np.int64),
            "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int64),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "value": np.concatenate([tree.value[:, 0] for tree in trees]),
        }
        return self

    def proba(self, matrix: sparse.csr_array) -> np.ndarray:  # noqa: D102
        nodes = self.arrays
        trees = (nodes["roots"], nodes["left"], nodes["right"], nodes["feature"], nodes["threshold"], nodes["value"])
        rows = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.float32))
        out = np.zeros((matrix.shape[0], self.arrays["value"].shape[1]))
        _walk(*rows, np.zeros(matrix.shape[1], np.float32), *trees, out)
        return out

    def write(self, artefact: artefacts.Writer) -> None:  # noqa: D102
        artefact.tensors("forest", self.arrays)

    def read(self, artefact: artefacts.Reader) -> Self:  # noqa: D102
        self.arrays = artefact.tensors("forest")
        return self


class LightGBM(Learner):
    """Gradient-boosted trees by LightGBM, kept in its own text format."""

    name = "lightgbm"

    def fit(self, matrix: sparse.csr_array, classes: np.ndarray, settings: Any) -> Self:  # noqa: D102
        lightgbm = _lightgbm()
        kinds = int(classes.max()) + 1
        goal = {"objective": "binary"} if kinds == 2 else {"objective": "multiclass", "num_class": kinds}
        quiet = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": settings.seed}
        shape = {"learning_rate": 0.05, "num_leaves": 15, "lambda_l2": settings.regularisation}
        rows = lightgbm.Dataset(_narrow(matrix), label=classes)
        self.booster = lightgbm.train(goal | quiet | shape, rows, num_boost_round=settings.trees)
        return self

    def proba(self, matrix: sparse.csr_array) -> np.ndarray:  # noqa: D102
        said = np.asarray(self.booster.predict(_narrow(matrix), num_threads=1))
        return said if said.ndim == 2 else np.stack([1 - said, said], axis=1)

    def write(self, artefact: artefacts.Writer) -> None:  # noqa: D102
        artefact.document("lightgbm", {"model": self.booster.model_to_string()})

    def read(self, artefact: artefacts.Reader) -> Self:  # noqa: D102
        text = artefact.document("lightgbm")["model"]
        lightgbm = _lightgbm()
        try:
            self.booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from None
        return self


LEARNERS: dict[str, type[Learner]] = {each.name: each for each in (Logistic, Forest, LightGBM)}


@kernel()
def _walk(indptr, indices, data, dense, roots, left, right, feature, threshold, value, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in range(out.shape[0]):
        for cell in range(indptr[row], indptr[row + 1]):
            dense[indices[cell]] = data[cell]
        for root in roots:
            node = root
            while left[node] >= 0:
                node = left[node] if dense[feature[node]] <= threshold[node] else right[node]
            for kind in range(out.shape[1]):
                out[row, kind] += value[node, kind]
        for kind in range(out.shape[1]):
            out[row, kind] /= roots.shape[0]
        for cell in range(indptr[row], indptr[row + 1]):
            dense[indices[cell]] = 0


def _narrow(matrix: sparse.csr_array) -> sparse.csr_matrix:
    """The same with the 32-bit indices that the learners' compiled code takes."""
    parts = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return sparse.csr_matrix(parts, shape=matrix.shape)


def _sklearn(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ModuleNotFoundError:
        raise ExtraMissing(what="Training a classifier", package="scikit-learn", extra="classify") from None


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ModuleNotFoundError:
        raise ExtraMissing(what="classifier='lightgbm'", package="lightgbm", extra="boosting") from None
    return lightgbm
