"""What clients are told before they ask for values."""

import json
from typing import Any

import pytest

from inflight import __version__
from inflight.serve.api.release import to_semver
from inflight.signals.metric_names import served_names

CUSTOM = {
    "name": "custom.metrics.k8s.io",
    "versions": [
        {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
        {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
    ],
    "preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
}
EXTERNAL_VERSION = {"groupVersion": "external.metrics.k8s.io/v1beta1", "version": "v1beta1"}
EXTERNAL = {
    "name": "external.metrics.k8s.io",
    "versions": [EXTERNAL_VERSION],
    "preferredVersion": EXTERNAL_VERSION,
}
AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
)


def test_the_groups(get: Any) -> None:
    expected = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [CUSTOM, EXTERNAL]}
    assert get("/apis").json() == expected
    assert get("/apis/").json() == expected
    assert get("/apis", accept=AGGREGATED).json() == expected


def test_one_group(get: Any) -> None:
    assert get("/apis/custom.metrics.k8s.io").json() == {"kind": "APIGroup", "apiVersion": "v1", **CUSTOM}
    assert get("/apis/external.metrics.k8s.io").json() == {"kind": "APIGroup", "apiVersion": "v1", **EXTERNAL}


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_custom_metrics_are_listed_for_pods(get: Any, version: str) -> None:
    document = get(f"/apis/custom.metrics.k8s.io/{version}").json()
    assert document["kind"] == "APIResourceList"
    assert document["apiVersion"] == "v1"
    assert document["groupVersion"] == f"custom.metrics.k8s.io/{version}"
    assert document["resources"][0] == {
        "name": "pods/DCGM",
        "singularName": "",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    } | {"name": document["resources"][0]["name"]}
    assert [resource["name"] for resource in document["resources"]] == [f"pods/{name}" for name in served_names()]


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_in_a_cluster_they_are_listed_for_workloads_too(cluster_get: Any, version: str) -> None:
    resources = cluster_get(f"/apis/custom.metrics.k8s.io/{version}").json()["resources"]
    listed = [resource["name"] for resource in resources]
    kinds = ("deployments.apps", "pods", "statefulsets.apps")
    assert listed == [f"{kind}/{name}" for kind in kinds for name in served_names()]
    assert {(one["singularName"], one["namespaced"], one["kind"], *one["verbs"]) for one in resources} == {
        ("", True, "MetricValueList", "get")
    }


def test_every_metric_listed_for_a_workload_can_be_read(cluster_get: Any, pods: Any, workloads: Any) -> None:
    from inflight.signals.metric_names import METRICS

    pods.add("a", **{metric.signal: 0.5 for metric in METRICS})
    workloads.add("w", resource="deployments.apps")
    workloads.add("w", resource="statefulsets.apps")
    for resource in cluster_get("/apis/custom.metrics.k8s.io/v1beta2").json()["resources"]:
        kind, _, metric = resource["name"].partition("/")
        name = "*" if kind == "pods" else "w"
        path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/{kind}/{name}/{metric}"
        assert cluster_get(path).json()["items"][0]["metric"]["name"] == metric


def test_external_metrics_are_listed(get: Any) -> None:
    document = get("/apis/external.metrics.k8s.io/v1beta1").json()
    assert document["groupVersion"] == "external.metrics.k8s.io/v1beta1"
    assert [resource["name"] for resource in document["resources"]] == served_names()
    assert {json.dumps({**resource, "name": ""}) for resource in document["resources"]} == {
        json.dumps(
            {"name": "", "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
        )
    }


def test_every_listed_metric_can_be_read(get: Any, pods: Any) -> None:
    from inflight.signals.metric_names import METRICS

    pods.add("a", **{metric.signal: 0.5 for metric in METRICS})
    for resource in get("/apis/external.metrics.k8s.io/v1beta1").json()["resources"]:
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/{resource['name']}"
        assert get(path).json()["items"][0]["value"] == "500m", resource["name"]
    for resource in get("/apis/custom.metrics.k8s.io/v1beta2").json()["resources"]:
        metric = resource["name"].removeprefix("pods/")
        path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods/*/{metric}"
        assert get(path).json()["items"][0]["metric"]["name"] == metric


def test_the_documents_are_small(get: Any, cluster_get: Any) -> None:
    """kube-aggregator reads none of it when it looks whether we live: five at once, each time."""
    assert len(get("/apis/custom.metrics.k8s.io/v1beta1").body) < 32_000
    assert len(cluster_get("/apis/custom.metrics.k8s.io/v1beta1").body) < 64_000


def test_version_and_paths(get: Any) -> None:
    version = get("/version").json()
    assert (version["major"], version["minor"]) == ("1", "0")
    assert version["gitVersion"] == f"v{to_semver(__version__)}"
    paths = get("/").json()["paths"]
    assert paths == sorted(paths)
    assert "/apis/external.metrics.k8s.io/v1beta1" in paths
    assert "/metrics" in paths


def test_discovery_in_yaml(get: Any) -> None:
    assert get("/apis", accept="application/yaml").yaml()["kind"] == "APIGroupList"
