"""From readings to values: gauges as they stand; rates, quantiles, means and ratios from the increases between two pages.

Rules. Increases are taken per row and then folded. A row that is new on the later page counts from zero (many engines
show a counter from its first event on). A restart makes the interval unusable: a total that fell, a row that is gone, a
`_created` time that changed, another start time of the process; the signal is then missing for this pair of pages, because
what happened before the restart is lost and a rate of the rest would be too low. Buckets of different edges are never
added. An interval without an observation has no quantile, mean or ratio: nothing is not zero.
"""

import math
from collections.abc import Callable, Collection

from inflight.signals.catalogue import QUANTILES
from inflight.signals.quantiles import bucket_quantile
from inflight.signals.readings import (
    Counter,
    Gauge,
    Histogram,
    Labels,
    Missing,
    PageReading,
    Ratio,
    Reading,
    SignalValue,
    Source,
)

ONE_PAGE = "one page gives totals only; a second page, read later, gives this"
_START_JITTER_SECONDS = 1.0
"""Client libraries compute the start time from the boot time, which can move by a clock correction."""


class _Unusable(Exception):
    """Two readings that yield no increase: the reason, in words."""


def derive(
    later: PageReading,
    earlier: PageReading | None,
    elapsed_seconds: float | None,
    only: Collection[str] | None = None,
) -> dict[str, SignalValue | Missing]:
    """Each signal's value as of the later page, or why there is none.

    A histogram signal `x` also gives `x_p50`, `x_p95`, `x_p99` and `x_mean`; `x` itself is the 95th percentile (or the mean,
    where the catalogue says so). `arrival_rate` and `demand_concurrency` are derived from the others. `only` limits the work
    to some names.
    """
    pair = _Pair(later, earlier, elapsed_seconds)
    values: dict[str, SignalValue | Missing] = {}
    for signal, reading in later.signals.items():
        if only is None or any(name in only for name in names_of(signal, reading)):
            values.update(_values(signal, reading, pair))
    for name, compute in (("arrival_rate", _arrival_rate), ("demand_concurrency", _demand)):
        if later.engine is not None and (only is None or name in only):
            values[name] = compute(pair)
    return values


def totals(reading: PageReading) -> dict[str, SignalValue]:
    """What one page says about signals that need two: counts since the counters began, and quantiles, means and ratios of
    everything since then. A person may want them; nothing may scale on them."""
    pair = _Pair(reading, None, None, since_start=True)
    result: dict[str, SignalValue] = {}
    for signal, found in reading.signals.items():
        if not isinstance(found, Gauge | Missing):
            for name, value in _values(signal, found, pair).items():
                if isinstance(value, SignalValue):
                    result[name] = value
    return result


def names_of(signal: str, reading: Reading) -> tuple[str, ...]:
    """The names of the values that a reading gives."""
    if isinstance(reading, Histogram) and reading.source.derive == "quantile":
        return (signal, *(f"{signal}_p{percent}" for percent in QUANTILES), f"{signal}_mean")
    return (signal,)


class _Pair:
    """Two pages of one server, or one page alone, and what they allow."""

    def __init__(
        self, later: PageReading, earlier: PageReading | None, elapsed_seconds: float | None, since_start: bool = False
    ) -> None:
        self.later = later
        self.earlier = earlier
        self.elapsed_seconds = elapsed_seconds
        self.since_start = since_start
        self.refusal = "" if since_start else _refusal(later, earlier)

    def before(self, signal: str, reading: Reading) -> Reading | None:
        """The same signal on the earlier page; None where it was not there yet. Raises _Unusable."""
        if self.refusal:
            raise _Unusable(self.refusal)
        if self.earlier is None:
            return None
        before = self.earlier.signals.get(signal)
        if before is None or (isinstance(before, Missing) and before.absent):
            return None
        if isinstance(before, Missing):
            raise _Unusable(f"the earlier page has no usable value: {before.reason}")
        if (
            isinstance(reading, Missing)
            or type(before) is not type(reading)
            or before.source.series != reading.source.series
        ):
            raise _Unusable("the two pages carry it in different series")
        return before

    def rate_of(self, increase: float) -> float:
        if self.since_start:
            return increase
        if self.elapsed_seconds is None or not 0 < self.elapsed_seconds < math.inf:
            raise _Unusable("the time between the two pages is not known")
        return increase / self.elapsed_seconds

    def over(self) -> str:
        if self.since_start:
            return "since the counters began"
        return "between two pages" if self.elapsed_seconds is None else f"over {self.elapsed_seconds:g} s"


def _refusal(later: PageReading, earlier: PageReading | None) -> str:
    if earlier is None:
        return ONE_PAGE
    if later.engine != earlier.engine:
        return f"the earlier page is of another engine ({earlier.engine})"
    started, started_before = later.started_at, earlier.started_at
    if started is not None and started_before is not None and abs(started - started_before) > _START_JITTER_SECONDS:
        return "the server restarted between the two pages"
    return ""


def _values(signal: str, reading: Reading, pair: _Pair) -> dict[str, SignalValue | Missing]:
    if isinstance(reading, Missing):
        return {signal: reading}
    if isinstance(reading, Gauge):
        return {signal: _gauge(reading)}
    if isinstance(reading, Counter):
        return {signal: _attempt(signal, lambda: _rate(reading, pair))}
    if isinstance(reading, Ratio):
        return {signal: _attempt(signal, lambda: _ratio(reading, pair))}
    if reading.source.derive == "mean":
        return {signal: _attempt(signal, lambda: _mean(signal, reading, pair))}
    return _distribution(signal, reading, pair)


def _attempt(signal: str, compute: Callable[[], SignalValue]) -> SignalValue | Missing:
    try:
        return compute()
    except _Unusable as reason:
        return Missing(signal, str(reason))


def _gauge(reading: Gauge) -> SignalValue:
    source = reading.source
    rows = len(reading.values)
    if source.derive == "sum_of":
        how = "sum of its parts"
    elif source.derive == "product_of":
        how = "product of its parts"
    elif source.derive == "count":
        how = "distinct values of a label, counted"
    else:
        how = "as it stands" if source.derive == "value" else "the number in its labels"
        if rows > 1:
            how += f", {source.fold} of {rows} rows"
    return SignalValue(source.signal, reading.value, source.unit, source.series, how, source.across, source.fold, rows)


def _rate(reading: Counter, pair: _Pair) -> SignalValue:
    source = reading.source
    increases = _increases(reading, pair.before(source.signal, reading))
    value = pair.rate_of(_fold(increases, source.fold)) * source.scale
    how = f"increase {pair.over()}{_folding(source, increases)}"
    unit = source.unit.removesuffix("/s") if pair.since_start else source.unit
    return SignalValue(source.signal, value, unit, source.series, how, source.across, source.fold, len(increases))


def _ratio(reading: Ratio, pair: _Pair) -> SignalValue:
    source = reading.source
    before = pair.before(source.signal, reading)
    assert before is None or isinstance(before, Ratio)
    above = _increases(reading.numerator, before and before.numerator)
    below = _increases(reading.denominator, before and before.denominator)
    divisor = _fold(below, source.fold)
    if divisor == 0:
        raise _Unusable(f"{source.series[1]} did not move {pair.over()}")
    value = _bounded(_fold(above, source.fold) / divisor * source.scale, source)
    how = f"increase of the first over that of the second, {pair.over()}{_folding(source, above)}"
    return SignalValue(source.signal, value, source.unit, source.series, how, source.across, source.fold, len(above))


def _mean(name: str, reading: Histogram, pair: _Pair) -> SignalValue:
    source = reading.source
    before = pair.before(source.signal, reading)
    assert before is None or isinstance(before, Histogram)
    total = math.fsum(_column(reading, before, "totals"))
    if total == 0:
        raise _Unusable(f"nothing was observed {pair.over()}")
    spent = math.fsum(_column(reading, before, "sums"))
    if math.isnan(spent):
        raise _Unusable(f"{source.series[0]}_sum is not on the page")
    how = f"mean of {total:g} observations {pair.over()}{_folding(source, reading.totals)}"
    return SignalValue(
        name,
        spent / total * source.scale,
        source.unit,
        source.series,
        how,
        source.across,
        source.fold,
        len(reading.rows),
    )


def _distribution(signal: str, reading: Histogram, pair: _Pair) -> dict[str, SignalValue | Missing]:
    values: dict[str, SignalValue | Missing] = {}
    try:
        edges, counts = _bucket_increases(reading, pair)
    except _Unusable as reason:
        for name in names_of(signal, reading):
            values[name] = Missing(name, str(reason))
    else:
        values[signal] = _quantile(signal, 95, reading, edges, counts, pair)
        for percent in QUANTILES:
            name = f"{signal}_p{percent}"
            values[name] = _quantile(name, percent, reading, edges, counts, pair)
    values[f"{signal}_mean"] = _attempt(f"{signal}_mean", lambda: _mean(f"{signal}_mean", reading, pair))
    return values


def _quantile(
    name: str, percent: int, reading: Histogram, edges: tuple[float, ...], counts: list[float], pair: _Pair
) -> SignalValue | Missing:
    source = reading.source
    value = bucket_quantile(percent / 100, edges, counts)
    if math.isnan(value):
        return Missing(name, f"nothing was observed {pair.over()}")
    how = f"{percent} % of {counts[-1]:g} observations {pair.over()}{_folding(source, reading.totals)}"
    if value == edges[-2]:
        how += "; at least this, the highest finite bucket"
    return SignalValue(
        name, value * source.scale, source.unit, source.series, how, source.across, source.fold, len(reading.rows)
    )


def _bucket_increases(reading: Histogram, pair: _Pair) -> tuple[tuple[float, ...], list[float]]:
    """Increases of the cumulative buckets, added over rows. Raises _Unusable."""
    before = pair.before(reading.source.signal, reading)
    assert before is None or isinstance(before, Histogram)
    _check_created(reading.rows, reading.created, before)
    edges = reading.edges[0]
    if any(row != edges for row in reading.edges[1:]):
        raise _Unusable(f"the rows of {reading.source.series[0]} have different buckets, which cannot be added")
    earlier: dict[Labels, tuple[float, ...]] = {}
    if before is not None:
        if any(row != edges for row in before.edges):
            raise _Unusable("its buckets changed between the two pages")
        earlier = dict(zip(before.rows, before.counts, strict=True))
        _check_gone(before.rows, reading.rows)
    total = [0.0] * len(edges)
    for row, counts in zip(reading.rows, reading.counts, strict=True):
        start = earlier.get(row)
        moved = list(counts) if start is None else [here - there for here, there in zip(counts, start, strict=True)]
        if min(moved) < 0:
            raise _Unusable("a bucket fell between the two pages: the counters began anew")
        total = [one + other for one, other in zip(total, moved, strict=True)]
    return edges, total


def _increases(reading: Counter, before: Reading | None) -> tuple[float, ...]:
    """Per row of the later page, how much its total grew. Raises _Unusable."""
    if before is None:
        return reading.values
    assert isinstance(before, Counter)
    _check_created(reading.rows, reading.created, before)
    return _differences(reading.rows, reading.values, before.rows, before.values)


def _column(reading: Histogram, before: Histogram | None, column: str) -> tuple[float, ...]:
    if before is None:
        values: tuple[float, ...] = getattr(reading, column)
        return values
    _check_created(reading.rows, reading.created, before)
    return _differences(reading.rows, getattr(reading, column), before.rows, getattr(before, column))


def _differences(
    rows: tuple[Labels, ...], values: tuple[float, ...], rows_before: tuple[Labels, ...], before: tuple[float, ...]
) -> tuple[float, ...]:
    if rows == rows_before:
        increases = tuple([here - there for here, there in zip(values, before, strict=True)])
    else:
        _check_gone(rows_before, rows)
        earlier = dict(zip(rows_before, before, strict=True))
        increases = tuple([here - earlier.get(row, 0.0) for row, here in zip(rows, values, strict=True)])
    if any(increase < 0 for increase in increases):
        raise _Unusable("it fell between the two pages: the counter began anew")
    return increases


def _check_gone(before: tuple[Labels, ...], rows: tuple[Labels, ...]) -> None:
    if before is not rows and not set(before) <= set(rows):
        raise _Unusable("a row of the earlier page is gone: the counters began anew")


def _check_created(rows: tuple[Labels, ...], created: tuple[float, ...], before: Counter | Histogram | None) -> None:
    """A row made at another time than before is another counter, however large its total."""
    if before is None or not created or not before.created:
        return
    earlier = dict(zip(before.rows, before.created, strict=True))
    for row, time in zip(rows, created, strict=True):
        time_before = earlier.get(row, math.nan)
        if time != time_before and not (math.isnan(time) or math.isnan(time_before)):
            raise _Unusable("its _created time changed between the two pages: the counter began anew")


def _fold(values: tuple[float, ...], fold: str) -> float:
    if not values:
        return 0.0
    if fold == "mean":
        return math.fsum(values) / len(values)
    if fold in ("max", "newest"):
        return max(values)
    return math.fsum(values)


def _folding(source: Source, rows: tuple[float, ...]) -> str:
    if not rows:
        return ", not on the page before its first event"
    return f", {source.fold} of {len(rows)} rows" if len(rows) > 1 else ""


def _bounded(value: float, source: Source) -> float:
    if source.most is not None and value > source.most * (1 + 1e-9):
        raise _Unusable(f"{' / '.join(source.series)} comes to {value:g}, more than is possible")
    return value


def _arrival_rate(pair: _Pair) -> SignalValue | Missing:
    """Requests that came in per second: those that left, plus the growth of those inside. Exact over an interval without a
    restart and without aborts, because what came in has either left or is still there."""
    name = "arrival_rate"
    finished = _part(pair, "finished_rate")
    if isinstance(finished, Missing):
        return Missing(name, f"its part finished_rate is missing: {finished.reason}")
    rejected = _part(pair, "rejected_rate")
    if isinstance(rejected, Missing) and not rejected.absent:
        return Missing(name, f"its part rejected_rate is missing: {rejected.reason}")
    later = pair.later.signals.get("in_flight")
    before = pair.earlier.signals.get("in_flight") if pair.earlier is not None else None
    for which, reading in (("later", later), ("earlier", before)):
        if not isinstance(reading, Gauge):
            reason = reading.reason if isinstance(reading, Missing) else "the engine has none"
            return Missing(name, f"in_flight is missing on the {which} page: {reason}")
    assert isinstance(later, Gauge)
    assert isinstance(before, Gauge)
    assert pair.elapsed_seconds is not None
    series = finished.series + (rejected.series if isinstance(rejected, SignalValue) else ()) + later.source.series
    value = finished.value + (later.value - before.value) / pair.elapsed_seconds
    if isinstance(rejected, SignalValue):
        value += rejected.value
    if value < 0:
        return Missing(
            name, "more requests left than were counted as finished or refused (aborted ones are not counted)"
        )
    how = f"(finished + refused + growth of in_flight) {pair.over()}"
    return SignalValue(name, value, "requests/s", series, how, finished.across, "sum", finished.rows)


def _demand(pair: _Pair) -> SignalValue | Missing:
    """Requests that would be in service at once if none waited: arrivals times mean service time (Little's law)."""
    name = "demand_concurrency"
    arrivals = _arrival_rate(pair)
    if isinstance(arrivals, Missing):
        return Missing(name, arrivals.reason)
    service = _part(pair, "service_time")
    if isinstance(service, Missing):
        return Missing(name, f"its part service_time is missing: {service.reason}")
    how = f"arrival_rate times mean service_time {pair.over()}"
    value = arrivals.value * service.value
    return SignalValue(
        name, value, "requests", arrivals.series + service.series, how, arrivals.across, "sum", arrivals.rows
    )


def _part(pair: _Pair, signal: str) -> SignalValue | Missing:
    reading = pair.later.signals.get(signal)
    if reading is None:
        return Missing(signal, "the catalogue knows no series of it for this engine", absent=True)
    return _values(signal, reading, pair)[signal]
