"""Settings: unknown names are refused with the nearest, values keep their type, files and --set read as TOML."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from segue.config import Config, parse_assignments, read_toml
from segue.errors import ConfigFile, ConfigSet, ConfigUnknown, ConfigValue


class OvenConfig(Config):
    """Settings of an oven."""

    degrees: float = Field(180, ge=0, le=300)
    """Heat."""
    minutes: int = Field(30, ge=1)
    """Time."""
    mode: Literal["fan", "grill"] = "fan"
    """Where the heat comes from."""


def test_defaults_stand_where_nothing_is_said() -> None:
    assert OvenConfig.parse({}).model_dump() == {"degrees": 180, "minutes": 30, "mode": "fan"}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigUnknown) as caught:
        OvenConfig.parse({"minuts": 3})
    assert "'minuts'" in caught.value.message
    assert "Did you mean 'minutes'?" in caught.value.message
    assert "degrees, minutes, mode" in caught.value.advice
    assert "Oven" in caught.value.message


@pytest.mark.parametrize("name", [1, None, ("a",)])
def test_a_name_that_is_no_text_is_unknown_too(name: object) -> None:
    with pytest.raises(ConfigUnknown):
        OvenConfig.parse({name: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("degrees", 301),
        ("degrees", -0.001),
        ("degrees", math.nan),
        ("degrees", math.inf),
        ("degrees", "hot"),
        ("degrees", None),
        ("minutes", 0),
        ("minutes", 1.5),
        ("minutes", [3]),
        ("mode", "fam"),
        ("mode", "FAN"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_value(name: str, value: object) -> None:
    with pytest.raises(ConfigValue) as caught:
        OvenConfig.parse({name: value})
    assert f"{name!r} of Oven cannot be {value!r}" in caught.value.message


def test_settings_cannot_be_changed_after_they_are_made() -> None:
    config = OvenConfig.parse({})
    with pytest.raises(ValidationError):
        config.minutes = 3  # type: ignore[misc]
    assert config.minutes == 30


def test_saved_settings_make_the_same_settings() -> None:
    config = OvenConfig.parse({"degrees": 200, "mode": "grill"})
    assert OvenConfig.parse(config.model_dump()) == config


def test_the_owner_can_be_named() -> None:
    with pytest.raises(ConfigUnknown, match="the kitchen"):
        OvenConfig.parse({"x": 1}, owner="the kitchen")


def test_a_toml_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('recommender = "EASE"\n[settings]\nl2 = 5.0\n', encoding="utf-8")
    assert read_toml(file) == {"recommender": "EASE", "settings": {"l2": 5.0}}


@pytest.mark.parametrize(
    "content",
    [b"a = ", b"a = 1\na = 2", b"\xff\xfe", b"a = " + b"[" * 5_000, b"a = " + b"9" * 10_000, b"{}"],
    ids=["half", "twice", "not UTF-8", "deep", "endless number", "JSON"],
)
def test_a_file_that_is_not_toml_is_refused_by_its_path(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigFile) as caught:
        read_toml(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "path", ["absent.toml", ".", "nul\0.toml", "x" * 5_000], ids=["absent", "folder", "nul", "long"]
)
def test_a_file_that_cannot_be_opened_is_refused(path: str) -> None:
    with pytest.raises(ConfigFile):
        read_toml(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=5", 5),
        ("epochs = 5", 5),
        ("epochs=5.5", 5.5),
        ("epochs=true", True),
        ("epochs=full", "full"),
        ("epochs=a=b", "a=b"),
        ('epochs="5"', "5"),
        ("epochs=[1, 2]", [1, 2]),
        ("epochs=", ""),
        ("epochs=1\nsecret = 2", "1\nsecret = 2"),
        ("epochs=" + "9" * 10_000, "9" * 10_000),
        ("epochs=" + "[" * 5_000, "[" * 5_000),
    ],
)
def test_an_assignment_is_read_as_toml_or_else_as_text(text: str, expected: object) -> None:
    assert parse_assignments([text]) == {"epochs": expected}


def test_the_last_of_several_assignments_holds() -> None:
    assert parse_assignments(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", ["epochs", "", "=5", "  =5"])
def test_an_assignment_without_a_name_or_sign_is_refused(text: str) -> None:
    with pytest.raises(ConfigSet) as caught:
        parse_assignments([text])
    assert repr(text) in caught.value.message
    assert "--set epochs=20" in caught.value.advice


@given(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_out_of_an_assignment_as_they_went_in(value: object) -> None:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert parse_assignments([f"x={text}"]) == {"x": value}


@given(st.text())
def test_one_assignment_never_makes_two_settings_nor_fails(text: str) -> None:
    assert list(parse_assignments([f"x={text}"])) == ["x"]
