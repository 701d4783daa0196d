"""What was measured, side by side: one row a policy, as a table for people and as JSON for programs."""

import io
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


class Quantiles(msgspec.Struct, frozen=True):
    """Seconds; None where no request got so far."""

    p50: float | None
    p95: float | None
    p99: float | None


class Tail(msgspec.Struct, frozen=True):
    p95: float | None


class Replicas(msgspec.Struct, frozen=True):
    mean: float
    peak: int


class PolicyRow(msgspec.Struct, frozen=True):
    """One policy's figures. `source` says how they came about: "live" over the wire, or "simulated"."""

    name: str
    label: str
    source: str
    requests: int
    slo_attainment: float | None
    gave_up: int
    ttft_seconds: Quantiles
    itl_seconds: Tail
    longest_queue: int
    replicas: Replicas
    replica_hours: float
    first_decision_seconds: float | None
    direction_changes: int


def to_json(rows: list[PolicyRow], run: dict[str, Any]) -> str:
    """The document of `-o json`: `policies` in the order of the table, and under `run` how they were measured."""
    return msgspec.json.format(msgspec.json.encode({"policies": rows, "run": run}), indent=2).decode()


def headline(rows: list[PolicyRow]) -> str:
    """What the two live rows say, in one sentence; it says so too when the claim did not hold."""
    by_name = {row.name: row for row in rows}
    cpu, in_flight = by_name.get("cpu"), by_name.get("in-flight")
    if cpu is None or in_flight is None or cpu.slo_attainment is None or in_flight.slo_attainment is None:
        return "The run ended before anything could be measured"
    text = (
        f"Within the SLO: {_percent(in_flight.slo_attainment)} of requests by the work in flight, "
        f"{_percent(cpu.slo_attainment)} by CPU"
    )
    if in_flight.slo_attainment <= cpu.slo_attainment:
        text += " - here the work in flight did not win"
    return text


_COLUMNS = (
    "policy",
    "within SLO",
    "TTFT p50",
    "p95",
    "p99",
    "ITL p95",
    "longest\nqueue",
    "replicas\nmean",
    "peak",
    "replica-\nhours",
    "first\ndecision",
)


def cells(row: PolicyRow) -> tuple[str, ...]:
    """The texts of one row, in the order of the table's columns."""
    itl = row.itl_seconds.p95
    first = row.first_decision_seconds
    return (
        row.label,
        "-" if row.slo_attainment is None else _percent(row.slo_attainment),
        _seconds(row.ttft_seconds.p50),
        _seconds(row.ttft_seconds.p95),
        _seconds(row.ttft_seconds.p99),
        "-" if itl is None else f"{itl * 1000:.0f} ms",
        str(row.longest_queue),
        f"{row.replicas.mean:.2f}",
        str(row.replicas.peak),
        f"{row.replica_hours:.2f}",
        "-" if first is None else f"{first:.0f} s",
    )


def render_table(rows: list[PolicyRow], *, colour: bool = False) -> str:
    """The table for a terminal: the live fleets first, a rule, then what the simulator says of other policies."""
    table = Table(box=None, pad_edge=False, header_style="dim", collapse_padding=True, padding=(0, 2, 0, 0))
    for index, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold", no_wrap=index > 0)
    for number, row in enumerate(rows):
        last_live = row.source == "live" and number + 1 < len(rows) and rows[number + 1].source != "live"
        table.add_row(*cells(row), style="bold" if row.source == "live" else "", end_section=last_live)
    buffer = io.StringIO()
    console = Console(file=buffer, width=130, force_terminal=colour, no_color=not colour, highlight=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def column_names() -> tuple[str, ...]:
    return tuple(name.replace("-\n", "-").replace("\n", " ") for name in _COLUMNS)


def _percent(ratio: float) -> str:
    """One decimal, and more where that would make a miss look like none."""
    for decimals in (1, 2, 3):
        text = f"{100 * ratio:.{decimals}f}"
        if ratio == 1 or float(text) < 100:
            return f"{text} %"
    return "99.999 %"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
