"""The documents of the metrics APIs as they travel: k8s.io/metrics `custom_metrics` and `external_metrics`, field by
field.

A time stamp is metav1.Time: UTC, whole seconds, rounded down, so that no sample looks younger than it is. A value is
a Quantity with thousandths. `describedObject.apiVersion` of a core object reads `/v1`, group slash version, as it
always has.
"""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
import yaml

from inflight.objects import (
    LabelSelector,
    LabelSelectorRequirement,
    Quantity,
    Selector,
    Status,
    StatusCause,
    StatusDetails,
)
from inflight.objects.status import failure
from inflight.serve.api.negotiation import Encoding
from inflight.serve.api.refusals import Refused

MAX_MILLI = (1 << 63) - 1

_EXPRESSIONS = {"in": "In", "notin": "NotIn", "!=": "NotIn", "exists": "Exists", "!": "DoesNotExist"}


class ListMeta(msgspec.Struct, frozen=True):
    pass


class ObjectReference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    kind: str
    namespace: str
    name: str
    api_version: str = "/v1"


class MetricValueV1Beta1(msgspec.Struct, frozen=True, rename="camel", gc=False):
    described_object: ObjectReference
    metric_name: str
    timestamp: str
    value: str
    selector: LabelSelector | None


class MetricIdentifier(msgspec.Struct, frozen=True, gc=False):
    name: str
    selector: LabelSelector | None


class MetricValueV1Beta2(msgspec.Struct, frozen=True, rename="camel", gc=False):
    described_object: ObjectReference
    metric: MetricIdentifier
    timestamp: str
    value: str


class MetricValueList(msgspec.Struct, frozen=True, rename="camel"):
    kind: Literal["MetricValueList"]
    api_version: str
    metadata: ListMeta
    items: tuple[MetricValueV1Beta1 | MetricValueV1Beta2, ...]


class ExternalMetricValue(msgspec.Struct, frozen=True, rename="camel", gc=False):
    metric_name: str
    metric_labels: dict[str, str]
    timestamp: str
    value: str


class ExternalMetricValueList(msgspec.Struct, frozen=True, rename="camel"):
    kind: Literal["ExternalMetricValueList"]
    api_version: str
    metadata: ListMeta
    items: tuple[ExternalMetricValue, ...]


def to_timestamp(unix_seconds: float) -> str:
    """RFC 3339 in UTC, the fraction of the second cut off."""
    return _format_second(math.floor(unix_seconds))


def to_quantity(value: float) -> str | None:
    """A value with thousandths in canonical form; None for one that must not leave: not finite, negative, too large.

    What lies between two thousandths goes away from zero, so that a small load never reads as none; the noise of binary
    fractions (1.005 * 1000 = 1004.9999999999999) is taken off first.
    """
    milli = value * 1000
    if not 0 <= milli < MAX_MILLI:
        return None
    nearest = round(milli)
    exact = abs(milli - nearest) <= 1e-9 * milli
    return _format_milli(nearest if exact else int(milli) + 1)


# A list of 400 pods repeats a few seconds and a few counts: remembered, it is written three times as fast.
@lru_cache(maxsize=256)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def _format_milli(milli: int) -> str:
    return str(Quantity.from_milli(milli))


def echo_selector(selector: Selector | None) -> LabelSelector | None:
    """A metric selector as the list shows it: equality as labels, all else as expressions (`!=` is NotIn of one
    value).
    """
    if selector is None or selector.is_empty:
        return None
    labels: dict[str, str] = {}
    expressions = []
    for requirement in selector.requirements:
        if requirement.operator in {"=", "=="} and requirement.key not in labels:
            labels[requirement.key] = requirement.values[0]
        else:
            operator = _EXPRESSIONS.get(requirement.operator, "In")
            expressions.append(LabelSelectorRequirement(requirement.key, operator, requirement.values))
    return LabelSelector(labels, tuple(expressions))


def status_of(refusal: Refused) -> Status:
    """A refusal as a complete Status: a bare kind and code makes kubectl say "unknown"."""
    details = StatusDetails(causes=(StatusCause(refusal.cause, refusal.message),)) if refusal.cause else None
    return failure(refusal.code, refusal.reason, refusal.message, details)


def encode(document: Any, encoding: Encoding, *, pretty: bool = False) -> bytes:
    """A document as JSON (indented on request) or YAML, with a newline at its end."""
    if encoding == "application/yaml":
        text: str = yaml.safe_dump(msgspec.to_builtins(document), allow_unicode=True)
        return text.encode()
    raw = msgspec.json.encode(document)
    return (msgspec.json.format(raw, indent=2) if pretty else raw) + b"\n"
