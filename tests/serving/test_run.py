"""The process: where it listens, and when it refuses to."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from segue.errors import AddressTaken, OpenToOthers
from segue.serving.run import bind


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_needs_no_key(host: str) -> None:
    with bind(host, 0, open_to_all=True) as bound:
        assert bound.getsockname()[0].startswith("127.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0"])
def test_an_address_for_others_is_refused_without_a_key_before_anything_listens(host: str) -> None:
    with pytest.raises(OpenToOthers, match="segue keys create"):
        bind(host, 0, open_to_all=True)


def test_an_address_for_others_is_taken_with_a_key() -> None:
    with bind("0.0.0.0", 0, open_to_all=False) as bound:
        assert bound.getsockname()[0] == "0.0.0.0"


def test_a_port_in_use_is_named() -> None:
    with bind("127.0.0.1", 0, open_to_all=True) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(AddressTaken, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            bind("127.0.0.1", port, open_to_all=True)


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000), ("a" * 70 + ".example", 0)]
)
def test_an_address_of_no_use_is_named(host: str, port: int) -> None:
    with pytest.raises(AddressTaken):
        bind(host, port, open_to_all=False)


def test_a_port_just_left_can_be_taken_again() -> None:
    with bind("127.0.0.1", 0, open_to_all=True) as bound:
        port = bound.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            bound.setblocking(True)
            bound.accept()[0].close()  # the side that closes first keeps the port in TIME_WAIT
    bind("127.0.0.1", port, open_to_all=True).close()


def test_the_guard_needs_nothing_that_training_needs() -> None:
    code = "import sys, segue.serving.run, segue.serving.guard.guarding, segue.cli.keys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "peft", "lightning"} & set(done.stdout.split())
