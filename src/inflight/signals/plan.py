"""How to read one layout of a page: which sample of it goes where. Made once, used for every page of that layout.

`make_plan` follows the catalogue over the names and labels; `Plan.read` then turns the page's values into readings. The
split is what makes a scrape cheap: labels are looked at once per layout, values every time.
"""

import math
from collections.abc import Sequence

import msgspec

from inflight.signals.catalogue import (
    START_TIME,
    Catalogue,
    Combination,
    Engine,
    Nowhere,
    Record,
    Roles,
    created_name,
)
from inflight.signals.exposition.lines import LineError, parse_number
from inflight.signals.readings import Counter, Gauge, Histogram, Labels, Missing, PageReading, Ratio, Reading, Source
from inflight.signals.select import Rows, Selection, groups, row_labels, select

MAX_TOTAL = 1e18
"""A counter beyond this lies: at a million tokens a second it takes thirty thousand years."""

NAN = math.nan


class _Refused(Exception):
    """Rows that yield no value: the reason, in words."""

    def __init__(self, reason: str, absent: bool = False) -> None:
        super().__init__(reason)
        self.absent = absent


class _GaugeWay(msgspec.Struct):
    source: Source
    members: tuple[tuple[int, ...], ...]
    invalid: tuple[float, ...]

    def read(self, values: Sequence[float]) -> Gauge:
        source = self.source
        rows = []
        for member in self.members:
            found = [values[at] for at in member]
            if self.invalid:
                found = [value for value in found if value not in self.invalid]
                if not found:
                    continue
            rows.append(_checked(max(found) if len(found) > 1 else found[0], source, any(map(math.isnan, found))))
        if not rows:
            raise _Refused(f"{source.series[0]} says on every row that it is not available")
        return Gauge(source, _folded(rows, source), tuple(rows))


class _FixedWay(msgspec.Struct):
    gauge: Gauge

    def read(self, values: Sequence[float]) -> Gauge:
        return self.gauge


class _CounterWay(msgspec.Struct):
    source: Source
    series: str
    rows: tuple[Labels, ...]
    members: tuple[tuple[int, ...], ...]
    created: tuple[int, ...]

    def read(self, values: Sequence[float]) -> Counter:
        if self.source.fold == "one" and len(self.members) > 1:
            raise _Refused(f"{self.series} has {len(self.members)} rows where one is expected")
        totals = tuple(
            max(values[at] for at in member) if len(member) > 1 else values[member[0]] for member in self.members
        )
        _check_totals(self.series, totals)
        return Counter(self.source, self.rows, totals, _times(self.created, values))


class _RatioWay(msgspec.Struct):
    source: Source
    numerator: _CounterWay
    denominator: _CounterWay

    def read(self, values: Sequence[float]) -> Ratio:
        return Ratio(self.source, self.numerator.read(values), self.denominator.read(values))


class _HistogramWay(msgspec.Struct):
    source: Source
    rows: tuple[Labels, ...]
    edges: tuple[tuple[float, ...], ...]
    buckets: tuple[tuple[int, ...], ...]
    sums: tuple[int, ...]
    totals: tuple[int, ...]
    created: tuple[int, ...]

    def read(self, values: Sequence[float]) -> Histogram:
        series = self.source.series[0]
        if self.source.fold == "one" and len(self.rows) > 1:
            raise _Refused(f"{series} has {len(self.rows)} rows where one is expected")
        counts = []
        for positions in self.buckets:
            row = tuple([values[at] for at in positions])
            if sorted(row) != list(row):
                raise _Refused(f"the buckets of {series} do not grow with le")
            _check_totals(f"{series}_bucket", row[:1] + row[-1:])
            counts.append(row)
        totals = tuple(values[at] for at in self.totals)
        sums = tuple(values[at] if at >= 0 else NAN for at in self.sums)
        _check_totals(f"{series}_count", totals)
        _check_totals(f"{series}_sum", tuple(value for value, at in zip(sums, self.sums, strict=True) if at >= 0))
        return Histogram(self.source, self.rows, self.edges, tuple(counts), sums, totals, _times(self.created, values))


_Way = _GaugeWay | _FixedWay | _CounterWay | _RatioWay | _HistogramWay


class _SignalPlan(msgspec.Struct):
    """The ways to one signal on this layout, best first, and what to say where none yields a value."""

    signal: str
    ways: tuple[_Way, ...]
    missing: Missing

    def read(self, values: Sequence[float]) -> Reading:
        refusals = []
        for way in self.ways:
            try:
                return way.read(values)
            except _Refused as refusal:
                refusals.append(str(refusal))
        if refusals:
            return Missing(self.signal, "; ".join(refusals))
        return self.missing


class _CombinationPlan(msgspec.Struct):
    source: Source
    parts: tuple[str, ...]
    optional: tuple[str, ...]

    def read(self, readings: dict[str, Reading]) -> Reading:
        signal = self.source.signal
        values = []
        series: list[str] = []
        for part in self.parts + self.optional:
            reading = readings[part]
            if isinstance(reading, Gauge):
                values.append(reading.value)
                series += reading.source.series
            elif isinstance(reading, Missing):
                if part in self.optional and reading.absent:
                    continue
                return Missing(signal, f"its part {part} is missing: {reading.reason}", reading.absent)
            else:
                return Missing(signal, f"its part {part} is no gauge")
        source = self.source
        if tuple(series) != source.series:
            source = msgspec.structs.replace(source, series=tuple(series))
        value = math.fsum(values) if source.derive == "sum_of" else math.prod(values)
        if source.most is not None and value > source.most:
            return Missing(signal, f"its parts make {value:g}, which no server has")
        return Gauge(source, value, tuple(values))


class Plan(msgspec.Struct):
    """Everything that the names and labels of a layout decide."""

    engine: str | None
    signals: tuple[_SignalPlan, ...] = ()
    combinations: tuple[_CombinationPlan, ...] = ()
    version: str | None = None
    started_at: int = -1
    prefixes: tuple[str, ...] = ()

    def read(self, values: Sequence[float], sampled_at: float | None = None) -> PageReading:
        readings: dict[str, Reading] = {}
        for signal in self.signals:
            readings[signal.signal] = signal.read(values)
        for combination in self.combinations:
            readings[combination.source.signal] = combination.read(readings)
        started_at = values[self.started_at] if self.started_at >= 0 else None
        if started_at is not None and not math.isfinite(started_at):
            started_at = None
        return PageReading(self.engine, readings, self.version, started_at, sampled_at, self.prefixes)


def make_plan(catalogue: Catalogue, engine: Engine, rows: Rows) -> Plan:
    """How to read a page with these rows as this engine's."""
    return _Planner(catalogue, engine, rows).plan()


class _Planner:
    def __init__(self, catalogue: Catalogue, engine: Engine, rows: Rows) -> None:
        self._catalogue = catalogue
        self._engine = engine
        self._rows = rows

    def plan(self) -> Plan:
        engine, rows = self._engine, self._rows
        signals: list[_SignalPlan] = []
        combinations: list[_CombinationPlan] = []
        for signal, ways in engine.signals.items():
            first = ways[0]
            if isinstance(first, Combination):
                combinations.append(self._combination(signal, first))
            elif isinstance(first, Roles):
                combinations.append(self._combination(signal, self._role(first)))
            else:
                signals.append(self._signal(signal))
        if {"running", "waiting", "in_flight"} & engine.signals.keys():
            for signal, facts in self._catalogue.signals.items():
                if facts.core and signal not in engine.signals:
                    reason = f"the catalogue knows no series of it for {engine.name}"
                    signals.append(_SignalPlan(signal, (), Missing(signal, reason, absent=True)))
        starts = rows.by_name.get(START_TIME, [])
        return Plan(
            engine.name,
            tuple(signals),
            tuple(combinations),
            self._version(),
            starts[0] if len(starts) == 1 and START_TIME not in rows.broken else -1,
        )

    def _signal(self, signal: str) -> _SignalPlan:
        ways: list[_Way] = []
        reasons: list[str] = []
        absent = True
        for way in self._engine.signals[signal]:
            if isinstance(way, Nowhere):
                reasons.append(way.reason)
                continue
            assert isinstance(way, Record)
            try:
                ways.append(self._record(signal, way))
            except _Refused as refusal:
                reasons.append(str(refusal))
                absent = absent and refusal.absent
        return _SignalPlan(signal, tuple(ways), Missing(signal, "; ".join(reasons), absent))

    def _record(self, signal: str, record: Record) -> _Way:
        if record.derive in ("quantile", "mean"):
            return self._histogram(signal, record)
        if record.derive == "ratio":
            source = self._source(signal, record)
            numerator, denominator = (self._counter(source, series, record) for series in record.series)
            return _RatioWay(source, numerator, denominator)
        if record.kind == "counter":
            return self._counter(self._source(signal, record), record.series[0], record)
        return self._gauge(signal, record)

    def _source(self, signal: str, record: Record, rows: tuple[Labels, ...] = ()) -> Source:
        facts = self._catalogue.signals[signal]
        return Source(
            signal, facts.unit, record.series, record.derive, record.fold, record.across, record.scale, facts.most, rows
        )

    def _select(self, series: str, record: Record) -> list[int]:
        selection: Selection = select(self._rows, series, record, self._engine)
        if selection.reason:
            raise _Refused(selection.reason, selection.absent)
        return selection.positions

    def _gauge(self, signal: str, record: Record) -> _Way:
        positions = self._select(record.series[0], record)
        together = groups(positions, self._rows.labels, record.drop_labels)
        source = self._source(signal, record, tuple(together))
        if record.derive == "value":
            members = tuple(tuple(member) for member in together.values())
            return _GaugeWay(source, members, self._engine.invalid_values)
        if record.derive == "count":
            label = record.labels[0]
            found = {self._rows.labels[at].get(label) for at in positions}
            if None in found:
                raise _Refused(f"a row of {record.series[0]} lacks the label {label}", absent=True)
            return _FixedWay(Gauge(source, float(len(found)), (1.0,) * len(found)))
        numbers = [max(self._number(record, at) for at in member) for member in together.values()]
        checked = [_checked(number, source) for number in numbers]
        return _FixedWay(Gauge(source, _folded(checked, source), tuple(checked)))

    def _number(self, record: Record, at: int) -> float:
        """The number that an info row carries in its labels."""
        product = 1.0
        for label in record.labels:
            try:
                product *= parse_number(self._rows.labels[at].get(label, "").encode())
            except LineError:
                series = record.series[0]
                raise _Refused(f"a row of {series} has no number in the label {label}", absent=True) from None
        return product

    def _counter(self, source: Source, series: str, record: Record) -> _CounterWay:
        selection = select(self._rows, series, record, self._engine)
        if selection.absent and record.absent_is_zero:
            return _CounterWay(source, series, (), (), ())
        if selection.reason:
            raise _Refused(selection.reason, selection.absent)
        together = groups(selection.positions, self._rows.labels, record.drop_labels)
        created = self._created(created_name(series), record.drop_labels)
        return _CounterWay(
            source,
            series,
            tuple(together),
            tuple(tuple(member) for member in together.values()),
            tuple(created.get(row, -1) for row in together) if created else (),
        )

    def _created(self, name: str, drop: tuple[str, ...]) -> dict[Labels, int]:
        if name in self._rows.broken:
            return {}
        return {row_labels(self._rows.labels[at], drop): at for at in self._rows.by_name.get(name, ())}

    def _histogram(self, signal: str, record: Record) -> _HistogramWay:
        family, drop = record.series[0], record.drop_labels
        sums = self._single(f"{family}_sum", record)
        totals = self._single(f"{family}_count", record)
        created = self._created(f"{family}_created", drop)
        source = self._source(signal, record)
        if record.derive == "mean":
            if not totals:
                self._select(f"{family}_count", record)
            rows = tuple(totals)
            if any(row not in sums for row in rows):
                raise _Refused(f"{family}_sum has not the same rows as {family}_count")
            edges: tuple[tuple[float, ...], ...] = ()
            buckets: tuple[tuple[int, ...], ...] = ()
        else:
            by_row = self._buckets(family, record)
            rows = tuple(by_row)
            edges = tuple(tuple(edge for edge, _ in row) for row in by_row.values())
            buckets = tuple(tuple(at for _, at in row) for row in by_row.values())
        return _HistogramWay(
            source,
            rows,
            edges,
            buckets,
            tuple(sums.get(row, -1) for row in rows),
            tuple(totals[row] if row in totals else buckets[index][-1] for index, row in enumerate(rows)),
            tuple(created.get(row, -1) for row in rows) if created else (),
        )

    def _single(self, name: str, record: Record) -> dict[Labels, int]:
        selection = select(self._rows, name, record, self._engine)
        return {row_labels(self._rows.labels[at]): at for at in selection.positions}

    def _buckets(self, family: str, record: Record) -> dict[Labels, list[tuple[float, int]]]:
        name = f"{family}_bucket"
        by_row: dict[Labels, list[tuple[float, int]]] = {}
        for at in self._select(name, record):
            labels = self._rows.labels[at]
            try:
                edge = parse_number(labels.get("le", "").encode())
            except LineError:
                raise _Refused(f"a row of {name} has no number in the label le") from None
            by_row.setdefault(row_labels(labels, ("le",)), []).append((edge, at))
        for row in by_row.values():
            row.sort()
            found = [edge for edge, _ in row]
            if len(set(found)) < len(found) or any(map(math.isnan, found)):
                raise _Refused(f"{name} has two rows with the same edge")
            if found[-1] != math.inf or len(found) < 2:
                raise _Refused(f'{name} has no le="+Inf" row above another')
        return by_row

    def _combination(self, signal: str, way: Combination) -> _CombinationPlan:
        facts = self._catalogue.signals[signal]
        source = Source(signal, facts.unit, (), way.derive, "sum", way.across, 1.0, facts.most)
        return _CombinationPlan(source, way.parts, way.optional)

    def _role(self, roles: Roles) -> Combination:
        """The combination of the role that the rows name; of several roles on one page, the parts of all."""
        unified = roles.by_role["unified"]
        found: set[str] = set()
        for part in unified.parts:
            for way in self._engine.signals[part]:
                if isinstance(way, Record):
                    for at in select(self._rows, way.series[0], way, self._engine).positions:
                        found.add(self._rows.labels[at].get(roles.label, ""))
        chosen = [roles.by_role[role] for role in sorted(found) if role in roles.by_role] or [unified]
        required = tuple(dict.fromkeys(part for way in chosen for part in way.parts))
        optional = tuple(dict.fromkeys(part for way in chosen for part in way.optional if part not in required))
        return Combination("sum_of", required, optional, unified.across)

    def _version(self) -> str | None:
        where = self._engine.version
        if where is None:
            return None
        found = {self._rows.labels[at].get(where.label) for at in self._rows.by_name.get(where.series, ())}
        return found.pop() or None if len(found) == 1 else None


def _checked(value: float, source: Source, has_nan: bool = False) -> float:
    """A row's value in the signal's unit; refuses what no honest server says."""
    scaled = value * source.scale
    if has_nan or not math.isfinite(scaled):
        raise _Refused(f"{source.series[0]} reads {math.nan if has_nan else value}, no finite number")
    if scaled < 0:
        raise _Refused(f"{source.series[0]} reads {value:g}, below 0")
    # a mean of ratios may miss 1 by a rounding error; anything more is a lie and is not cut to size
    if source.most is not None and scaled > source.most * (1 + 1e-9):
        raise _Refused(f"{source.series[0]} reads {value:g}, more than any server has")
    return scaled


def _folded(rows: list[float], source: Source) -> float:
    if len(rows) == 1:
        return rows[0]
    if source.fold == "sum":
        return math.fsum(rows)
    if source.fold == "mean":
        return math.fsum(rows) / len(rows)
    if source.fold == "one":
        raise _Refused(f"{source.series[0]} has {len(rows)} rows where one is expected")
    return max(rows)


def _check_totals(series: str, totals: tuple[float, ...]) -> None:
    for total in totals:
        if not 0 <= total <= MAX_TOTAL:
            raise _Refused(f"{series} reads {total:g}, which no counter of a server does")


def _times(positions: tuple[int, ...], values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values[at] if at >= 0 else NAN for at in positions)
