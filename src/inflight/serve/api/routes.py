"""What a path asks for. Pure: segments in, one question out; the answers are made elsewhere.

The traps of the path are upstream's own (custom-metrics-apiserver `pkg/apiserver/installer`): three segments that begin
with `namespaces` look like a root-scoped object and are a bad request; an empty object name is the wildcard; a resource
is split at its first dot into name and group, and its case does not matter (but that of its group does).

What can be spelled in several ways is written in one here, so that nothing is authorized under one spelling and
answered under another.
"""

from typing import Literal

import msgspec

from inflight.serve.api.refusals import bad_request

CUSTOM = "custom.metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
VERSIONS = {CUSTOM: ("v1beta1", "v1beta2"), EXTERNAL: ("v1beta1",)}

HEALTH_PATHS = ("healthz", "livez", "readyz")
PLAIN_PATHS = ("version", "metrics")


class Health(msgspec.Struct, frozen=True):
    check: str


class Plain(msgspec.Struct, frozen=True):
    """`/version`, `/metrics`, and "" for the list of paths."""

    page: str


class Discovery(msgspec.Struct, frozen=True):
    """`/apis` (no group), a group, or one version of it."""

    group: str = ""
    version: str = ""


class CustomQuery(msgspec.Struct, frozen=True):
    version: str
    resource: str
    """`pods`, or a name in lower case with its group, as in `deployments.apps`."""
    name: str
    """`*` for every object that the selector matches."""
    metric: str
    namespace: str = ""
    """"" for an object that has none."""


class ExternalQuery(msgspec.Struct, frozen=True):
    namespace: str
    metric: str


Route = Health | Plain | Discovery | CustomQuery | ExternalQuery
Api = Literal["custom", "external", "discovery", "health", "metrics", "other"]


def find_route(segments: tuple[str, ...]) -> Route | None:
    """The question of a path, or None where nothing is served; raises Refused for upstream's bad paths."""
    if segments == ("",):
        return Plain("")
    if len(segments) == 1 and segments[0] in HEALTH_PATHS:
        return Health(segments[0])
    if len(segments) == 1 and segments[0] in PLAIN_PATHS:
        return Plain(segments[0])
    if segments[0] != "apis":
        return None
    rest = segments[1:]
    if rest and rest[-1] == "" and len(rest) <= 3:
        rest = rest[:-1]
    if len(rest) <= 2:
        return _discovery(rest)
    group, version, *question = rest
    if version not in VERSIONS.get(group, ()):
        return None
    return _custom(version, question) if group == CUSTOM else _external(question)


def api_of(route: Route | None) -> Api:
    """The API that a route belongs to, as our own metrics name it."""
    match route:
        case Health():
            return "health"
        case Discovery():
            return "discovery"
        case CustomQuery():
            return "custom"
        case ExternalQuery():
            return "external"
        case Plain(page="metrics"):
            return "metrics"
        case _:
            return "other"


def _discovery(rest: tuple[str, ...]) -> Discovery | None:
    if len(rest) >= 1 and rest[0] not in VERSIONS:
        return None
    if len(rest) == 2 and rest[1] not in VERSIONS[rest[0]]:
        return None
    return Discovery(*rest)


def _custom(version: str, question: list[str]) -> CustomQuery | None:
    match question:
        case ["namespaces", _, _]:
            raise bad_request("invalid request path: it ends before the metric, namespaces/NS/pods/NAME/METRIC")
        case [resource, name, metric]:
            return CustomQuery(version, _one_spelling(resource), name or "*", metric)
        case ["namespaces", namespace, "metrics", metric]:
            return CustomQuery(version, "namespaces", namespace or "*", metric)
        case ["namespaces", namespace, resource, name, metric]:
            return CustomQuery(version, _one_spelling(resource), name or "*", metric, namespace)
        case _:
            return None


def _one_spelling(resource: str) -> str:
    name, _, group = resource.partition(".")
    name = name.lower()
    if group:
        return f"{name}.{group}"
    return "pods" if name == "pod" else name


def _external(question: list[str]) -> ExternalQuery | None:
    match question:
        case ["namespaces", namespace, metric]:
            return ExternalQuery(namespace, metric)
        case _:
            return None
