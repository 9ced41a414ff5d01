from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue import artefacts
from segue.errors import ArtefactCorrupt, ArtefactNotFound, ResumeRefused
from segue.training.checkpoint import ArtefactCheckpointIO

TREE: dict[str, Any] = {
    "weights": {
        "a": torch.arange(6.0).view(2, 3),
        "b": torch.tensor([1, 2], dtype=torch.int64),
        "c": torch.tensor(3.5),
    },
    "epoch": 3,
    "done": True,
    "nothing": None,
    "name": "ndcg@10",
    "best": float("-inf"),
    "list": [1, 2.5, "x", [torch.ones(1)]],
    "tuple": (1, (2, 3)),
    7: {"an integer key": {}},
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and left == right


def test_what_is_saved_comes_back_with_its_types(tmp_path: Path) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint(TREE, tmp_path / "c")
    assert same(io.load_checkpoint(tmp_path / "c"), TREE)


def test_not_a_number_and_numpy_numbers_come_back(tmp_path: Path) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint({"nan": float("nan"), "big": float("inf"), "numpy": np.float32(0.5)}, tmp_path / "c")
    back = io.load_checkpoint(tmp_path / "c")
    assert np.isnan(back["nan"])
    assert (back["big"], back["numpy"]) == (float("inf"), 0.5)


def test_tensors_that_come_back_may_be_changed(tmp_path: Path) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint(TREE, tmp_path / "c")
    tensor = io.load_checkpoint(tmp_path / "c")["weights"]["a"]
    tensor += 1
    assert torch.equal(tensor, TREE["weights"]["a"] + 1)


def test_what_could_run_code_on_loading_cannot_be_saved(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return print, ("run",)

    with pytest.raises(TypeError, match="cannot hold a Hostile"):
        ArtefactCheckpointIO("one").save_checkpoint({"x": Hostile()}, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    ArtefactCheckpointIO("one").save_checkpoint(TREE, tmp_path / "c")
    with pytest.raises(ResumeRefused, match="other data, settings or seed"):
        ArtefactCheckpointIO("two").load_checkpoint(tmp_path / "c")


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint(TREE, tmp_path / "c")
    for file in sorted((tmp_path / "c").iterdir()):
        sound = file.read_bytes()
        file.write_bytes(sound[: len(sound) // 2])
        with pytest.raises(ArtefactCorrupt):
            io.load_checkpoint(tmp_path / "c")
        file.write_bytes(sound)
    assert same(io.load_checkpoint(tmp_path / "c"), TREE)


def test_a_save_that_fails_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint(TREE, tmp_path / "c")

    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artefacts, "_publish", broken)
    with pytest.raises(KeyboardInterrupt):
        io.save_checkpoint({"epoch": 4}, tmp_path / "c")
    assert same(io.load_checkpoint(tmp_path / "c"), TREE)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_checkpoint_can_be_removed(tmp_path: Path) -> None:
    io = ArtefactCheckpointIO("one")
    io.save_checkpoint(TREE, tmp_path / "c")
    io.remove_checkpoint(tmp_path / "c")
    with pytest.raises(ArtefactNotFound):
        io.load_checkpoint(tmp_path / "c")
