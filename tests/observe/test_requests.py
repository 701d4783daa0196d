"""What is asked, path for path and selector for selector, and what becomes of each kind of answer.

The paths and texts are those that kube-controller-manager's own client sends and says.
"""

import pytest

from inflight.observe.looking.metric_requests import duration_ns

from .asking import answer_of
from .fake_cluster import FakeCluster, cpu, external, object_metric, pod, pods_metric, status

GET = "(get load.external.metrics.k8s.io)"
CUSTOM = "unable to fetch metrics from custom metrics API: "


def asked(cluster: FakeCluster, part: str) -> list[tuple[str, dict[str, str]]]:
    return [(path, query) for path, query in cluster.requests if part in path]


def metric_errors(cluster: FakeCluster) -> list[str]:
    return [metric["error"] for metric in answer_of(cluster)["explanation"]["trace"]["metrics"]]


def test_a_resource_is_asked_by_the_scales_selector(cluster: FakeCluster) -> None:
    cluster.put_hpa(cpu(50))
    cluster.put_scale(5, selector="tier in (b,a),app=llm")
    cluster.pods = [pod("x", labels_extra=None) | {"metadata": {"name": "x", "labels": {"app": "llm", "tier": "a"}}}]
    cluster.put_cpu({"x": "250m"})
    answer_of(cluster)
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"
    assert asked(cluster, "/apis/metrics.k8s.io") == [(path, {"labelSelector": "app=llm,tier in (a,b)"})]


def test_two_entries_about_the_same_pods_are_one_request(cluster: FakeCluster) -> None:
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "2Gi"}}
    cluster.put_hpa(cpu(50), {"type": "Resource", "resource": memory})
    cluster.put_cpu({f"llm-{index}": "500m" for index in range(5)})
    metrics = answer_of(cluster)["explanation"]["trace"]["metrics"]
    assert len(asked(cluster, "/apis/metrics.k8s.io")) == 1
    assert [metric["calculation"]["usage_milli"] for metric in metrics] == [500, 2**30 * 1000]


def test_a_container_counts_alone(cluster: FakeCluster) -> None:
    source = {"name": "cpu", "container": "engine", "target": {"type": "AverageValue", "averageValue": "1"}}
    cluster.put_hpa({"type": "ContainerResource", "containerResource": source})
    cluster.put_cpu({"llm-0": "5"})
    [listed] = cluster.answers["metrics.k8s.io/pods"]["items"]
    listed["containers"].append({"name": "engine", "usage": {"cpu": "700m"}})
    [metric] = answer_of(cluster)["explanation"]["trace"]["metrics"]
    assert metric["calculation"]["usage_milli"] == 700
    assert metric["calculation"]["pods"]["missing"] == ["llm-1", "llm-2", "llm-3", "llm-4"]


def test_a_pod_of_which_a_container_lacks_the_resource_is_missing_and_the_list_is_not_empty(
    cluster: FakeCluster,
) -> None:
    cluster.put_hpa(cpu(50))
    cluster.put_cpu({"llm-0": "500m"})
    [listed] = cluster.answers["metrics.k8s.io/pods"]["items"]
    listed["containers"].append({"name": "sidecar", "usage": {"memory": "1Gi"}})
    assert metric_errors(cluster) == [
        "failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)"
    ]


def test_pods_metrics_are_asked_in_the_preferred_version_with_both_selectors(cluster: FakeCluster) -> None:
    selector = {"matchLabels": {"model": "m"}}
    cluster.put_hpa(pods_metric(selector=selector))
    cluster.put_custom({f"llm-{index}": "12" for index in range(5)})
    answer = answer_of(cluster)
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/inflight"
    assert asked(cluster, "/apis/custom.metrics") == [
        (path, {"labelSelector": "app=llm", "metricLabelSelector": "model=m"})
    ]
    assert answer["explanation"]["replicas_after"] == 6


@pytest.mark.parametrize(
    ("versions", "asked_in"),
    [(("v1beta1",), "v1beta1"), (("v1beta1", "v1beta2"), "v1beta1"), (("v9", "v1beta1"), "v1beta1")],
)
def test_the_clusters_preference_counts_among_the_versions_known(
    cluster: FakeCluster, versions: tuple[str, ...], asked_in: str
) -> None:
    cluster.groups["custom.metrics.k8s.io"] = versions
    cluster.put_hpa(pods_metric())
    cluster.put_custom({f"llm-{index}": "12" for index in range(5)})
    answer_of(cluster)
    assert asked(cluster, "/apis/custom.metrics")[0][0].split("/")[3] == asked_in


@pytest.mark.parametrize("is_plain", [False, True])
def test_objects_are_asked_by_resource_and_group(cluster: FakeCluster, is_plain: bool) -> None:
    cluster.is_plain = is_plain
    cluster.put_hpa(object_metric(), object_metric(kind="Deployment", of="llm"), object_metric(kind="Namespace"))
    item = {"describedObject": {"name": "any"}, "value": "20"}
    for path in ("services/gateway/queue", "deployments.apps/llm/queue", "metrics/queue"):
        cluster.answers[f"custom.metrics.k8s.io/{path}"] = {"items": [item]}
    metrics = answer_of(cluster)["explanation"]["trace"]["metrics"]
    prefix = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop"
    assert asked(cluster, "/apis/custom.metrics.k8s.io/v1beta2/namespaces") == [
        (f"{prefix}/services/gateway/queue", {}),
        (f"{prefix}/deployments.apps/llm/queue", {}),
        (f"{prefix}/metrics/queue", {}),
    ]
    assert [metric["calculation"]["usage_milli"] for metric in metrics] == [20_000] * 3


def test_an_object_of_several_values_or_of_an_unknown_kind_is_an_error(cluster: FakeCluster) -> None:
    cluster.put_hpa(object_metric(), object_metric(kind="Rocket"))
    cluster.answers["custom.metrics.k8s.io/services/gateway/queue"] = {"items": []}
    first, second = metric_errors(cluster)
    assert first == (
        "unable to get metric queue on Service shop/gateway: "
        f"{CUSTOM}the custom metrics API server returned 0 results when we asked for exactly one"
    )
    assert second.endswith(
        f'{CUSTOM}unable to map kind Rocket.apps to resource: no matches for kind "Rocket" in group "apps"'
    )


def test_external_metrics_are_asked_by_name_and_selector(cluster: FakeCluster) -> None:
    selector = {"matchExpressions": [{"key": "q", "operator": "NotIn", "values": ["b", "a"]}]}
    cluster.put_hpa(external(selector=selector), external(name="plain", selector={}))
    cluster.put_external("40", "50")
    cluster.put_external("1", name="plain")
    [first, _] = answer_of(cluster)["explanation"]["trace"]["metrics"]
    prefix = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop"
    assert asked(cluster, "/apis/external.metrics") == [
        (f"{prefix}/load", {"labelSelector": "q notin (a,b)"}),
        (f"{prefix}/plain", {}),
    ]
    assert first["calculation"]["total_milli"] == 90_000


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"items": []}, "no metrics returned from external metrics API"),
        (None, "the server could not find the requested resource (get load.external.metrics.k8s.io)"),
        ((404, status(404, "NotFound", "metric load not found")), "metric load not found"),
        ((503, "service unavailable\n"), f"the server is currently unable to handle the request {GET}"),
        (
            (500, "panic\n"),
            f'an error on the server ("panic") has prevented the request from succeeding {GET}',
        ),
        ((500, {"message": "half a status"}), "has prevented the request from succeeding"),
        ((418, "tea"), "the server responded with the status code 418 but did not return more information"),
    ],
)  # fmt: skip
def test_failures_are_said_in_the_words_of_the_controllers_client(
    cluster: FakeCluster, answer: object, text: str
) -> None:
    if answer is None:
        del cluster.groups["external.metrics.k8s.io"]
    else:
        cluster.answers["external.metrics.k8s.io/load"] = answer
    [error] = metric_errors(cluster)
    assert error.startswith("unable to get external metric shop/load/nil: ")
    assert text in error


def test_custom_metrics_that_nothing_serves(cluster: FakeCluster) -> None:
    cluster.put_hpa(pods_metric())
    cluster.stale.add("custom.metrics.k8s.io")
    assert metric_errors(cluster) == [
        f"unable to get metric inflight: {CUSTOM}no known available metric versions found"
    ]
    del cluster.groups["custom.metrics.k8s.io"]
    assert metric_errors(cluster) == [
        f"unable to get metric inflight: {CUSTOM}no custom metrics API (custom.metrics.k8s.io) registered"
    ]


def test_a_value_is_rounded_as_the_controller_rounds_it(cluster: FakeCluster) -> None:
    cluster.put_external("0.0001", "1e3", "5Ki")
    [metric] = answer_of(cluster)["explanation"]["trace"]["metrics"]
    assert metric["calculation"]["total_milli"] == 1 + 1_000_000 + 5_120_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("30s", 30e9), ("1m0s", 60e9), ("15.02s", 15.02e9), ("1h2m3.5s", 3723.5e9), ("500ms", 5e8), ("0s", 0), ("", 0),
     ("soon", 0), ("-5s", -5e9), ("9999999999h", -(2**63))],
)  # fmt: skip
def test_windows_are_go_durations(text: str, nanoseconds: float) -> None:
    if nanoseconds == -(2**63):
        assert -(2**63) <= duration_ns(text) < 2**63
    else:
        assert duration_ns(text) == round(nanoseconds)
