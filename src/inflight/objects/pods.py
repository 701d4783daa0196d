"""Pods and the scale of a workload: the part of them that an autoscaler looks at, read from the Kubernetes API's JSON.

Everything else of a pod is passed over unread: a pod has 5 to 30 KiB, and fleets have thousands.
Source: k8s.io/api core/v1/types.go and autoscaling/v1/types.go, 0.37.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from inflight.objects.autoscaling import Int32
from inflight.objects.quantity import Quantity
from inflight.objects.times import Time
from inflight.objects.wire import decode

MAX_LIST_BYTES: Final = 64 << 20
"""About 5,000 pods of usual size; who has more asks in pages."""


class PodMetadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None


class ResourceRequirements(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    requests: dict[str, Quantity] = {}


class Container(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str = ""
    """`Always` makes an init container one that stays (a sidecar)."""

    @property
    def is_restartable(self) -> bool:
        return self.restart_policy == "Always"


class PodSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    resources: ResourceRequirements | None = None
    """Requests of the pod as a whole (feature gate PodLevelResources)."""


class PodCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    type: str = ""
    status: str = ""
    """`True`, `False` or `Unknown`."""
    last_transition_time: Time | None = None


class PodStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    phase: str = ""
    """`Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`."""
    start_time: Time | None = None
    conditions: tuple[PodCondition, ...] = ()


class Pod(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    metadata: PodMetadata = PodMetadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready_condition(self) -> PodCondition | None:
        """The first condition of type Ready, as upstream looks for it."""
        return next((condition for condition in self.status.conditions if condition.type == "Ready"), None)

    @property
    def is_ready(self) -> bool:
        condition = self.ready_condition
        return condition is not None and condition.status == "True"


class PodList(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    items: tuple[Pod, ...] = ()


class ScaleSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    replicas: Int32 = 0


class ScaleStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    replicas: Int32 = 0
    selector: str = ""
    """The text form: see `parse_selector`."""


class ScaleMetadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class Scale(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """autoscaling/v1 Scale: the one view of a workload that every scalable kind has."""

    metadata: ScaleMetadata = ScaleMetadata()
    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


def decode_pod(data: bytes | str | Mapping[str, Any]) -> Pod:
    """From JSON or plain values. Raises ObjectError."""
    return decode(data, Pod, "Pod")


def decode_pods(data: bytes | str | Mapping[str, Any]) -> tuple[Pod, ...]:
    """From a PodList. Raises ObjectError."""
    return decode(data, PodList, "PodList", MAX_LIST_BYTES).items


def decode_scale(data: bytes | str | Mapping[str, Any]) -> Scale:
    """From JSON or plain values. Raises ObjectError."""
    return decode(data, Scale, "Scale")
