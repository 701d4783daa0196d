"""Object metrics: one value of a workload, from the pods of its own selector, or an error that the HPA shows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from inflight.objects import EVERYTHING, NOTHING, LabelSelector, LabelSelectorRequirement, Selector
from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request

V1 = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/inference"
V2 = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference"
OBJECT = "deployments.apps/vllm/inflight_requests"
NOW = 1_800_000_000.25


def value(reply: Any) -> str:
    """Of exactly one item: the HPA's client takes no other answer."""
    (item,) = reply.json()["items"]
    text: str = item["value"]
    return text


@pytest.fixture
def fleet(pods: Any, workloads: Any) -> Any:
    """Three pods of a Deployment, one of another, and one of the same labels in another namespace."""
    pods.add("vllm-1", labels={"app": "vllm", "tier": "gold"}, in_flight=10.5, kv_utilization=0.2, ttft_p95=1.5)
    pods.add("vllm-2", labels={"app": "vllm", "tier": "gold"}, in_flight=20, kv_utilization=0.4, ttft_p95=2.5)
    pods.add("vllm-3", labels={"app": "vllm"}, in_flight=30, kv_utilization=0.9, ttft_p95=0.5)
    pods.add("other", labels={"app": "else"}, in_flight=500, kv_utilization=1, ttft_p95=9)
    pods.add("vllm-1", labels={"app": "vllm"}, namespace="elsewhere", in_flight=500)
    workloads.add("vllm", "app=vllm")
    return pods


def test_the_pods_of_a_deployment_are_one_value_in_v1beta1(cluster_get: Any, fleet: Any) -> None:
    fleet.change("vllm-2", "in_flight", received_at=NOW - 9)
    assert cluster_get(f"{V1}/{OBJECT}").json() == {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "describedObject": {
                    "kind": "Deployment",
                    "namespace": "inference",
                    "name": "vllm",
                    "apiVersion": "apps/v1",
                },
                "metricName": "inflight_requests",
                "timestamp": "2027-01-15T07:59:51Z",
                "value": "60500m",
                "selector": None,
            }
        ],
    }
    assert fleet.asked == [("in_flight", "inference")]


def test_the_same_in_v1beta2(cluster_get: Any, fleet: Any) -> None:
    assert cluster_get(f"{V2}/{OBJECT}").json() == {
        "kind": "MetricValueList",
        "apiVersion": "custom.metrics.k8s.io/v1beta2",
        "metadata": {},
        "items": [
            {
                "describedObject": {
                    "kind": "Deployment",
                    "namespace": "inference",
                    "name": "vllm",
                    "apiVersion": "apps/v1",
                },
                "metric": {"name": "inflight_requests", "selector": None},
                "timestamp": "2027-01-15T07:59:59Z",
                "value": "60500m",
            }
        ],
    }


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("inflight_requests", "60500m"), ("inflight_kv_utilization", "500m"), ("inflight_ttft_seconds_p95", "2500m")],
)
def test_pods_combine_as_the_metric_says(cluster_get: Any, fleet: Any, metric: str, expected: str) -> None:
    assert value(cluster_get(f"{V2}/deployments.apps/vllm/{metric}")) == expected


def test_an_engine_that_counts_the_whole_pool_is_not_added(cluster_get: Any, fleet: Any) -> None:
    for name in ("vllm-1", "vllm-2", "vllm-3"):
        fleet.change(name, "in_flight", across="max")
    assert value(cluster_get(f"{V2}/{OBJECT}")) == "30"


def test_an_alias_is_answered_under_the_name_that_was_asked(cluster_get: Any, pods: Any, workloads: Any) -> None:
    pods.add("a", running=3)
    workloads.add()
    item = cluster_get(f"{V2}/deployments.apps/vllm/vllm%3Anum_requests_running").json()["items"][0]
    assert (item["metric"]["name"], item["value"]) == ("vllm:num_requests_running", "3")


@pytest.mark.parametrize(
    ("resource", "kind", "api_version"),
    [
        ("statefulsets.apps", "StatefulSet", "apps/v1"),
        ("replicasets.apps", "ReplicaSet", "apps/v1"),
        ("replicationcontrollers", "ReplicationController", "v1"),
        ("leaderworkersets.leaderworkerset.x-k8s.io", "LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1"),
        ("rollouts.argoproj.io", "Rollout", "argoproj.io/v1alpha1"),
    ],
)
def test_anything_with_a_scale_is_described_as_it_is(  # noqa: PLR0917 - fixtures
    cluster_get: Any, pods: Any, workloads: Any, resource: str, kind: str, api_version: str
) -> None:
    pods.add("a", in_flight=7)
    workloads.add("w", resource=resource, kind=kind, api_version=api_version)
    reply = cluster_get(f"{V1}/{resource}/w/inflight_requests")
    assert value(reply) == "7"
    reference = {"kind": kind, "namespace": "inference", "name": "w", "apiVersion": api_version}
    assert reply.json()["items"][0]["describedObject"] == reference


@pytest.mark.parametrize("resource", ["Deployments.apps", "DEPLOYMENTS.apps"])
def test_the_case_of_a_resource_does_not_matter(cluster_get: Any, fleet: Any, resource: str) -> None:
    assert value(cluster_get(f"{V1}/{resource}/vllm/inflight_requests")) == "60500m"


def test_a_group_and_a_name_are_taken_as_they_are_written(cluster_get: Any, fleet: Any, workloads: Any) -> None:
    cluster_get(f"{V1}/Deployments.APPS/VLLM/inflight_requests").refusal(404)
    assert workloads.asked == [("inference", "deployments.APPS", "VLLM")]


@pytest.mark.parametrize(
    "selector",
    [
        "app in (vllm,x)",
        "app=vllm,tier!=tin",
        "app,app notin (else)",
        LabelSelector({}, (LabelSelectorRequirement("app", "In", ("vllm",)),)).to_selector(),
    ],
)
def test_every_form_of_selector_counts(cluster_get: Any, fleet: Any, workloads: Any, selector: Any) -> None:
    workloads.add("w", selector)
    assert value(cluster_get(f"{V1}/deployments.apps/w/inflight_requests")) == "60500m"


def test_selectors_that_overlap_each_count_all_their_pods(cluster_get: Any, fleet: Any, workloads: Any) -> None:
    workloads.add("gold", "tier=gold")
    assert value(cluster_get(f"{V1}/deployments.apps/gold/inflight_requests")) == "30500m"
    assert value(cluster_get(f"{V1}/{OBJECT}")) == "60500m"


@pytest.mark.parametrize(
    ("selector", "expected", "echo"),
    [
        ("tier=gold", "30500m", {"matchLabels": {"tier": "gold"}}),
        ("tier!=gold", "30", {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}),
        ("!tier", "30", {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
        ("", "60500m", None),
    ],
)
def test_a_metric_selector_narrows_the_pods_and_is_repeated(
    cluster_get: Any, fleet: Any, selector: str, expected: str, echo: Any
) -> None:
    first = cluster_get(f"{V1}/{OBJECT}?metricLabelSelector={selector}")
    assert (value(first), first.json()["items"][0]["selector"]) == (expected, echo)
    second = cluster_get(f"{V2}/{OBJECT}?metricLabelSelector={selector}")
    assert (value(second), second.json()["items"][0]["metric"]["selector"]) == (expected, echo)


def test_a_metric_selector_cannot_widen(cluster_get: Any, fleet: Any) -> None:
    message = cluster_get(f"{V1}/{OBJECT}?metricLabelSelector=app%3Delse").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests for deployments.apps vllm: ")
    assert (
        "none of the 4 pods watched in namespace 'inference' has labels that match 'app=vllm' and 'app=else'" in message
    )


def test_a_metric_selector_has_no_order_and_must_be_one(cluster_get: Any, fleet: Any) -> None:
    assert "neither < nor >" in cluster_get(f"{V1}/{OBJECT}?metricLabelSelector=rank%3E5").refusal(404)
    cluster_get(f"{V1}/{OBJECT}?metricLabelSelector=a,,b").refusal(400)


def test_the_label_selector_of_objects_counts_with_a_wildcard_only(cluster_get: Any, fleet: Any) -> None:
    assert value(cluster_get(f"{V1}/{OBJECT}?labelSelector=app%3Dnone")) == "60500m"


def test_a_field_selector_must_name_the_object(cluster_get: Any, fleet: Any) -> None:
    assert value(cluster_get(f"{V1}/{OBJECT}?fieldSelector=metadata.name%3Dvllm")) == "60500m"
    cluster_get(f"{V1}/{OBJECT}?fieldSelector=metadata.name%3Dother").refusal(400)


def test_a_pod_that_cannot_be_seen_makes_the_value_unknown(cluster_get: Any, fleet: Any, telemetry: Any) -> None:
    fleet.change("vllm-2", "in_flight", received_at=NOW - 20, failure="connection refused")
    message = cluster_get(f"{V1}/{OBJECT}").refusal(503)
    assert message.startswith("the value is not known now, which is not 0: inflight_requests: 1 of 3 pods unseen")
    assert "vllm-2 (connection refused)" in message
    assert telemetry.refusals == {"pods_unseen": 1}
    assert value(cluster_get(f"{V1}/{OBJECT}?metricLabelSelector=!tier")) == "30", "its own pod is seen"


def test_a_pod_that_settles_makes_the_value_unknown_until_it_has_been_read(
    cluster_get: Any, fleet: Any, telemetry: Any
) -> None:
    """It ran before it was watched: what it had in flight must not be missing from the sum after a restart of ours."""
    fleet.change("vllm-3", "in_flight", value=None, received_at=None, reported_before=False, settling=True)
    message = cluster_get(f"{V1}/{OBJECT}").refusal(503)
    assert message.startswith("the value is not known now, which is not 0: inflight_requests: ")
    assert telemetry.refusals == {"warming_up": 1}
    fleet.change("vllm-3", "in_flight", value=2.0, received_at=NOW, reported_before=True, settling=False)
    assert value(cluster_get(f"{V1}/{OBJECT}")) == "32500m"


def test_pods_without_a_value_are_an_error_and_not_0(cluster_get: Any, fleet: Any) -> None:
    assert "none of 3 pods has a value" in cluster_get(f"{V1}/deployments.apps/vllm/inflight_requests_waiting").refusal(
        503
    )


def test_a_sum_that_cannot_be_written_is_an_error(cluster_get: Any, pods: Any, workloads: Any) -> None:
    for number in range(9_300):
        pods.add(f"p{number}", in_flight=1e12)
    workloads.add()
    assert "no number" in cluster_get(f"{V1}/{OBJECT}").refusal(503)


def test_no_pod_of_the_workload_is_not_found_and_not_0(
    cluster_get: Any, fleet: Any, workloads: Any, telemetry: Any
) -> None:
    workloads.add("empty", "app=none")
    message = cluster_get(f"{V1}/deployments.apps/empty/inflight_requests").refusal(404)
    assert message == (
        "the server could not find the metric inflight_requests for deployments.apps empty: none of the 4 pods watched"
        " in namespace 'inference' has labels that match 'app=none'"
    )
    assert telemetry.refusals == {"no_pods": 1}


@pytest.mark.parametrize("selector", [EVERYTHING, NOTHING])
def test_a_workload_without_a_selector_has_no_pods(cluster_get: Any, fleet: Any, workloads: Any, selector: Any) -> None:
    """Else every pod of the namespace would be its own."""
    workloads.add("w", selector)
    cluster_get(f"{V1}/deployments.apps/w/inflight_requests").refusal(404)


def test_a_workload_that_is_not_known_is_not_found_for_the_reason_given(
    cluster_get: Any, fleet: Any, telemetry: Any
) -> None:
    reply = cluster_get(f"{V1}/deployments.apps/web/inflight_requests")
    assert reply.refusal(404) == (
        "the server could not find the metric inflight_requests for deployments.apps web: no HPA of inference names it"
    )
    assert reply.json()["details"]["causes"][0]["reason"] == "no_workload"
    assert telemetry.refusals == {"no_workload": 1}
    assert fleet.asked == []


def test_a_long_reason_is_cut(pods: Any, clock: Any) -> None:
    class Talkative:
        def workload(self, namespace: str, resource: str, name: str) -> str:
            return "x" * 100_000

        def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
            return ""

        def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
            return "y" * 100_000

    api = MetricsApi(pods, clock, "t", workloads=Talkative())
    for path in (f"{V1}/{OBJECT}", f"{V1}/pods/*/inflight_requests"):
        response = api.handle(Request("GET", path, "Bearer t"))
        assert response.status == 404
        assert len(response.body) < 2_000


@pytest.mark.parametrize("path", ["deployments.apps/*", "deployments.apps/%2A", "deployments.apps/"])
def test_all_workloads_at_once_have_no_value(cluster_get: Any, fleet: Any, workloads: Any, path: str) -> None:
    message = cluster_get(f"{V1}/{path}/inflight_requests").refusal(404)
    assert "ask deployments.apps/NAME/inflight_requests" in message
    assert workloads.asked == []


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("namespaces/inference/metrics/inflight_requests", "external metric of the same name without a selector"),
        ("namespaces/*/metrics/inflight_requests", "external metric of the same name without a selector"),
        ("nodes/n/inflight_requests", "ask namespaces/NS/"),
        ("deployments.apps/vllm/inflight_requests", "ask namespaces/NS/"),
    ],
)
def test_what_lives_in_no_namespace_has_no_metrics(cluster_get: Any, fleet: Any, path: str, advice: str) -> None:
    message = cluster_get(f"/apis/custom.metrics.k8s.io/v1beta1/{path}").refusal(404)
    assert message.startswith("the server could not find the metric inflight_requests for ")
    assert advice in message


def test_an_unknown_metric_names_those_that_exist_before_anything_else_is_asked(
    cluster_get: Any, fleet: Any, workloads: Any
) -> None:
    message = cluster_get(f"{V1}/deployments.apps/vllm/inflight_request").refusal(404)
    assert "for deployments.apps vllm: did you mean inflight_requests" in message
    assert workloads.asked == []


def test_with_targets_from_a_file_it_is_said_what_to_use_instead(get: Any, pods: Any) -> None:
    pods.add("a", in_flight=1)
    message = get(f"{V1}/{OBJECT}").refusal(404)
    assert message == (
        "the server could not find the metric inflight_requests for deployments.apps vllm: metrics are served for pods"
        " only, because the targets come from a file, which says nothing of workloads; for one value of a whole"
        " workload use the external metric of the same name with a selector of its pods"
    )


def test_while_the_fleet_is_not_known_there_is_no_sum(pods: Any, clock: Any, workloads: Any) -> None:
    pods.add("a", in_flight=1)
    workloads.add()
    api = MetricsApi(pods, clock, "t", workloads=workloads, warming_up=lambda _: "2 of 3 pods have not been read yet")

    def ask(path: str) -> Any:
        response = api.handle(Request("GET", path, "Bearer t"))
        return response.status, json.loads(response.body)

    status, body = ask(f"{V1}/{OBJECT}")
    assert (status, body["details"]["causes"][0]["reason"]) == (503, "warming_up")
    assert "2 of 3 pods have not been read yet" in body["message"]
    assert ask(f"{V1}/deployments.apps/web/inflight_requests")[0] == 503, "it may be found yet"
    assert ask(f"{V1}/deployments.apps/vllm/inflight_request")[0] == 404, "it will never be there"
    assert ask(f"{V1}/pods/*/inflight_requests")[0] == 200


def test_pods_are_asked_as_ever(cluster_get: Any, fleet: Any) -> None:
    items = cluster_get(f"{V2}/pods/*/inflight_requests?labelSelector=app%3Dvllm").json()["items"]
    assert [item["describedObject"]["name"] for item in items] == ["vllm-1", "vllm-2", "vllm-3"]


EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"


@pytest.mark.parametrize("path", [f"{V1}/pods/*/inflight_requests", f"{V1}/pods/a/inflight_requests", EXTERNAL])
def test_where_nothing_is_watched_it_is_said_why(cluster_get: Any, workloads: Any, path: str) -> None:
    assert cluster_get(path).refusal(404).endswith("no pod of namespace 'inference' is watched")
    workloads.unwatched = "no HPA there names a metric of ours"
    message = cluster_get(path).refusal(404)
    assert message.endswith("no pod of namespace 'inference' is watched: no HPA there names a metric of ours")


def test_where_other_pods_are_watched_it_is_said_what_is_not(cluster_get: Any, fleet: Any, workloads: Any) -> None:
    workloads.add("w", "app=w")
    workloads.unwatched = "the pod w-1 declares no port: annotate it with prometheus.io/port"
    advice = "; what is not watched there: the pod w-1 declares no port: annotate it with prometheus.io/port"
    paths = (
        f"{V1}/deployments.apps/w/inflight_requests",
        f"{V1}/pods/w-1/inflight_requests",
        f"{V1}/pods/*/inflight_requests?labelSelector=app%3Dw",
        f"{EXTERNAL}?labelSelector=app%3Dw",
    )
    for path in paths:
        assert cluster_get(path).refusal(404).endswith(advice)


def test_a_workload_whose_pods_are_not_watched_is_told_why_too(cluster_get: Any, workloads: Any) -> None:
    workloads.add()
    workloads.unwatched = "Inflight may not list pods there: grant ..."
    assert (
        cluster_get(f"{V1}/{OBJECT}").refusal(404).endswith("is watched: Inflight may not list pods there: grant ...")
    )


def test_answers_and_refusals_are_counted_as_custom(cluster_get: Any, fleet: Any, telemetry: Any) -> None:
    cluster_get(f"{V1}/{OBJECT}")
    cluster_get(f"{V1}/deployments.apps/web/inflight_requests")
    assert telemetry.answers == {("custom", "complete"): 1}
    assert telemetry.requests == {("custom", 200): 1, ("custom", 404): 1}


def test_a_clients_text_is_repeated_only_in_part(cluster_get: Any, workloads: Any) -> None:
    message = cluster_get(f"{V1}/{'d' * 1200}.apps/{'n' * 1200}/inflight_requests").refusal(404)
    assert len(message) < 1_000


def test_the_shipped_example_is_answered(cluster_get: Any, pods: Any, workloads: Any) -> None:
    import yaml

    example = Path(__file__).parents[2] / "examples" / "object-metric.yaml"
    deployment, hpa = yaml.safe_load_all(example.read_text())
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    labels = deployment["spec"]["selector"]["matchLabels"]
    workloads.add(name, LabelSelector(labels).to_selector(), namespace=namespace)
    pods.add("p", labels=deployment["spec"]["template"]["metadata"]["labels"], namespace=namespace, in_flight=4)
    (metric,) = hpa["spec"]["metrics"]
    described = metric["object"]["describedObject"]
    path = f"deployments.apps/{described['name']}/{metric['object']['metric']['name']}"
    assert value(cluster_get(f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{path}")) == "4"


@pytest.mark.parametrize(
    ("path", "selectors"),
    [
        (f"{V1}/{OBJECT}", ("app=vllm",)),
        (f"{V1}/{OBJECT}?metricLabelSelector=tier%3Dx", ("app=vllm", "tier=x")),
        (f"{EXTERNAL}?labelSelector=app%3Dvllm", ("app=vllm",)),
        (EXTERNAL, ()),
    ],
)
def test_no_sum_is_said_that_lacks_a_pod_which_nobody_reads(
    cluster_get: Any, workloads: Any, telemetry: Any, path: str, selectors: tuple[str, ...]
) -> None:
    workloads.add()
    workloads.incomplete = f"2 pods that match are not read: a, b: {'x' * 1000}"
    message = cluster_get(path).refusal(503)
    assert "not known now, which is not 0: inflight_requests: 2 pods that match are not read: a, b: xxx" in message
    assert len(message) < 600
    assert workloads.asked_whole == [("inference", selectors)]
    assert telemetry.refusals == {"incomplete": 1}


def test_what_a_sum_lacks_is_no_matter_for_a_list(cluster_get: Any, fleet: Any, workloads: Any) -> None:
    workloads.incomplete = "2 pods that match are not read"
    assert cluster_get(f"{V1}/pods/*/inflight_requests").status == 200
    assert workloads.asked_whole == []


def test_where_no_pod_matches_that_is_read_others_may(cluster_get: Any, fleet: Any, workloads: Any) -> None:
    workloads.incomplete = "1 pod that matches is not read: new"
    message = cluster_get(f"{EXTERNAL}?labelSelector=app%3Dnew").refusal(503)
    assert "1 pod that matches is not read: new" in message
