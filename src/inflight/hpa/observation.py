"""What the controller sees in one sync, as a value: the scale, the pods, and one answer for each metric."""

from collections.abc import Mapping

import msgspec

from inflight.objects import Pod

DEFAULT_WINDOW_NS = 60_000_000_000
"""The window of a custom metric that names none, and what metrics-server usually says."""


class PodMetric(msgspec.Struct, frozen=True):
    """One pod's value. Time and window matter to the cpu resource only, and only in a pod's first minutes."""

    value_milli: int
    timestamp_ns: int
    window_ns: int = DEFAULT_WINDOW_NS


class PodsAnswer(msgspec.Struct, frozen=True, tag="pods"):
    """Values by pod name, for Pods, Resource and ContainerResource metrics."""

    values: Mapping[str, PodMetric]
    incomplete: tuple[str, ...] = ()
    """Pods that the metrics API listed without a usable value (a container lacks the resource)."""


class ObjectAnswer(msgspec.Struct, frozen=True, tag="object"):
    """The value of an Object metric."""

    value_milli: int


class ExternalAnswer(msgspec.Struct, frozen=True, tag="external"):
    """The values of an External metric, one a series."""

    values_milli: tuple[int, ...]


class FailedAnswer(msgspec.Struct, frozen=True, tag="failed"):
    """The request failed: `text` is the metrics client's whole error."""

    text: str


MetricAnswer = PodsAnswer | ObjectAnswer | ExternalAnswer | FailedAnswer


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One look at the cluster."""

    replicas: int
    """The target's spec.replicas."""
    status_replicas: int
    """The target's status.replicas, which lags behind."""
    selector: str
    """The scale's status.selector as text; empty where the target has none."""
    pods: tuple[Pod, ...]
    """All pods that there are; those of another namespace or with other labels are left out by the decision."""
    answers: tuple[MetricAnswer, ...]
    """One for each entry of spec.metrics, in its order."""
    scale_get_error: str | None = None
    scale_update_error: str | None = None
    """What the write of a new count answers, if the decision makes one. A conflict counts only where client-go's
    five tries all met one."""
    status_update_error: str | None = None
    """What the write of the HPA's status answers, if there is anything to write."""
    selecting_hpas: tuple[str, ...] = ()
    """`namespace/name` of the HPAs that select the same pods, this one included; more than one stops them all."""
