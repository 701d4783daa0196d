"""From readings to values: gauges as they stand; rates, quantiles, means and ratios from two pages.

Increases are taken per row and then folded (`inflight.signals.increases`). An interval without an observation has no
quantile, mean or ratio: nothing is not zero.
"""

import math
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from inflight.signals.catalogue.records import QUANTILES
from inflight.signals.increases import Pair, UnusableError, bucket_increases, counter_increases, observed
from inflight.signals.quantiles import bucket_quantiles
from inflight.signals.readings import (
    Counter,
    Gauge,
    Histogram,
    Missing,
    PageReading,
    Ratio,
    Reading,
    SignalValue,
    Source,
)

_PARTS = tuple(percent / 100 for percent in QUANTILES)
_PART_NAMES = frozenset({*(f"p{percent}" for percent in QUANTILES), "mean"})
_MAIN = QUANTILES.index(95)
R = TypeVar("R", Counter, Ratio, Histogram)


def derive(
    later: PageReading,
    earlier: PageReading | None,
    elapsed_seconds: float | None,
    only: Collection[str] | None = None,
) -> dict[str, SignalValue | Missing]:
    """Each signal's value as of the later page, or why there is none.

    A histogram signal `x` also gives `x_p50`, `x_p95`, `x_p99` and `x_mean`; `x` itself is the 95th percentile, or the
    mean where the catalogue says so. `arrival_rate` and `demand_concurrency` are made of the others. `only` limits the
    work to what these names need; more may come back, and a name that no signal of the page has does not.
    """
    pair = Pair(later, earlier, elapsed_seconds)
    values: dict[str, SignalValue | Missing] = {}
    if only is not None:
        for name in only:
            if name not in values:
                _derive_one(name, pair, values)
        return values
    for signal, reading in later.signals.items():
        values.update(_values(signal, reading, pair))
    if "in_flight" in later.signals:
        for name, compute in _COMPUTED.items():
            values[name] = compute(pair)
    return values


def _derive_one(name: str, pair: Pair, values: dict[str, SignalValue | Missing]) -> None:
    signals = pair.later.signals
    if name in signals:
        values.update(_values(name, signals[name], pair))
    elif name in _COMPUTED and "in_flight" in signals:
        values[name] = _COMPUTED[name](pair)
    else:
        base, _, part = name.rpartition("_")
        reading = signals.get(base)
        if reading is None or part not in _PART_NAMES:
            return
        values.update(_values(base, reading, pair))
        if name not in values:
            values[name] = _part_of(values[base], name, part, reading)


def _part_of(whole: SignalValue | Missing, name: str, part: str, reading: Reading) -> SignalValue | Missing:
    """A quantile or the mean of a signal that has no distribution on this page."""
    if isinstance(whole, Missing):
        return Missing(name, whole.reason, whole.absent)
    if part == "mean" and isinstance(reading, Histogram | Ratio):
        return msgspec.structs.replace(whole, signal=name)
    return Missing(name, f"of {whole.signal} the page has one number only, no distribution", absent=True)


def totals(reading: PageReading) -> dict[str, SignalValue]:
    """What one page says about signals that need two: counts since the counters began, and quantiles, means and ratios
    of everything since then. A person may want them; nothing may scale on them.
    """
    pair = Pair(reading, None, None, since_start=True)
    result: dict[str, SignalValue] = {}
    for signal, found in reading.signals.items():
        if not isinstance(found, Gauge | Missing):
            values = _values(signal, found, pair).items()
            result.update({name: value for name, value in values if isinstance(value, SignalValue)})
    return result


def _values(signal: str, reading: Reading, pair: Pair) -> dict[str, SignalValue | Missing]:
    if isinstance(reading, Missing):
        return {signal: reading}
    if isinstance(reading, Gauge):
        return {signal: _gauge(reading)}
    if isinstance(reading, Histogram):
        if reading.source.derive == "mean":
            return {signal: _mean(signal, reading, pair)}
        return _distribution(signal, reading, pair)
    try:
        return {signal: _rate(reading, pair) if isinstance(reading, Counter) else _ratio(reading, pair)}
    except UnusableError as reason:
        return {signal: Missing(signal, str(reason))}


def _gauge(reading: Gauge) -> SignalValue:
    source = reading.source
    rows = len(reading.values)
    how = _STANDING[source.derive]
    if rows > 1 and source.derive in ("value", "label", "label_product"):
        how += f", {source.fold} of {rows} rows"
    return SignalValue(source.signal, reading.value, source.unit, source.series, how, source.across, source.fold, rows)


_STANDING = {
    "value": "as it stands",
    "label": "the number in its labels",
    "label_product": "the product of the numbers in its labels",
    "count": "the distinct values of a label, counted",
    "sum_of": "sum of its parts",
    "product_of": "product of its parts",
}


def _rate(reading: Counter, pair: Pair) -> SignalValue:
    source = reading.source
    increases = counter_increases(reading, _same(reading, pair))
    value = pair.per_second(_fold(increases, source.fold)) * source.scale
    if pair.since_start:
        unit, how = source.unit.removesuffix("/s"), f"total {pair.over}"
    else:
        unit, how = source.unit, f"increase per second {pair.over}"
        value = _bounded(value, source)
    how += _folding(source, len(increases))
    return SignalValue(source.signal, value, unit, source.series, how, source.across, source.fold, len(increases))


def _ratio(reading: Ratio, pair: Pair) -> SignalValue:
    source = reading.source
    before = _same(reading, pair)
    above = counter_increases(reading.numerator, before.numerator if before else None)
    below = counter_increases(reading.denominator, before.denominator if before else None)
    divisor = _fold(below, source.fold)
    if divisor == 0:
        raise UnusableError(f"{source.series[1]} did not move {pair.over}")
    value = _bounded(_fold(above, source.fold) / divisor * source.scale, source)
    how = f"increase of the first over that of the second, {pair.over}{_folding(source, len(above))}"
    return SignalValue(source.signal, value, source.unit, source.series, how, source.across, source.fold, len(above))


def _bounded(value: float, source: Source) -> float:
    """Refuses what no server can do; a ratio may miss its bound by a rounding error, which is left as it is."""
    if source.most is not None and value > source.most * (1 + 1e-9):
        raise UnusableError(f"{' over '.join(source.series)} comes to {value:g}, more than any server does")
    return value


def _mean(name: str, reading: Histogram, pair: Pair) -> SignalValue | Missing:
    source = reading.source
    try:
        count, spent = observed(reading, _same(reading, pair))
        if count == 0:
            return Missing(name, f"nothing was observed {pair.over}")
        if math.isnan(spent):
            return Missing(name, f"{source.series[0]}_sum is not on the page")
        value = _bounded(spent / count * source.scale, source)
    except UnusableError as reason:
        return Missing(name, str(reason))
    rows = len(reading.rows)
    how = f"mean of {count:g} observations {pair.over}{_folding(source, rows)}"
    return SignalValue(name, value, source.unit, source.series, how, source.across, source.fold, rows)


def _distribution(signal: str, reading: Histogram, pair: Pair) -> dict[str, SignalValue | Missing]:
    names = (signal, *(f"{signal}_p{percent}" for percent in QUANTILES), f"{signal}_mean")
    source, rows = reading.source, len(reading.rows)
    mean = _mean(names[-1], reading, pair)
    try:
        edges, counts = bucket_increases(reading, _same(reading, pair))
    except UnusableError as reason:
        return {**{name: Missing(name, str(reason)) for name in names}, names[-1]: mean}
    values: dict[str, SignalValue | Missing] = {}
    found = bucket_quantiles(_PARTS, edges, counts)
    about = f"of {counts[-1]:g} observations {pair.over}{_folding(source, rows)}"
    for at, name in zip((_MAIN, *range(len(found))), names, strict=False):
        value = found[at]
        if math.isnan(value):
            values[name] = Missing(name, f"nothing was observed {pair.over}")
            continue
        how = f"{QUANTILES[at]} % {about}"
        if value == edges[-2]:
            how += "; at least this, the highest finite bucket"
        values[name] = SignalValue(
            name, value * source.scale, source.unit, source.series, how, source.across, source.fold, rows
        )
    values[names[-1]] = mean
    return values


def _same(reading: R, pair: Pair) -> R | None:
    """The earlier page's reading of the same signal."""
    before = pair.before(reading.source.signal, reading)
    assert before is None or type(before) is type(reading)
    return before


def _fold(values: tuple[float, ...], fold: str) -> float:
    if not values:
        return 0.0
    if fold == "mean":
        return math.fsum(values) / len(values)
    if fold in ("max", "newest"):
        return max(values)
    return math.fsum(values)


def _folding(source: Source, rows: int) -> str:
    if not rows:
        return ", not on the page before its first event"
    return f", {source.fold} of {rows} rows" if rows > 1 else ""


def _arrival_rate(pair: Pair) -> SignalValue | Missing:
    """Requests that came in per second: those that left, plus the growth of those inside.

    Exact over an interval without a restart and without aborts, for what came in has either left or is still there.
    """
    name = "arrival_rate"
    finished = _part(pair, "finished_rate")
    if isinstance(finished, Missing):
        return Missing(name, f"its part finished_rate is missing: {finished.reason}")
    rejected = _part(pair, "rejected_rate")
    if isinstance(rejected, Missing) and not rejected.absent:
        return Missing(name, f"its part rejected_rate is missing: {rejected.reason}")
    assert pair.earlier is not None
    later, before = pair.later.signals.get("in_flight"), pair.earlier.signals.get("in_flight")
    for which, reading in (("later", later), ("earlier", before)):
        if not isinstance(reading, Gauge):
            reason = reading.reason if isinstance(reading, Missing) else "the engine has none"
            return Missing(name, f"in_flight is missing on the {which} page: {reason}")
    assert isinstance(later, Gauge)
    assert isinstance(before, Gauge)
    value = finished.value + pair.per_second(later.value - before.value)
    series = finished.series + later.source.series
    if isinstance(rejected, SignalValue):
        value += rejected.value
        series += rejected.series
    if value < 0:
        return Missing(name, "more requests left than finished or were refused: aborted ones are not counted")
    how = f"(finished + refused + growth of in_flight) {pair.over}"
    return SignalValue(name, value, "requests/s", series, how, finished.across, "sum", finished.rows)


def _demand(pair: Pair) -> SignalValue | Missing:
    """Requests in service at once if none had to wait: arrivals times mean service time (Little's law)."""
    name = "demand_concurrency"
    arrivals = _arrival_rate(pair)
    if isinstance(arrivals, Missing):
        return Missing(name, arrivals.reason)
    service = _part(pair, "service_time")
    if isinstance(service, Missing):
        return Missing(name, f"its part service_time is missing: {service.reason}")
    how = f"arrival_rate times mean service_time {pair.over}"
    value = arrivals.value * service.value
    series = arrivals.series + service.series
    return SignalValue(name, value, "requests", series, how, arrivals.across, "sum", arrivals.rows)


def _part(pair: Pair, signal: str) -> SignalValue | Missing:
    reading = pair.later.signals.get(signal)
    if reading is None:
        return Missing(signal, "the catalogue knows no series of it for this engine", absent=True)
    return _values(signal, reading, pair)[signal]


_COMPUTED: dict[str, Callable[[Pair], SignalValue | Missing]] = {
    "arrival_rate": _arrival_rate,
    "demand_concurrency": _demand,
}
