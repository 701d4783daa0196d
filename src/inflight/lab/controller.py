"""The two HPA controllers of the lab: look, decide, write the scale, every 15 s of model time.

`decide` is the engine of `inflight.hpa`; only where the numbers come from differs. The fleet by the work in flight asks
the HTTPS metrics API as kube-controller-manager does. A pod's CPU is handed over in process, as metrics-server would
report it.
"""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from inflight.hpa import (
    Controller,
    Decision,
    ExternalAnswer,
    FailedAnswer,
    Memory,
    MetricAnswer,
    Observation,
    PodMetric,
    PodsAnswer,
    decide,
    record_line,
)
from inflight.lab.settings import KUBERNETES
from inflight.objects import HorizontalPodAutoscaler, MetricIdentifier, parse_quantity, parse_time, to_selector
from inflight.serve.server import RunningServer
from inflight.sim.fleet import Fleet
from inflight.sim.fleet_kubernetes import pod_objects
from inflight.sim.sensing import cpu_answer

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"


class Metrics(Protocol):
    """Where a controller's numbers come from."""

    async def answers(self, hpa: HorizontalPodAutoscaler, fleet: Fleet) -> tuple[MetricAnswer, ...]:
        """One answer for each entry of spec.metrics."""
        ...


class InProcess:
    """CPU only: what metrics-server would list."""

    async def answers(self, hpa: HorizontalPodAutoscaler, fleet: Fleet) -> tuple[MetricAnswer, ...]:
        return tuple(cpu_answer(fleet) for _ in hpa.spec.metrics)


class OverTheWire:
    """Our metrics by HTTPS, with the requests that the stock controller sends; CPU in process."""

    def __init__(self, server: RunningServer) -> None:
        # A server that made its own certificate always says which one to trust.
        self._context = ssl.create_default_context(cadata=(server.ca_pem or b"").decode())
        self._url = server.url
        self._headers = {"Authorization": f"Bearer {server.token}", "Accept": "application/json"}
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)

    async def close(self) -> None:
        await self._session.close()

    async def answers(self, hpa: HorizontalPodAutoscaler, fleet: Fleet) -> tuple[MetricAnswer, ...]:
        found: list[MetricAnswer] = []
        for metric in hpa.spec.metrics:
            if metric.type == "External" and metric.external is not None:
                found.append(await self._external(fleet.setup.template.namespace, metric.external.metric))
            elif metric.type == "Pods" and metric.pods is not None:
                selector = fleet.setup.template.selector
                found.append(await self._pods(fleet.setup.template.namespace, metric.pods.metric, selector))
            else:
                found.append(cpu_answer(fleet))
        return tuple(found)

    async def _external(self, namespace: str, metric: MetricIdentifier) -> MetricAnswer:
        path = f"{_EXTERNAL}/namespaces/{quote(namespace)}/{quote(metric.name)}"
        body = await self._get(path, {"labelSelector": str(to_selector(metric.selector))})
        if isinstance(body, str):
            return FailedAnswer(f"unable to fetch metrics from external metrics API: {body}")
        return ExternalAnswer(tuple(parse_quantity(item["value"]).milli_value() for item in body["items"]))

    async def _pods(self, namespace: str, metric: MetricIdentifier, pods: str) -> MetricAnswer:
        path = f"{_CUSTOM}/namespaces/{quote(namespace)}/pods/*/{quote(metric.name)}"
        parameters = {"labelSelector": pods}
        if metric.selector is not None:
            parameters["metricLabelSelector"] = str(to_selector(metric.selector))
        body = await self._get(path, parameters)
        if isinstance(body, str):
            return FailedAnswer(f"unable to fetch metrics from custom metrics API: {body}")
        values = {
            item["describedObject"]["name"]: PodMetric(
                parse_quantity(item["value"]).milli_value(), int(parse_time(item["timestamp"]))
            )
            for item in body["items"]
        }
        return PodsAnswer(values)

    async def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any] | str:
        """The answer's document, or the sentence of its refusal."""
        try:
            async with self._session.get(
                self._url + path, params=dict(parameters), headers=self._headers, ssl=self._context
            ) as response:
                document: dict[str, Any] = await response.json()
                return document if response.status == 200 else str(document.get("message", response.reason))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return str(error) or type(error).__name__


class Autoscaler:
    """One HPA and its controller's memory."""

    def __init__(
        self,
        hpa: HorizontalPodAutoscaler,
        fleet: Fleet,
        metrics: Metrics,
        written: Callable[[float, Decision, int], None],
        record: Callable[[bytes], object] | None = None,
    ) -> None:
        """`written(at, decision, replicas before)` is told of every sync; `record` gets it as a line for `explain`."""
        self.hpa = hpa
        self._fleet = fleet
        self._metrics = metrics
        self._written = written
        self._record = record
        self._memory = Memory()
        self._controller = Controller(kubernetes=KUBERNETES)

    async def sync(self, at: float) -> Decision:
        """One sync of the controller at `at` (seconds of the run)."""
        fleet = self._fleet
        fleet.advance(at)
        answers = await self._metrics.answers(self.hpa, fleet)
        observation = Observation(
            replicas=fleet.replicas,
            status_replicas=fleet.status_replicas,
            selector=fleet.setup.template.selector,
            pods=pod_objects(fleet.pods, fleet.setup),
            answers=answers,
        )
        now_ns = round((fleet.setup.epoch_seconds + at) * 1e9)
        decision = decide(self.hpa, observation, self._memory, now_ns, self._controller)
        if self._record is not None:
            line = record_line(self.hpa, observation, self._memory, now_ns, self._controller, decision=decision)
            self._record(line)
        self._memory = decision.memory
        if decision.rescaled:
            # The answers took a moment to travel; the fleet has gone on meanwhile.
            fleet.set_replicas(decision.replicas, fleet.now)
        self._written(at, decision, observation.replicas)
        return decision
