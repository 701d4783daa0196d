"""What one page said about each canonical signal, and what two pages say together: plain values.

A reading keeps the rows of the page apart (a row is one engine, rank or process of the pod), because rates are taken
per row before rows are folded. A signal without a value is a `Missing` with its reason: never 0, never an exception.
"""

from collections.abc import Mapping

import msgspec

Labels = tuple[tuple[str, str], ...]
"""A row's labels, sorted by name: what tells one row of a series from another."""


class Missing(msgspec.Struct, frozen=True):
    """A signal without a value, and why. `absent` where its series are simply not on the page."""

    signal: str
    reason: str
    absent: bool = False


class Source(msgspec.Struct, frozen=True):
    """Where a signal was found and how it is made: the same for every page of one layout."""

    signal: str
    unit: str
    series: tuple[str, ...]
    derive: str
    fold: str
    across: str
    scale: float = 1.0
    most: float | None = None
    rows: tuple[Labels, ...] = ()


class Gauge(msgspec.Struct, frozen=True):
    """A value as of the page: `value` folded over `values`, both in the signal's unit."""

    source: Source
    value: float
    values: tuple[float, ...]


class Counter(msgspec.Struct, frozen=True):
    """Running totals per row, unscaled; `created` holds unix seconds, NaN where the page does not say."""

    source: Source
    rows: tuple[Labels, ...]
    values: tuple[float, ...]
    created: tuple[float, ...] = ()


class Ratio(msgspec.Struct, frozen=True):
    """Two counters whose increases are divided."""

    source: Source
    numerator: Counter
    denominator: Counter


class Histogram(msgspec.Struct, frozen=True):
    """Per row: bucket edges (unscaled), cumulative counts at these edges, and the row's sum and count.

    `edges` and `counts` are empty where only the mean is wanted.
    """

    source: Source
    rows: tuple[Labels, ...]
    edges: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[float, ...], ...]
    sums: tuple[float, ...]
    totals: tuple[float, ...]
    created: tuple[float, ...] = ()


Reading = Gauge | Counter | Ratio | Histogram | Missing


class PageReading(msgspec.Struct, frozen=True):
    """Everything that one page says. `engine` is None where no engine of the catalogue is recognized."""

    engine: str | None
    signals: Mapping[str, Reading]
    version: str | None = None
    started_at: float | None = None
    """Unix seconds at which the server's process started, where the page says so."""
    sampled_at: float | None = None
    """The oldest explicit sample time on the page, unix seconds; None where lines carry none, as usual."""
    prefixes: tuple[str, ...] = ()
    """Of a page without a known engine: how the names on it begin."""


class SignalValue(msgspec.Struct, frozen=True):
    """A signal's value in its unit, the series it came from, and in words how it was made of their rows."""

    signal: str
    value: float
    unit: str
    series: tuple[str, ...]
    how: str
    across: str
    fold: str = ""
    rows: int = 1
