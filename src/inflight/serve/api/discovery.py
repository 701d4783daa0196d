"""What clients are told about the APIs: groups, versions and the metrics of each.

Sorted, so that two servers say the same; made once and kept as bytes, since kube-aggregator asks for a version's
document five times at once to see whether we live and closes without reading.
"""

from collections.abc import Iterable, Sequence

import msgspec

from inflight.serve.api.routes import CUSTOM, VERSIONS, Discovery


class GroupVersion(msgspec.Struct, frozen=True, rename="camel"):
    group_version: str
    version: str


class ApiGroup(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str
    versions: tuple[GroupVersion, ...]
    preferred_version: GroupVersion
    kind: str = ""
    api_version: str = ""


class ApiGroupList(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    groups: tuple[ApiGroup, ...]


class ApiResource(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    singular_name: str
    namespaced: bool
    kind: str
    verbs: tuple[str, ...]


class ApiResourceList(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    api_version: str
    group_version: str
    resources: tuple[ApiResource, ...]


def discovery_document(
    route: Discovery, names: Sequence[str], *, has_workloads: bool = False
) -> ApiGroupList | ApiGroup | ApiResourceList:
    """The document of a discovery path; `names` are the metrics that are served.

    With workloads they are listed for the two kinds that everybody has; every other one with a scale answers too.
    """
    if route.version:
        prefixes = _prefixes(route.group, has_workloads=has_workloads)
        return _resources(route.group, route.version, [prefix + name for prefix in prefixes for name in names])
    if route.group:
        return _group(route.group, kind="APIGroup", api_version="v1")
    return ApiGroupList("APIGroupList", "v1", tuple(_group(name) for name in VERSIONS))


def _group(name: str, *, kind: str = "", api_version: str = "") -> ApiGroup:
    versions = tuple(GroupVersion(f"{name}/{version}", version) for version in VERSIONS[name])
    return ApiGroup(name, versions, versions[0], kind, api_version)


def _prefixes(group: str, *, has_workloads: bool) -> tuple[str, ...]:
    if group != CUSTOM:
        return ("",)
    return ("deployments.apps/", "pods/", "statefulsets.apps/") if has_workloads else ("pods/",)


def _resources(group: str, version: str, names: Iterable[str]) -> ApiResourceList:
    kind = "MetricValueList" if group == CUSTOM else "ExternalMetricValueList"
    resources = tuple(ApiResource(name, "", True, kind, ("get",)) for name in names)
    return ApiResourceList("APIResourceList", "v1", f"{group}/{version}", resources)
