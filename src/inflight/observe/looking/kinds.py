"""From the kinds that an HPA names to paths, and which metrics APIs are there: what discovery says.

Asked as the controller's own client asks, in one document for all groups, where versions of an API server that does
not answer are marked as stale and do not count (k8s.io/client-go discovery/aggregated_discovery.go, restmapper; 0.37).
Older API servers answer the plain group list; the kinds of a version are then asked for one by one.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import quote

import msgspec

from inflight.cluster import ApiError, Client, UnreachableError

ACCEPT = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
KEPT_SECONDS = 30.0
"""As often as the controller manager reads them anew (cmd/kube-controller-manager: the reset of its RESTMapper)."""

T = TypeVar("T")


class NoMatchError(Exception):
    """No such kind; the text is the client's."""

    def __init__(self, kind: str, group: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in group "{group}"')


class Kind(msgspec.Struct, frozen=True):
    """A kind as it stands in paths."""

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool = True
    has_scale: bool = False

    @property
    def resource(self) -> str:
        """`deployments.apps`: as in the paths of the custom metrics API, and in kubectl."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def object_path(self, namespace: str, name: str, subresource: str = "") -> str:
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{quote(namespace, safe='')}" if self.is_namespaced else ""
        tail = f"/{subresource}" if subresource else ""
        return f"{prefix}{where}/{self.plural}/{quote(name, safe='')}{tail}"


class GroupVersion(msgspec.Struct, frozen=True):
    version: str
    is_stale: bool = False
    kinds: tuple[Kind, ...] | None = None
    """None: not asked yet."""


class Group(msgspec.Struct, frozen=True):
    """An API group with its versions, the preferred one first."""

    name: str
    versions: tuple[GroupVersion, ...]

    @property
    def usable(self) -> tuple[GroupVersion, ...]:
        return tuple(version for version in self.versions if not version.is_stale)


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _ResponseKind(msgspec.Struct, frozen=True):
    kind: str = ""


class _Subresource(msgspec.Struct, frozen=True):
    subresource: str = ""


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    resource: str = ""
    response_kind: _ResponseKind | None = None
    scope: str = ""
    subresources: list[_Subresource] | None = None


class _Version(msgspec.Struct, frozen=True):
    version: str = ""
    freshness: str = ""
    resources: list[_Resource] | None = None


class _Item(msgspec.Struct, frozen=True):
    metadata: _Name = _Name()
    versions: list[_Version] | None = None


class _PlainVersion(msgspec.Struct, frozen=True):
    version: str = ""


class _PlainGroup(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    versions: list[_PlainVersion] | None = None
    preferred_version: _PlainVersion | None = None


class _Document(msgspec.Struct, frozen=True):
    """Either form of the list of groups."""

    kind: str = ""
    items: list[_Item] | None = None
    groups: list[_PlainGroup] | None = None


class _PlainResource(msgspec.Struct, frozen=True):
    name: str = ""
    kind: str = ""
    namespaced: bool = False


class _PlainResources(msgspec.Struct, frozen=True):
    resources: list[_PlainResource] | None = None


class Kinds:
    """What the API server offers, remembered for half a minute. `now` in seconds that only grow."""

    def __init__(self, client: Client, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._groups: dict[str, Group] = {}
        self._read_at = float("-inf")

    async def group(self, name: str) -> Group | None:
        """Raises ClusterError, as do all of these."""
        if self._now() - self._read_at > KEPT_SECONDS:
            self._groups = await self._read()
            self._read_at = self._now()
        return self._groups.get(name)

    async def find(self, group: str, kind: str) -> tuple[Kind, ...]:
        """All mappings of a kind, the preferred version first. Raises NoMatchError where there is none."""
        known = await self.group(group)
        found = []
        for version in known.usable if known is not None else ():
            found += [each for each in await self._kinds(group, version) if each.kind == kind]
        if not found:
            raise NoMatchError(kind, group)
        return tuple(found)

    async def _kinds(self, group: str, version: GroupVersion) -> tuple[Kind, ...]:
        if version.kinds is not None:
            return version.kinds
        prefix = f"/apis/{group}/{version.version}" if group else f"/api/{version.version}"
        try:
            document = _decode(await self._client.request("GET", prefix), _PlainResources, prefix)
        except ApiError as error:
            if error.code in {404, 503}:
                return ()
            raise
        return _plain_kinds(group, version.version, document.resources or ())

    async def _read(self) -> dict[str, Group]:
        groups: dict[str, Group] = {}
        for path in ("/api", "/apis"):
            document = _decode(await self._client.request("GET", path, accept=ACCEPT), _Document, path)
            if document.kind == "APIGroupDiscoveryList":
                groups |= {item.metadata.name: _group(item) for item in document.items or ()}
            elif path == "/api":
                groups[""] = Group("", (GroupVersion("v1"),))
            else:
                groups |= {group.name: _plain_group(group) for group in document.groups or ()}
        return groups


def _group(item: _Item) -> Group:
    name = item.metadata.name
    return Group(
        name,
        tuple(
            GroupVersion(each.version, each.freshness == "Stale", _listed_kinds(name, each))
            for each in item.versions or ()
        ),
    )


def _listed_kinds(group: str, version: _Version) -> tuple[Kind, ...]:
    return tuple(
        Kind(
            group=group,
            version=version.version,
            kind=each.response_kind.kind if each.response_kind is not None else "",
            plural=each.resource,
            is_namespaced=each.scope == "Namespaced",
            has_scale=any(sub.subresource == "scale" for sub in each.subresources or ()),
        )
        for each in version.resources or ()
    )


def _plain_group(group: _PlainGroup) -> Group:
    versions = [each.version for each in (group.preferred_version, *(group.versions or ())) if each is not None]
    return Group(group.name, tuple(GroupVersion(version) for version in dict.fromkeys(versions)))


def _plain_kinds(group: str, version: str, resources: Iterable[_PlainResource]) -> tuple[Kind, ...]:
    names = {each.name for each in resources}
    return tuple(
        Kind(group, version, each.kind, each.name, each.namespaced, f"{each.name}/scale" in names)
        for each in resources
        if "/" not in each.name
    )


def _decode(content: bytes, wanted: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(content, type=wanted)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreachableError(f"GET {path}: the answer is no discovery document: {error}") from error
