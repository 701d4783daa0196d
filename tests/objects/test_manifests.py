"""Autoscalers from JSON and from files: everything carried, nothing guessed, mistakes named with their place."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.documents import load_documents
from inflight.objects import (
    FieldError,
    HorizontalPodAutoscaler,
    ObjectError,
    decode_hpa,
    parse_quantity,
    parse_time,
    read_hpa,
    to_json,
    to_plain,
)

ALL_OF_IT: dict[str, Any] = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {
        "name": "vllm-hpa",
        "namespace": "inference",
        "uid": "0b1c",
        "resourceVersion": "12",
        "generation": 3,
        "creationTimestamp": "2026-11-24T22:41:00Z",
        "labels": {"app": "vllm"},
        "annotations": {"note": "x y"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "u", "controller": True}],
        "finalizers": ["example.com/done"],
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    },
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "External",
                "external": {
                    "metric": {"name": "vllm_requests_running", "selector": {"matchLabels": {"app": "vllm"}}},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                },
            },
            {
                "type": "Pods",
                "pods": {
                    "metric": {
                        "name": "q",
                        "selector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["a"]}]},
                    },
                    "target": {"type": "AverageValue", "averageValue": "500m"},
                },
            },
            {
                "type": "Object",
                "object": {
                    "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"},
                    "metric": {"name": "rate"},
                    "target": {"type": "Value", "value": "2k"},
                },
            },
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            },
            {
                "type": "ContainerResource",
                "containerResource": {
                    "name": "memory",
                    "container": "vllm",
                    "target": {"type": "AverageValue", "averageValue": "2Gi"},
                },
            },
        ],
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "tolerance": "50m"},
            "scaleDown": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
        },
    },
    "status": {
        "observedGeneration": 3,
        "lastScaleTime": "2026-11-24T22:45:00Z",
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentMetrics": [
            {"type": ""},
            {
                "type": "External",
                "external": {"metric": {"name": "vllm_requests_running"}, "current": {"averageValue": "4500m"}},
            },
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageValue": "1500m", "averageUtilization": 25}},
            },
        ],
        "conditions": [
            {
                "type": "AbleToScale",
                "status": "True",
                "lastTransitionTime": "2026-11-24T22:41:15Z",
                "reason": "SucceededRescale",
                "message": "the HPA controller was able to update the target scale to 3",
            }
        ],
    },
}

FILE = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: vllm-hpa
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: vllm}
  minReplica: 1
  maxReplicas: "10"
  metrics:
  - type: External
    external:
      metric:
        name: vllm_requests_running
      target:
        type: AverageValue
        averageValue: five
  behavior:
    scaledown: {}
"""


def errors_of(value: Any) -> dict[str, str]:
    with pytest.raises(ObjectError) as refusal:
        read_hpa(value)
    return {".".join(map(str, error.path)): error.problem for error in refusal.value.errors}


def test_every_field_comes_back() -> None:
    hpa = decode_hpa(json.dumps(ALL_OF_IT).encode())
    assert to_plain(hpa) == ALL_OF_IT
    assert json.loads(to_json(hpa)) == ALL_OF_IT
    assert read_hpa(ALL_OF_IT) == hpa == decode_hpa(ALL_OF_IT) == decode_hpa(json.dumps(ALL_OF_IT))


def test_values_are_quantities_and_times() -> None:
    hpa = decode_hpa(ALL_OF_IT)
    external = hpa.spec.metrics[0].external
    assert external is not None
    assert external.target.average_value == parse_quantity("5")
    assert hpa.status.last_scale_time == parse_time("2026-11-24T22:45:00Z")
    assert hpa.spec.scale_target_ref.group == "apps"


def test_an_api_server_may_send_nulls_and_fields_of_tomorrow() -> None:
    text = """{"metadata": {"name": "a", "creationTimestamp": null, "labels": null}, "status": {"currentMetrics": null},
      "spec": {"maxReplicas": 3, "metrics": null, "behavior": {"scaleUp": null, "syncPeriodSeconds": 5},
               "selectionStrategy": "OwnerReferences"}}"""
    hpa = decode_hpa(text)
    assert (hpa.metadata.name, hpa.spec.max_replicas, hpa.spec.metrics) == ("a", 3, ())
    assert hpa.spec.behavior is not None
    assert hpa.spec.behavior.scale_up is None


def test_numbers_are_quantities_too_and_spaces_around_them_do_not_count() -> None:
    def average_value(written: object) -> str:
        target = {"type": "AverageValue", "averageValue": written}
        metric = {"type": "External", "external": {"metric": {"name": "m"}, "target": target}}
        external = decode_hpa({"spec": {"metrics": [metric]}}).spec.metrics[0].external
        assert external is not None
        return str(external.target.average_value)

    assert [average_value(written) for written in (5, 0.5, 2.5e6, " 7\n", "\u30001k\u00a0")] == [
        "5", "500m", "2500k", "7", "1k",
    ]  # fmt: skip
    with pytest.raises(ObjectError, match=r"spec\.metrics\[0\]\.external\.target\.averageValue: must be a quantity"):
        average_value(True)


def test_absent_and_empty_policies_differ() -> None:
    absent = decode_hpa({"spec": {"behavior": {"scaleUp": {}}}}).spec.behavior
    empty = decode_hpa({"spec": {"behavior": {"scaleUp": {"policies": []}}}}).spec.behavior
    assert absent is not None
    assert absent.scale_up is not None
    assert absent.scale_up.policies is None
    assert empty is not None
    assert empty.scale_up is not None
    assert empty.scale_up.policies == ()
    assert to_plain(empty) == {"scaleUp": {"policies": []}}


def test_the_mistakes_of_a_file_are_named_all_at_once() -> None:
    (document,) = load_documents(FILE, "hpa.yaml")
    assert errors_of(document.value) == {
        "spec.minReplica": "unknown field; minReplicas is meant?",
        "spec.maxReplicas": "must be a whole number, not the text '10'",
        "spec.metrics.0.external.target.averageValue": "'five' is no quantity: write a number with or without a suffix,"
        " as 2, 0.5, 500m, 1k or 128Mi",
        "spec.behavior.scaledown": "unknown field; scaleDown is meant?",
    }


def test_their_paths_give_the_lines() -> None:
    (document,) = load_documents(FILE, "hpa.yaml")
    with pytest.raises(ObjectError) as refusal:
        read_hpa(document.value)
    lines = {document.line_of(error.path) for error in refusal.value.errors}
    assert lines == {7, 8, 16, 18}
    first = refusal.value.errors[0]
    assert str(document.error(first.path, first.problem)).startswith("hpa.yaml:")


@pytest.mark.parametrize(
    ("api_version", "kind", "says"),
    [
        ("apps/v1", "Deployment", "kind: 'Deployment' is another kind of object"),
        ("autoscaling/v1", "HorizontalPodAutoscaler", "apiVersion: autoscaling/v1 keeps its metrics in annotations"),
        ("autoscaling/v2beta1", "HorizontalPodAutoscaler", "not served since Kubernetes 1.25"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "not served since Kubernetes 1.26"),
        ("v2", "HorizontalPodAutoscaler", "is no version of a HorizontalPodAutoscaler"),
    ],
)
def test_other_objects_are_not_read_as_autoscalers(api_version: str, kind: str, says: str) -> None:
    value = {"apiVersion": api_version, "kind": kind, "spec": {"replicas": 3}}
    with pytest.raises(ObjectError, match=says):
        read_hpa(value)
    with pytest.raises(ObjectError, match=says):
        decode_hpa(value)


def test_a_file_says_what_it_is_and_a_program_need_not() -> None:
    value = {"metadata": {"name": "a"}, "spec": {"maxReplicas": 1}}
    assert set(errors_of(value)) == {"apiVersion", "kind"}
    assert decode_hpa(value).metadata.name == "a"


@pytest.mark.parametrize("value", [None, [], "hpa", 5, {"apiVersion": 2, "kind": ["x"]}])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ObjectError, match=r"^no HorizontalPodAutoscaler: "):
        read_hpa(value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"spec": "\xff"}', b'{"spec": {"maxReplicas": "a"', b"[" * 50_000,
     b'{"spec": {"maxReplicas": ' + b"9" * 5000 + b"}}", b'{"spec": {"minReplicas": 4294967296}}', '{"a": "\ud800"}',
     b" " * (9 << 20)],
)  # fmt: skip
def test_broken_json_is_refused_with_a_sentence(text: bytes | str) -> None:
    with pytest.raises(ObjectError, match=r"^no HorizontalPodAutoscaler: "):
        decode_hpa(text)


def test_errors_are_many_but_bounded() -> None:
    value = {**ALL_OF_IT, "spec": {"metrics": [{"kind": number} for number in range(500)]}}
    with pytest.raises(ObjectError) as refusal:
        read_hpa(value)
    assert len(refusal.value.errors) <= 101
    assert len(str(refusal.value)) < 5000


KEYS = [
    *(
        "spec",
        "metadata",
        "status",
        "metrics",
        "type",
        "external",
        "target",
        "value",
        "behavior",
        "scaleUp",
        "policies",
    ),
    *("tolerance", "labels", "conditions", "lastScaleTime", "managedFields", "x"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=80)
def test_any_value_is_an_autoscaler_or_refused(value: Any) -> None:
    strict = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        **(value if isinstance(value, dict) else {}),
    }
    for read in (lambda: decode_hpa(value), lambda: read_hpa(strict)):
        try:
            hpa = read()
        except ObjectError as error:
            assert error.errors
            assert all(isinstance(found, FieldError) and found.problem for found in error.errors)
        else:
            assert isinstance(hpa, HorizontalPodAutoscaler)
            assert decode_hpa(to_plain(hpa)) == hpa
