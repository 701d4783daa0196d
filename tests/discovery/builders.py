"""Objects as the API server gives them, of which a test says only what matters to it."""

from typing import Any

Plain = dict[str, Any]


def pod(
    name: str,
    namespace: str = "llm",
    *,
    ip: str = "10.0.0.1",
    ports: tuple[int, ...] = (8000,),
    annotations: dict[str, str] | None = None,
    owner: tuple[str, str, str] | None = ("apps/v1", "ReplicaSet", "llm-7f9c"),
    phase: str = "Running",
    terminating: bool = False,
    restarts: int = 0,
    ready: bool = True,
    **labels: str,
) -> Plain:
    """As the API server gives it; `app=llm` unless labels are given. By default a pod of Deployment llm."""
    metadata: Plain = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "labels": {"app": "llm", "pod-template-hash": "7f9c", **labels},
        "annotations": annotations or {},
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    if owner is not None:
        api_version, kind, owner_name = owner
        reference = {"apiVersion": api_version, "kind": kind, "name": owner_name, "uid": f"uid-{owner_name}"}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    containers = [{"name": "main", "ports": [{"containerPort": port} for port in ports]}]
    statuses = [{"name": "main", "restartCount": restarts}]
    return {
        "metadata": metadata,
        "spec": {"containers": containers},
        "status": {
            "phase": phase,
            "podIP": ip,
            "containerStatuses": statuses,
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": str(ready)},
            ],
        },
    }


def autoscaler(name: str, *metrics: Plain, namespace: str = "llm", target: str = "llm", replicas: int = 1) -> Plain:
    """By default with a Pods metric of Deployment llm."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "managedFields": [{}]},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 9, "metrics": list(metrics) or [pods_metric()]},
        "status": {"currentReplicas": replicas},
    }


def pods_metric(name: str = "inflight_requests") -> Plain:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {"type": "AverageValue"}}}


def object_metric(described: str, kind: str = "Deployment", api_version: str = "apps/v1") -> Plain:
    reference = {"apiVersion": api_version, "kind": kind, "name": described}
    return {"type": "Object", "object": {"metric": {"name": "inflight_requests"}, "describedObject": reference}}


def external_metric(selector: Plain | None, name: str = "inflight_requests") -> Plain:
    metric: Plain = {"name": name}
    if selector is not None:
        metric["selector"] = selector
    return {"type": "External", "external": {"metric": metric}}
