"""Paths and their traps."""

import pytest

from inflight.serve.api.refusals import Refused
from inflight.serve.api.routes import CustomQuery, Discovery, ExternalQuery, Health, Plain, Route, api_of, find_route

CUSTOM = "/apis/custom.metrics.k8s.io/v1beta1"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


def route(path: str) -> Route | None:
    return find_route(tuple(path[1:].split("/")))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", Plain("")),
        ("/version", Plain("version")),
        ("/metrics", Plain("metrics")),
        ("/healthz", Health("healthz")),
        ("/livez", Health("livez")),
        ("/readyz", Health("readyz")),
        ("/apis", Discovery()),
        ("/apis/", Discovery()),
        ("/apis/custom.metrics.k8s.io", Discovery("custom.metrics.k8s.io")),
        ("/apis/custom.metrics.k8s.io/", Discovery("custom.metrics.k8s.io")),
        (CUSTOM, Discovery("custom.metrics.k8s.io", "v1beta1")),
        (CUSTOM + "/", Discovery("custom.metrics.k8s.io", "v1beta1")),
        ("/apis/custom.metrics.k8s.io/v1beta2", Discovery("custom.metrics.k8s.io", "v1beta2")),
        (EXTERNAL, Discovery("external.metrics.k8s.io", "v1beta1")),
        (f"{CUSTOM}/namespaces/ns/pods/p/m", CustomQuery("v1beta1", "pods", "p", "m", "ns")),
        (f"{CUSTOM}/namespaces/ns/pods/*/m", CustomQuery("v1beta1", "pods", "*", "m", "ns")),
        (f"{CUSTOM}/namespaces/ns/pods//m", CustomQuery("v1beta1", "pods", "*", "m", "ns")),
        (f"{CUSTOM}/namespaces/ns/deployments.apps/d/m", CustomQuery("v1beta1", "deployments.apps", "d", "m", "ns")),
        (f"{CUSTOM}/namespaces/ns/metrics/m", CustomQuery("v1beta1", "namespaces", "ns", "m")),
        (f"{CUSTOM}/namespaces/*/metrics/m", CustomQuery("v1beta1", "namespaces", "*", "m")),
        (f"{CUSTOM}/nodes/n/m", CustomQuery("v1beta1", "nodes", "n", "m")),
        (f"{CUSTOM}/pods/p/m", CustomQuery("v1beta1", "pods", "p", "m")),
        (f"{EXTERNAL}/namespaces/ns/m", ExternalQuery("ns", "m")),
    ],
)
def test_a_path_is_a_question(path: str, expected: Route) -> None:
    assert route(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/healthz/ping",
        "/openapi/v2",
        "/openapi/v3",
        "/apis/metrics.k8s.io",
        "/apis/metrics.k8s.io/v1beta1/pods",
        "/apis/custom.metrics.k8s.io/v1beta3",
        "/apis/external.metrics.k8s.io/v1beta2",
        f"{CUSTOM}/nodes/foo",
        f"{CUSTOM}/namespaces/ns",
        f"{CUSTOM}/namespaces/ns/pods/bar",
        f"{CUSTOM}/namespaces/ns/pods/bar/m/more",
        f"{EXTERNAL}/namespaces/ns",
        f"{EXTERNAL}/nodes/ns/m",
        f"{EXTERNAL}/namespaces/ns/m/more",
    ],
)
def test_nothing_is_served_elsewhere(path: str) -> None:
    assert route(path) is None


def test_a_namespaced_path_that_is_one_segment_short_is_a_bad_request() -> None:
    with pytest.raises(Refused) as caught:
        route(f"{CUSTOM}/namespaces/ns/x")
    assert caught.value.code == 400
    assert caught.value.message.startswith("invalid request path")


def test_each_route_belongs_to_an_api() -> None:
    paths = {"/readyz": "health", "/apis": "discovery", "/metrics": "metrics", "/version": "other"}
    paths |= {f"{CUSTOM}/nodes/n/m": "custom", f"{EXTERNAL}/namespaces/ns/m": "external", "/none": "other"}
    assert {path: api_of(route(path)) for path in paths} == paths
