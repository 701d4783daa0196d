"""Why a metric failed: whether anything serves its API, and which metrics it has whose names come near.

Extras: who may not read APIServices, or the list of metrics, gets the controller's error alone.
"""

import difflib

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.hpa import Decision
from inflight.hpa.summary import metric_label
from inflight.hpa.trace import MetricTrace, Reason
from inflight.objects import ObjectError
from inflight.objects.wire import decode
from inflight.observe.looking.metric_requests import CUSTOM_GROUP, CUSTOM_VERSIONS, EXTERNAL_GROUP, RESOURCE_GROUP
from inflight.observe.notes import Note, NoteCode

_GROUPS = {
    "Resource": (RESOURCE_GROUP, ("v1beta1",), "metrics-server"),
    "ContainerResource": (RESOURCE_GROUP, ("v1beta1",), "metrics-server"),
    "Pods": (CUSTOM_GROUP, CUSTOM_VERSIONS, "Inflight or another adapter"),
    "Object": (CUSTOM_GROUP, CUSTOM_VERSIONS, "Inflight or another adapter"),
    "External": (EXTERNAL_GROUP, ("v1beta1",), "Inflight, KEDA or another adapter"),
}
_MAX_NEAR = 3


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Status(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] = ()


class _ServiceName(msgspec.Struct, frozen=True):
    namespace: str = ""
    name: str = ""


class _Spec(msgspec.Struct, frozen=True):
    service: _ServiceName | None = None


class _ApiService(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def shown(self) -> str:
        service = self.spec.service
        return "" if service is None else f" (Service {service.namespace}/{service.name})"


class _Resource(msgspec.Struct, frozen=True):
    name: str = ""


class _Resources(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...] = ()


async def metrics_api_notes(client: Client, decision: Decision) -> tuple[Note, ...]:
    """One note for each API behind a failed request, and one for each metric whose name is not known there."""
    notes: list[Note] = []
    asked: dict[str, Note | None] = {}
    for metric in decision.trace.metrics:
        failed = metric.calculation.failure in {Reason.REQUEST_FAILED, Reason.NO_SERIES}
        known = _GROUPS.get(metric.source)
        if not metric.error or not failed or known is None:
            continue
        group, versions, server = known
        if group not in asked:
            asked[group] = await _api_note(client, group, versions, server)
            notes += [note for note in (asked[group],) if note is not None]
        if asked[group] is None and group != RESOURCE_GROUP:
            near = await _near(client, group, versions, metric)
            notes += [near] if near is not None else []
    return tuple(notes)


async def _api_note(client: Client, group: str, versions: tuple[str, ...], server: str) -> Note | None:
    """None where the API is served, or nobody lets us see it."""
    problems = []
    for version in versions:
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}"
        try:
            service = decode(await client.request("GET", path), _ApiService, "APIService")
        except ApiError as error:
            if error.code != 404:
                return None
            continue
        except (ClusterError, ObjectError):
            return None
        available = next((each for each in service.status.conditions if each.type == "Available"), None)
        if available is not None and available.status == "True":
            return None
        why = "it has no condition yet" if available is None else f"{available.reason}: {available.message}"
        problems.append(f"the APIService {version}.{group}{service.shown} is not available: {why}")
    if problems:
        text = f"{'; '.join(problems)}. Until it is, the HPA sees none of its metrics."
        return Note(NoteCode.METRICS_API, text[:1].upper() + text[1:])
    text = (
        f"Nothing serves the API {group} in this cluster: there is no APIService of this group. {server} would register"
        f" one. Until then the HPA sees none of these metrics (kubectl get apiservices | grep {group})."
    )
    return Note(NoteCode.METRICS_API, text[:1].upper() + text[1:])


async def _near(client: Client, group: str, versions: tuple[str, ...], metric: MetricTrace) -> Note | None:
    """Where the API lists its metrics and this one is not among them."""
    for version in versions:
        try:
            listed = decode(await client.request("GET", f"/apis/{group}/{version}"), _Resources, "list of metrics")
        except (ClusterError, ObjectError):
            continue
        names = {each.name.rpartition("/")[2] for each in listed.resources}
        if not names or metric.metric in names:
            return None
        near = difflib.get_close_matches(metric.metric, sorted(names), n=_MAX_NEAR, cutoff=0.5)
        known = f"near it come {', '.join(near)}" if near else f"it lists {len(names)} others"
        text = f"The API {group} answers, but does not list {metric_label(metric)}; {known}."
        return Note(NoteCode.METRIC_NAMES, text)
    return None
