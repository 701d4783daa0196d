"""Statuses: complete, with code, reason and words as an API server gives them."""

import json

import pytest

from inflight.objects import FieldError, ObjectError, Status, decode_status, status, to_json, to_plain

GROUP = "custom.metrics.k8s.io"


MEDIA_TYPES = ["application/json", "application/yaml"]
OUTDATED = "please apply your changes to the latest version"
MESSAGES = [
    (status.bad_request("invalid request path"), 400, "BadRequest", "invalid request path"),
    (status.unauthorized(), 401, "Unauthorized", "Unauthorized"),
    (
        status.forbidden_path("u", "get", "/metrics"),
        403,
        "Forbidden",
        'forbidden: User "u" cannot get path "/metrics"',
    ),
    (status.not_found(), 404, "NotFound", "the server could not find the requested resource"),
    (status.not_found("there is no metric m"), 404, "NotFound", "there is no metric m"),
    (
        status.object_not_found("podmetrics", "ns/name", "metrics.k8s.io"),
        404,
        "NotFound",
        'podmetrics.metrics.k8s.io "ns/name" not found',
    ),
    (
        status.method_not_allowed(),
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    (
        status.not_acceptable(MEDIA_TYPES),
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml",
    ),
    (
        status.conflict("scales", "vllm", OUTDATED, "autoscaling"),
        409,
        "Conflict",
        f'Operation cannot be fulfilled on scales.autoscaling "vllm": {OUTDATED}',
    ),
    (status.gone("too old resource version: 5 (9)"), 410, "Expired", "too old resource version: 5 (9)"),
    (status.too_large("limit is 3"), 413, "RequestEntityTooLarge", "Request entity too large: limit is 3"),
    (
        status.unsupported_media_type(MEDIA_TYPES[:1]),
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json",
    ),
    (status.too_many_requests("please try again later"), 429, "TooManyRequests", "please try again later"),
    (status.internal_error("no answer"), 500, "InternalError", "Internal error occurred: no answer"),
    (status.service_unavailable("not started"), 503, "ServiceUnavailable", "not started"),
    (status.timeout("60 s passed"), 504, "Timeout", "Timeout: 60 s passed"),
]


@pytest.mark.parametrize(("answer", "code", "reason", "message"), MESSAGES, ids=[str(row[1]) for row in MESSAGES])
def test_code_reason_and_message_fit(answer: Status, code: int, reason: str, message: str) -> None:
    plain = to_plain(answer)
    assert (plain["code"], plain["reason"], plain["message"]) == (code, reason, message)
    assert {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}.items() <= plain.items()
    assert decode_status(to_json(answer)) == answer


def test_a_denial_says_who_may_not_do_what() -> None:
    denied = status.forbidden("u", "get", resource="pods", subresource="m", group=GROUP, name="*", namespace="n")
    assert denied.message == (
        'pods.custom.metrics.k8s.io "*" is forbidden: User "u" cannot get resource "pods/m" in API group'
        ' "custom.metrics.k8s.io" in the namespace "n"'
    )
    assert to_plain(denied)["details"] == {"name": "*", "group": GROUP, "kind": "pods"}
    at_root = status.forbidden("<b>", "list", resource="nodes", group="", because="why")
    assert at_root.message == (
        'nodes is forbidden: User "&lt;b&gt;" cannot list resource "nodes" in API group "" at the cluster scope: why'
    )


def test_details_tell_more_where_there_is_more() -> None:
    assert to_plain(status.internal_error("x"))["details"] == {"causes": [{"message": "x"}]}
    assert to_plain(status.too_many_requests("x", 3))["details"] == {"retryAfterSeconds": 3}
    assert "details" not in to_plain(status.bad_request("x"))


def test_an_invalid_object_comes_with_all_its_errors() -> None:
    errors = [
        FieldError(("spec", "maxReplicas"), "must be set"),
        FieldError(("spec", "metrics", 0, "type"), "is wrong"),
    ]
    answer = status.invalid("HorizontalPodAutoscaler", "a", errors, "autoscaling")
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.message == (
        'HorizontalPodAutoscaler.autoscaling "a" is invalid:'
        " [spec.maxReplicas: must be set, spec.metrics[0].type: is wrong]"
    )
    assert answer.details is not None
    assert [cause.field for cause in answer.details.causes] == ["spec.maxReplicas", "spec.metrics[0].type"]
    assert status.invalid("A", "a", errors[:1]).message == 'A "a" is invalid: spec.maxReplicas: must be set'


def test_the_order_of_its_fields_is_upstreams() -> None:
    assert list(json.loads(to_json(status.object_not_found("pods", "a")))) == [
        "kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code",
    ]  # fmt: skip


def test_a_server_may_leave_out_what_is_at_its_default() -> None:
    answer = decode_status(b'{"kind": "Status", "message": "gone", "code": 410, "details": null, "extra": 1}')
    assert (answer.status, answer.code, answer.message, answer.details) == ("Failure", 410, "gone", None)
    with pytest.raises(ObjectError):
        decode_status(b"Internal Server Error")
