"""The matrix as tables: who is unsafe in which fault, and what being safe costs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reliability.faults import FAULTS
from reliability.matrix import POLICIES, Chunk, Result
from reliability.policies import CONTROLS, FAILS_BY

HELD_TO_IT = "table and floor"


class Row:
    """One policy in one fault."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.most = 0.0

    def add(self, result: Mapping[str, Any]) -> None:
        self.counts.update(result["counts"])
        self.sums.update(result["sums"])
        self.most = max(self.most, result["most"])

    @property
    def runs(self) -> int:
        return self.counts["runs"]

    def mean(self, what: str) -> float:
        return self.sums[what] / self.runs if self.runs else 1.0


def rows_of(done: Mapping[Chunk, Result], tolerance: float) -> dict[tuple[str, str], Row]:
    """By fault and policy."""
    found: dict[tuple[str, str], Row] = {}
    for (fault, _, _, chunk_tolerance), result in done.items():
        if chunk_tolerance == tolerance:
            for policy, part in result.items():
                found.setdefault((fault, policy), Row()).add(part)
    return found


def problems(done: Mapping[Chunk, Result]) -> list[str]:
    """What must not be: an unsafe decrease with the floor, or a control that the judge lets pass."""
    found = []
    for tolerance in sorted({chunk[3] for chunk in done}):
        rows = rows_of(done, tolerance)
        for fault in FAULTS:
            row = rows.get((fault.name, HELD_TO_IT))
            if row is None or fault.undecidable:
                continue
            found += [
                f"{HELD_TO_IT}: {fault.name}: {row.counts[f'{by} runs']} runs fail by {by}"
                for by in ("unsafe", "growth", "excess")
                if row.counts[f"{by} runs"] and not (tolerance and by == "excess")
            ]
        for control, by in FAILS_BY.items():
            whole = _whole(rows, control)
            if whole.runs and not whole.counts[f"{by} runs"]:
                found.append(f"the control {control!r} does not fail by {by}: the judge is blind")
    return found


def _whole(rows: Mapping[tuple[str, str], Row], policy: str) -> Row:
    whole = Row()
    for (fault, name), row in rows.items():
        if name == policy and not next(each for each in FAULTS if each.name == fault).undecidable:
            whole.counts.update(row.counts)
            whole.sums.update(row.sums)
            whole.most = max(whole.most, row.most)
    return whole


def markdown(done: Mapping[Chunk, Result], policies: Sequence[str]) -> str:
    """All tables of a matrix."""
    parts = []
    for tolerance in sorted({chunk[3] for chunk in done}):
        rows = rows_of(done, tolerance)
        shown = [name for name in policies if name in POLICIES and name not in CONTROLS]
        seconds = sum(row.sums["model seconds"] for row in rows.values())
        parts += [f"### Tolerance {tolerance:g}", "", _unsafe_table(rows, shown), ""]
        parts += [_cost_table(rows), ""]
        if any(name in CONTROLS for name in policies):
            parts += [_control_table(rows), ""]
        parts.append(f"{sum(row.runs for row in rows.values()):,} runs, {seconds / 86_400:,.0f} days of model time.")
        parts.append("")
    return "\n".join(parts)


def _unsafe_table(rows: Mapping[tuple[str, str], Row], policies: Sequence[str]) -> str:
    lines = ["| fault | " + " | ".join(policies) + " |", "| --- |" + " --- |" * len(policies)]
    for fault in FAULTS:
        if any((fault.name, policy) in rows for policy in policies):
            told = [_unsafe(rows.get((fault.name, policy))) for policy in policies]
            lines.append(f"| {fault.name}{' *' if fault.undecidable else ''} | " + " | ".join(told) + " |")
    lines.append("| **all but \\*** | " + " | ".join(_unsafe(_whole(rows, policy)) for policy in policies) + " |")
    return "\n".join(lines)


def _unsafe(row: Row | None) -> str:
    if row is None or not row.runs:
        return "-"
    share = f"{row.counts['unsafe runs']} of {row.runs}"
    return share if row.counts["unsafe runs"] else f"0 of {row.runs}"


def _cost_table(rows: Mapping[tuple[str, str], Row]) -> str:
    columns = ("growth", "excess", "load", "stated")
    lines = [
        "| fault, table and floor | " + " | ".join(columns) + " | hours inside | whole | most |",
        "| --- |" + " --- |" * (len(columns) + 3),
    ]
    for fault in FAULTS:
        row = rows.get((fault.name, HELD_TO_IT))
        if row is not None:
            told = " | ".join(str(row.counts[f"{by} runs"]) for by in columns)
            hours = f"x{row.mean('inside'):.2f} | x{row.mean('whole'):.2f} | x{row.most:.2f}"
            lines.append(f"| {fault.name}{' *' if fault.undecidable else ''} | {told} | {hours} |")
    return "\n".join(lines)


def _control_table(rows: Mapping[tuple[str, str], Row]) -> str:
    lines = ["| control | has to fail by | unsafe | growth | excess | runs |", "| --- | --- | --- | --- | --- | --- |"]
    for control, by in FAILS_BY.items():
        row = _whole(rows, control)
        if row.runs:
            told = " | ".join(str(row.counts[f"{each} runs"]) for each in ("unsafe", "growth", "excess"))
            lines.append(f"| {control} | {by} | {told} | {row.runs} |")
    return "\n".join(lines)


def as_json(done: Mapping[Chunk, Result]) -> dict[str, Any]:
    """Every row, with the first misses of each chunk."""
    rows = [
        {
            "tolerance": tolerance,
            "fault": fault,
            "policy": policy,
            "counts": dict(row.counts),
            "hoursInside": round(row.mean("inside"), 4),
            "hoursWhole": round(row.mean("whole"), 4),
            "mostHoursWhole": round(row.most, 4),
        }
        for tolerance in sorted({chunk[3] for chunk in done})
        for (fault, policy), row in rows_of(done, tolerance).items()
    ]
    misses = [
        {"fault": chunk[0], "shape": chunk[1], "seed": chunk[2], "tolerance": chunk[3], "policy": policy, "miss": miss}
        for chunk, result in done.items()
        for policy, part in result.items()
        if policy == HELD_TO_IT
        for miss in part["misses"]
    ]
    return {"rows": rows, "misses": misses, "problems": problems(done)}
