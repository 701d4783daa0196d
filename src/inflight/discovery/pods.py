"""What is kept of a pod: a record of some hundred bytes of an object of 5 to 30 KiB.

Pods of one workload have the same labels, ports, annotations and owner; equal parts are kept once. Sizes are bounded,
whatever somebody writes into a pod.
Source: k8s.io/api core/v1/types.go, 0.37.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from inflight.discovery.addresses import host_of

MAX_LABELS = 256
MAX_PORTS = 64
MAX_TEXT = 512
"""Characters kept of an annotation: more than any value that is used may have, so that what was cut is refused."""
MAX_SHARED = 4_096

T = TypeVar("T", bound=Hashable)


class Annotations(msgspec.Struct, frozen=True, gc=False):
    """The four that say where a metrics page is, as people have them from Prometheus; "" where there is none."""

    scrape: str = ""
    port: str = ""
    path: str = ""
    scheme: str = ""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The controller of a pod: the one owner that manages it."""

    api_version: str
    kind: str
    name: str
    uid: str

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


class PodRecord(msgspec.Struct, frozen=True, gc=False):
    """A pod as discovery knows it."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Annotations
    ports: tuple[int, ...]
    """TCP ports that containers and native sidecars declare, in the pod's order, each once."""
    host: str
    """Its address as the host of a URL; "" until it has one."""
    phase: str
    terminating: bool
    restarts: int
    """Of all containers together."""
    ready: bool = False
    """Its Ready condition: whether Services send it work."""
    kind: str = ""
    """What its controller is in the end, such as `Deployment/llm`; itself where it has none."""
    owner: Owner | None = None
    bad_address: str = ""
    """An address that no pod can have: then there is no host."""
    too_many_labels: int = 0
    """How many, where there are more than are kept: then none is, and the pod is not followed."""

    @property
    def manager(self) -> str:
        """Pods of one controller are told of together."""
        return f"{self.owner.kind}/{self.owner.name}" if self.owner is not None else f"Pod/{self.name}"

    @property
    def has_ended(self) -> bool:
        return self.phase in {"Succeeded", "Failed"}

    @property
    def is_running(self) -> bool:
        """Whether its containers have been started: from then on there may be work inside."""
        return self.phase == "Running" and bool(self.host or self.bad_address)


class Sharing:
    """Equal values become one object. Forgets everything when it is full: what is in use then stays in use."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}
        self._labels: dict[Hashable, dict[str, str]] = {}

    def share(self, value: T) -> T:
        if len(self._values) >= MAX_SHARED:
            self._values.clear()
        kept: T = self._values.setdefault(value, value)
        return kept

    def share_labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        key = tuple(sorted(labels.items()))
        found = self._labels.get(key)
        if found is None:
            if len(self._labels) >= MAX_SHARED:
                self._labels.clear()
            found = self._labels[key] = {self.share(name): self.share(value) for name, value in key}
        return found


class _PodAnnotations(msgspec.Struct, frozen=True):
    scrape: str | None = msgspec.field(name="prometheus.io/scrape", default=None)
    port: str | None = msgspec.field(name="prometheus.io/port", default=None)
    path: str | None = msgspec.field(name="prometheus.io/path", default=None)
    scheme: str | None = msgspec.field(name="prometheus.io/scheme", default=None)


class _OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: _PodAnnotations | None = None
    deletion_timestamp: str | None = None
    owner_references: list[_OwnerReference] | None = None


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int = 0
    protocol: str | None = None


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    ports: list[_Port] | None = None
    restart_policy: str | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    restart_count: int | None = None


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    conditions: list[_Condition] | None = None


class WirePod(msgspec.Struct, frozen=True):
    """The part of a pod's JSON that is read; all else is passed over."""

    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


def to_record(pod: WirePod, sharing: Sharing) -> PodRecord:
    """What is kept of a pod."""
    metadata, status = pod.metadata, pod.status
    labels = metadata.labels or {}
    too_many = len(labels) if len(labels) > MAX_LABELS else 0
    address = (status.pod_ip or "")[:MAX_TEXT]
    host = host_of(address) if address else ""
    owner = _owner(metadata.owner_references or (), sharing)
    return PodRecord(
        namespace=sharing.share(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid[:MAX_TEXT],
        labels=sharing.share_labels({} if too_many else labels),
        annotations=sharing.share(_annotations(metadata.annotations)),
        ports=sharing.share(_ports(pod.spec)),
        host=host or "",
        phase=sharing.share((status.phase or "")[:MAX_TEXT]),
        terminating=metadata.deletion_timestamp is not None,
        restarts=_restarts(status),
        ready=any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
        kind=sharing.share(_kind(metadata.name, labels, owner)),
        owner=owner,
        bad_address=address if host is None else "",
        too_many_labels=too_many,
    )


def _kind(name: str, labels: Mapping[str, str], owner: Owner | None) -> str:
    """A Deployment's name is that of its ReplicaSet without the hash that all pods of the ReplicaSet carry as a label
    (k8s.io/kubernetes 1.37 pkg/controller/deployment/sync.go, `getNewReplicaSet`).
    """
    if owner is None:
        return f"Pod/{name}"
    end = f"-{labels.get('pod-template-hash', '')}"
    if (owner.group, owner.kind) == ("apps", "ReplicaSet") and len(end) > 1 and owner.name.endswith(end):
        return f"Deployment/{owner.name.removesuffix(end)}"
    return f"{owner.kind}/{owner.name}"


def _annotations(found: _PodAnnotations | None) -> Annotations:
    if found is None:
        return Annotations()
    return Annotations(*((text or "")[:MAX_TEXT] for text in (found.scrape, found.port, found.path, found.scheme)))


def _ports(spec: _Spec) -> tuple[int, ...]:
    sidecars = [container for container in spec.init_containers or () if container.restart_policy == "Always"]
    ports: dict[int, None] = {}
    for container in (*(spec.containers or ()), *sidecars):
        for port in container.ports or ():
            if port.protocol in {None, "", "TCP"} and 0 < port.container_port < 65536:
                ports.setdefault(port.container_port)
    return tuple(ports)[:MAX_PORTS]


def _restarts(status: _Status) -> int:
    counts = (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
    return sum(max(0, each.restart_count or 0) for each in counts)


def _owner(references: Iterable[_OwnerReference], sharing: Sharing) -> Owner | None:
    for each in references:
        if each.controller:
            texts = (each.api_version, each.kind, each.name, each.uid)
            return sharing.share(Owner(*(text[:MAX_TEXT] for text in texts)))
    return None
