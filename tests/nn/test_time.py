from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.time import BUCKETS, MomentInputs, RelativeTime, forget_moments, log_bucket, time_buckets
from tests.nn.makers import LENGTHS, ROWS, SIZE, WIDTH, asked_of

YEAR = 31_557_600


def at(times: list[int], asked: list[int] | None = None, calendar: list[int] | None = None) -> Inputs:
    def row(values: list[int] | None) -> Tensor | None:
        return None if values is None else torch.tensor([values])

    items = torch.ones(1, len(times), dtype=torch.int64)
    return Inputs(items, torch.tensor([len(times)]), row(times), row(asked), row(calendar))


def added(part: str, inputs: Inputs, seed: int = 0) -> Tensor:
    """(width, d): what one part adds to each event of a single row."""
    torch.manual_seed(seed)
    return MomentInputs(SIZE, [part])(torch.zeros(1, inputs.items.shape[1], SIZE), inputs)[0]


@pytest.mark.parametrize("seconds", [0, 1, 59, 3_600, 86_400, YEAR, 40 * YEAR])
def test_two_buckets_to_an_octave(seconds: int) -> None:
    assert int(log_bucket(torch.tensor(seconds))) == math.floor(2 * math.log2(1 + seconds))


def test_buckets_rise_with_time_from_the_first_to_the_last() -> None:
    buckets = log_bucket(torch.cat([torch.arange(100), 2 ** torch.arange(7, 45)]))
    assert (buckets.diff() >= 0).all()
    assert (int(buckets.min()), int(buckets.max())) == (0, BUCKETS - 1)


def test_a_century_and_all_beyond_it_fall_in_the_last_bucket() -> None:
    spans = torch.tensor([140 * YEAR, 10_000 * YEAR, 2**62])
    assert log_bucket(spans).tolist() == [BUCKETS - 1] * 3


def test_a_clock_that_jumps_back_counts_as_no_gap() -> None:
    assert int(log_bucket(torch.tensor(-5))) == 0
    assert torch.equal(added("gaps", at([100, 50, 60])), added("gaps", at([100, 100, 110])))


def test_the_gap_is_since_the_event_before_and_the_first_has_none() -> None:
    vectors = added("gaps", at([100, 160, 220, 5_000]))
    assert torch.equal(vectors[1], vectors[2])
    assert not torch.equal(vectors[2], vectors[3])
    alone = added("gaps", at([777]))
    assert torch.equal(vectors[0], alone[0])


def test_a_gap_to_or_from_an_unknown_moment_is_unknown() -> None:
    vectors = added("gaps", at([100, UNKNOWN_TIME, 200, 260]))
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[3])


def test_the_request_counts_from_each_event_to_the_one_that_follows() -> None:
    vectors = added("request", at([100, 160, 200], asked=[160, 220, UNKNOWN_TIME]))
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[2], added("request", at([100]))[0]), "not known is one code"


def test_the_calendar_adds_hour_weekday_and_month() -> None:
    monday_midnight, tuesday_midnight, february = 1, 1 + 24, 1 + 168
    vectors = added("calendar", at([0] * 4, calendar=[monday_midnight, tuesday_midnight, february, 0]))
    torch.manual_seed(0)
    made = MomentInputs(SIZE, ["calendar"])
    assert made.hour is not None
    assert made.weekday is not None
    assert made.month is not None
    wanted = [(1, 1, 1), (1, 2, 1), (1, 1, 2), (0, 0, 0)]
    for vector, (hour, weekday, month) in zip(vectors, wanted, strict=True):
        expected = made.hour.weight[hour] + made.weekday.weight[weekday] + made.month.weight[month]
        torch.testing.assert_close(vector, expected)


def test_places_are_counted_inside_a_session_and_begin_anew_after_half_an_hour() -> None:
    vectors = added("sessions", at([0, 60, 120, 120 + 3_600, 120 + 3_660]))
    assert torch.equal(vectors[0], vectors[3])
    assert torch.equal(vectors[1], vectors[4])
    assert len({tuple(vector.tolist()) for vector in vectors}) == 3


def test_a_long_session_ends_with_one_place_for_the_rest() -> None:
    vectors = added("sessions", at(list(range(40))))
    assert torch.equal(vectors[35], vectors[39])
    assert not torch.equal(vectors[30], vectors[31])


@pytest.mark.parametrize("part", ["gaps", "request", "calendar", "sessions"])
def test_a_history_without_moments_gets_the_codes_of_the_unknown(part: str) -> None:
    bare = Inputs(torch.ones(1, 3, dtype=torch.int64), torch.tensor([3]))
    nothing = at([UNKNOWN_TIME] * 3, [UNKNOWN_TIME] * 3, [0] * 3)
    assert torch.equal(added(part, bare), added(part, nothing))


# -- the bias ------------------------------------------------------------------------------------------------------


def test_time_counts_to_the_request_where_that_is_known_and_to_the_newest_event_elsewhere() -> None:
    inputs = at([0, 100, 200], asked=[100, UNKNOWN_TIME, 900])
    found = time_buckets(inputs, request=True)[0]
    for query, moment in enumerate([100, 100, 900]):
        for key, event in enumerate([0, 100, 200]):
            assert int(found[query, key]) == int(log_bucket(torch.tensor(moment - event))) + 1
    without = time_buckets(inputs, request=False)[0]
    assert int(without[2, 2]) == 1
    assert int(without[2, 0]) == int(log_bucket(torch.tensor(200))) + 1


def test_an_unknown_moment_has_a_bucket_of_its_own() -> None:
    found = time_buckets(at([0, UNKNOWN_TIME, 200]), request=True)[0]
    assert found[1].tolist() == [0, 0, 0]
    assert found[:, 1].tolist() == [0, 0, 0]
    assert int(found[2, 0]) > 0
    bare = Inputs(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 1]))
    assert not time_buckets(bare, request=True).any()
    assert time_buckets(bare, request=True, only=torch.tensor([2, 0])).shape == (2, 1, 3)


def test_the_gradient_of_the_bias_is_that_of_an_ordinary_gather() -> None:
    torch.manual_seed(0)
    bias = RelativeTime(3).double()
    torch.nn.init.normal_(bias.table)
    buckets = torch.randint(0, BUCKETS + 1, (ROWS, WIDTH, WIDTH))
    upstream = torch.randn(ROWS, 3, WIDTH, WIDTH, dtype=torch.float64)
    (ours,) = torch.autograd.grad((bias(buckets) * upstream).sum(), bias.table)
    gathered = bias.table[:, buckets].transpose(0, 1)
    assert torch.equal(bias(buckets), gathered)
    (theirs,) = torch.autograd.grad((gathered * upstream).sum(), bias.table)
    torch.testing.assert_close(ours, theirs)


# -- forgetting ----------------------------------------------------------------------------------------------------


def test_some_requests_lose_their_moment_and_some_rows_all_of_them() -> None:
    torch.manual_seed(0)
    many = asked_of(lengths=LENGTHS.repeat(200))
    moments = torch.full_like(many.items, 1_600_000_000)
    known = many.replaced(times=moments, asked=moments, calendar=torch.ones_like(moments))
    forgot = forget_moments(known, 0.2)
    assert forgot.times is not None
    assert forgot.asked is not None
    assert forgot.calendar is not None
    rows = forgot.times == UNKNOWN_TIME
    assert torch.equal(rows.any(1), rows.all(1))
    assert 0.05 < rows.all(1).float().mean() < 0.15
    requests = forgot.asked == UNKNOWN_TIME
    assert (requests | ~rows).all()
    assert 0.2 < requests.float().mean() < 0.36
    assert not forgot.calendar[requests].any()
    assert forgot.calendar[~requests].all()


def test_nothing_is_forgotten_at_a_rate_of_zero_or_without_moments() -> None:
    assert forget_moments(asked_of(), 0.0) is not None
    inputs = asked_of()
    assert forget_moments(inputs, 0.0) is inputs
    bare = Inputs(inputs.items, inputs.lengths)
    assert forget_moments(bare, 0.5) is bare
