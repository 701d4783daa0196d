"""The `http_*` part of vLLM's page: what its web framework's instrumentation counts for each route.

Families, labels and edges are those of prometheus-fastapi-instrumentator as vLLM 0.33 shows them; statuses are counted
in classes, and the probes' and the scraper's own routes are left out, as vLLM leaves them out
(vllm/entrypoints/serve/instrumentator/metrics.py).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from inflight.lab.emulator.text import header, histogram_names, label_set, number

UNCOUNTED_PATHS = frozenset({"/metrics", "/health", "/load", "/ping", "/version", "/server_info"})

FINE_EDGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60)
ROUTE_EDGES = (0.1, 0.5, 1)


class _Total:
    """One row: a count and a sum, and since when they have been kept. The names of its samples are made once."""

    def __init__(self, name: str, labels: Mapping[str, str], since: float) -> None:
        inside = label_set(labels)
        self._names = [f"{name}_count{inside} ", f"{name}_sum{inside} "]
        self.created = f"{name}_created{inside} {number(since)}\n"
        self._count = 0
        self._sum = 0.0

    def add(self, amount: float) -> None:
        self._count += 1
        self._sum += amount

    def lines(self) -> str:
        return "".join(f"{name}{number(value)}\n" for name, value in zip(self._names, self._values(), strict=True))

    def _values(self) -> Sequence[float]:
        return (self._count, self._sum)


class _Requests(_Total):
    """A plain counter."""

    def __init__(self, name: str, labels: Mapping[str, str], since: float) -> None:
        super().__init__(name, labels, since)
        self._names = [f"{name}_total{label_set(labels)} "]

    def _values(self) -> Sequence[float]:
        return (self._count,)


class _Durations(_Total):
    """The same with buckets."""

    def __init__(self, name: str, labels: Mapping[str, str], since: float, edges: Sequence[float]) -> None:
        super().__init__(name, labels, since)
        self._names = [f"{sample} " for sample in histogram_names(name, labels, edges)]
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)

    def add(self, amount: float) -> None:
        super().add(amount)
        self._counts[bisect_left(self._edges, amount)] += 1

    def _values(self) -> Sequence[float]:
        return (*accumulate(self._counts), self._count, self._sum)


class _Family:
    """The rows of one name, and the family of their times of creation that belongs to it."""

    def __init__(self, name: str, kind: str, text: str) -> None:
        self.name = name
        self._header = header(f"{name}_total" if kind == "counter" else name, kind, text)
        self._created = header(f"{name}_created", "gauge", text)
        self.rows: dict[tuple[str, ...], _Total] = {}

    def render(self) -> str:
        rows = self.rows.values()
        text = self._header + "".join(row.lines() for row in rows)
        return text + self._created + "".join(row.created for row in rows) if rows else text


class HttpUse:
    """Counts the requests of one server; as many rows as it has routes and outcomes, so it does not grow."""

    def __init__(self, started_at: float) -> None:
        self._requests = _Family("http_requests", "counter", "Requests by route, method and class of status.")
        self._received = _Family(
            "http_request_size_bytes", "summary", "Sizes of requests by route, from their headers."
        )
        self._sent = _Family("http_response_size_bytes", "summary", "Sizes of answers by route, from their headers.")
        self._all = _Family("http_request_duration_highr_seconds", "histogram", "Time to answer, finely cut.")
        self._by_route = _Family("http_request_duration_seconds", "histogram", "Time to answer by route, coarsely cut.")
        self._all.rows[()] = _Durations(self._all.name, {}, started_at, FINE_EDGES)

    def count(
        self, handler: str, method: str, status: int, *, received_bytes: int, sent_bytes: int, seconds: float, at: float
    ) -> None:
        """One request that has ended at `at` (Unix seconds), `seconds` after it came."""
        outcome = (handler, method, f"{status // 100}xx")
        if outcome not in self._requests.rows:
            self._add_rows(*outcome, at)
        self._requests.rows[outcome].add(0)
        self._received.rows[(handler,)].add(received_bytes)
        self._sent.rows[(handler,)].add(sent_bytes)
        self._all.rows[()].add(seconds)
        self._by_route.rows[(handler, method)].add(seconds)

    def _add_rows(self, handler: str, method: str, status: str, at: float) -> None:
        labels = {"handler": handler}
        named = {"handler": handler, "method": method, "status": status}
        self._requests.rows[(handler, method, status)] = _Requests(self._requests.name, named, at)
        for family in (self._received, self._sent):
            family.rows.setdefault((handler,), _Total(family.name, labels, at))
        route = {"handler": handler, "method": method}
        self._by_route.rows.setdefault((handler, method), _Durations(self._by_route.name, route, at, ROUTE_EDGES))

    def render(self) -> str:
        """The families as text; one without a request yet has its header only."""
        families = (self._requests, self._received, self._sent, self._all, self._by_route)
        return "".join(family.render() for family in families)
