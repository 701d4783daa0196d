"""A small API server over HTTP, in a thread of its own: what an HPA's controller reads, and every failure of it.

State is changed from the test's thread between requests. With `controller_syncs` the engine plays the controller: it
decides with a memory that it tells nobody, and writes scale and status as the real one does.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from inflight.hpa import Controller, Decision, ExternalAnswer, FailedAnswer, Memory, MetricAnswer, Observation, decide
from inflight.objects import decode_hpa, decode_pod, format_time, parse_quantity, set_defaults, to_plain

Plain = dict[str, Any]
SECOND = 1_000_000_000
SELECTOR = "app=llm"
OLD = "2026-01-01T00:00:00Z"


def status(code: int, reason: str, message: str) -> Plain:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def external(target: str = "30", name: str = "load", kind: str = "averageValue", **metric: Any) -> Plain:
    type_ = {"averageValue": "AverageValue", "value": "Value"}[kind]
    return {
        "type": "External",
        "external": {"metric": {"name": name, **metric}, "target": {"type": type_, kind: target}},
    }


def cpu(percent: int = 80) -> Plain:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def pods_metric(target: str = "10", name: str = "inflight", **metric: Any) -> Plain:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name, **metric}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def object_metric(target: str = "10", name: str = "queue", kind: str = "Service", of: str = "gateway") -> Plain:
    described = {"apiVersion": {"Service": "v1", "Namespace": "v1"}.get(kind, "apps/v1"), "kind": kind, "name": of}
    return {
        "type": "Object",
        "object": {
            "describedObject": described,
            "metric": {"name": name},
            "target": {"type": "Value", "value": target},
        },
    }


def pod(name: str, *, ready: bool = True, phase: str = "Running", template: str = "", **more: Any) -> Plain:
    labels = {"app": "llm", **({"pod-template-hash": template} if template else {})}
    requests = more.pop("requests", {"cpu": "1"})
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels, **more},
        "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
        "status": {
            "phase": phase,
            "startTime": OLD,
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": OLD}],
        },
    }


class FakeCluster:
    """One namespace, `shop`, with the HPA `llm` of the Deployment `llm` unless a test says otherwise."""

    def __init__(self) -> None:
        self.url = ""
        self.version: Plain | None = {"major": "1", "minor": "37", "gitVersion": "v1.37.2"}
        self.hpas: dict[tuple[str, str], Plain] = {}
        self.scales: dict[str, Plain] = {}
        self.pods: list[Plain] = []
        self.answers: dict[str, Any] = {}
        """Metrics by the path after the version, or (code, body) for a failure."""
        self.stale: set[str] = set()
        self.groups: dict[str, tuple[str, ...]] = {
            "metrics.k8s.io": ("v1beta1",),
            "custom.metrics.k8s.io": ("v1beta2", "v1beta1"),
            "external.metrics.k8s.io": ("v1beta1",),
        }
        self.events: list[Plain] = []
        self.current_metrics: list[Plain] = []
        """What `put_status` writes of them."""
        self.lease: Plain | None = None
        self.api_services: dict[str, Plain] = {}
        self.forbidden: set[str] = set()
        """Parts of paths that may not be read."""
        self.is_down = False
        self.is_plain = False
        """An API server without the discovery document for all groups."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.memory = Memory()
        self.controller = Controller()
        self.decisions: list[Decision] = []
        self._watchers: list[asyncio.Queue[bytes]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    # What a test sets up.

    def put_hpa(
        self, *metrics: Plain, name: str = "llm", target: str = "", minimum: int = 1, maximum: int = 10, **more: Any
    ) -> Plain:
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target or name},
            "minReplicas": minimum,
            "maxReplicas": maximum,
            "metrics": list(metrics or (external(),)),
            **{key: value for key, value in more.items() if key == "behavior"},
        }
        plain = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "7",
                "creationTimestamp": OLD,
            },
            "spec": spec,
            "status": more.get("status", {"currentReplicas": 0, "desiredReplicas": 0}),
        }  # fmt: skip
        defaulted = to_plain(set_defaults(decode_hpa(plain), "1.37"))
        defaulted["status"] = plain["status"]
        self.hpas["shop", name] = defaulted
        return defaulted

    def put_scale(self, replicas: int, *, name: str = "llm", now: int | None = None, selector: str = SELECTOR) -> None:
        self.scales[f"apps/v1/deployments/{name}"] = {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas if now is None else now, "selector": selector},
        }

    def put_pods(self, count: int, **more: Any) -> None:
        self.pods = [pod(f"llm-{index}", **more) for index in range(count)]

    def put_external(self, *values: str, name: str = "load") -> None:
        items = [{"metricName": name, "metricLabels": {}, "timestamp": OLD, "value": value} for value in values]
        self.answers[f"external.metrics.k8s.io/{name}"] = {"items": items}

    def put_custom(self, values: dict[str, str], name: str = "inflight") -> None:
        items = [
            {"describedObject": {"kind": "Pod", "name": each}, "timestamp": OLD, "value": value}
            for each, value in values.items()
        ]
        self.answers[f"custom.metrics.k8s.io/pods/*/{name}"] = {"items": items}

    def put_cpu(self, values: dict[str, str], at_ns: int | None = None) -> None:
        timestamp = OLD if at_ns is None else format_time(at_ns)
        self.answers["metrics.k8s.io/pods"] = {
            "items": [
                {
                    "metadata": {"name": name, "namespace": "shop"},
                    "timestamp": timestamp,
                    "window": "15.02s",
                    "containers": [{"name": "main", "usage": {"cpu": value, "memory": "1Gi"}}],
                }
                for name, value in values.items()
            ]
        }

    def put_status(
        self, *, desired: int, current: int | None = None, last_scale: str | None = None, **reasons: str
    ) -> None:
        """`able="ScaleDownStabilized"`, `active=...`, `limited=...`; what the controller wrote last."""
        plain = self.hpas["shop", "llm"]
        false = {"FailedGetScale", "FailedUpdateScale", "ScalingDisabled", "InvalidSelector", "AmbiguousSelector"}
        types = {"able": "AbleToScale", "active": "ScalingActive", "limited": "ScalingLimited", "zero": "ScaledToZero"}
        conditions = []
        for key, reason in {
            "able": "ReadyForNewScale",
            "active": "ValidMetricFound",
            "limited": "DesiredWithinRange",
            **reasons,
        }.items():
            if key not in types:
                continue
            good = reason not in false | {"DesiredWithinRange", "NotScaledToZero"} and not reason.startswith("Failed")
            conditions.append(
                {
                    "type": types[key],
                    "status": str(good),
                    "reason": reason,
                    "message": reasons.get(f"{key}_text", ""),
                    "lastTransitionTime": OLD,
                }
            )
        plain["status"] = {
            "currentReplicas": desired if current is None else current,
            "desiredReplicas": desired,
            "conditions": conditions,
            "currentMetrics": self.current_metrics,
            **({"lastScaleTime": last_scale} if last_scale else {}),
        }

    def put_rescale(
        self, at_ns: int, replicas: int, reason: str = "external metric load(nil) above target", **more: Any
    ) -> None:
        at = format_time(at_ns)
        self.events.append(
            {
                "metadata": {"name": f"e{len(self.events)}", "namespace": "shop"},
                "reason": "SuccessfulRescale", "message": f"New size: {replicas}; reason: {reason}", "type": "Normal",
                "count": 1, "firstTimestamp": at, "lastTimestamp": at, **more,
            }
        )  # fmt: skip

    # The controller.

    def observe(self) -> Observation:
        """What the controller sees of External metrics, a scale and pods."""
        scale = self.scales["apps/v1/deployments/llm"]
        answers: list[MetricAnswer] = []
        for metric in self.hpas["shop", "llm"]["spec"]["metrics"]:
            found = self.answers.get(f"external.metrics.k8s.io/{metric['external']['metric']['name']}")
            if not isinstance(found, dict):
                answers.append(FailedAnswer("unable to fetch metrics from external metrics API: gone"))
            else:
                values = [parse_quantity(item["value"]).milli_value() for item in found["items"]]
                answers.append(ExternalAnswer(tuple(values)))
        return Observation(
            replicas=scale["spec"]["replicas"],
            status_replicas=scale["status"]["replicas"],
            selector=scale["status"]["selector"],
            pods=tuple(decode_pod(each) for each in self.pods),
            answers=tuple(answers),
        )

    def sync(self, now_ns: int | None = None) -> Decision:
        """One sync of the controller that the engine plays, on what it sees."""
        plain, observation = self.hpas["shop", "llm"], self.observe()
        now = time.time_ns() if now_ns is None else now_ns
        decision = decide(decode_hpa(plain), observation, self.memory, now, self.controller)
        self.memory = decision.memory
        self.decisions.append(decision)
        written = to_plain(decision.memory.status)
        # A whole number of nanoseconds would be cut to seconds only where it passes through JSON.
        if written != plain.get("status"):
            self.change_hpa({"status": written})
        scale = self.scales["apps/v1/deployments/llm"]
        if decision.rescaled:
            self.put_scale(decision.replicas, selector=scale["status"]["selector"])
            self.put_rescale(now, decision.replicas, decision.reason)
        return decision

    def change_hpa(self, change: Plain, name: str = "llm") -> None:
        plain = {**self.hpas["shop", name], **change}
        version = str(int(plain["metadata"]["resourceVersion"]) + 1)
        plain["metadata"] = {**plain["metadata"], "resourceVersion": version}
        self.hpas["shop", name] = plain
        line = json.dumps({"type": "MODIFIED", "object": plain}).encode() + b"\n"
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, line)

    def _tell(self, line: bytes) -> None:
        for queue in self._watchers:
            queue.put_nowait(line)

    # The server.

    @contextlib.contextmanager
    def serving(self) -> Iterator["FakeCluster"]:
        started, loop = threading.Event(), asyncio.new_event_loop()
        stop = asyncio.Event()

        async def serve() -> None:
            runner = web.ServerRunner(web.Server(self.handle), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._loop = loop
            started.set()
            await stop.wait()
            for queue in self._watchers:
                queue.put_nowait(b"")
            await runner.cleanup()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        self.requests.append((path, query))
        if self.is_down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        for part in self.forbidden:
            if part in path:
                verb = "list" if "labelSelector" in query or "limit" in query else "get"
                return _json(status(403, "Forbidden", f'{path} is forbidden: User "jane" cannot {verb} it'), 403)
        if query.get("watch") and path.endswith("/horizontalpodautoscalers"):
            return await self._watch(request)
        found = self._find(path, query, request.headers.get("Accept", ""))
        if isinstance(found, web.Response):
            return found
        if found is None:
            return _json(status(404, "NotFound", f'"{path.rpartition("/")[2]}" not found'), 404)
        return _json(found)

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            while line := await queue.get():
                await response.write(line)
        finally:
            self._watchers.remove(queue)
        return response

    def _find(self, path: str, query: dict[str, str], accept: str) -> Any:
        if path == "/version":
            return self.version
        if path in {"/api", "/apis"}:
            return self._discovery(path, aggregated="APIGroupDiscoveryList" in accept and not self.is_plain)
        if path.startswith("/apis/apiregistration.k8s.io/v1/apiservices/"):
            return self.api_services.get(path.rpartition("/")[2])
        if path.startswith("/apis/coordination.k8s.io"):
            return self.lease
        if path.startswith("/apis/autoscaling/v2"):
            return self._autoscaling(path)
        if path.endswith("/scale"):
            parts = path.split("/")
            return self.scales.get(f"{parts[2]}/{parts[3]}/{parts[6]}/{parts[7]}")
        if path == "/api/v1/namespaces/shop/pods":
            return {"items": self.pods, "metadata": {}}
        if path == "/api/v1/namespaces/shop/events":
            fields = query.get("fieldSelector", "")
            found = [each for each in self.events if f"involvedObject.kind={_kind_of(each)}" in fields]
            return {"items": found, "metadata": {}}
        if path in {f"/apis/{group}/{each}" for group in PLAIN_KINDS for each in ("v1",)} | {"/api/v1"}:
            return _plain_resources(path)
        return self._metrics(path)

    def _autoscaling(self, path: str) -> Any:
        parts = path.split("/")
        if parts[-1] == "horizontalpodautoscalers":
            return {"items": list(self.hpas.values()), "metadata": {"resourceVersion": "7"}}
        return self.hpas.get((parts[-3], parts[-1]))

    def _metrics(self, path: str) -> Any:
        parts = path.split("/", 4)
        group, rest = parts[2] if len(parts) > 2 else "", parts[4] if len(parts) > 4 else ""
        version = parts[3] if len(parts) > 3 else ""
        if version not in self.groups.get(group, ()):
            return web.Response(status=404, text="404 page not found\n")
        if group in self.stale:
            return web.Response(status=503, text="service unavailable\n")
        found = self.answers.get(f"{group}/{rest.removeprefix('namespaces/shop/')}" if rest else group)
        if isinstance(found, tuple):
            code, body = found
            return web.Response(status=code, text=body) if isinstance(body, str) else _json(body, code)
        return found

    def _discovery(self, path: str, *, aggregated: bool) -> Plain:
        kinds = {"": CORE_KINDS, **PLAIN_KINDS}
        if not aggregated:
            if path == "/api":
                return {"kind": "APIVersions", "versions": ["v1"]}
            names = {"apps": ("v1",), "autoscaling": ("v2",), **self.groups}
            groups = [
                {
                    "name": name,
                    "versions": [{"version": each} for each in versions],
                    "preferredVersion": {"version": versions[0]},
                }
                for name, versions in names.items()
            ]
            return {"kind": "APIGroupList", "groups": groups}
        wanted: dict[str, tuple[str, ...]] = {"": ("v1",)}
        if path == "/apis":
            wanted = {"apps": ("v1",), "autoscaling": ("v2",), **self.groups}
        items = [
            {
                "metadata": {"name": name},
                "versions": [
                    {
                        "version": each,
                        "freshness": "Stale" if name in self.stale else "Current",
                        "resources": [_resource(kind, plural) for kind, plural in kinds.get(name, {}).items()],
                    }
                    for each in versions
                ],
            }
            for name, versions in wanted.items()
        ]
        return {"kind": "APIGroupDiscoveryList", "items": items}


def _kind_of(event: Plain) -> str:
    return "Deployment" if event["reason"] == "ScalingReplicaSet" else "HorizontalPodAutoscaler"


CORE_KINDS = {"Service": "services", "Pod": "pods", "Namespace": "namespaces"}
PLAIN_KINDS = {"apps": {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}}


def _resource(kind: str, plural: str) -> Plain:
    scalable = kind in {"Deployment", "StatefulSet"}
    return {
        "resource": plural,
        "responseKind": {"kind": kind},
        "scope": "Cluster" if kind == "Namespace" else "Namespaced",
        "subresources": [{"subresource": "scale"}] if scalable else [],
    }


def _plain_resources(path: str) -> Plain:
    kinds = CORE_KINDS if path == "/api/v1" else PLAIN_KINDS["apps"]
    resources = [{"name": plural, "kind": kind, "namespaced": kind != "Namespace"} for kind, plural in kinds.items()]
    resources += [{"name": f"{plural}/scale", "kind": "Scale", "namespaced": True} for plural in kinds.values()]
    return {"kind": "APIResourceList", "resources": resources}


def _json(plain: Plain, code: int = 200) -> web.Response:
    return web.json_response(plain, status=code)
