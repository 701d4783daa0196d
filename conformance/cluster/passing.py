# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""What of the messages between the controller manager and the API server is kept, and as which line.

Times are integer nanoseconds since 1970: `asked_ns` is when the request had been passed on, `at_ns` when its answer
was there, or when a watch's line had been passed on.
"""

import re
import time
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

MAX_LINE_BYTES = 32 << 20
"""The largest object that etcd takes has 9 MiB in JSON, where each of its bytes is escaped."""
METRICS = re.compile(r"/apis/(?:custom|external)\.metrics\.k8s\.io/|/apis/metrics\.k8s\.io/")
SCALE = re.compile(r"/apis/[^/]+/[^/]+/namespaces/[^/]+/[^/]+/[^/]+/scale|/api/v1/namespaces/[^/]+/[^/]+/[^/]+/scale")
HPA_STATUS = re.compile(r"/apis/autoscaling/v2/namespaces/[^/]+/horizontalpodautoscalers/[^/]+/status")
EVENTS = re.compile(r"/api(?:s/events\.k8s\.io)?/v1/namespaces/[^/]+/events(?:/[^/]+)?")
WATCHED = {
    "/api/v1/pods": "Pod",
    "/apis/autoscaling/v2/horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "/apis/apps/v1/deployments": "Deployment",
    "/apis/apps/v1/replicasets": "ReplicaSet",
}
"""What the controllers copy of the whole cluster; the HPA's lives on the first two."""

Line = dict[str, Any]


class Recording:
    """Appends lines to the file, each at once: a run that is killed keeps what it had."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, lines: list[Line]) -> None:
        if lines:
            self._file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            self._file.flush()


class Passing:
    """One request on its way. Every method gives the lines that it leaves, often none."""

    def __init__(self, method: str, raw_path: str, agent: str) -> None:
        parts = urlsplit(raw_path)
        self._method = method
        self._path = unquote(parts.path)
        self._query = dict(parse_qsl(parts.query, keep_blank_values=True))
        # The controller manager's controllers call themselves after the program and its version.
        self._by = agent.rsplit("/", 1)[-1]
        self._asked_ns = time.time_ns()
        self._watched = WATCHED.get(self._path, "") if method == "GET" else ""
        self.is_watch = method == "GET" and self._query.get("watch") in {"true", "1"}

    def sent(self) -> None:
        self._asked_ns = time.time_ns()

    def answered(self, status: int, content: bytes, body: bytes) -> list[Line]:
        now = time.time_ns()
        if self._watched and status == 200 and not self.is_watch:
            items = (_plain(content) or {}).get("items") or ()
            return [self._object(now, "LISTED", item) for item in items]
        line = self._request(now)
        if line is None:
            return []
        line["status"] = status
        if self._method == "GET":
            line["body"] = _plain(content)
        else:
            line |= {"body": _kept(_plain(body)), "answer": _kept(_plain(content))}
        return [line]

    def lost(self, why: str) -> list[Line]:
        """No answer came."""
        line = self._request(time.time_ns())
        return [] if line is None else [{**line, "status": 0, "error": why}]

    def told(self, content: bytes) -> list[Line]:
        """A line of a watch."""
        if not self._watched or not content.strip():
            return []
        event = _plain(content) or {}
        if event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
            return []
        return [self._object(time.time_ns(), event["type"], event["object"])]

    def _object(self, now: int, change: str, plain: Any) -> Line:
        return {"at_ns": now, "kind": "Object", "change": change, "of": self._watched, "object": _kept(plain)}

    def _request(self, now: int) -> Line | None:
        kind = self._kind()
        if not kind:
            return None
        line: Line = {"at_ns": now, "kind": kind, "asked_ns": self._asked_ns, "path": self._path, "by": self._by}
        if self._query:
            line["query"] = self._query
        if self._method not in {"GET", "PUT"}:
            line["method"] = self._method
        return line

    def _kind(self) -> str:
        if METRICS.match(self._path) and self._method == "GET":
            return "Metric" if "/namespaces/" in self._path else "Discovery"
        if SCALE.fullmatch(self._path):
            return "ScaleRead" if self._method == "GET" else "ScaleWrite"
        if HPA_STATUS.fullmatch(self._path) and self._method != "GET":
            return "StatusWrite"
        if EVENTS.fullmatch(self._path) and self._method in {"POST", "PATCH"}:
            return "Event"
        return ""


def _plain(content: bytes) -> Any:
    """JSON as plain values; text that is none, as the text, so that nothing is lost from the record."""
    if not content:
        return None
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode(errors="replace")[:4096]


def _kept(plain: Any) -> Any:
    """Without managedFields, which are longer than the rest and of which nobody decides."""
    if not isinstance(plain, dict) or not isinstance(plain.get("metadata"), dict):
        return plain
    metadata = {key: value for key, value in plain["metadata"].items() if key != "managedFields"}
    return {**plain, "metadata": metadata}
