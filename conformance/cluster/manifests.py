# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The objects that a run creates besides deploy/ and examples/, each as the path to create it at and plain values."""

import base64
from collections.abc import Mapping, Sequence
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
IMAGE = "played.invalid/engine:1"
ONE_ENGINE = ({"name": "engine", "image": IMAGE, "ports": [{"containerPort": 8000}]},)

Plain = dict[str, Any]
Placed = tuple[str, Plain]


def namespace(name: str) -> Placed:
    return "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def inflight_objects(port: int, ca_pem: bytes) -> list[Placed]:
    """For an Inflight that is started by hand, with a certificate and a kubeconfig of the run, instead of installed."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "inflight", "namespace": SYSTEM},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    services = [(path, _api_service(group, version, port, ca_pem)) for group, version in API_SERVICES]
    return [(f"/api/v1/namespaces/{SYSTEM}/services", service), *rights(), *services]


def rights() -> list[Placed]:
    """All that `inflight serve` needs to find out who asks and what they may."""
    delegator = _binding("ClusterRoleBinding", "inflight-auth-delegator", "ClusterRole", "system:auth-delegator")
    reader = _binding("RoleBinding", "inflight-auth-reader", "Role", "extension-apiserver-authentication-reader")
    return [
        (f"{RBAC}/clusterrolebindings", delegator),
        (f"{RBAC}/namespaces/kube-system/rolebindings", reader),
    ]


def deployment(
    name: str,
    replicas: int,
    namespace: str = INFERENCE,
    *,
    labels: Mapping[str, str] | None = None,
    containers: Sequence[Plain] = ONE_ENGINE,
    annotations: Mapping[str, str] | None = None,
) -> Placed:
    """Its pods have the label `app` with its name, and are selected by `labels`, which are that by default."""
    chosen = dict(labels or {"app": name})
    return f"/apis/apps/v1/namespaces/{namespace}/deployments", {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": chosen},
            "template": {
                "metadata": {"labels": {"app": name, **chosen}, "annotations": dict(annotations or {})},
                "spec": {"containers": list(containers)},
            },
        },
    }


def lone_pod(name: str, namespace: str, labels: Mapping[str, str]) -> Placed:
    """Of nobody."""
    return f"/api/v1/namespaces/{namespace}/pods", {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"containers": list(ONE_ENGINE)},
    }


def autoscaler(
    name: str,
    *metrics: Plain,
    most: int,
    namespace: str = INFERENCE,
    down_seconds: int = 600,
) -> Placed:
    """An HPA of the Deployment with its name. By default it does not go down in a run."""
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": list(metrics),
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": down_seconds}},
        },
    }


def external_metric(metric: str, average: int, labels: Mapping[str, str]) -> Plain:
    target = {"type": "AverageValue", "averageValue": str(average)}
    identifier = {"name": metric, "selector": {"matchLabels": dict(labels)}}
    return {"type": "External", "external": {"metric": identifier, "target": target}}


def pods_metric(metric: str, average: int) -> Plain:
    target = {"type": "AverageValue", "averageValue": str(average)}
    return {"type": "Pods", "pods": {"metric": {"name": metric}, "target": target}}


def object_metric(metric: str, average: int, name: str) -> Plain:
    target = {"type": "AverageValue", "averageValue": str(average)}
    described = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {"type": "Object", "object": {"metric": {"name": metric}, "describedObject": described, "target": target}}


def _api_service(group: str, version: str, port: int, ca_pem: bytes) -> Plain:
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


def _binding(kind: str, name: str, role_kind: str, role: str) -> Plain:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": INFLIGHT_USER}],
    }
