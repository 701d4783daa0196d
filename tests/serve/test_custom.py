"""The custom metrics API: one pod, or all pods that a selector matches."""

from typing import Any

import pytest

V1 = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/inference/pods"
V2 = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods"


def names(reply: Any) -> list[str]:
    return [item["describedObject"]["name"] for item in reply.json()["items"]]


def test_one_pod_in_v1beta1(get: Any, pods: Any) -> None:
    pods.add("a", in_flight=10.5)
    assert get(f"{V1}/a/inflight_requests").json() == {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "describedObject": {"kind": "Pod", "namespace": "inference", "name": "a", "apiVersion": "/v1"},
                "metricName": "inflight_requests",
                "timestamp": "2027-01-15T07:59:59Z",
                "value": "10500m",
                "selector": None,
            }
        ],
    }


def test_one_pod_in_v1beta2(get: Any, pods: Any) -> None:
    pods.add("a", running=24)
    assert get(f"{V2}/a/inflight_requests_running").json() == {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta2",
        "metadata": {},
        "items": [
            {
                "describedObject": {"kind": "Pod", "namespace": "inference", "name": "a", "apiVersion": "/v1"},
                "metric": {"name": "inflight_requests_running", "selector": None},
                "timestamp": "2027-01-15T07:59:59Z",
                "value": "24",
            }
        ],
    }


def test_a_list_has_an_item_for_each_pod_with_a_value_in_order_of_name(get: Any, pods: Any) -> None:
    pods.add("b", waiting=2)
    pods.add("a", waiting=1)
    pods.add("c", running=7)
    pods.add("other", labels={"app": "else"}, waiting=9)
    pods.add("away", namespace="elsewhere", waiting=9)
    assert names(get(f"{V1}/*/inflight_requests_waiting?labelSelector=app%3Dvllm")) == ["a", "b"]
    assert pods.asked == [("waiting", "inference")]


def test_each_item_has_the_time_of_its_own_sample(get: Any, pods: Any) -> None:
    pods.add("a", waiting=1)
    pods.add("b", waiting=1)
    pods.change("b", "waiting", received_at=1_800_000_000.25 - 9.9)
    assert [item["timestamp"] for item in get(f"{V1}/*/inflight_requests_waiting").json()["items"]] == [
        "2027-01-15T07:59:59Z",
        "2027-01-15T07:59:50Z",
    ]


@pytest.mark.parametrize("resource", ["pods", "pod", "Pods", "PODS"])
@pytest.mark.parametrize("name", ["*", "%2A", ""])
def test_spellings_of_the_resource_and_the_wildcard(get: Any, pods: Any, resource: str, name: str) -> None:
    pods.add("a", waiting=1)
    path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/{resource}/{name}/inflight_requests_waiting"
    assert names(get(path)) == ["a"]


def test_an_alias_is_answered_under_the_name_that_was_asked(get: Any, pods: Any) -> None:
    pods.add("a", waiting=3)
    item = get(f"{V2}/a/vllm%3Anum_requests_waiting").json()["items"][0]
    assert item["metric"]["name"] == "vllm:num_requests_waiting"
    assert item["value"] == "3"


def test_no_pod_of_the_selector_is_not_found_and_not_an_empty_list(get: Any, pods: Any) -> None:
    pods.add("a", waiting=1)
    message = get(f"{V1}/*/inflight_requests_waiting?labelSelector=app%3Dnone").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests_waiting for pods")
    assert message.endswith("the only pod watched in namespace 'inference' has no labels that match 'app=none'")
    pods.add("b", waiting=1)
    message = get(f"{V1}/*/inflight_requests_waiting?labelSelector=app%3Dnone").refusal(404)
    assert message.endswith("none of the 2 pods watched in namespace 'inference' has labels that match 'app=none'")


def test_no_watched_pod_in_the_namespace_is_said_so(get: Any) -> None:
    assert "no pod of namespace 'inference' is watched" in get(f"{V1}/*/inflight_requests").refusal(404)


def test_pods_without_values_are_an_error_with_the_reason_and_no_empty_list(
    get: Any, pods: Any, telemetry: Any
) -> None:
    """An empty list is an error for the HPA as well, but of one without a reason: "no metrics returned"."""
    pods.add("a", running=1)
    pods.change("a", "waiting", missing='the page lacks "it"')
    reply = get(f"{V1}/*/inflight_requests_waiting")
    assert reply.refusal(503) == (
        "the value is not known now, which is not 0: inflight_requests_waiting: the only pod has no value that counts:"
        ' the page lacks "it"'
    )
    assert reply.json()["details"]["causes"][0]["reason"] == "no_value"
    pods.change("a", "waiting", received_at=1_800_000_000 - 60.0, value=3.0, reported_before=True)
    assert "1 of 1 pod unseen since 07:59:00 UTC: a" in get(f"{V1}/*/inflight_requests_waiting").refusal(503)
    assert telemetry.refusals == {"no_value": 1, "pods_unseen": 1}
    assert telemetry.answers == {}


def test_a_pod_whose_sample_is_old_is_left_out(get: Any, pods: Any) -> None:
    pods.add("a", waiting=1)
    pods.add("b", waiting=5)
    pods.change("b", "waiting", received_at=1_800_000_000 - 60.0)
    assert names(get(f"{V1}/*/inflight_requests_waiting")) == ["a"]


def test_a_named_pod_without_a_value_says_why(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    pods.change("a", "waiting", missing="the page is that of another engine")
    message = get(f"{V1}/a/inflight_requests_waiting").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests_waiting for pods a")
    assert "the page is that of another engine" in message


def test_a_named_pod_that_is_unknown_says_so(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    assert "no pod of that name is watched" in get(f"{V1}/zz/inflight_requests_running").refusal(404)


def test_the_label_selector_counts_with_the_wildcard_only(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    assert names(get(f"{V1}/a/inflight_requests_running?labelSelector=app%3Dnone")) == ["a"]


@pytest.mark.parametrize(
    ("selector", "matching", "echo"),
    [
        ("tier=gold", ["a"], {"matchLabels": {"tier": "gold"}}),
        ("tier==gold", ["a"], {"matchLabels": {"tier": "gold"}}),
        ("tier!=gold", ["b", "c"], {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}),
        (
            "tier in (tin,gold)",
            ["a", "b"],
            {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "tin"]}]},
        ),
        (
            "tier notin (gold)",
            ["b", "c"],
            {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]},
        ),
        ("tier", ["a", "b"], {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
        ("!tier", ["c"], {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
        ("", ["a", "b", "c"], None),
    ],
)
def test_a_metric_selector_narrows_by_pod_labels_and_is_repeated(
    get: Any, pods: Any, selector: str, matching: list[str], echo: Any
) -> None:
    pods.add("a", labels={"tier": "gold"}, running=1)
    pods.add("b", labels={"tier": "tin"}, running=1)
    pods.add("c", labels={}, running=1)
    query = f"metricLabelSelector={selector.replace(' ', '+')}"
    reply = get(f"{V1}/*/inflight_requests_running?{query}")
    assert names(reply) == matching
    assert all(item["selector"] == echo for item in reply.json()["items"])
    for item in get(f"{V2}/*/inflight_requests_running?{query}").json()["items"]:
        assert item["metric"]["selector"] == echo


def test_both_selectors_must_match(get: Any, pods: Any) -> None:
    pods.add("a", labels={"app": "x", "tier": "gold"}, running=1)
    pods.add("b", labels={"app": "y", "tier": "gold"}, running=1)
    query = "labelSelector=app%3Dx&metricLabelSelector=tier%3Dgold"
    assert names(get(f"{V1}/*/inflight_requests_running?{query}")) == ["a"]
    query = "labelSelector=app%3Dx&metricLabelSelector=tier%3Dtin"
    message = get(f"{V1}/*/inflight_requests_running?{query}").refusal(404)
    assert "app=x" in message
    assert "tier=tin" in message


def test_a_named_pod_outside_the_metric_selector_is_not_found(get: Any, pods: Any) -> None:
    pods.add("a", labels={"tier": "gold"}, running=1)
    assert get(f"{V1}/a/inflight_requests_running?metricLabelSelector=tier%3Dgold").status == 200
    get(f"{V1}/a/inflight_requests_running?metricLabelSelector=tier%3Dtin").refusal(404)


@pytest.mark.parametrize("selector", ["rank>5", "rank<5"])
def test_a_metric_selector_has_no_order(get: Any, pods: Any, selector: str) -> None:
    pods.add("a", labels={"rank": "7"}, running=1)
    query = selector.replace("<", "%3C").replace(">", "%3E")
    assert "neither < nor >" in get(f"{V1}/*/inflight_requests_running?metricLabelSelector={query}").refusal(404)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300, -1.0])
def test_what_is_no_number_of_requests_is_left_out(get: Any, pods: Any, value: float) -> None:
    pods.add("a", running=1)
    pods.add("b", running=value)
    assert names(get(f"{V1}/*/inflight_requests_running")) == ["a"]
    get(f"{V1}/b/inflight_requests_running").refusal(404)


def test_an_unknown_metric_names_those_that_exist(get: Any, pods: Any) -> None:
    pods.add("a", running=1)
    message = get(f"{V1}/*/inflight_request_running").refusal(404)
    assert message.startswith("the server could not find the metric inflight_request_running for pods")
    assert message.endswith(
        "did you mean inflight_requests_running, inflight_requests_waiting or inflight_requests?"
        " kubectl get --raw /apis/custom.metrics.k8s.io/v1beta1 lists all names"
    )
    stranger = get(f"{V1}/*/{'x' * 500}").refusal(404)
    assert stranger.endswith("for pods: kubectl get --raw /apis/custom.metrics.k8s.io/v1beta1 lists all names")
    assert len(stranger) < 480


@pytest.mark.parametrize(
    "path",
    [
        "namespaces/inference/deployments.apps/vllm/inflight_requests",
        "namespaces/inference/pods.apps/a/inflight_requests",
        "namespaces/inference/po/a/inflight_requests",
        "namespaces/inference/services/*/inflight_requests",
        "namespaces/inference/metrics/inflight_requests",
        "namespaces/*/metrics/inflight_requests",
        "nodes/n/inflight_requests",
        "nodes/*/inflight_requests",
    ],
)
def test_other_objects_have_no_metrics_here(get: Any, pods: Any, path: str) -> None:
    pods.add("a", in_flight=1)
    message = get(f"/apis/custom.metrics.k8s.io/v1beta1/{path}").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests for ")
    assert "pods only" in message


def test_pods_without_a_namespace_are_not_found(get: Any, pods: Any) -> None:
    pods.add("a", in_flight=1)
    assert "namespace" in get("/apis/custom.metrics.k8s.io/v1beta1/pods/*/inflight_requests").refusal(404)


def test_a_clients_text_is_repeated_only_in_part(get: Any) -> None:
    message = get(f"{V1}/{'p' * 1500}/{'m' * 1500}").refusal(404)
    assert len(message) < 2500
    assert "m" * 101 not in message
