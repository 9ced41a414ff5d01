"""Month, weekday and hour in a zone, against Python's own calendar."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.calendar import CODES, calendar_codes
from segue.data.histories import UNKNOWN_TIME

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def micro(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def code_of(local: dt.datetime) -> int:
    return 1 + ((local.month - 1) * 7 + local.weekday()) * 24 + local.hour


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


ZONES = ["UTC", "Europe/Rome", "Asia/Kathmandu", "America/New_York", "Pacific/Apia"]
moments = st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2090, 1, 1)).map(lambda each: each.replace(tzinfo=dt.UTC))


@given(st.lists(moments, max_size=5), st.sampled_from(ZONES))
def test_codes_are_those_of_the_calendar_on_the_wall(asked: list[dt.datetime], zone: str) -> None:
    found = calendar_codes(np.array([micro(each) for each in asked], dtype=np.int64), zone)
    assert found.dtype == np.int16
    # Beyond 2037 a zone's rules are a guess that libraries make differently.
    for code, moment in zip(found.tolist(), asked, strict=True):
        if moment.year <= 2037:
            assert code == code_of(moment.astimezone(zoneinfo.ZoneInfo(zone)))


def test_a_monday_midnight_in_january_is_the_first_code_and_a_sunday_night_in_december_the_last() -> None:
    first, last = utc(2018, 1, 1), utc(2017, 12, 31, 23, 59, 59)
    assert calendar_codes(np.array([micro(first), micro(last)])).tolist() == [1, CODES - 1]


def test_an_hour_that_the_clock_repeats_has_one_code_and_one_that_it_skips_has_none() -> None:
    autumn = [utc(2021, 10, 31, 0, 30), utc(2021, 10, 31, 1, 30)]  # 2:30 in Rome, twice
    codes = calendar_codes(np.array([micro(each) for each in autumn]), "Europe/Rome")
    assert codes[0] == codes[1] == code_of(dt.datetime(2021, 10, 31, 2))
    spring = [utc(2021, 3, 28, 0, 59), utc(2021, 3, 28, 1, 0)]
    codes = calendar_codes(np.array([micro(each) for each in spring]), "Europe/Rome")
    assert codes[1] - codes[0] == 2


@pytest.mark.parametrize("moment", [UNKNOWN_TIME, 2**63 - 1, -(2**62), 300_000_000_000_000_000])
def test_a_moment_outside_the_years_of_the_calendar_is_unknown_and_spoils_no_other(moment: int) -> None:
    found = calendar_codes(np.array([moment, 0]), "America/New_York")
    assert found.tolist() == [0, code_of(dt.datetime(1969, 12, 31, 19))]


def test_no_moments_have_no_codes() -> None:
    assert len(calendar_codes(np.zeros(0, dtype=np.int64))) == 0
