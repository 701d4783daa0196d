"""How to read one layout of a page: which sample of it goes where. Made once, used for every page of that layout.

`make_plan` follows the catalogue over the names and labels; `Plan.read` then turns the page's values into readings. The
split is what makes a scrape cheap: labels are looked at once per layout, values every time.
"""

import math
from collections.abc import Sequence

import msgspec

from inflight.signals.catalogue.records import (
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
from inflight.signals.readings import Gauge, Labels, Missing, PageReading, Reading, Source
from inflight.signals.select import Rows, Selection, groups, has_twins, row_labels, select
from inflight.signals.ways import (
    CounterWay,
    FixedWay,
    GaugeWay,
    HistogramWay,
    RatioWay,
    RefusedError,
    Way,
    checked,
    folded,
)


class _SignalPlan(msgspec.Struct):
    """The ways to one signal on this layout, best first, and what to say where none yields a value."""

    signal: str
    ways: tuple[Way, ...]
    missing: Missing

    def read(self, values: Sequence[float]) -> Reading:
        refusals = []
        for way in self.ways:
            try:
                return way.read(values)
            except RefusedError as refusal:
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
        self._edges: dict[str, float] = {}

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
        ways: list[Way] = []
        reasons: list[str] = []
        absent = True
        for way in self._engine.signals[signal]:
            if isinstance(way, Nowhere):
                reasons.append(way.reason)
                continue
            assert isinstance(way, Record)
            try:
                ways.append(self._record(signal, way))
            except RefusedError as refusal:
                reasons.append(str(refusal))
                absent = absent and refusal.absent
        return _SignalPlan(signal, tuple(ways), Missing(signal, "; ".join(reasons), absent))

    def _record(self, signal: str, record: Record) -> Way:
        if record.derive in ("quantile", "mean"):
            return self._histogram(signal, record)
        if record.derive == "ratio":
            source = self._source(signal, record)
            numerator, denominator = (self._counter(source, series, record) for series in record.series)
            return RatioWay(source, numerator, denominator)
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
            raise RefusedError(selection.reason, selection.absent)
        return selection.positions

    def _grouped(self, positions: list[int], series: str, record: Record) -> dict[Labels, list[int]]:
        together = groups(positions, self._rows.labels, record.drop_labels)
        if has_twins(together, self._rows.labels):
            raise RefusedError(f"{series} has two rows with the same labels")
        return together

    def _gauge(self, signal: str, record: Record) -> Way:
        positions = self._select(record.series[0], record)
        together = self._grouped(positions, record.series[0], record)
        source = self._source(signal, record, tuple(together))
        if record.derive == "value":
            members = tuple(tuple(member) for member in together.values())
            return GaugeWay(source, members, self._engine.invalid_values)
        if record.derive == "count":
            label = record.labels[0]
            found = {self._rows.labels[at].get(label) for at in positions}
            if None in found:
                raise RefusedError(f"a row of {record.series[0]} lacks the label {label}", absent=True)
            return FixedWay(Gauge(source, float(len(found)), (1.0,) * len(found)))
        numbers = [max(self._number(record, at) for at in member) for member in together.values()]
        values = tuple([checked(number, source) for number in numbers])
        return FixedWay(Gauge(source, folded(values, source), values))

    def _number(self, record: Record, at: int) -> float:
        """The number that an info row carries in its labels."""
        product = 1.0
        for label in record.labels:
            try:
                product *= parse_number(self._rows.labels[at].get(label, "").encode())
            except LineError:
                series = record.series[0]
                raise RefusedError(f"a row of {series} has no number in the label {label}", absent=True) from None
        return product

    def _counter(self, source: Source, series: str, record: Record) -> CounterWay:
        selection = select(self._rows, series, record, self._engine)
        if selection.absent and record.zero_beside in self._rows.by_name:
            return CounterWay(source, series, (), (), ())
        if selection.reason:
            raise RefusedError(selection.reason, selection.absent)
        together = self._grouped(selection.positions, series, record)
        created = self._created(created_name(series), record.drop_labels)
        return CounterWay(
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

    def _histogram(self, signal: str, record: Record) -> HistogramWay:
        family = record.series[0]
        sums = self._single(f"{family}_sum", record)
        totals = self._single(f"{family}_count", record)
        created = self._created(f"{family}_created", ())
        source = self._source(signal, record)
        by_row: dict[Labels, list[tuple[float, int]]] = {}
        if record.derive == "mean":
            if not totals:
                self._select(f"{family}_count", record)
            rows = tuple(totals)
            if any(row not in sums for row in rows):
                raise RefusedError(f"{family}_sum has not the same rows as {family}_count")
            edges: tuple[tuple[float, ...], ...] = ()
            buckets: tuple[tuple[int, ...] | slice, ...] = ()
        else:
            by_row = self._buckets(family, record)
            rows = tuple(by_row)
            edges = tuple(tuple(edge for edge, _ in row) for row in by_row.values())
            buckets = tuple(_span([at for _, at in row]) for row in by_row.values())
        drop = record.drop_labels
        identities = tuple(tuple(label for label in row if label[0] not in drop) for row in rows) if drop else rows
        return HistogramWay(
            source,
            identities,
            edges,
            buckets,
            tuple(sums.get(row, -1) for row in rows),
            tuple(totals[row] if row in totals else by_row[row][-1][1] for row in rows),
            tuple(created.get(row, -1) for row in rows) if created else (),
            _same(identities),
        )

    def _single(self, name: str, record: Record) -> dict[Labels, int]:
        positions = select(self._rows, name, record, self._engine).positions
        single = {row_labels(self._rows.labels[at]): at for at in positions}
        if len(single) < len(positions):
            raise RefusedError(f"{name} has two rows with the same labels")
        return single

    def _buckets(self, family: str, record: Record) -> dict[Labels, list[tuple[float, int]]]:
        name = f"{family}_bucket"
        # rows of one family write their labels in one order, so most of them meet under the unsorted labels already
        unsorted: dict[Labels, list[tuple[float, int]]] = {}
        for at in self._select(name, record):
            labels = self._rows.labels[at]
            row = tuple([item for item in labels.items() if item[0] != "le"])
            unsorted.setdefault(row, []).append((self._edge(name, labels.get("le", "")), at))
        by_row: dict[Labels, list[tuple[float, int]]] = {}
        for row, found in unsorted.items():
            by_row.setdefault(tuple(sorted(row)), []).extend(found)
        for buckets in by_row.values():
            buckets.sort()
            edges = [edge for edge, _ in buckets]
            if len(set(edges)) < len(edges):
                raise RefusedError(f"{name} has two rows with the same edge")
            if edges[-1] != math.inf or len(edges) < 2:
                raise RefusedError(f'{name} has no le="+Inf" row above another')
        return by_row

    def _edge(self, name: str, text: str) -> float:
        edge = self._edges.get(text)
        if edge is None:
            try:
                edge = parse_number(text.encode())
            except LineError:
                edge = math.nan
            if math.isnan(edge):
                raise RefusedError(f"a row of {name} has no number in the label le")
            self._edges[text] = edge
        return edge

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


def _span(positions: list[int]) -> tuple[int, ...] | slice:
    """Positions as a slice where they follow one another, as the buckets of a row do: that is read at once."""
    first = positions[0]
    if positions == list(range(first, first + len(positions))):
        return slice(first, first + len(positions))
    return tuple(positions)


def _same(rows: tuple[Labels, ...]) -> tuple[tuple[int, ...], ...]:
    """Positions of equal rows, together; empty where all differ."""
    together: dict[Labels, list[int]] = {}
    for at, row in enumerate(rows):
        together.setdefault(row, []).append(at)
    return tuple(tuple(group) for group in together.values()) if len(together) < len(rows) else ()
