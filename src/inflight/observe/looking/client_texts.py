"""The words of Kubernetes' own client for a request that failed: they end up in the conditions of an HPA.

Source: k8s.io/client-go rest/request.go (`transformResponse`, `Result.Error`) and k8s.io/apimachinery
pkg/api/errors/errors.go (`NewGenericServerResponse`), 0.37.
"""

import json

import msgspec

from inflight.cluster import ApiError

MAX_TEXT_BYTES = 2048
_BY_CODE = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class _Status(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    kind: str = "Status"


def client_text(error: ApiError, resource: str, name: str = "") -> str:
    """The text of the client's error for a GET of `resource` (`pods.metrics.k8s.io`), and of `name` where it has one.

    A Status says it itself. What is none, such as the plain text of an aggregator without a server behind it, becomes
    one of a few sentences by its code.
    """
    try:
        status = msgspec.json.decode(error.body, type=_Status)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        status = _Status()
    if status.kind == "Status" and status.status == "Failure":
        return status.message
    text = error.body[:MAX_TEXT_BYTES].decode("utf-8", "replace").strip()
    return f"{_by_code(error.code, text)} (get {resource}{f' {name}' if name else ''})"


def _by_code(code: int, text: str) -> str:
    if code in {403, 415}:
        return text
    if code == 406:
        return text or "the server was unable to respond with a content type that the client supports"
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if code >= 500:
        # As Go's %q writes it.
        return (
            f"an error on the server ({json.dumps(text, ensure_ascii=False)}) has prevented the request from succeeding"
        )
    return f"the server responded with the status code {code} but did not return more information"
