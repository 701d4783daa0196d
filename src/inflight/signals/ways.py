"""How each kind of signal is read from the values of a page, once it is known where they stand.

A way holds positions in the list of a page's values and gives a reading, or refuses: what no honest server says (a
negative count, NaN, a ratio above 1, a gauge of 1e300) is no value, is never cut to size and never becomes 0.
"""

import math
from collections.abc import Sequence
from operator import le
from typing import TypeVar

import msgspec

from inflight.signals.readings import Counter, Gauge, Histogram, Labels, Ratio, Source

MAX_TOTAL = 1e18
"""A counter beyond this lies: at a million tokens a second it takes thirty thousand years."""

NAN = math.nan
T = TypeVar("T")


class RefusedError(Exception):
    """Rows that yield no value: the reason, in words."""

    def __init__(self, reason: str, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class GaugeWay(msgspec.Struct):
    source: Source
    members: tuple[tuple[int, ...], ...]
    invalid: tuple[float, ...]

    def read(self, values: Sequence[float]) -> Gauge:
        source = self.source
        if len(self.members) == 1 and len(self.members[0]) == 1 and not self.invalid:
            value = checked(values[self.members[0][0]], source)
            return Gauge(source, value, (value,))
        rows = []
        for member in self.members:
            found = [values[at] for at in member]
            if self.invalid:
                found = [value for value in found if value not in self.invalid]
                if not found:
                    continue
            # max() of a list with a NaN depends on the order
            rows.append(checked(NAN if any(map(math.isnan, found)) else max(found), source))
        if not rows:
            raise RefusedError(f"{source.series[0]} says on every row that it is not available")
        return Gauge(source, folded(rows, source), tuple(rows))


class FixedWay(msgspec.Struct):
    gauge: Gauge

    def read(self, values: Sequence[float]) -> Gauge:
        return self.gauge


class CounterWay(msgspec.Struct):
    source: Source
    series: str
    rows: tuple[Labels, ...]
    members: tuple[tuple[int, ...], ...]
    created: tuple[int, ...]

    def read(self, values: Sequence[float]) -> Counter:
        if self.source.fold == "one" and len(self.members) > 1:
            raise RefusedError(f"{self.series} has {len(self.members)} rows where one is expected")
        totals = [_total(self.series, [values[at] for at in member]) for member in self.members]
        return Counter(self.source, self.rows, tuple(totals), _times(self.created, values))


class RatioWay(msgspec.Struct):
    source: Source
    numerator: CounterWay
    denominator: CounterWay

    def read(self, values: Sequence[float]) -> Ratio:
        return Ratio(self.source, self.numerator.read(values), self.denominator.read(values))


class HistogramWay(msgspec.Struct):
    source: Source
    rows: tuple[Labels, ...]
    edges: tuple[tuple[float, ...], ...]
    buckets: tuple[tuple[int, ...] | slice, ...]
    sums: tuple[int, ...]
    totals: tuple[int, ...]
    created: tuple[int, ...]
    same: tuple[tuple[int, ...], ...] = ()
    """Rows that stand for one (they differ in dropped labels only): the one with most observations is kept."""

    def read(self, values: Sequence[float]) -> Histogram:
        family = self.source.series[0]
        if self.source.fold == "one" and len(self.same or self.rows) > 1:
            raise RefusedError(f"{family} has {len(self.same or self.rows)} rows where one is expected")
        counts = []
        for where in self.buckets:
            row = tuple(values[where] if isinstance(where, slice) else [values[at] for at in where])
            if not (row[0] >= 0 and row[-1] <= MAX_TOTAL and all(map(le, row, row[1:]))):
                raise RefusedError(f"the counts of {family}_bucket do not grow from 0 with le")
            counts.append(row)
        sums = [_total(f"{family}_sum", (values[at],)) if at >= 0 else NAN for at in self.sums]
        totals = [_total(f"{family}_count", (values[at],)) for at in self.totals]
        created = _times(self.created, values)
        read = Histogram(self.source, self.rows, self.edges, tuple(counts), tuple(sums), tuple(totals), created)
        return _largest(read, self.same) if self.same else read


def _largest(read: Histogram, same: tuple[tuple[int, ...], ...]) -> Histogram:
    kept = [max(group, key=read.totals.__getitem__) for group in same]

    def pick(column: tuple[T, ...]) -> tuple[T, ...]:
        return tuple([column[at] for at in kept]) if column else ()

    return Histogram(
        read.source,
        pick(read.rows),
        pick(read.edges),
        pick(read.counts),
        pick(read.sums),
        pick(read.totals),
        pick(read.created),
    )


Way = GaugeWay | FixedWay | CounterWay | RatioWay | HistogramWay


def checked(value: float, source: Source) -> float:
    """A row's value in the signal's unit; refuses what no honest server says."""
    scaled = value * source.scale
    if not math.isfinite(scaled):
        raise RefusedError(f"{source.series[0]} reads {value}, no finite number")
    if scaled < 0:
        raise RefusedError(f"{source.series[0]} reads {value:g}, below 0")
    # a mean of ratios may miss 1 by a rounding error; anything more is a lie and is not cut to size
    if source.most is not None and scaled > source.most * (1 + 1e-9):
        raise RefusedError(f"{source.series[0]} reads {value:g}, more than any server has")
    return scaled


def folded(rows: Sequence[float], source: Source) -> float:
    if len(rows) == 1:
        return rows[0]
    if source.fold == "sum":
        return math.fsum(rows)
    if source.fold == "mean":
        return math.fsum(rows) / len(rows)
    if source.fold == "one":
        raise RefusedError(f"{source.series[0]} has {len(rows)} rows where one is expected")
    return max(rows)


def _total(series: str, found: Sequence[float]) -> float:
    """A running total; of rows that stand for one, the largest. Refuses what no counter says."""
    for value in found:
        if not 0 <= value <= MAX_TOTAL:
            raise RefusedError(f"{series} reads {value:g}, which no counter of a server does")
    return found[0] if len(found) == 1 else max(found)


def _times(positions: tuple[int, ...], values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values[at] if at >= 0 else NAN for at in positions)
