"""How much the counters of two pages grew, row by row, and when that cannot be told.

A row that is new on the later page counts from zero: many engines show a counter from its first event on. A restart
makes the interval unusable: a total that fell, a row that is gone, a `_created` time that changed, another start of the
process. What happened before the restart is lost, and a rate of the rest would be too low, so the signal is missing for
this pair of pages instead. Buckets of different edges are never added.
"""

import math
from collections.abc import Sequence
from operator import add, sub

from inflight.signals.readings import Counter, Histogram, Labels, Missing, PageReading, Reading

ONE_PAGE = "one page gives totals only; a second page, read later, gives this"
_START_JITTER_SECONDS = 1.0
"""Client libraries compute the start time from the boot time, which can move by a clock correction."""


class UnusableError(Exception):
    """Two readings that yield no increase: the reason, in words."""


class Pair:
    """Two pages of one server, or one page alone, and what they allow.

    `since_start` asks for everything since the counters began instead, which one page can tell.
    """

    def __init__(
        self,
        later: PageReading,
        earlier: PageReading | None,
        elapsed_seconds: float | None,
        since_start: bool = False,
    ) -> None:
        self.later = later
        self.earlier = earlier
        self.since_start = since_start
        self._refusal = "" if since_start else _refusal(later, earlier)
        self._elapsed_seconds = elapsed_seconds
        if since_start:
            self.over = "since the counters began"
        elif elapsed_seconds is None:
            self.over = "between two pages"
        else:
            self.over = f"over {elapsed_seconds:g} s"

    def before(self, signal: str, reading: Reading) -> Reading | None:
        """The same signal on the earlier page; None where all counts from zero. Raises UnusableError."""
        if self._refusal:
            raise UnusableError(self._refusal)
        if self.earlier is None:
            return None
        before = self.earlier.signals.get(signal)
        if before is None:
            return None
        if isinstance(before, Missing):
            if before.absent:
                return None
            raise UnusableError(f"the earlier page has no usable value: {before.reason}")
        assert not isinstance(reading, Missing)
        if type(before) is not type(reading) or before.source.series != reading.source.series:
            raise UnusableError("the two pages carry it in different series")
        return before

    def per_second(self, increase: float) -> float:
        """A rate; of a page alone, the total. Raises UnusableError."""
        if self.since_start:
            return increase
        if self._elapsed_seconds is None or not 0 < self._elapsed_seconds < math.inf:
            raise UnusableError("the time between the two pages is not known")
        return increase / self._elapsed_seconds


def counter_increases(reading: Counter, before: Counter | None) -> tuple[float, ...]:
    """Per row of the later page, how much its total grew. Raises UnusableError."""
    if before is None:
        return reading.values
    _check_created(reading, before)
    return _differences(reading.rows, reading.values, before.rows, before.values)


def observed(reading: Histogram, before: Histogram | None) -> tuple[float, float]:
    """Number and sum of the observations of all rows; the sum is NaN where the page has none. Raises UnusableError."""
    if before is None:
        return math.fsum(reading.totals), math.fsum(reading.sums)
    _check_created(reading, before)
    totals = _differences(reading.rows, reading.totals, before.rows, before.totals)
    return math.fsum(totals), math.fsum(_differences(reading.rows, reading.sums, before.rows, before.sums))


def bucket_increases(reading: Histogram, before: Histogram | None) -> tuple[tuple[float, ...], Sequence[float]]:
    """The edges and the growth of the cumulative counts, added over rows. Raises UnusableError."""
    edges = reading.edges[0]
    for row in reading.edges[1:]:
        if row != edges:
            raise UnusableError(f"the rows of {reading.source.series[0]} have different buckets: they cannot be added")
    moved: Sequence[Sequence[float]] = reading.counts if before is None else _moved_buckets(reading, before, edges)
    total = moved[0]
    for one in moved[1:]:
        total = list(map(add, total, one))
    return edges, total


def _moved_buckets(reading: Histogram, before: Histogram, edges: tuple[float, ...]) -> list[Sequence[float]]:
    _check_created(reading, before)
    if any(row != edges for row in before.edges):
        raise UnusableError("its buckets changed between the two pages")
    _check_gone(before.rows, reading.rows)
    earlier = dict(zip(before.rows, before.counts, strict=True))
    moved: list[Sequence[float]] = []
    for row, counts in zip(reading.rows, reading.counts, strict=True):
        start = earlier.get(row)
        grown = counts if start is None else list(map(sub, counts, start))
        if min(grown) < 0:
            raise UnusableError("a bucket fell between the two pages: the counters began anew")
        moved.append(grown)
    return moved


def _refusal(later: PageReading, earlier: PageReading | None) -> str:
    if earlier is None:
        return ONE_PAGE
    if later.engine != earlier.engine:
        return f"the earlier page is of another engine ({earlier.engine})"
    started, started_before = later.started_at, earlier.started_at
    if started is not None and started_before is not None and abs(started - started_before) > _START_JITTER_SECONDS:
        return "the server restarted between the two pages"
    return ""


def _differences(
    rows: tuple[Labels, ...], values: tuple[float, ...], rows_before: tuple[Labels, ...], before: tuple[float, ...]
) -> tuple[float, ...]:
    if rows == rows_before:
        increases = tuple(map(sub, values, before))
    else:
        _check_gone(rows_before, rows)
        earlier = dict(zip(rows_before, before, strict=True))
        increases = tuple([here - earlier.get(row, 0.0) for row, here in zip(rows, values, strict=True)])
    for increase in increases:
        if increase < 0:
            raise UnusableError("it fell between the two pages: the counter began anew")
    return increases


def _check_gone(before: tuple[Labels, ...], rows: tuple[Labels, ...]) -> None:
    if before != rows and not set(before) <= set(rows):
        raise UnusableError("a row of the earlier page is gone: the counters began anew")


def _check_created(reading: Counter | Histogram, before: Counter | Histogram) -> None:
    """A row made at another time than before is another counter, however large its total."""
    if reading.created == before.created or not reading.created or not before.created:
        return
    earlier = dict(zip(before.rows, before.created, strict=True))
    for row, time in zip(reading.rows, reading.created, strict=True):
        time_before = earlier.get(row, math.nan)
        if time != time_before and not (math.isnan(time) or math.isnan(time_before)):
            raise UnusableError("its _created time changed between the two pages: the counter began anew")
