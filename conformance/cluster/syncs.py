# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The syncs of the HPA controller in a recording: what belongs to which, and each as what `inflight.hpa` decides on.

A sync begins with the reading of the scale, except for one that follows a conflict. The controller never syncs an
autoscaler twice at the same time, so all that is about one scale up to its next reading is one sync. Metric requests
carry no name of an autoscaler: those of a sync are the first with its paths and selectors after its scale was read. Two
autoscalers that ask the same at the same moment are not told apart, and get the same answers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from inflight.hpa import (
    ExternalAnswer,
    FailedAnswer,
    MetricAnswer,
    ObjectAnswer,
    Observation,
    PodMetric,
    PodsAnswer,
)
from inflight.objects import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    MetricSpec,
    Pod,
    QuantityError,
    SelectorError,
    decode_hpa,
    decode_pod,
    parse_quantity,
    parse_selector,
    parse_time,
    to_selector,
)

CONTROLLER = "horizontal-pod-autoscaler"
CONFLICT = 409
SCALE = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)/(?P<name>[^/]+)/scale"
)
CUSTOM = re.compile(r"/apis/custom\.metrics\.k8s\.io/[^/]+")
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"

Line = dict[str, Any]


class Sync(msgspec.Struct):
    """One sync of one autoscaler."""

    hpa: HorizontalPodAutoscaler
    """As the controller's watch had told it."""
    plain_hpa: Mapping[str, Any]
    scale: Line
    pods: tuple[Pod, ...]
    """Those of its namespace."""
    selecting_hpas: tuple[str, ...]
    metrics: list[Line | None]
    """One for each entry of spec.metrics; None: not asked."""
    write: Line | None = None
    """The last: after a conflict the controller reads the scale again and writes what it had decided."""
    status: Line | None = None

    @property
    def is_in_conflict(self) -> bool:
        """Its write was refused, and it has not given up yet."""
        return self.write is not None and self.write["status"] == CONFLICT and self.status is None

    @property
    def name(self) -> str:
        return f"{self.hpa.metadata.namespace}/{self.hpa.metadata.name}"

    @property
    def now_ns(self) -> int:
        """When the controller had all that it decided on."""
        return max(int(line["at_ns"]) for line in (self.scale, *self.metrics) if line is not None)

    @property
    def selector(self) -> str:
        """The target's, where its scale could be read."""
        return str(self.scale["body"]["status"].get("selector", "")) if self.scale["status"] == 200 else ""

    def observation(self) -> Observation:
        good = self.scale["status"] == 200
        body = self.scale["body"] if good else {}
        answers = [read_answer(spec, line) for spec, line in zip(self.hpa.spec.metrics, self.metrics, strict=True)]
        failed = self.write is not None and self.write["status"] != 200
        return Observation(
            replicas=body["spec"].get("replicas", 0) if good else 0,
            status_replicas=body["status"]["replicas"] if good else 0,
            selector=self.selector,
            pods=self.pods,
            answers=tuple(answers),
            scale_get_error=None if good else _message(self.scale),
            scale_update_error=_message(self.write) if self.write is not None and failed else None,
            selecting_hpas=self.selecting_hpas,
        )


class Reader:
    """Goes through the lines, and knows the objects as the controller knew them."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], Pod] = {}
        self._hpas: dict[tuple[str, str], tuple[HorizontalPodAutoscaler, Mapping[str, Any]]] = {}
        self._selectors: dict[tuple[str, str], str] = {}
        self._open: dict[tuple[str, str], Sync] = {}
        """By namespace and name of the autoscaler."""

    def read(self, lines: Iterable[Line]) -> Iterator[Sync]:
        """Every sync, when it is complete."""
        for line in lines:
            kind = line["kind"]
            if kind == "Object":
                self._take(line)
            elif not str(line.get("by", "")).endswith(CONTROLLER):
                continue
            elif kind == "ScaleRead":
                yield from self._begin(line)
            elif kind == "Metric":
                self._answer(line)
            elif kind == "ScaleWrite":
                for sync in self._about(line["path"]):
                    sync.write = line
            elif kind == "StatusWrite":
                self._end(line)
        yield from self._open.values()

    def _take(self, line: Line) -> None:
        plain = line["object"]
        key = (plain["metadata"]["namespace"], plain["metadata"]["name"])
        if line["of"] == "Pod":
            if line["change"] == "DELETED":
                self._pods.pop(key, None)
            else:
                self._pods[key] = decode_pod(msgspec.json.encode(plain))
        elif line["of"] == "HorizontalPodAutoscaler":
            if line["change"] == "DELETED":
                self._hpas.pop(key, None)
                self._selectors.pop(key, None)
            else:
                self._hpas[key] = (decode_hpa({"apiVersion": "autoscaling/v2", **plain}), plain)

    def _begin(self, line: Line) -> Iterator[Sync]:
        for key, (hpa, plain) in self._hpas.items():
            if not is_scale_of(line["path"], key[0], hpa.spec.scale_target_ref):
                continue
            if key in self._open and self._open[key].is_in_conflict:
                continue
            if key in self._open:
                yield self._open.pop(key)
            if line["status"] == 200:
                self._selectors[key] = line["body"]["status"].get("selector", "")
            self._open[key] = Sync(
                hpa=hpa,
                plain_hpa=plain,
                scale=line,
                pods=tuple(pod for (namespace, _), pod in self._pods.items() if namespace == key[0]),
                selecting_hpas=self._selecting(key),
                metrics=[None] * len(hpa.spec.metrics),
            )

    def _selecting(self, key: tuple[str, str]) -> tuple[str, ...]:
        """Which autoscalers select a pod that this one selects, as far as their scales have been read."""
        if key not in self._selectors:
            return ()
        chosen = self._chosen(key)
        others = sorted(
            f"{other[0]}/{other[1]}"
            for other in self._selectors
            if other[0] == key[0] and (other == key or chosen & self._chosen(other))
        )
        return tuple(others)

    def _chosen(self, key: tuple[str, str]) -> set[str]:
        selector = self._selectors[key]
        if not selector:
            return set()
        wanted = parse_selector(selector)
        return {
            name
            for (namespace, name), pod in self._pods.items()
            if namespace == key[0] and wanted.matches(pod.metadata.labels)
        }

    def _answer(self, line: Line) -> None:
        for sync in self._open.values():
            if sync.status is not None or line["asked_ns"] < sync.scale["at_ns"]:
                continue
            selector = sync.selector
            for index, spec in enumerate(sync.hpa.spec.metrics):
                if sync.metrics[index] is None and is_request_of(
                    line, spec, str(sync.hpa.metadata.namespace), selector
                ):
                    sync.metrics[index] = line
                    # The pods that it decides on are those that it knows when the answer is there.
                    namespace = sync.hpa.metadata.namespace
                    sync.pods = tuple(pod for (where, _), pod in self._pods.items() if where == namespace)
                    break

    def _about(self, path: str) -> list[Sync]:
        return [
            sync
            for (namespace, _), sync in self._open.items()
            if is_scale_of(path, namespace, sync.hpa.spec.scale_target_ref)
        ]

    def _end(self, line: Line) -> None:
        parts = line["path"].split("/")
        sync = self._open.get((parts[5], parts[7]))
        if sync is not None and sync.status is None:
            sync.status = line


def is_scale_of(path: str, namespace: str, target: CrossVersionObjectReference) -> bool:
    found = SCALE.fullmatch(path)
    if found is None:
        return False
    plurals = {f"{target.kind.lower()}s", f"{target.kind.lower()}es"}
    group, _, _ = target.api_version.rpartition("/")
    return (found["group"] or "", found["namespace"], found["name"]) == (group, namespace, target.name) and found[
        "plural"
    ] in plurals


def is_request_of(line: Line, spec: MetricSpec, namespace: str, selector: str) -> bool:
    """Whether this is the request for this entry of spec.metrics, the target having this selector."""
    path, query = line["path"], line.get("query") or {}
    try:
        if spec.external is not None:
            metric = spec.external.metric
            return path == f"{EXTERNAL}/namespaces/{namespace}/{metric.name}" and _same(
                query.get("labelSelector", ""), metric.selector
            )
        custom = CUSTOM.match(path)
        if custom is None:
            return False
        rest = path[custom.end() :]
        if spec.pods is not None:
            metric = spec.pods.metric
            return (
                rest == f"/namespaces/{namespace}/pods/*/{metric.name}"
                and parse_selector(query.get("labelSelector", "")) == parse_selector(selector)
                and _same(query.get("metricLabelSelector", ""), metric.selector)
            )
        if spec.object is not None:
            metric, described = spec.object.metric, spec.object.described_object
            parts = rest.split("/")
            resource = f"{described.kind.lower()}s"
            return (
                len(parts) == 6
                and parts[2] == namespace
                and parts[3].partition(".")[0] == resource
                and parts[4:] == [described.name, metric.name]
                and _same(query.get("metricLabelSelector", ""), metric.selector)
            )
    except SelectorError:
        return False
    return False


def _same(query: str, selector: Any) -> bool:
    wanted = parse_selector("") if selector is None else to_selector(selector)
    return parse_selector(query) == wanted


def read_answer(spec: MetricSpec, line: Line | None) -> MetricAnswer:
    """What the controller's metrics client made of it."""
    which = "external" if spec.external is not None else "custom"
    if line is None:
        return FailedAnswer(f"unable to fetch metrics from {which} metrics API: not asked")
    if line["status"] != 200:
        return FailedAnswer(f"unable to fetch metrics from {which} metrics API: {_message(line)}")
    items = line["body"].get("items") or []
    try:
        values = [parse_quantity(item["value"]).milli_value() for item in items]
    except QuantityError as error:
        return FailedAnswer(f"unable to fetch metrics from {which} metrics API: {error}")
    if not values:
        return FailedAnswer(f"no metrics returned from {which} metrics API")
    if spec.external is not None:
        return ExternalAnswer(tuple(values))
    if spec.object is not None:
        return ObjectAnswer(values[0])
    names = [item["describedObject"]["name"] for item in items]
    times = [int(parse_time(item["timestamp"])) for item in items]
    found = {name: PodMetric(value, at) for name, value, at in zip(names, values, times, strict=True)}
    return PodsAnswer(found)


def _message(line: Line) -> str:
    content = line.get("answer", line.get("body"))
    if isinstance(content, dict) and "message" in content:
        return str(content["message"])
    return str(line.get("error") or content)
