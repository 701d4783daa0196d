"""metav1.Status: how a Kubernetes API says that something went wrong. Always complete: clients read every part of it.

The functions give what an API server answers in each situation: code, reason, and a message in the words clients know.
Source: k8s.io/apimachinery pkg/api/errors/errors.go and k8s.io/apiserver pkg/endpoints/handlers, 0.37.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inflight.objects.wire import FieldError, decode, format_path


class StatusCause(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the status is about; `kind` holds the resource (`pods`) where there is one."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """The first four fields and the code have no defaults, so that they always stand in the JSON."""

    kind: str
    api_version: str
    metadata: dict[str, Any]
    status: str
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int


def decode_status(data: bytes | str | Mapping[str, Any]) -> Status:
    """From an API server's answer, which may leave out what is at its default. Raises ObjectError."""
    plain = decode(data, dict[str, Any], "Status")
    defaults = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 0}
    return decode({**defaults, **plain}, Status, "Status")


def failure(code: int, reason: str, message: str, details: StatusDetails | None = None) -> Status:
    """Any failure; the functions below know code and reason."""
    return Status(
        kind="Status",
        api_version="v1",
        metadata={},
        status="Failure",
        message=message,
        reason=reason,
        details=details,
        code=code,
    )


def bad_request(message: str) -> Status:
    return failure(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> Status:
    """No or wrong credentials. The message must not tell which."""
    return failure(401, "Unauthorized", message)


def forbidden(
    user: str,
    verb: str,
    *,
    resource: str,
    group: str,
    subresource: str = "",
    name: str = "",
    namespace: str = "",
    because: str = "",
) -> Status:
    """Known but not allowed, for a request of a resource: `pods.custom.metrics.k8s.io "*" is forbidden: User ...`."""
    wanted = f"{resource}/{subresource}" if subresource else resource
    where = f"in the namespace {_quoted(namespace)}" if namespace else "at the cluster scope"
    denial = f"User {_quoted(user)} cannot {verb} resource {_quoted(wanted)} in API group {_quoted(group)} {where}"
    subject = _qualified(resource, group) + (f" {_quoted(name)}" if name else "")
    message = f"{subject} is forbidden: {_denial(denial, because)}"
    return failure(403, "Forbidden", message, StatusDetails(name=name, group=group, kind=resource))


def forbidden_path(user: str, verb: str, path: str, because: str = "") -> Status:
    """Known but not allowed, for a request of a path that is no resource, such as `/metrics`."""
    denial = f"User {_quoted(user)} cannot {verb} path {_quoted(path)}"
    return failure(403, "Forbidden", f"forbidden: {_denial(denial, because)}", StatusDetails())


def not_found(message: str = "the server could not find the requested resource") -> Status:
    return failure(404, "NotFound", message)


def object_not_found(resource: str, name: str, group: str = "") -> Status:
    """One object by name: `podmetrics.metrics.k8s.io "ns/name" not found`."""
    message = f"{_qualified(resource, group)} {_quoted(name)} not found"
    return failure(404, "NotFound", message, StatusDetails(name=name, group=group, kind=resource))


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> Status:
    return failure(405, "MethodNotAllowed", message)


def not_acceptable(media_types: Sequence[str]) -> Status:
    """None of the media types that the request accepts can be served; `media_types` can."""
    return failure(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(media_types)}")


def conflict(resource: str, name: str, problem: str, group: str = "") -> Status:
    message = f"Operation cannot be fulfilled on {_qualified(resource, group)} {_quoted(name)}: {problem}"
    return failure(409, "Conflict", message, StatusDetails(name=name, group=group, kind=resource))


def gone(message: str) -> Status:
    """A resourceVersion that is too old."""
    return failure(410, "Expired", message)


def too_large(message: str) -> Status:
    return failure(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def unsupported_media_type(media_types: Sequence[str]) -> Status:
    accepted = ", ".join(media_types)
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return failure(415, "UnsupportedMediaType", message)


def invalid(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> Status:
    """An object that validation refuses, with all its errors."""
    causes = tuple(
        StatusCause(reason="FieldValueInvalid", message=error.problem, field=format_path(error.path))
        for error in errors
    )
    texts = [str(error) for error in errors]
    told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f"{_qualified(kind, group)} {_quoted(name)} is invalid" + (f": {told}" if texts else "")
    return failure(422, "Invalid", message, StatusDetails(name=name, group=group, kind=kind, causes=causes))


def too_many_requests(message: str, retry_after_seconds: int = 1) -> Status:
    """The HTTP answer carries Retry-After with the same number."""
    return failure(429, "TooManyRequests", message, StatusDetails(retry_after_seconds=retry_after_seconds))


def internal_error(problem: str) -> Status:
    message = f"Internal error occurred: {problem}"
    return failure(500, "InternalError", message, StatusDetails(causes=(StatusCause(message=problem),)))


def service_unavailable(message: str) -> Status:
    return failure(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after_seconds: int = 0) -> Status:
    details = StatusDetails(retry_after_seconds=retry_after_seconds)
    return failure(504, "Timeout", f"Timeout: {message}", details)


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _denial(denial: str, because: str) -> str:
    # No answer should look like HTML: names of users and paths come from outside.
    safe = denial.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{safe}: {because}" if because else safe


def _quoted(text: str) -> str:
    """As Go's %q writes it."""
    return json.dumps(text, ensure_ascii=False)
