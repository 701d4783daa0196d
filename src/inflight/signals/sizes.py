"""What keeping a page's reading takes of memory, told without asking Python for each object."""

from collections.abc import Iterable

from inflight.signals.readings import Counter, Gauge, Histogram, Labels, PageReading, Ratio, Reading

_LABEL_BYTES = 120
"""A pair with its name and value, beside their characters."""
_NUMBER_BYTES = 32


def kept_bytes(reading: PageReading) -> int:
    """At most what the reading keeps; labels that several signals share are counted once."""
    rows: dict[int, tuple[Labels, ...]] = {}
    numbers = 0
    for found in reading.signals.values():
        for part in _parts(found):
            numbers += _numbers(part)
            for labelled in (part.source.rows, () if isinstance(part, Gauge) else part.rows):
                rows[id(labelled)] = labelled
    return _NUMBER_BYTES * numbers + sum(map(_label_bytes, rows.values()))


def _parts(found: Reading) -> Iterable[Gauge | Counter | Histogram]:
    if isinstance(found, Ratio):
        return (found.numerator, found.denominator)
    return (found,) if isinstance(found, Gauge | Counter | Histogram) else ()


def _numbers(part: Gauge | Counter | Histogram) -> int:
    if isinstance(part, Gauge):
        return len(part.values)
    if isinstance(part, Counter):
        return len(part.values) + len(part.created)
    inner = sum(map(len, part.edges)) + sum(map(len, part.counts))
    return inner + len(part.sums) + len(part.totals) + len(part.created)


def _label_bytes(rows: tuple[Labels, ...]) -> int:
    return sum(_LABEL_BYTES + len(name) + len(value) for labels in rows for name, value in labels)
