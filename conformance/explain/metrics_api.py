# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""A metrics API server behind the aggregator that says what a script tells it: resource, custom, external metrics."""

import ssl
from datetime import UTC, datetime
from typing import Any

import trustme
from aiohttp import web

Plain = dict[str, Any]
GROUPS = {
    "external.metrics.k8s.io": ("v1beta1",),
    "custom.metrics.k8s.io": ("v1beta1", "v1beta2"),
    "metrics.k8s.io": ("v1beta1",),
}
SYSTEM = "metrics-system"


class MetricsApi:
    """Values by name, for all namespaces. A metric that is not there is a 404, as adapters have it."""

    def __init__(self) -> None:
        self.external: dict[str, list[str]] = {}
        self.pods: dict[str, dict[str, str]] = {}
        """Metric, then value by pod."""
        self.objects: dict[str, str] = {}
        """Value by `RESOURCE/NAME/METRIC`, as in the path."""
        self.cpu: dict[str, str] = {}
        """By pod; a pod that is not listed has no value yet."""
        self.port = 0

    async def start(self) -> web.AppRunner:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        application = web.Application()
        application.router.add_get("/{tail:.*}", self._answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        parts = request.path.strip("/").split("/")
        found = self._find(parts, request.query.get("labelSelector", ""))
        if found is None:
            message = f"the metric {parts[-1]} is not there"
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404}
            return web.json_response({**status, "reason": "NotFound", "message": message}, status=404)
        return web.json_response(found)

    def _find(self, parts: list[str], selector: str) -> Plain | None:
        match parts:
            case ["apis", group, version] if version in GROUPS.get(group, ()):
                return self._listed(group, version)
            case ["apis", "external.metrics.k8s.io", _, "namespaces", _, metric] if metric in self.external:
                items = [
                    {"metricName": metric, "metricLabels": {}, **_stamp(), "value": v} for v in self.external[metric]
                ]
                return _list("external.metrics.k8s.io/v1beta1", "ExternalMetricValueList", items)
            case ["apis", "custom.metrics.k8s.io", version, "namespaces", namespace, "pods", "*", metric] if (
                metric in self.pods
            ):
                items = [_of_pod(pod, namespace, metric, value) for pod, value in self.pods[metric].items()]
                return _list(f"custom.metrics.k8s.io/{version}", "MetricValueList", items)
            case ["apis", "custom.metrics.k8s.io", version, "namespaces", namespace, resource, name, metric] if (
                f"{resource}/{name}/{metric}" in self.objects
            ):
                value = self.objects[f"{resource}/{name}/{metric}"]
                described = {"kind": "Deployment", "namespace": namespace, "name": name, "apiVersion": "apps/v1"}
                item = {"describedObject": described, "metric": {"name": metric}, "metricName": metric, **_stamp()}
                return _list(f"custom.metrics.k8s.io/{version}", "MetricValueList", [{**item, "value": value}])
            case ["apis", "metrics.k8s.io", _, "namespaces", namespace, "pods"]:
                app = selector.removeprefix("app=")
                items = [_usage(pod, namespace, cpu) for pod, cpu in self.cpu.items() if pod.startswith(app)]
                return _list("metrics.k8s.io/v1beta1", "PodMetricsList", items)
        return None

    def _listed(self, group: str, version: str) -> Plain:
        names = {
            "external.metrics.k8s.io": list(self.external),
            "custom.metrics.k8s.io": [f"pods/{name}" for name in self.pods],
            "metrics.k8s.io": ["pods"],
        }[group]
        kind = {"metrics.k8s.io": "PodMetrics"}.get(group, "MetricValueList")
        resources = [
            {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
            for name in names
        ]
        version_ = f"{group}/{version}"
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version_, "resources": resources}


def objects(port: int) -> list[tuple[str, Plain]]:
    """The Service by which the aggregator reaches a port on loopback."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics", "namespace": SYSTEM},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    return [("/api/v1/namespaces", namespace), (f"/api/v1/namespaces/{SYSTEM}/services", service)]


def api_services(group: str, port: int) -> list[tuple[str, Plain]]:
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    return [
        (
            path,
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"name": "metrics", "namespace": SYSTEM, "port": port},
                },
            },
        )
        for version in GROUPS[group]
    ]


def _stamp() -> Plain:
    return {"timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _list(version: str, kind: str, items: list[Plain]) -> Plain:
    return {"kind": kind, "apiVersion": version, "metadata": {}, "items": items}


def _of_pod(pod: str, namespace: str, metric: str, value: str) -> Plain:
    described = {"kind": "Pod", "namespace": namespace, "name": pod, "apiVersion": "/v1"}
    return {"describedObject": described, "metric": {"name": metric}, "metricName": metric, **_stamp(), "value": value}


def _usage(pod: str, namespace: str, cpu: str) -> Plain:
    containers = [{"name": "engine", "usage": {"cpu": cpu, "memory": "1Gi"}}]
    return {"metadata": {"name": pod, "namespace": namespace}, **_stamp(), "window": "15s", "containers": containers}
