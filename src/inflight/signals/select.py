"""Which rows of a series count: the label rules of an engine and of a record, in one fixed order.

All of it depends on names and labels only, so it is done once per layout of a page, not once per scrape.
"""

from collections.abc import Sequence

import msgspec

from inflight.signals.catalogue.records import Dedupe, Engine, LabelRule, Record
from inflight.signals.readings import Labels


class Rows(msgspec.Struct):
    """The samples of a page that some record wants, in the page's order, side by side."""

    names: Sequence[str]
    labels: Sequence[dict[str, str]]
    values: Sequence[float]
    broken: dict[str, str]
    """Series with a line that cannot be read: they have no value, and why."""
    sampled_at: float | None = None
    by_name: dict[str, list[int]] = {}

    def index(self) -> None:
        by_name: dict[str, list[int]] = {}
        for position, name in enumerate(self.names):
            found = by_name.get(name)
            if found is None:
                by_name[name] = [position]
            else:
                found.append(position)
        self.by_name = by_name


class Selection(msgspec.Struct):
    """Positions of the rows that count; or none of them, and why. `absent`: nothing of the kind is on the page."""

    positions: list[int]
    reason: str = ""
    absent: bool = False


def select(rows: Rows, series: str, record: Record, engine: Engine) -> Selection:
    """The rows of `series` that count for `record`."""
    if series in rows.broken:
        return Selection([], f"{series}: {rows.broken[series]}")
    found = rows.by_name.get(series)
    if not found:
        return Selection([], f"{series} is not on the page", absent=True)
    labels = rows.labels
    kept = found
    for rule in record.match:
        kept = [at for at in kept if rule.fits(labels[at])]
    if not kept:
        rules = ", ".join(str(rule) for rule in record.match)
        return Selection([], f"{series} has no row with {rules}", absent=True)
    for rule in engine.always_match:
        kept = [at for at in kept if rule.label not in labels[at] or rule.fits(labels[at])]
        if not kept:
            return Selection([], f"no row of {series} has {rule}")
    for rule in engine.not_match:
        kept = [at for at in kept if not _carries(rule, labels[at])]
        if not kept:
            return Selection(
                [], f"every row of {series} carries the label {rule.label}: another server's rows, repeated here"
            )
    if engine.priority_empty and any(labels[at].get("priority") for at in kept):
        kept = [at for at in kept if not labels[at].get("priority")]
        if not kept:
            return Selection([], f"every row of {series} is of one priority; the row of all is missing")
    if engine.dedupe is not None and len(kept) > 1:
        kept = _lowest(kept, labels, engine.dedupe)
    return Selection(kept)


def row_labels(labels: dict[str, str], without: tuple[str, ...] = ()) -> Labels:
    """A row's identity."""
    if not without:
        return tuple(sorted(labels.items()))
    return tuple(sorted([item for item in labels.items() if item[0] not in without]))


def groups(
    positions: Sequence[int], labels: Sequence[dict[str, str]], drop: tuple[str, ...]
) -> dict[Labels, list[int]]:
    """Rows that differ in the `drop` labels only, together."""
    together: dict[Labels, list[int]] = {}
    for at in positions:
        together.setdefault(row_labels(labels[at], drop), []).append(at)
    return together


def has_twins(together: dict[Labels, list[int]], labels: Sequence[dict[str, str]]) -> bool:
    """Whether two rows have the very same labels, which no page may have."""
    for group in together.values():
        if len(group) > 1 and len({row_labels(labels[at]) for at in group}) < len(group):
            return True
    return False


def _carries(rule: LabelRule, labels: dict[str, str]) -> bool:
    return rule.label in labels and rule.fits(labels)


def _lowest(positions: list[int], labels: Sequence[dict[str, str]], dedupe: Dedupe) -> list[int]:
    """Of each group the rows with the lowest number in the label; rows without that label stay."""
    lowest: dict[tuple[str | None, ...], tuple[int, int | str]] = {}
    for at in positions:
        if dedupe.lowest in labels[at]:
            group = _group(labels[at], dedupe)
            rank = _rank(labels[at][dedupe.lowest])
            lowest[group] = min(lowest.get(group, rank), rank)
    return [
        at
        for at in positions
        if dedupe.lowest not in labels[at] or _rank(labels[at][dedupe.lowest]) == lowest[_group(labels[at], dedupe)]
    ]


def _group(labels: dict[str, str], dedupe: Dedupe) -> tuple[str | None, ...]:
    return tuple(labels.get(name) for name in dedupe.group_by)


def _rank(text: str) -> tuple[int, int | str]:
    return (0, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else (1, text)
