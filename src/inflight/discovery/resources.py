"""From the kind that an HPA names to the path of its scale, by the API server's discovery documents.

As in the autoscaler itself, the version that the HPA names is a hint: what counts is the group, and where that version
is not served another one of the group is used.
Source: k8s.io/kubernetes 1.37 pkg/controller/podautoscaler/horizontal.go (`RESTMappings` of the group and kind).
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import msgspec

from inflight.cluster import ApiError, Client, UnreachableError
from inflight.cluster.once import Once
from inflight.discovery.workloads import WorkloadRef
from inflight.objects.names import dns_label_problems, dns_subdomain_problems, path_segment_problems
from inflight.signals.foreign import printable

KEPT_SECONDS = 600.0
LOOK_AGAIN_SECONDS = 20.0
"""For a kind that was not there: its definition may have come since."""
MAX_KEPT = 200
MAX_VERSIONS = 8

T = TypeVar("T")


class Resource(msgspec.Struct, frozen=True):
    """A kind as it stands in paths."""

    group: str
    version: str
    plural: str
    has_scale: bool = False

    @property
    def name(self) -> str:
        """`deployments.apps`: as in the path of the custom metrics API, and in kubectl."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def goes_by(self, name: str) -> bool:
        """By this one spelling alone: it is the one that the caller was authorised for."""
        return name == self.name

    def scale_path(self, workload: WorkloadRef) -> str:
        name = quote(workload.name, safe="")
        prefix = _prefix(self.group, self.version)
        return f"{prefix}/namespaces/{workload.namespace}/{self.plural}/{name}/scale"


class UnknownKindError(Exception):
    """There is no such kind in the cluster, as far as it says; a sentence."""


class _ApiResource(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    kind: str = ""
    namespaced: bool = False


class _ApiResourceList(msgspec.Struct, frozen=True):
    resources: list[_ApiResource] | None = None


class _Version(msgspec.Struct, frozen=True):
    version: str = ""


class _ApiGroup(msgspec.Struct, frozen=True, rename="camel"):
    versions: list[_Version] | None = None
    preferred_version: _Version | None = None


class _Document(msgspec.Struct, frozen=True):
    """The kinds of one version of a group; None where the version is not served."""

    read_at: float
    kinds: dict[str, Resource] | None


class Resources:
    """Finds kinds, and remembers each document for some minutes. `now` in seconds that only grow."""

    def __init__(self, client: Client, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._documents: dict[tuple[str, str], _Document] = {}
        self._reading: Once[tuple[str, str], _Document] = Once()

    async def find(self, workload: WorkloadRef) -> Resource:
        """The kind of a workload. Raises UnknownKindError, and ClusterError where the cluster does not say."""
        group, version = workload.group, workload.api_version.rpartition("/")[2] or "v1"
        if (group and dns_subdomain_problems(group)) or dns_label_problems(version) or "/" in group:
            shown = printable(workload.api_version[:60])
            raise UnknownKindError(f"the apiVersion {shown!r} of {workload} is none")
        if not workload.name or path_segment_problems(workload.name):
            raise UnknownKindError(f"{workload} has no name that an object can have")
        found = await self._in_version(group, version, workload.kind)
        if found is not None:
            return found
        for other in await self._versions(group):
            found = await self._in_version(group, other, workload.kind)
            if found is not None:
                return found
        where = f"{group}/{version}" if group else version
        raise UnknownKindError(f"the cluster has no kind {printable(workload.kind[:60])!r} in {where}")

    def forget(self, resource: Resource) -> None:
        """A path made of it led nowhere: the next time the document is read again, if it is not a fresh one."""
        document = self._documents.get((resource.group, resource.version))
        if document is not None and self._now() - document.read_at > LOOK_AGAIN_SECONDS:
            del self._documents[resource.group, resource.version]

    async def _in_version(self, group: str, version: str, kind: str) -> Resource | None:
        key = group, version
        document = self._documents.get(key)
        if document is None or self._is_old(document, kind):
            # A hundred HPAs of one kind ask once, and a group that hangs holds up no other.
            document = await self._reading.get(key, lambda: self._read_document(group, version))
        return document.kinds.get(kind) if document.kinds is not None else None

    async def _read_document(self, group: str, version: str) -> _Document:
        document = _Document(self._now(), await self._read(group, version))
        while len(self._documents) >= MAX_KEPT:
            del self._documents[next(iter(self._documents))]
        self._documents[group, version] = document
        return document

    def _is_old(self, document: _Document, kind: str) -> bool:
        has_it = document.kinds is not None and kind in document.kinds
        return self._now() - document.read_at > (KEPT_SECONDS if has_it else LOOK_AGAIN_SECONDS)

    async def _read(self, group: str, version: str) -> dict[str, Resource] | None:
        found = await self._get(_prefix(group, version), _ApiResourceList)
        if found is None:
            return None
        resources = found.resources or []
        names = {resource.name for resource in resources}
        return {
            each.kind: Resource(group, version, each.name, f"{each.name}/scale" in names)
            for each in resources
            if each.namespaced and not dns_label_problems(each.name)
        }

    async def _versions(self, group: str) -> list[str]:
        """Those that are served, the preferred one first."""
        if not group:
            return ["v1"]
        found = await self._get(f"/apis/{group}", _ApiGroup)
        if found is None:
            return []
        versions = [version.version for version in (found.preferred_version, *(found.versions or ())) if version]
        return [version for version in dict.fromkeys(versions) if not dns_label_problems(version)][:MAX_VERSIONS]

    async def _get(self, path: str, wanted: type[T]) -> T | None:
        """None for 404."""
        try:
            content = await self._client.request("GET", path)
            return msgspec.json.decode(content, type=wanted)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        except (msgspec.DecodeError, UnicodeError) as error:
            raise UnreachableError(f"GET {path}: the answer is no discovery document: {error}") from error


def _prefix(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"
