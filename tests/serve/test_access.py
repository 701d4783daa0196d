"""Who gets what: the token, the methods, the representations."""

from typing import Any

import pytest

from inflight.serve.api.handler import MetricsApi

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"
GUARDED = ["/", "/apis", "/version", "/metrics", EXTERNAL, "/nothing", "/openapi/v2", "/healthz/", "/healthz/ping"]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("authorization", ["", "   ", "Bearer", "Bearer  "])
def test_without_credentials_everything_is_forbidden(get: Any, path: str, authorization: str) -> None:
    get(path, authorization=authorization).refusal(403)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer t0ken x", "Basic t0ken", "t0ken", "Bearer t0kén"])
def test_with_wrong_credentials_nothing_is_authorized(get: Any, path: str, authorization: str) -> None:
    reply = get(path, authorization=authorization)
    reply.refusal(401)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["Bearer t0ken", "bearer t0ken", "BEARER  t0ken "])
def test_the_scheme_is_read_in_any_case(get: Any, authorization: str) -> None:
    assert get("/apis", authorization=authorization).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/healthz?verbose"])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong"])
def test_health_is_open(get: Any, path: str, authorization: str) -> None:
    reply = get(path, authorization=authorization)
    assert (reply.status, reply.body) == (200, b"ok")
    assert get(path, "HEAD", authorization=authorization).status == 200
    assert get(path, "POST", authorization=authorization).status == 405


def test_an_empty_token_is_not_taken(pods: Any, clock: Any) -> None:
    with pytest.raises(ValueError, match="token"):
        MetricsApi(pods, clock, "")


def test_refusals_never_hold_the_token(get: Any) -> None:
    for authorization in ("", "Bearer wrong"):
        assert b"t0ken" not in get("/apis", authorization=authorization).body


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/apis", "/metrics", EXTERNAL])
def test_reading_is_all_that_can_be_done(get: Any, method: str, path: str) -> None:
    reply = get(path, method)
    reply.refusal(405)
    assert reply.headers["Allow"] == "GET"


def test_a_body_is_refused_and_ends_the_connection(get: Any) -> None:
    reply = get("/apis", has_body=True)
    reply.refusal(400)
    assert reply.close


@pytest.mark.parametrize("accept", ["text/html", "garbage", "application/json;as=Table;v=v1;g=meta.k8s.io"])
def test_what_cannot_be_served_is_not_acceptable(get: Any, pods: Any, accept: str) -> None:
    pods.add("a", in_flight=1)
    get(EXTERNAL, accept=accept).refusal(406)
    get("/apis/custom.metrics.k8s.io/v1beta1", accept=accept).refusal(406)


def test_our_own_metrics_are_text_whatever_is_accepted(get: Any) -> None:
    assert get("/metrics", accept="text/html").content_type.startswith("text/plain; version=0.0.4")


def test_yaml_for_those_who_ask_for_it(get: Any, pods: Any) -> None:
    pods.add("a", in_flight=2)
    assert get(EXTERNAL, accept="application/yaml").yaml()["items"][0]["value"] == "2"
    status = get(EXTERNAL + "x", accept="application/yaml")
    assert status.status == 404
    assert status.yaml()["code"] == 404


def test_a_refusal_is_json_where_nothing_is_acceptable(get: Any) -> None:
    get("/nothing", accept="text/html").refusal(404)


def test_pretty_on_request_and_for_people(get: Any) -> None:
    plain, pretty = get("/version").body, get("/version?pretty=true").body
    assert plain.count(b"\n") == 1
    assert pretty.count(b"\n") > 3
    assert get("/version", user_agent="curl/8.5.0").body == pretty
    assert get("/version?pretty=false", user_agent="curl/8.5.0").body == plain
    assert get("/version", user_agent="kube-controller-manager/v1.37.0").body == plain


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/api", "/apis/metrics.k8s.io", "/x", "/debug/pprof"])
def test_nothing_else_is_served(get: Any, path: str) -> None:
    assert get(path).refusal(404) == "the server could not find the requested resource"


def test_a_target_that_cannot_be_read_is_refused_before_all_else(get: Any) -> None:
    get("nonsense", authorization="").refusal(400)
    get("/%zz", authorization="").refusal(400)
    get("/" + "a" * 5000, authorization="").refusal(414)


def test_requests_are_counted_by_api_and_code(get: Any, pods: Any, telemetry: Any) -> None:
    pods.add("a", in_flight=2)
    get(EXTERNAL)
    get(EXTERNAL, authorization="")
    get(EXTERNAL, authorization="Bearer x")
    get(EXTERNAL + "?labelSelector=a%3Db")
    get("/healthz")
    assert telemetry.requests == {
        ("external", 200): 1,
        ("other", 403): 1,
        ("other", 401): 1,
        ("external", 404): 1,
        ("health", 200): 1,
    }
    assert telemetry.answers == {("external", "complete"): 1}
    assert telemetry.refusals == {"no_pods": 1}
