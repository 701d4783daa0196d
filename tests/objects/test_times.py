"""Times: RFC 3339 as Go reads and writes it, exact to the nanosecond."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.objects import ZERO_TIME_NS, Time, TimeError, format_time, parse_time

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", ZERO_TIME_NS),
        ("2000-01-01T00:00:00Z", 946_684_800 * SECOND),
        ("2024-02-29T23:59:59Z", 1_709_251_199 * SECOND),
        ("2000-01-01T00:00:00.5Z", 946_684_800 * SECOND + 500_000_000),
        ("2000-01-01T00:00:00.123456789Z", 946_684_800 * SECOND + 123_456_789),
        ("2000-01-01T00:00:00.1234567899Z", 946_684_800 * SECOND + 123_456_789),
        ("2000-01-01T00:00:00,000000001Z", 946_684_800 * SECOND + 1),
        ("2000-01-01T02:00:00+02:00", 946_684_800 * SECOND),
        ("1999-12-31T18:30:00-05:30", 946_684_800 * SECOND),
        ("2000-01-02T00:00:00+24:00", 946_684_800 * SECOND),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_a_text_is_an_instant(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds
    assert isinstance(parse_time(text), Time)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2000-01-01",
        "2000-01-01T00:00:00",
        "2000-01-01 00:00:00Z",
        "2000-01-01t00:00:00z",
        "2000-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2000-01-01T24:00:00Z",
        "2000-01-01T00:60:00Z",
        "2000-01-01T00:00:60Z",
        "2000-01-01T00:00:00+0100",
        "2000-01-01T00:00:00+25:00",
        "2000-01-01T00:00:00.Z",
        "0000-01-01T00:00:00Z",
        "2000-01-01T00:00:00." + "1" * 90 + "Z",
        "２000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimeError, match="is no time"):
        parse_time(text)


def test_it_is_printed_in_utc_and_cut_to_what_is_asked_for() -> None:
    instant = parse_time("2026-11-24T23:41:00.987654321+01:00")
    assert str(instant) == "2026-11-24T22:41:00Z"
    assert format_time(instant, 3) == "2026-11-24T22:41:00.987Z"
    assert format_time(instant, 6) == "2026-11-24T22:41:00.987654Z"
    assert format_time(instant, 9) == "2026-11-24T22:41:00.987654321Z"
    assert format_time(-1) == "1969-12-31T23:59:59Z"
    assert repr(instant) == "Time('2026-11-24T22:41:00.987654321Z')"


def test_instants_without_a_calendar_year_are_refused() -> None:
    assert format_time(ZERO_TIME_NS) == "0001-01-01T00:00:00Z"
    for nanoseconds in (ZERO_TIME_NS - 1, 253_402_300_800 * SECOND):
        with pytest.raises(TimeError, match="years 1 to 9999"):
            format_time(nanoseconds)


@given(st.integers(ZERO_TIME_NS, 253_402_300_800 * SECOND - 1))
@settings(max_examples=80)
def test_what_is_printed_is_read_back(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds, 9)) == nanoseconds


@given(st.datetimes(), st.integers(-1439, 1439))
@settings(max_examples=60)
def test_it_agrees_with_the_calendar(moment: datetime.datetime, offset_minutes: int) -> None:
    moment = moment.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=offset_minutes)))
    exact = (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
    assert parse_time(moment.isoformat()) == exact * 1000
