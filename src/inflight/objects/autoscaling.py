"""autoscaling/v2: the HorizontalPodAutoscaler, what it asks for and what its controller last wrote.

Fields are upstream's, in snake case here and in camel case on the wire; what upstream calls a nil pointer is None, and
an absent list that differs from an empty one (`policies`) is None too. Texts with a fixed set of values stay texts: a
wrong one is a finding of `validate`, with its place, and not a decoding error.
Source: k8s.io/api autoscaling/v2/types.go, 0.37.
"""

from typing import Annotated

import msgspec

from inflight.objects.meta import ObjectMeta
from inflight.objects.quantity import Quantity
from inflight.objects.selectors import LabelSelector
from inflight.objects.times import Time

API_VERSION = "autoscaling/v2"
KIND = "HorizontalPodAutoscaler"

Int32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]


class CrossVersionObjectReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An object by kind, name and API version, in the same namespace."""

    kind: str = ""
    name: str = ""
    api_version: str = ""

    @property
    def group(self) -> str:
        """`apps` of `apps/v1`; empty for the core group."""
        return self.api_version.rpartition("/")[0]


class MetricIdentifier(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    selector: LabelSelector | None = None


class MetricTarget(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a metric is held at. The controller goes by the field that is set; only Object metrics look at `type`."""

    type: str = ""
    value: Quantity | None = None
    average_value: Quantity | None = None
    average_utilization: Int32 | None = None
    """Percent of the pods' requests."""


class ObjectMetricSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    described_object: CrossVersionObjectReference = CrossVersionObjectReference()
    target: MetricTarget = MetricTarget()
    metric: MetricIdentifier = MetricIdentifier()


class PodsMetricSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metric: MetricIdentifier = MetricIdentifier()
    target: MetricTarget = MetricTarget()


class ResourceMetricSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    target: MetricTarget = MetricTarget()


class ContainerResourceMetricSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    target: MetricTarget = MetricTarget()
    container: str = ""


class ExternalMetricSource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metric: MetricIdentifier = MetricIdentifier()
    target: MetricTarget = MetricTarget()


class MetricSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One entry of `spec.metrics`: `type` says which of the five sources counts."""

    type: str = ""
    object: ObjectMetricSource | None = None
    pods: PodsMetricSource | None = None
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None
    external: ExternalMetricSource | None = None


class HPAScalingPolicy(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    type: str = ""
    value: Int32 = 0
    """Pods, or percent."""
    period_seconds: Int32 = 0


class HPAScalingRules(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How fast one direction may go."""

    stabilization_window_seconds: Int32 | None = None
    select_policy: str | None = None
    policies: tuple[HPAScalingPolicy, ...] | None = None
    """None is filled in by `set_defaults`; an explicit empty list is refused by `validate`."""
    tolerance: Quantity | None = None
    """A ratio: how far the metric may be from its target before anything happens. None: the controller's flag."""


class HorizontalPodAutoscalerBehavior(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    scale_up: HPAScalingRules | None = None
    scale_down: HPAScalingRules | None = None


class HorizontalPodAutoscalerSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    scale_target_ref: CrossVersionObjectReference = CrossVersionObjectReference()
    min_replicas: Int32 | None = None
    max_replicas: Int32 = 0
    metrics: tuple[MetricSpec, ...] = ()
    behavior: HorizontalPodAutoscalerBehavior | None = None
    """None and an empty one differ: with any `behavior` the controller takes another path."""


class MetricValueStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    value: Quantity | None = None
    average_value: Quantity | None = None
    average_utilization: Int32 | None = None


class ObjectMetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metric: MetricIdentifier = MetricIdentifier()
    current: MetricValueStatus = MetricValueStatus()
    described_object: CrossVersionObjectReference = CrossVersionObjectReference()


class PodsMetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metric: MetricIdentifier = MetricIdentifier()
    current: MetricValueStatus = MetricValueStatus()


class ResourceMetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    current: MetricValueStatus = MetricValueStatus()


class ContainerResourceMetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    current: MetricValueStatus = MetricValueStatus()
    container: str = ""


class ExternalMetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metric: MetricIdentifier = MetricIdentifier()
    current: MetricValueStatus = MetricValueStatus()


class MetricStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a metric was at the last sync. One that failed keeps its place in the list with an empty `type`."""

    type: str
    """Without a default, so that the empty type of a failed metric is written, as the controller writes it."""
    object: ObjectMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    resource: ResourceMetricStatus | None = None
    container_resource: ContainerResourceMetricStatus | None = None
    external: ExternalMetricStatus | None = None


class HorizontalPodAutoscalerCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    type: str = ""
    status: str = ""
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None


class HorizontalPodAutoscalerStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    observed_generation: int | None = None
    last_scale_time: Time | None = None
    current_replicas: Int32 = 0
    desired_replicas: Int32 = 0
    current_metrics: tuple[MetricStatus, ...] = ()
    conditions: tuple[HorizontalPodAutoscalerCondition, ...] = ()


class HorizontalPodAutoscaler(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: HorizontalPodAutoscalerSpec = HorizontalPodAutoscalerSpec()
    status: HorizontalPodAutoscalerStatus = HorizontalPodAutoscalerStatus()
