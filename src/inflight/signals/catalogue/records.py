"""What is known about each engine's metrics page, as values: the catalogue that the resolver follows.

The shipped facts are `data/engines.yaml`; docs/signals.md explains its keys. Everything here is plain, frozen data.
"""

import re
from typing import Literal

import msgspec

Kind = Literal["gauge", "counter", "histogram", "info"]
Fold = Literal["sum", "mean", "max", "newest", "one"]
Across = Literal["sum", "mean", "max", "merge"]
Derive = Literal[
    "value", "rate", "quantile", "mean", "ratio", "count", "label", "label_product", "sum_of", "product_of"
]

START_TIME = "process_start_time_seconds"
"""Standard gauge of the client libraries; a change of it proves a restart."""

QUANTILES = (50, 95, 99)
"""Percent. A signal `ttft` of a histogram gives `ttft_p50`, `ttft_p95`, `ttft_p99`, `ttft_mean`; `ttft` is the 95th."""


class LabelRule(msgspec.Struct, frozen=True):
    """One condition on a label: equality, or a regular expression that the whole value must fit."""

    label: str
    value: str = ""
    pattern: str | None = None

    def fits(self, labels: dict[str, str]) -> bool:
        value = labels.get(self.label, "")
        if self.pattern is None:
            return value == self.value
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return f'{self.label}="{self.value}"' if self.pattern is None else f'{self.label}=~"{self.pattern}"'


class Dedupe(msgspec.Struct, frozen=True):
    """Of the rows that share the `group_by` labels, those with the lowest `lowest` label (a number) are kept."""

    group_by: tuple[str, ...]
    lowest: str


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to obtain a signal from rows on the page. A ratio has two series: numerator, denominator."""

    series: tuple[str, ...]
    kind: Kind
    derive: Derive
    fold: Fold
    across: Across
    match: tuple[LabelRule, ...] = ()
    drop_labels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """The labels that `label` and `label_product` read, or the one that `count` counts values of."""
    scale: float = 1.0
    zero_beside: str = ""
    """Of a counter that is not on the page before its first event: a series of the same releases that always is. With
    it on the page, the counter stands at 0; without it, the release may not have the counter at all."""


class Combination(msgspec.Struct, frozen=True):
    """A signal made of other signals. A part in `optional` counts when the page has it."""

    derive: Literal["sum_of", "product_of"]
    parts: tuple[str, ...]
    optional: tuple[str, ...] = ()
    across: Across = "sum"


class Roles(msgspec.Struct, frozen=True):
    """A combination chosen by a label of the parts' rows; `unified` where the label is absent or its value unknown."""

    label: str
    by_role: dict[str, Combination]


class Nowhere(msgspec.Struct, frozen=True):
    """A signal that the page does not carry, and why, or where it is instead."""

    reason: str


Way = Record | Combination | Roles | Nowhere


class Detect(msgspec.Struct, frozen=True):
    """A prefix of a sample name; or one of some names together with another."""

    prefix: str = ""
    any_of: tuple[str, ...] = ()
    together_with: str = ""


class VersionLabel(msgspec.Struct, frozen=True):
    """Where the engine's release stands: a label of an info series."""

    series: str
    label: str


class Engine(msgspec.Struct, frozen=True):
    """One engine: how its page is recognized, which rows count, and the ways to each signal, best first."""

    name: str
    signals: dict[str, tuple[Way, ...]]
    detect: Detect | None = None
    port: int | None = None
    path: str = ""
    always_match: tuple[LabelRule, ...] = ()
    not_match: tuple[LabelRule, ...] = ()
    dedupe: Dedupe | None = None
    priority_empty: bool = False
    invalid_values: tuple[float, ...] = ()
    drop_labels: tuple[str, ...] = ()
    version: VersionLabel | None = None
    notes: str = ""
    wanted: dict[bytes, str] = {}
    """Every sample name that the records need, as bytes of the page and as text."""


class SignalFacts(msgspec.Struct, frozen=True):
    """Unit and bounds of a canonical signal."""

    unit: str
    most: float | None = None
    core: bool = False


class Catalogue(msgspec.Struct, frozen=True):
    """All engines, in the order in which they are tried, and all canonical signals."""

    signals: dict[str, SignalFacts]
    engines: dict[str, Engine]

    def paths(self) -> tuple[str, ...]:
        """Every path under which some engine has its page, the most common first."""
        paths = [engine.path for engine in self.engines.values() if engine.path]
        return tuple(sorted(set(paths), key=lambda path: (-paths.count(path), path)))


def created_name(series: str) -> str:
    """The sample that holds the time at which a counter or histogram began."""
    for suffix in ("_total", "_sum", "_count"):
        if series.endswith(suffix):
            return series.removesuffix(suffix) + "_created"
    return series + "_created"


def sample_names(record: Record) -> list[str]:
    """The names of the samples that a record reads."""
    if record.derive in ("quantile", "mean"):
        family = record.series[0]
        ends = (
            ("_bucket", "_sum", "_count", "_created") if record.derive == "quantile" else ("_sum", "_count", "_created")
        )
        return [family + end for end in ends]
    if record.kind == "counter":
        names = [name for series in record.series for name in (series, created_name(series))]
        return [*names, record.zero_beside] if record.zero_beside else names
    return list(record.series)


def wanted_names(engine: Engine) -> dict[bytes, str]:
    """Every sample name that the engine's records, its version and the detection of restarts need."""
    names = [START_TIME]
    for ways in engine.signals.values():
        for way in ways:
            if isinstance(way, Record):
                names += sample_names(way)
    if engine.version is not None:
        names.append(engine.version.series)
    return {name.encode(): name for name in names}
