"""``segue models``: what is refused changes nothing."""

from __future__ import annotations

from pathlib import Path

from tests.cli.test_verbs import segue


def test_a_directory_that_is_no_artefact_is_refused_and_leaves_no_new_store(tmp_path: Path) -> None:
    answer = segue("models", "add", tmp_path / "none", "--store", f"sqlite:///{tmp_path}/shop.db")
    assert answer.returncode == 2
    assert "A001" in answer.stdout + answer.stderr
    assert not (tmp_path / "shop.db").exists()
