"""Instants: RFC 3339 as the Kubernetes API writes them, and integer nanoseconds since 1970 to compute with.

Integers, because the autoscaler compares instants exactly and a double of today's Unix time is good for 200 ns only.
Source of what is read: Go's time.Parse with its RFC3339 layout, as metav1.Time uses it.
"""

import datetime
import re
from functools import lru_cache
from typing import Final

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

ZERO_TIME_NS: Final = -62_135_596_800 * NANOSECONDS_PER_SECOND
"""Go's zero time, 0001-01-01T00:00:00Z: what a missing timestamp is to the controller."""

# Go reads an hour of one digit and a comma before the fraction too.
_TEXT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_LAST_DAY = datetime.date.max.toordinal()
_MAX_TEXT_LENGTH = 64


class TimeError(ValueError):
    """A text that is no RFC 3339 time, or an instant outside the years 1 to 9999."""


class Time(int):
    """An instant in an API object: an integer of nanoseconds since 1970 that goes over the wire as RFC 3339."""

    __slots__ = ()

    def __str__(self) -> str:
        return format_time(self)

    def __repr__(self) -> str:
        return f"Time({format_time(self, 9)!r})"


def parse_time(text: str) -> Time:
    """Nanoseconds since 1970-01-01T00:00:00Z; digits after the ninth are cut off. Raises TimeError."""
    if len(text) > _MAX_TEXT_LENGTH:
        raise _no_time(text)
    return _parse(text)


# A pod's times come again with every look at it.
@lru_cache(maxsize=4096)
def _parse(text: str) -> Time:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise _no_time(text)
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        raise TimeError(f"{text!r} is no time: there is no such day") from None
    # Go lets an offset be 24 hours and 60 minutes, and knows no leap seconds.
    if (
        int(hour) > 23
        or int(minute) > 59
        or int(second) > 59
        or int(offset_hours or 0) > 24
        or int(offset_minutes or 0) > 60
    ):
        raise TimeError(f"{text!r} is no time: there is no such hour, minute or second")
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds -= -offset if sign == "-" else offset
    return Time(seconds * NANOSECONDS_PER_SECOND + int((fraction or "0")[:9].ljust(9, "0")))


def _no_time(text: str) -> TimeError:
    return TimeError(f"{text[:40]!r} is no time: write it as 2026-11-24T22:41:00Z")


def format_time(nanoseconds: int, decimals: int = 0) -> str:
    """RFC 3339 in UTC, cut (not rounded) to `decimals` digits of a second, 0 to 9: 0 as metav1.Time, 6 as MicroTime."""
    seconds, rest = divmod(int(nanoseconds), NANOSECONDS_PER_SECOND)
    days, second_of_day = divmod(seconds, 86_400)
    if not 1 <= days + _EPOCH_DAY <= _LAST_DAY:
        raise TimeError(f"{int(nanoseconds)} nanoseconds since 1970 lie outside the years 1 to 9999")
    day = datetime.date.fromordinal(days + _EPOCH_DAY)
    minutes, second = divmod(second_of_day, 60)
    fraction = f".{rest:09d}"[: decimals + 1] if decimals else ""
    return f"{day.isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{fraction}Z"
