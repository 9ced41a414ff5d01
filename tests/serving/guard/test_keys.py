"""Keys: shown once, kept as a hash, valid as long as they should be."""

from __future__ import annotations

import ast
import inspect
import time
from pathlib import Path

import pytest

from segue.errors import KeyUnknown, ScopeUnknown, StoreUnavailable
from segue.serving.guard import keys as module
from segue.serving.guard.keys import Keys
from segue.serving.store import Store
from tests.serving.guard.shop import KeysInMemory


def until(condition: object, seconds: float = 3.0) -> float:
    began = time.monotonic()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_key_opens_what_it_was_made_for_and_admin_opens_all() -> None:
    keys = Keys(KeysInMemory())
    key = keys.check(keys.create(["events"]))
    assert key is not None
    assert key.allowed == {"events"}
    chief = keys.check(keys.create(["admin"]))
    assert chief is not None
    assert chief.allowed == {"events", "recommend", "metrics", "items", "admin"}


def test_the_store_never_sees_the_secret_and_no_two_are_the_same() -> None:
    store = KeysInMemory()
    secrets = {Keys(store).create(["events"]) for _ in range(50)}
    assert len(secrets) == 50
    assert all(secret.split("_", 2)[2] not in repr(store.rows) for secret in secrets)
    assert all(len(secret.split("_", 2)[2]) >= 43 for secret in secrets)  # 32 bytes in base 64


@pytest.mark.parametrize("change", [str.upper, lambda s: s[:-1], lambda s: s + "x", lambda s: s[:-1] + "é"])
def test_anything_else_is_no_key(change: object) -> None:
    keys = Keys(KeysInMemory())
    assert keys.check(change(keys.create(["events"]))) is None  # type: ignore[operator]


@pytest.mark.parametrize("secret", ["", "segue", "segue__", "segue_0_", "_" * 9, "\ud800", "segue_00000000_a"])
def test_nonsense_is_no_key(secret: str) -> None:
    keys = Keys(KeysInMemory())
    keys.create(["events"])
    assert keys.check(secret) is None


def test_secrets_are_compared_in_constant_time() -> None:
    # The one comparison of a hash in the module is hmac's; == on one would be a Compare with an attribute ``hash``.
    tree = ast.parse(inspect.getsource(module))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert "hmac.compare_digest" in calls
    assert not [text for text in compared if "hash" in text.lower() or "secret" in text]


def test_an_expired_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(KeysInMemory())
    secret = keys.create(["events"], days=1)
    assert keys.check(secret) is not None
    now = module._now()
    monkeypatch.setattr(module, "_now", lambda: now + 86_400_000_001)
    assert keys.check(secret) is None


def test_rotation_gives_a_new_secret_and_lets_the_old_one_live_as_long_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(KeysInMemory())
    old = keys.create(["events", "recommend"])
    new = keys.rotate(old.split("_")[1], keep_hours=2)
    first, second = keys.check(old), keys.check(new)
    assert first is not None
    assert second is not None
    assert first.allowed == second.allowed
    now = module._now()
    monkeypatch.setattr(module, "_now", lambda: now + 2 * 3_600_000_001)
    assert keys.check(old) is None
    assert keys.check(new) is not None


def test_rotation_at_once_ends_the_old_key() -> None:
    keys = Keys(KeysInMemory())
    old = keys.create(["events"])
    new = keys.rotate(old.split("_")[1], keep_hours=0)
    assert keys.check(old) is None
    assert keys.check(new) is not None


def test_mistakes_are_named() -> None:
    keys = Keys(KeysInMemory())
    with pytest.raises(ScopeUnknown, match="Did you mean 'events'"):
        keys.create(["event"])
    for act in (keys.rotate, keys.revoke):
        with pytest.raises(KeyUnknown):
            act("00000000")
    assert keys.open


def test_the_end_of_the_last_key_opens_nothing() -> None:
    keys = Keys(KeysInMemory())
    assert keys.open
    keys.revoke(keys.create(["admin"]).split("_")[1])
    assert not keys.rows()
    assert not keys.open


def test_replicas_learn_of_a_new_and_of_a_revoked_key_within_a_second(tmp_path: Path) -> None:
    with_url = f"sqlite:///{tmp_path}/keys.db"
    here, there = Store.open(with_url), Store.open(with_url)
    desk, replica = Keys(here), Keys(there)
    replica.start()
    try:
        secret = desk.create(["recommend"])
        assert until(lambda: replica.check(secret)) < 2  # a second, and a busy machine
        desk.revoke(secret.split("_")[1])
        assert until(lambda: replica.check(secret) is None) < 2
    finally:
        replica.stop()
        here.close()
        there.close()


def test_while_the_store_cannot_be_read_keys_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeysInMemory()
    keys = Keys(store)
    secret = keys.create(["events"])
    asked = 0

    def gone() -> None:
        nonlocal asked
        asked += 1
        raise StoreUnavailable(url="sqlite:///x", reason="gone")

    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(store, "key_rows", gone)
    keys.start()
    until(lambda: asked >= 2)
    keys.stop()
    assert keys.check(secret) is not None


def test_a_whole_key_in_place_of_its_id_ends_it_and_its_secret_is_in_no_message() -> None:
    keys = Keys(KeysInMemory())
    secret = keys.create(["events"])
    keys.revoke(secret)
    assert keys.check(secret) is None
    with pytest.raises(KeyUnknown) as error:
        keys.revoke(secret)
    assert secret.split("_", 2)[2] not in str(error.value)
