# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The objects that a run creates, as plain values: what Inflight needs to be asked, and what is scaled."""

import base64
from typing import Any

from control_plane import INFLIGHT_USER

SYSTEM = "inflight-system"
INFERENCE = "inference"
API_SERVICES = (
    ("custom.metrics.k8s.io", "v1beta1"),
    ("custom.metrics.k8s.io", "v1beta2"),
    ("external.metrics.k8s.io", "v1beta1"),
)
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def namespace(name: str) -> tuple[str, dict[str, Any]]:
    return "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def inflight_objects(port: int, ca_pem: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Path and object, in the order to create them in. The aggregator checks our certificate by `ca_pem`."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "inflight", "namespace": SYSTEM},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    services = [(path, _api_service(group, version, port, ca_pem)) for group, version in API_SERVICES]
    return [(f"/api/v1/namespaces/{SYSTEM}/services", service), *rights(), *services]


def rights() -> list[tuple[str, dict[str, Any]]]:
    """All that `inflight serve` needs to find out who asks and what they may."""
    delegator = _binding("ClusterRoleBinding", "inflight-auth-delegator", "ClusterRole", "system:auth-delegator")
    reader = _binding("RoleBinding", "inflight-auth-reader", "Role", "extension-apiserver-authentication-reader")
    return [
        (f"{RBAC}/clusterrolebindings", delegator),
        (f"{RBAC}/namespaces/kube-system/rolebindings", reader),
    ]


def deployment(name: str, replicas: int) -> tuple[str, dict[str, Any]]:
    labels = {"app": name}
    container = {"name": "engine", "image": "played.invalid/engine:1", "ports": [{"containerPort": 8000}]}
    return f"/apis/apps/v1/namespaces/{INFERENCE}/deployments", {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": INFERENCE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def autoscaler(name: str, metric: dict[str, Any], *, most: int, down_seconds: int) -> tuple[str, dict[str, Any]]:
    """An HPA of the Deployment with its name; short windows, so that a run sees it go up and down."""
    return f"/apis/autoscaling/v2/namespaces/{INFERENCE}/horizontalpodautoscalers", {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": INFERENCE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [metric],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": down_seconds}},
        },
    }


def external_metric(metric: str, app: str, average: int) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": str(average)}
    identifier = {"name": metric, "selector": {"matchLabels": {"app": app}}}
    return {"type": "External", "external": {"metric": identifier, "target": target}}


def pods_metric(metric: str, average: int) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": str(average)}
    return {"type": "Pods", "pods": {"metric": {"name": metric}, "target": target}}


def _api_service(group: str, version: str, port: int, ca_pem: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": base64.b64encode(ca_pem).decode(),
            "service": {"name": "inflight", "namespace": SYSTEM, "port": port},
        },
    }


def _binding(kind: str, name: str, role_kind: str, role: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": INFLIGHT_USER}],
    }
