"""Query parameters: what is refused, and that the rest has no effect."""

from typing import Any

import pytest

CUSTOM = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/inference/pods/*/inflight_requests"
NAMED = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/inference/pods/a/inflight_requests"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"


@pytest.fixture(autouse=True)
def _one_pod(pods: Any) -> None:
    pods.add("a", in_flight=1)


@pytest.mark.parametrize("path", [CUSTOM, NAMED, EXTERNAL])
@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=9223372036854775808",
        "timeoutSeconds=x",
        "timeout=x",
        "timeout=5",
        "timeout=1d",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=%2F",
        "labelSelector=app%3D" + "x" * 64,
        "labelSelector=model+in+(",
        "fieldSelector=spec.nodeName%3Dn",
        "fieldSelector=metadata.name",
        "fieldSelector=metadata.name%3Da%5C",
    ],
)
def test_what_cannot_be_read_is_a_bad_request(get: Any, path: str, query: str) -> None:
    get(f"{path}?{query}").refusal(400)


@pytest.mark.parametrize("path", [CUSTOM, NAMED, EXTERNAL])
@pytest.mark.parametrize(
    "query",
    [
        "limit=1",
        "limit=-1",
        "continue=abc",
        "resourceVersion=0",
        "timeoutSeconds=3",
        "timeout=30s",
        "timeout=1h2m3.5s",
        "timeout=-1s",
        "timeout=0",
        "timeout=",
        "labelSelector=",
        "labelSelector=%zz",
        "fieldSelector=",
        "allowWatchBookmarks=x",
        "pretty=maybe",
        "selector=app%3Dnone",
        "whatever=1",
    ],
)
def test_what_has_no_effect_is_taken(get: Any, path: str, query: str) -> None:
    assert len(get(f"{path}?{query}").json()["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Exact&resourceVersion=0",
        "resourceVersionMatch=Sometimes&resourceVersion=1",
        "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
        "sendInitialEvents=true",
        "sendInitialEvents=false",
    ],
)
def test_senseless_combinations_are_invalid_in_the_external_api_only(get: Any, query: str) -> None:
    assert "is invalid" in get(f"{EXTERNAL}?{query}").refusal(422)
    assert len(get(f"{CUSTOM}?{query}").json()["items"]) == 1


def test_a_good_resource_version_match_is_taken(get: Any) -> None:
    assert get(f"{EXTERNAL}?resourceVersionMatch=NotOlderThan&resourceVersion=1").status == 200


def test_a_field_selector_of_a_custom_metric_must_demand_the_name_of_the_path(get: Any) -> None:
    assert get(f"{NAMED}?fieldSelector=metadata.name%3Da").status == 200
    assert get(f"{NAMED}?fieldSelector=metadata.name%3D%3Da,metadata.namespace%3Dinference").status == 200
    get(f"{NAMED}?fieldSelector=metadata.name%3Db").refusal(400)
    get(f"{NAMED}?fieldSelector=metadata.name!%3Db").refusal(400)
    get(f"{NAMED}?fieldSelector=metadata.namespace%3Dinference").refusal(400)
    get(f"{CUSTOM}?fieldSelector=metadata.name%3Da").refusal(400)
    get(f"{CUSTOM}?fieldSelector=metadata.name%3D*").refusal(400)


def test_a_field_selector_of_an_external_metric_has_no_effect(get: Any) -> None:
    assert get(f"{EXTERNAL}?fieldSelector=metadata.name%3Db").status == 200


def test_a_metric_label_selector_that_cannot_be_read_is_a_bad_request(get: Any) -> None:
    get(f"{CUSTOM}?metricLabelSelector=a%3D%3D%3Db").refusal(400)
    get(f"{NAMED}?metricLabelSelector=a%3D%3D%3Db").refusal(400)
    assert get(f"{EXTERNAL}?metricLabelSelector=a%3D%3D%3Db").status == 200


def test_of_a_repeated_parameter_the_first_counts(get: Any) -> None:
    assert get(f"{EXTERNAL}?labelSelector=app%3Dvllm&labelSelector=app%3Dnone").status == 200
    get(f"{EXTERNAL}?labelSelector=app%3Dnone&labelSelector=app%3Dvllm").refusal(404)


@pytest.mark.parametrize("path", ["/apis", "/version", EXTERNAL])
def test_a_malformed_timeout_is_refused_everywhere(get: Any, path: str) -> None:
    get(f"{path}?timeout=soon").refusal(400)
