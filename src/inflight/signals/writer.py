"""Writes metrics pages in the Prometheus text format 0.0.4: our own, and those of emulated engines."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class WriteError(ValueError):
    """A name that the format cannot carry."""


class OutSample(msgspec.Struct, frozen=True):
    """One sample: its full name (`x_bucket`, `x_sum`), labels in the order in which they are written, value."""

    name: str
    value: float
    labels: Mapping[str, str] = {}
    timestamp_ms: int | None = None


class Family(msgspec.Struct, frozen=True):
    """Samples under one HELP and one TYPE line. `name` is the family's, without `_bucket` and the like."""

    name: str
    type: Literal["counter", "gauge", "histogram", "summary", "untyped"]
    help: str
    samples: tuple[OutSample, ...] | list[OutSample]


def render(families: Iterable[Family]) -> bytes:
    """The page. Raises WriteError for a name that is not a metric or label name."""
    lines: list[str] = []
    for family in families:
        _check(_NAME, family.name, "metric")
        lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.type}")
        lines.extend(_line(sample) for sample in family.samples)
    lines.append("")
    return "\n".join(lines).encode()


def format_value(value: float) -> str:
    """A number as Go clients write it: whole ones without a fraction, else the shortest text that reads back equal."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value)) if value or math.copysign(1, value) > 0 else "-0"
    return repr(float(value))


def _line(sample: OutSample) -> str:
    _check(_NAME, sample.name, "metric")
    text = sample.name
    if sample.labels:
        pairs = []
        for label, value in sample.labels.items():
            _check(_LABEL, label, "label")
            pairs.append(f'{label}="{_escape_label(value)}"')
        text += "{" + ",".join(pairs) + "}"
    text += f" {format_value(sample.value)}"
    return text if sample.timestamp_ms is None else f"{text} {sample.timestamp_ms}"


def _check(pattern: re.Pattern[str], name: str, what: str) -> None:
    if pattern.fullmatch(name) is None:
        raise WriteError(f"{name!r} is no {what} name: letters, digits and underscores, not beginning with a digit")


def _escape_label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
