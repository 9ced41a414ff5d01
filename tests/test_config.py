"""Settings: unknown names are refused with the nearest, values keep their type, files and --set read as TOML."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from segue.cautions import SettingUnread
from segue.config import Config, ReadWhere, merged, parse_assignments, read_toml
from segue.errors import ConfigError, ConfigFile, ConfigSet, ConfigUnknown, ConfigValue


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


class KitchenConfig(Config):
    """Settings with tables in tables."""

    oven: OvenConfig = OvenConfig()
    """A table."""
    cook: str | None = "Ada"
    """May be None."""
    dishes: list[str] | Literal["auto"] = "auto"
    """A list."""
    wine: Literal["red", "none"] | None = "red"
    """A choice that is called as None is."""
    minutes: int | None = Field(None, ge=1)
    """A number or None."""

    @model_validator(mode="after")
    def _cook_has_dishes(self) -> KitchenConfig:
        if self.cook is not None and self.dishes == []:
            raise ValueError(f"cook {self.cook} has no dishes")
        return self


@pytest.mark.parametrize("word", ["none", "null", "off", "None", " OFF "])
def test_a_setting_that_may_be_none_is_switched_off_by_a_word_from_everywhere(word: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"cook = '{word}'\nminutes = '{word}'\ndishes = '{word}'\n", encoding="utf-8")
    texts = [f"cook={word}", f"minutes={word}", f"dishes={word}"]
    for given_settings in (
        read_toml(file),
        parse_assignments(texts),
        dict.fromkeys(("cook", "minutes", "dishes"), word),
    ):
        config = KitchenConfig.parse(given_settings)
        assert (config.cook, config.minutes, config.dishes) == (None, None, [])


def test_a_choice_called_none_and_a_setting_that_cannot_be_none_keep_the_word() -> None:
    assert KitchenConfig.parse({"wine": "none"}).wine == "none"
    assert KitchenConfig.parse({"wine": "off"}).wine is None
    with pytest.raises(ConfigValue, match="'off'"):
        OvenConfig.parse({"minutes": "off"})


def test_values_that_contradict_each_other_are_named_with_their_settings() -> None:
    with pytest.raises(ConfigValue) as caught:
        KitchenConfig.parse({"dishes": []})
    assert "'cook and dishes' of Kitchen cannot be 'Ada and []': cook Ada has no dishes" in caught.value.message
    assert "{" not in caught.value.message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"oven": {"degrees": 999}}, "'oven.degrees' of Kitchen cannot be 999"),
        ({"oven": {"degres": 9}}, "Unknown setting 'oven.degres' for Kitchen. Did you mean 'degrees'?"),
        ({"oven": 3}, "'oven' of Kitchen cannot be 3"),
    ],
)
def test_a_fault_in_a_table_is_named_by_its_whole_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KitchenConfig.parse(settings)
    assert message in caught.value.message


def test_a_dotted_name_is_a_place_in_a_table_of_any_depth() -> None:
    texts = ["online.step.rank=4", "online.on=true", 'weights."a.b"=2', "x.y.z.w=[1, 2]"]
    expected = {"online": {"step": {"rank": 4}, "on": True}, "weights": {"a.b": 2}, "x": {"y": {"z": {"w": [1, 2]}}}}
    assert parse_assignments(texts) == expected
    assert merged({"online": {"step": {"rate": 1}}, "x": 1}, expected) == {
        **expected,
        "online": {"step": {"rate": 1, "rank": 4}, "on": True},
    }


@pytest.mark.parametrize("texts", [["a=1", "a.b=2"], ["a.=1"], [".a=1"], ["a..b=1"]])
def test_a_dotted_name_that_leads_nowhere_is_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigSet):
        parse_assignments(texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[crop, mask]", ["crop", "mask"]),
        ("[1, crop, true]", [1, "crop", True]),
        ("[]", []),
        ('["a, b", "c"]', ["a, b", "c"]),
        ("-1.5e-3", -1.5e-3),
        ("0.5", 0.5),
        ("false", False),
        ("'5'", "5"),
        ("https://host/?a=b&c=d", "https://host/?a=b&c=d"),
        ("{low = 1, high = 2}", {"low": 1, "high": 2}),
    ],
)
def test_values_of_every_type_come_out_of_an_assignment(text: str, value: object) -> None:
    assert parse_assignments([f"x={text}"]) == {"x": value}


class LampConfig(Config):
    """Settings of which some are read only under a condition."""

    read_where = (
        ReadWhere(("watts", "hue"), "on is true", lambda lamp: lamp.on, on=("on",)),
        ReadWhere(("modes",), "there is a sensor", fact="sensor", part="motion"),
    )
    on: bool = False
    """The switch."""
    watts: int = 5
    """Read where it is on."""
    hue: str | None = None
    """Read where it is on."""
    modes: list[str] = Field(default_factory=list)
    """One of them needs a sensor."""


def test_a_setting_that_is_not_read_is_named_with_its_condition() -> None:
    with pytest.warns(SettingUnread, match=r"watts=9 of Lamp changes nothing .* only where on is true \(on is False\)"):
        LampConfig.parse({"watts": 9}).warn_unread("Lamp")
    with pytest.warns(SettingUnread, match="modes='motion' .* there is a sensor"):
        LampConfig.parse({"modes": ["dark", "motion"]}).warn_unread("Lamp", facts=())


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({}, ()),
        ({"watts": 5}, ()),
        ({"on": True, "watts": 9}, ()),
        ({"modes": ["dark"]}, ()),
        ({"modes": ["motion"]}, None),
    ],
)
def test_a_default_and_what_is_read_are_not_named(settings: dict[str, object], facts: tuple[str, ...] | None) -> None:
    assert not LampConfig.parse(settings).unread(facts=facts)
