"""Pods and scales: what the autoscaler looks at, out of what an API server sends."""

import json
from typing import Any

import pytest

from inflight.objects import (
    ObjectError,
    Pod,
    decode_pod,
    decode_pods,
    decode_scale,
    parse_quantity,
    parse_selector,
    parse_time,
    to_plain,
)

SERVING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "vllm-0",
        "namespace": "inference",
        "uid": "4711",
        "labels": {"app": "vllm"},
        "creationTimestamp": "2026-11-24T22:40:00Z",
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {
        "nodeName": "gpu-1",
        "initContainers": [
            {"name": "load", "image": "x"},
            {"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
        ],
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai",
                "resources": {
                    "requests": {"cpu": "6", "memory": "24Gi", "nvidia.com/gpu": "1"},
                    "limits": {"cpu": "8"},
                },
            }
        ],
        "resources": {"requests": {"cpu": "7"}},
    },
    "status": {
        "phase": "Running",
        "startTime": "2026-11-24T22:41:00Z",
        "podIP": "10.0.0.7",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": "2026-11-24T22:41:00Z",
            },
            {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-24T22:43:00Z"},
        ],
    },
}


def test_what_an_autoscaler_reads_of_a_pod() -> None:
    pod = decode_pod(json.dumps(SERVING).encode())
    assert (pod.metadata.namespace, pod.metadata.name, pod.metadata.uid) == ("inference", "vllm-0", "4711")
    assert pod.metadata.deletion_timestamp is None
    assert parse_selector("app=vllm").matches(pod.metadata.labels)
    assert pod.status.phase == "Running"
    assert pod.status.start_time == parse_time("2026-11-24T22:41:00Z")
    (container,) = pod.spec.containers
    assert container.resources.requests == {
        "cpu": parse_quantity("6"),
        "memory": parse_quantity("24Gi"),
        "nvidia.com/gpu": parse_quantity("1"),
    }
    assert [(init.name, init.is_restartable) for init in pod.spec.init_containers] == [("load", False), ("proxy", True)]
    assert pod.spec.resources is not None
    assert pod.spec.resources.requests["cpu"].milli_value() == 7000


def test_readiness_is_a_condition_with_its_time() -> None:
    pod = decode_pod(SERVING)
    assert pod.is_ready
    assert pod.ready_condition is not None
    assert pod.ready_condition.last_transition_time == parse_time("2026-11-24T22:43:00Z")


@pytest.mark.parametrize("status", ["False", "Unknown", ""])
def test_only_true_is_ready(status: str) -> None:
    conditions = [{"type": "Ready", "status": status}, {"type": "Ready", "status": "True"}]
    assert not decode_pod({"status": {"conditions": conditions}}).is_ready


def test_a_pod_may_have_nothing_at_all() -> None:
    pod = decode_pod("{}")
    assert pod == Pod()
    assert pod.ready_condition is None
    assert not pod.is_ready
    assert to_plain(pod) == {}


def test_nulls_are_absences() -> None:
    pod = decode_pod(
        {
            "metadata": {"name": "a", "labels": None, "deletionTimestamp": "2026-11-24T22:41:00.5Z"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": None}}], "initContainers": None},
            "status": {
                "startTime": None,
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": None}],
            },
        }
    )
    assert pod.metadata.labels == {}
    assert pod.metadata.deletion_timestamp == parse_time("2026-11-24T22:41:00.5Z")
    assert pod.spec.containers[0].resources.requests == {}
    assert pod.ready_condition is not None
    assert pod.ready_condition.last_transition_time is None


def test_a_list_of_pods() -> None:
    text = json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": [SERVING, SERVING]})
    assert decode_pods(text) == (decode_pod(SERVING),) * 2
    assert decode_pods(b'{"items": null}') == ()


@pytest.mark.parametrize(
    ("path", "pod"),
    [
        (
            "spec.containers[0].resources.requests.cpu",
            {"spec": {"containers": [{"resources": {"requests": {"cpu": "6x"}}}]}},
        ),
        ("status.startTime", {"status": {"startTime": "yesterday"}}),
        ("status.startTime", {"status": {"startTime": 5}}),
        ("metadata.labels.a", {"metadata": {"labels": {"a": 1}}}),
        ("spec.containers", {"spec": {"containers": {}}}),
    ],
)
def test_a_mistake_is_named_with_its_place(path: str, pod: dict[str, Any]) -> None:
    with pytest.raises(ObjectError) as refusal:
        decode_pod(json.dumps(pod))
    assert str(refusal.value).startswith(f"no Pod: {path}: ")


def test_a_scale() -> None:
    scale = decode_scale(
        b'{"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "vllm", "namespace": "inference",'
        b' "resourceVersion": "9", "creationTimestamp": null}, "spec": {"replicas": 3},'
        b' "status": {"replicas": 2, "selector": "app=vllm"}}'
    )
    assert (scale.metadata.name, scale.metadata.resource_version) == ("vllm", "9")
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (3, 2, "app=vllm")
    assert decode_scale({}).spec.replicas == 0


def test_a_list_may_be_bigger_than_an_object() -> None:
    padded = json.dumps({"items": [SERVING | {"padding": "x" * 100_000}] * 100})
    assert len(padded) > 8 << 20
    assert len(decode_pods(padded)) == 100
