"""``segue keys``: made, listed, rotated, revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.serving.guard.keys import Keys
from segue.serving.store import Store
from tests.cli.test_verbs import refused, segue


def test_a_key_is_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    made = segue("keys", "create", "--store", url, "--scope", "events", "--scope", "recommend", "--days", "30")
    secret = made.stdout.strip()
    assert made.returncode == 0
    key_id = secret.split("_")[1]
    new = segue("keys", "rotate", key_id, "--store", url, "--keep-hours", "2").stdout.strip()
    listed = segue("keys", "list", "--store", url).stdout
    assert key_id in listed
    assert new.split("_")[1] in listed
    assert "events, recommend" in listed
    assert secret.split("_", 2)[2] not in listed
    store = Store.open(url)
    try:
        keys = Keys(store)
        assert keys.check(secret) is not None
        assert keys.check(new) is not None
        assert segue("keys", "revoke", key_id, "--store", url).returncode == 0
        keys.refresh()
        assert keys.check(secret) is None
        assert keys.check(new) is not None
    finally:
        store.close()


def test_limits_of_a_key_are_kept_and_listed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    limits = ("--rate", "2.5", "--concurrency", "8")
    assert segue("keys", "create", "--store", url, "--scope", "recommend", *limits).returncode == 0
    listed = segue("keys", "list", "--store", url).stdout
    assert "2.5/s" in listed
    assert "8 at once" in listed
    store = Store.open(url)
    try:
        row = Keys(store).rows()[0]
        assert (row.rate, row.concurrency) == (2.5, 8)
    finally:
        store.close()
    assert segue("keys", "create", "--store", url, "--scope", "recommend", "--concurrency", "0").returncode == 2


def test_the_store_may_come_from_the_environment(tmp_path: Path, monkeypatch: object) -> None:
    monkeypatch.setenv("SEGUE_STORE", f"sqlite:///{tmp_path}/keys.db")  # type: ignore[attr-defined]
    assert segue("keys", "create", "--scope", "admin").stdout.startswith("segue_")
    assert "admin" in segue("keys", "list").stdout


def test_mistakes_end_in_one_message(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    refused(segue("keys", "create", "--store", url, "--scope", "recomend"), "V049", "Did you mean 'recommend'?")
    refused(segue("keys", "revoke", "00000000", "--store", url), "V050", "00000000")
    refused(segue("keys", "list", "--store", "mysql://x/y"), "V0", "mysql")
    assert segue("keys", "create", "--store", url, "--scope", "admin", "--days", "0").returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        "models",
        "models list",
        "rollback",
        "keys list",
        "keys rotate 1f0c2a9b",
        "keys revoke 1f0c2a9b",
        "update models/shop",
    ],
)
def test_a_command_that_reads_a_store_makes_none(words: str, tmp_path: Path) -> None:
    refused(segue(*words.split(), "--store", f"sqlite:///{tmp_path}/typo.db"), "V031", "typo.db")
    assert list(tmp_path.iterdir()) == []
