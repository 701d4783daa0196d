"""A source of samples that a test fills by hand, and the API in front of it, asked without a socket."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
import yaml

from inflight.objects import Selector, parse_selector
from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request
from inflight.serve.api.telemetry import Telemetry
from inflight.signals.series import PodSample
from inflight.sources import REASONS, CollectorStats

NOW = 1_800_000_000.25
"""2027-01-15T08:00:00Z, and a quarter of a second."""
TOKEN = "t0ken"


class FixedClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Pods:
    """Stands where the Collector stands: pods that say what the test lets them say."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], tuple[Mapping[str, str], dict[str, dict[str, Any]]]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def add(
        self, name: str, labels: Mapping[str, str] | None = None, namespace: str = "inference", **values: float
    ) -> None:
        signals = {
            signal: {"value": value, "received_at": NOW - 1, "reported_before": True}
            for signal, value in values.items()
        }
        self._pods[namespace, name] = ({"app": "vllm"} if labels is None else labels, signals)

    def change(self, name: str, signal: str, namespace: str = "inference", **fields: Any) -> None:
        self._pods[namespace, name][1].setdefault(signal, {"value": None, "received_at": None}).update(fields)

    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]:
        self.asked.append((signal, namespace))
        return [
            PodSample(
                space, name, labels, **signals.get(signal, {"value": None, "received_at": NOW, "missing": "not there"})
            )
            for (space, name), (labels, signals) in self._pods.items()
            if namespace in {None, space}
        ]


class Reply(msgspec.Struct):
    status: int
    body: bytes
    content_type: str
    headers: dict[str, str]
    close: bool

    def json(self) -> Any:
        assert self.content_type == "application/json"
        return json.loads(self.body)

    def yaml(self) -> Any:
        assert self.content_type == "application/yaml"
        return yaml.safe_load(self.body)

    def refusal(self, code: int) -> str:
        """The sentence of a complete Status with this code."""
        status = self.json()
        assert self.status == code
        assert status["kind"] == "Status"
        assert status["apiVersion"] == "v1"
        assert status["metadata"] == {}
        assert status["status"] == "Failure"
        assert status["code"] == code
        assert status["reason"]
        message: str = status["message"]
        assert message
        return message


Get = Callable[..., Reply]


class Workload(msgspec.Struct, frozen=True):
    api_version: str
    kind: str
    namespace: str
    name: str
    selector: Selector


class Workloads:
    """Stands where the discovery stands: the workloads that a test names, and a sentence for all others."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Workload] = {}
        self.unwatched = ""
        self.incomplete = ""
        self.asked_whole: list[tuple[str, tuple[str, ...]]] = []
        self.asked: list[tuple[str, str, str]] = []

    def add(
        self,
        name: str = "vllm",
        selector: str | Selector = "app=vllm",
        *,
        resource: str = "deployments.apps",
        kind: str = "Deployment",
        api_version: str = "apps/v1",
        namespace: str = "inference",
    ) -> None:
        chosen = parse_selector(selector) if isinstance(selector, str) else selector
        self._known[namespace, resource, name] = Workload(api_version, kind, namespace, name, chosen)

    def workload(self, namespace: str, resource: str, name: str) -> Workload | str:
        self.asked.append((namespace, resource, name))
        return self._known.get((namespace, resource, name), f"no HPA of {namespace} names it")

    def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
        self.asked_whole.append((namespace, tuple(map(str, selectors))))
        return self.incomplete

    def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
        return self.unwatched


class DiscoveryNumbers(msgspec.Struct, frozen=True):
    autoscalers: int
    workloads: int
    pods: int
    problems: Mapping[str, int]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def workloads() -> Workloads:
    return Workloads()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def api(pods: Pods, clock: FixedClock, telemetry: Telemetry) -> MetricsApi:
    return MetricsApi(pods, clock, TOKEN, telemetry=telemetry)


@pytest.fixture
def get(api: MetricsApi) -> Get:
    return asking(api)


@pytest.fixture
def cluster_get(pods: Pods, clock: FixedClock, telemetry: Telemetry, workloads: Workloads) -> Get:
    """As `get`, of an API that finds its pods in a cluster."""
    return asking(MetricsApi(pods, clock, TOKEN, telemetry=telemetry, workloads=workloads))


@pytest.fixture
def new_cluster(clock: FixedClock) -> Callable[[], tuple[Get, Pods, Workloads]]:
    """For tests that need a fresh one for each example."""

    def make() -> tuple[Get, Pods, Workloads]:
        pods, workloads = Pods(), Workloads()
        return asking(MetricsApi(pods, clock, TOKEN, workloads=workloads)), pods, workloads

    return make


def asking(api: MetricsApi) -> Get:
    def ask(target: str, method: str = "GET", authorization: str = f"Bearer {TOKEN}", **fields: Any) -> Reply:
        response = api.handle(Request(method, target, authorization, **fields))
        return Reply(response.status, response.body, response.content_type, dict(response.headers), response.close)

    return ask


@pytest.fixture
def full_discovery() -> DiscoveryNumbers:
    return DiscoveryNumbers(autoscalers=4, workloads=3, pods=17, problems={"no_port": 2, "overlap": 0})


@pytest.fixture
def full_stats() -> CollectorStats:
    """Statistics in which nothing is missing."""
    return CollectorStats(
        targets=3,
        answering=2,
        scrapes=40,
        failures={reason: index for index, reason in enumerate(REASONS)},
        unrecognized_pages=1,
        restarts=4,
        bytes_received=123_456,
        scrape_seconds=1.5,
        last_duration_seconds=0.01,
        slowest_duration_seconds=0.25,
        last_finished_at=NOW - 0.5,
        oldest_page_at=NOW - 9.0,
        newest_page_at=NOW - 0.5,
    )
