"""The external metrics API: one value for all pods of a selector, or an error that the HPA shows. Never 0 for "not
known".
"""

from typing import Any

import pytest

from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request

BASE = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference"
ARTICLE = f"{BASE}/vllm_requests_running?labelSelector=app%3Dvllm-deployment"
"""What the controller manager asks for the HPA that a widely copied article shows."""


def value(reply: Any) -> str:
    (item,) = reply.json()["items"]
    text: str = item["value"]
    return text


def test_the_articles_hpa_gets_its_number(get: Any, pods: Any) -> None:
    pods.add("vllm-1", labels={"app": "vllm-deployment"}, running=24)
    pods.add("vllm-2", labels={"app": "vllm-deployment"}, running=3.5)
    pods.add("other", labels={"app": "else"}, running=100)
    pods.add("vllm-1", labels={"app": "vllm-deployment"}, namespace="elsewhere", running=100)
    accept = "application/vnd.kubernetes.protobuf,application/json"
    assert get(ARTICLE, accept=accept).json() == {
        "kind": "ExternalMetricValueList",
        "apiVersion": "external.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "metricName": "vllm_requests_running",
                "metricLabels": {},
                "timestamp": "2027-01-15T07:59:59Z",
                "value": "27500m",
            }
        ],
    }
    assert pods.asked == [("running", "inference")]


@pytest.mark.parametrize(
    ("metric", "signal", "expected"),
    [
        ("inflight_requests_waiting", "waiting", "6"),
        ("inflight_kv_utilization", "kv_utilization", "2"),
        ("inflight_ttft_seconds_p95", "ttft_p95", "3"),
        ("inflight_queue_time_seconds_mean", "queue_time", "3"),
    ],
)
def test_pods_combine_as_the_table_says(get: Any, pods: Any, metric: str, signal: str, expected: str) -> None:
    for name, number in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        pods.add(name, **{signal: number})
    assert value(get(f"{BASE}/{metric}")) == expected


def test_the_time_is_that_of_the_oldest_sample_used(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    pods.add("b", running=1)
    pods.change("b", "running", received_at=1_800_000_000.25 - 12)
    (item,) = get(f"{BASE}/inflight_requests_running").json()["items"]
    assert item["timestamp"] == "2027-01-15T07:59:48Z"


def test_zero_is_a_value(get: Any, pods: Any) -> None:
    pods.add("a", running=0.0)
    assert value(get(f"{BASE}/inflight_requests_running")) == "0"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", "111"),
        ("app%3Dx", "1"),
        ("app+in+(x,y)", "11"),
        ("app!=x", "110"),
        ("!app", "100"),
        ("rank%3E5", "10"),
    ],
)
def test_the_selector_is_one_of_pod_labels(get: Any, pods: Any, selector: str, expected: str) -> None:
    pods.add("a", labels={"app": "x"}, running=1)
    pods.add("b", labels={"app": "y", "rank": "7"}, running=10)
    pods.add("c", labels={}, running=100)
    assert value(get(f"{BASE}/inflight_requests_running?labelSelector={selector}")) == expected


def test_no_pod_of_the_selector_is_not_found(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    message = get(f"{BASE}/inflight_requests_running?labelSelector=app%3Dnone").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests_running for ")
    assert "the only pod watched in namespace 'inference' has no labels that match 'app=none'" in message


def test_a_silent_pod_that_has_reported_makes_the_sum_unknown(get: Any, pods: Any, telemetry: Any) -> None:
    pods.add("a", running=5)
    pods.add("b", running=7)
    pods.change("b", "running", received_at=1_800_000_000.25 - 20, failure="connection refused")
    message = get(f"{BASE}/inflight_requests_running").refusal(503)
    assert "not known" in message
    assert "not 0" in message
    assert "b" in message
    assert telemetry.refusals == {"pods_unseen": 1}


def test_a_pod_that_never_reported_does_not_freeze_the_sum(get: Any, pods: Any) -> None:
    pods.add("a", running=5)
    pods.add("b")
    assert value(get(f"{BASE}/inflight_requests_running")) == "5"


def test_no_value_at_all_is_unknown_with_the_reason(get: Any, pods: Any) -> None:
    pods.add("a")
    pods.change("a", "running", received_at=1_800_000_000.0, missing="the page is no metrics page")
    assert "the page is no metrics page" in get(f"{BASE}/inflight_requests_running").refusal(503)


def test_an_unknown_metric_names_those_that_exist(get: Any) -> None:
    message = get(f"{BASE}/vllm_requests_runing").refusal(404)
    assert message.startswith("the server could not find the metric vllm_requests_runing for ")
    assert "did you mean vllm_requests_running" in message
    assert message.endswith("? kubectl get --raw /apis/external.metrics.k8s.io/v1beta1 lists all names")
    assert len(message) < 480


def test_a_metric_is_not_looked_for_in_another_namespace(get: Any, pods: Any) -> None:
    pods.add("a", namespace="elsewhere", running=5)
    assert "no pod of namespace 'inference' is watched" in get(f"{BASE}/inflight_requests_running").refusal(404)


def test_watching_is_not_supported(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    assert "watch" in get(f"{BASE}/inflight_requests_running?watch=true").refusal(405)
    assert get(f"{BASE}/inflight_requests_running?watch=false").status == 200


def test_a_sum_that_no_quantity_can_carry_is_unknown(get: Any, pods: Any) -> None:
    for number in range(9_300):
        pods.add(f"pod-{number}", running=1e12)
    assert "make no number" in get(f"{BASE}/inflight_requests_running").refusal(503)


def test_while_it_warms_up_a_fleet_is_unknown_and_a_wrong_name_is_wrong(pods: Any, clock: Any, telemetry: Any) -> None:
    pods.add("vllm-1", in_flight=3)
    api = MetricsApi(pods, clock, "t", telemetry=telemetry, warming_up=lambda namespace: f"{namespace}: wait")
    known = api.handle(Request("GET", f"{BASE}/inflight_requests", "Bearer t"))
    assert known.status == 503
    assert b"not known now, which is not 0: inflight_requests: inference: wait" in known.body
    wrong = api.handle(Request("GET", f"{BASE}/inflight_request", "Bearer t"))
    assert wrong.status == 404
    assert b"did you mean inflight_requests" in wrong.body
    assert telemetry.refusals == {"warming_up": 1, "no_metric": 1}
