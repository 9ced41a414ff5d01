"""Settings from a file, over it the environment, over it assignments."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from segue.errors import ConfigValue
from segue.serving.settings import ServiceConfig


def read(tmp_path: Path, environment: dict[str, str], *assignments: str) -> ServiceConfig:
    path = tmp_path / "segue.toml"
    path.write_text("[listen]\nport = 1\nhost = '::1'\n[gate]\ncapacity = 3\n[online.step]\nrank = 2\nnorm = 0.25\n")
    return ServiceConfig.read(path, assignments, environment)


def test_a_flag_comes_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, {}).listen.port == 1
    assert read(tmp_path, {"SEGUE_PORT": "2"}).listen.port == 2
    assert read(tmp_path, {"SEGUE_PORT": "2"}, "listen.port=3").listen.port == 3
    assert read(tmp_path, {"SEGUE_PORT": "2"}).listen.host == "::1"
    assert ServiceConfig.read().listen.port == 8000


def test_every_setting_has_a_variable_also_in_nested_tables(tmp_path: Path) -> None:
    environment = {"SEGUE_GATE_CAPACITY": "5", "SEGUE_ONLINE_STEP_RANK": "7", "SEGUE_LOG_LEVEL": "debug"}
    found = read(tmp_path, environment | {"SEGUE_STORE_URL": "sqlite:///x.db", "SEGUE_HOST": "127.0.0.2"})
    assert (found.gate.capacity, found.online.step.rank, found.online.step.norm) == (5, 7, 0.25)
    assert (found.listen.log_level, found.listen.host) == ("debug", "127.0.0.2")
    assert found.store.url == "sqlite:///x.db"


def test_no_two_settings_share_a_variable() -> None:
    from segue.serving.settings import _variables

    assert len(set(_variables(ServiceConfig))) == len(_variables(ServiceConfig))
    assert "SEGUE_STORE" not in _variables(ServiceConfig)


def test_a_variable_that_means_nothing_is_named_with_the_nearest_and_without_its_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "segue.serving"):
        read(tmp_path, {"SEGUE_GATE_CAPACTIY": "hush", "PATH": "x", "SEGUE_STORE": "y", "SEGUE_CACHE": "z"})
    assert [each.getMessage() for each in caplog.records] == [
        "The variable SEGUE_GATE_CAPACTIY means nothing to segue serve. Did you mean 'SEGUE_GATE_CAPACITY'?"
    ]


@pytest.mark.parametrize("environment", [{"SEGUE_PORT": "70000"}, {"SEGUE_LOG_LEVEL": "loud"}])
def test_a_value_that_cannot_be_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigValue):
        read(tmp_path, environment)
