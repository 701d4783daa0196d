"""Each entry of spec.metrics asked for as the HPA controller asks: same paths, same selectors, errors in its words.

Source: k8s.io/kubernetes pkg/controller/podautoscaler/metrics/client.go and k8s.io/metrics pkg/client
(custom_metrics/versioned_client.go and discovery.go, external_metrics/client.go), 0.37.
"""

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.hpa import (
    DEFAULT_WINDOW_NS,
    ExternalAnswer,
    FailedAnswer,
    MetricAnswer,
    ObjectAnswer,
    PodMetric,
    PodsAnswer,
)
from inflight.objects import (
    ExternalMetricSource,
    LabelSelector,
    MetricSpec,
    ObjectError,
    ObjectMetricSource,
    Quantity,
    SelectorError,
    Time,
    to_selector,
    wrap_int64,
)
from inflight.objects.wire import decode
from inflight.observe.looking.client_texts import client_text
from inflight.observe.looking.errors import failure_of
from inflight.observe.looking.kinds import Kinds, NoMatchError

RESOURCE_GROUP, CUSTOM_GROUP, EXTERNAL_GROUP = "metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"
CUSTOM_VERSIONS = ("v1beta2", "v1beta1")
REQUEST_SECONDS = 30.0
MAX_BYTES = 64 << 20
_SECOND = 1_000_000_000
_UNITS = {"h": 3600 * _SECOND, "m": 60 * _SECOND, "s": _SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(h|ms|us|µs|ns|m|s)")
T = TypeVar("T")


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Container(msgspec.Struct, frozen=True):
    name: str = ""
    usage: dict[str, Quantity] = {}


class _PodMetrics(msgspec.Struct, frozen=True):
    metadata: _Named = _Named()
    timestamp: Time | None = None
    window: str = ""
    containers: tuple[_Container, ...] = ()


class _PodMetricsList(msgspec.Struct, frozen=True):
    items: tuple[_PodMetrics, ...] = ()


class _MetricValue(msgspec.Struct, frozen=True, rename="camel"):
    """Of both versions of the custom metrics API, which spell the window differently; and of the external one."""

    described_object: _Named = _Named()
    timestamp: Time | None = None
    window_seconds: int | None = None
    window: int | None = None
    value: Quantity = Quantity.from_milli(0)


class _MetricValues(msgspec.Struct, frozen=True):
    items: tuple[_MetricValue, ...] = ()


class _Question(msgspec.Struct, frozen=True):
    """One GET. `resource` and `name` as they stand in errors, `subresource` for questions about rights."""

    path: str
    params: tuple[tuple[str, str], ...]
    resource: str
    name: str
    subresource: str


class MetricRequests:
    """Of one look at one namespace: equal requests are made once."""

    def __init__(self, client: Client, kinds: Kinds, namespace: str, pod_selector: str) -> None:
        self._client = client
        self._kinds = kinds
        self._namespace = namespace
        self._pods = pod_selector
        self._asked: dict[_Question, object] = {}

    async def answer(self, metric: MetricSpec) -> MetricAnswer:
        """What the API answers, its failures included. Raises ObserveError where the question could not be put:
        the caller may not, or the API server is away.
        """
        try:
            match metric:
                case MetricSpec(type="Resource", resource=source) if source is not None:
                    return await self._resource(source.name, "")
                case MetricSpec(type="ContainerResource", container_resource=container) if container is not None:
                    return await self._resource(container.name, container.container)
                case MetricSpec(type="Pods", pods=pods) if pods is not None:
                    return await self._of_pods(pods.metric.name, pods.metric.selector)
                case MetricSpec(type="Object", object=described) if described is not None:
                    return await self._of_object(described)
                case MetricSpec(type="External", external=external) if external is not None:
                    return await self._external(external)
        except SelectorError as error:
            # The decision finds this itself, before the answer counts.
            return FailedAnswer(error.upstream)
        return FailedAnswer(f'unknown metric source type "{metric.type}"')

    async def _resource(self, resource: str, container: str) -> MetricAnswer:
        path = f"/apis/{RESOURCE_GROUP}/v1beta1/namespaces/{_segment(self._namespace)}/pods"
        question = _question(path, f"pods.{RESOURCE_GROUP}", {"labelSelector": self._pods})
        found = await self._get(question, _PodMetricsList)
        if isinstance(found, FailedAnswer):
            return found
        values, incomplete = {}, []
        for item in found.items:
            value = _container_value(item, resource, container) if container else _pod_value(item, resource)
            if value is None:
                incomplete.append(item.metadata.name)
            else:
                values[item.metadata.name] = PodMetric(value, _timestamp(item.timestamp), duration_ns(item.window))
        return PodsAnswer(values, tuple(incomplete))

    async def _of_pods(self, metric: str, selector: LabelSelector | None) -> MetricAnswer:
        params = {"labelSelector": self._pods, "metricLabelSelector": str(to_selector(selector))}
        found = await self._custom("pods", "*", metric, params)
        if isinstance(found, FailedAnswer):
            return found
        return PodsAnswer(
            {
                item.described_object.name: PodMetric(
                    item.value.milli_value(), _timestamp(item.timestamp), _window_ns(item)
                )
                for item in found.items
            }
        )

    async def _of_object(self, source: ObjectMetricSource) -> MetricAnswer:
        described, metric = source.described_object, source.metric.name
        params = {"metricLabelSelector": str(to_selector(source.metric.selector))}
        group, kind = described.group, described.kind
        if kind == "Namespace" and not group:
            # Its own namespace, whatever name the entry gives: that is all it may look at.
            found = await self._custom("metrics", metric, "", params)
        else:
            try:
                [mapping, *_] = await self._kinds.find(group, kind)
            except NoMatchError as error:
                shown = f"{kind}.{group}" if group else kind
                return _custom_failure(f"unable to map kind {shown} to resource: {error}")
            except ClusterError as error:
                raise failure_of(error, "what kinds there are") from error
            found = await self._custom(mapping.resource, described.name, metric, params)
        if isinstance(found, FailedAnswer):
            return found
        if len(found.items) != 1:
            count = len(found.items)
            return _custom_failure(
                f"the custom metrics API server returned {count} results when we asked for exactly one"
            )
        return ObjectAnswer(found.items[0].value.milli_value())

    async def _external(self, source: ExternalMetricSource) -> MetricAnswer:
        metric = source.metric.name
        path = f"/apis/{EXTERNAL_GROUP}/v1beta1/namespaces/{_segment(self._namespace)}/{_segment(metric)}"
        params = {"labelSelector": str(to_selector(source.metric.selector))}
        found = await self._get(_question(path, f"{metric}.{EXTERNAL_GROUP}", params), _MetricValues)
        if isinstance(found, FailedAnswer):
            return found
        return ExternalAnswer(tuple(item.value.milli_value() for item in found.items))

    async def _custom(
        self, resource: str, name: str, metric: str, params: dict[str, str]
    ) -> "_MetricValues | FailedAnswer":
        """`metric` is empty where `name` is the metric: that of a namespace."""
        version = await self._custom_version()
        if isinstance(version, FailedAnswer):
            return version
        prefix = f"/apis/{CUSTOM_GROUP}/{version}/namespaces/{_segment(self._namespace)}"
        tail = f"/{_segment(metric)}" if metric else ""
        path = f"{prefix}/{_segment(resource)}/{'*' if name == '*' else _segment(name)}{tail}"
        return await self._get(_question(path, f"{resource}.{CUSTOM_GROUP}", params, name, metric), _MetricValues)

    async def _custom_version(self) -> "str | FailedAnswer":
        """The preferred version if the client knows it, else the first that it knows."""
        try:
            group = await self._kinds.group(CUSTOM_GROUP)
        except ClusterError as error:
            raise failure_of(error, "which metrics APIs there are") from error
        if group is None:
            return _custom_failure(f"no custom metrics API ({CUSTOM_GROUP}) registered")
        version = next((each.version for each in group.usable if each.version in CUSTOM_VERSIONS), None)
        return _custom_failure("no known available metric versions found") if version is None else version

    async def _get(self, question: _Question, wanted: type[T]) -> "T | FailedAnswer":
        if question not in self._asked:
            self._asked[question] = await self._fetch(question, wanted)
        kept: T | FailedAnswer = self._asked[question]  # type: ignore[assignment]  # one path has one type
        return kept

    async def _fetch(self, question: _Question, wanted: type[T]) -> "T | FailedAnswer":
        path = question.path
        api = {RESOURCE_GROUP: "resource", CUSTOM_GROUP: "custom", EXTERNAL_GROUP: "external"}[path.split("/")[2]]
        prefix = f"unable to fetch metrics from {api} metrics API: "
        try:
            params = dict(question.params)
            content = await self._client.request("GET", path, params=params, timeout_seconds=REQUEST_SECONDS)
            return decode(content, wanted, "list of metric values", MAX_BYTES)
        except ApiError as error:
            if error.code in {401, 403}:
                raise failure_of(error, f"the metric {question.resource}", self._can_i(question)) from error
            return FailedAnswer(prefix + client_text(error, question.resource, question.name))
        except ObjectError as error:
            return FailedAnswer(f"{prefix}{error}")
        except ClusterError as error:
            raise failure_of(error, f"the metrics of {question.resource}") from error

    def _can_i(self, question: _Question) -> str:
        verb = "get" if question.name else "list"
        tail = f" --subresource={question.subresource}" if question.subresource else ""
        return f"{verb} {question.resource}{tail} -n {self._namespace}"


def _question(path: str, resource: str, params: Mapping[str, str], name: str = "", subresource: str = "") -> _Question:
    """Empty parameters are not sent."""
    sent = tuple((key, value) for key, value in params.items() if value)
    return _Question(path, sent, resource, name, subresource)


def _custom_failure(text: str) -> FailedAnswer:
    return FailedAnswer(f"unable to fetch metrics from custom metrics API: {text}")


def _segment(text: str) -> str:
    return quote(text, safe="")


def _container_value(item: _PodMetrics, resource: str, container: str) -> int | None:
    """Of the first container with this name."""
    for each in item.containers:
        if each.name == container:
            usage = each.usage.get(resource)
            return None if usage is None else usage.milli_value()
    return None


def _pod_value(item: _PodMetrics, resource: str) -> int | None:
    """The sum over the containers; None where there is none, or one of them lacks the resource."""
    usages = [each.usage.get(resource) for each in item.containers]
    present = [usage.milli_value() for usage in usages if usage is not None]
    return wrap_int64(sum(present)) if usages and len(present) == len(usages) else None


def _timestamp(time: Time | None) -> int:
    return 0 if time is None else int(time)


def _window_ns(item: _MetricValue) -> int:
    seconds = item.window_seconds if item.window_seconds is not None else item.window
    return DEFAULT_WINDOW_NS if seconds is None else wrap_int64(seconds * _SECOND)


def duration_ns(text: str) -> int:
    """A Go duration such as `30s` or `1m0.5s`; 0 for what is none."""
    position, total = 0, 0
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-")
    while position < len(body):
        match = _DURATION.match(body, position)
        if match is None:
            return 0
        total += round(float(match[1]) * _UNITS[match[2]])
        position = match.end()
    return wrap_int64(sign * total)
