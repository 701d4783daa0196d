"""The server's own `/metrics` page: what it scraped, what it answered, what it refused. docs/metrics.md lists every
family.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from inflight import __version__
from inflight.serve.api.telemetry import DURATION_EDGES_SECONDS, Telemetry
from inflight.signals import Family, OutSample, render
from inflight.signals.writer import format_value
from inflight.sources import CollectorStats


class DiscoveryStats(Protocol):
    """What is found in the cluster at the moment."""

    @property
    def autoscalers(self) -> int: ...

    @property
    def workloads(self) -> int: ...

    @property
    def pods(self) -> int: ...

    @property
    def problems(self) -> Mapping[Any, int]:
        """By kind; the kinds are few and known beforehand."""
        ...


def own_metrics_page(
    telemetry: Telemetry, stats: CollectorStats | None, now: float, discovery: DiscoveryStats | None = None
) -> bytes:
    """The page in text format 0.0.4; without the statistics of a collector and of a discovery it tells of the API
    only.
    """
    families = list(api_families(telemetry))
    if stats is not None:
        families.extend(collector_families(stats, now))
    if discovery is not None:
        families.extend(discovery_families(discovery))
    return render(families)


def api_families(telemetry: Telemetry) -> Iterator[Family]:
    """What the API did."""
    yield _family("inflight_build_info", "gauge", "Always 1, with the release.", [({"version": __version__}, 1)])
    yield _family(
        "inflight_api_requests_total",
        "counter",
        "Requests answered, by API and status code.",
        [({"api": api, "code": str(code)}, n) for (api, code), n in sorted(telemetry.requests.items())],
    )
    yield _family(
        "inflight_api_answers_total",
        "counter",
        "Questions answered with 200: complete, or partial (pods lack a fresh value).",
        [({"api": api, "coverage": coverage}, n) for (api, coverage), n in sorted(telemetry.answers.items())],
    )
    yield _family(
        "inflight_api_unanswered_total",
        "counter",
        "Questions without a value, by cause.",
        [({"cause": cause}, n) for cause, n in sorted(telemetry.refusals.items())],
    )
    yield _durations(telemetry)
    yield _family(
        "inflight_door_refusals_total",
        "counter",
        "Requests of callers who were not let in, by cause.",
        [({"cause": cause}, n) for cause, n in sorted(telemetry.door_refusals.items())],
    )
    yield _family(
        "inflight_api_connections",
        "gauge",
        "Open connections, also before their handshake.",
        [({}, telemetry.connections)],
    )
    yield _family(
        "inflight_api_connections_refused_total",
        "counter",
        "Connections ended by us: too many at once, no file for one, or a handshake or request that took too long.",
        [({"reason": reason}, n) for reason, n in sorted(telemetry.refused_connections.items())],
    )
    yield _family(
        "inflight_reloads_total",
        "counter",
        "Files read again while running, by what they hold and whether they were taken.",
        [({"what": what, "outcome": outcome}, n) for (what, outcome), n in sorted(telemetry.reloads.items())],
    )
    yield _family(
        "inflight_part_faults_total",
        "counter",
        "Faults of Inflight's own that ended a part of it, which was begun anew.",
        [({"part": part}, n) for part, n in sorted(telemetry.part_faults.items())],
    )
    yield _family(
        "inflight_certificate_end_timestamp_seconds",
        "gauge",
        "When the certificate ends that is served, Unix time.",
        _maybe(telemetry.certificate_ends_at),
    )
    problems = telemetry.certificate_problems
    yield _family(
        "inflight_certificate_problems",
        "gauge",
        "What is wrong now with the shared certificate or with caBundle; the log has each with its sentence.",
        _maybe(None if problems is None else problems()),
    )


def collector_families(stats: CollectorStats, now: float) -> Iterator[Family]:
    """What the collector did. Ages are as of `now`; a value that does not exist yet has no sample."""
    yield _family("inflight_targets", "gauge", "Pods to scrape.", [({}, stats.targets)])
    yield _family("inflight_targets_answering", "gauge", "Pods whose last scrape gave a page.", [({}, stats.answering)])
    yield _family(
        "inflight_scrapes_total", "counter", "Scrapes that ended, with or without a page.", [({}, stats.scrapes)]
    )
    yield _family(
        "inflight_scrape_failures_total",
        "counter",
        "Scrapes that gave no page, by reason.",
        [({"reason": reason}, n) for reason, n in stats.failures.items()],
    )
    yield _family(
        "inflight_scrape_bytes_total", "counter", "Bytes of the pages received.", [({}, stats.bytes_received)]
    )
    yield _family(
        "inflight_scrape_seconds_total", "counter", "Wall time of all scrapes added up.", [({}, stats.scrape_seconds)]
    )
    yield _family(
        "inflight_scrape_slowest_seconds",
        "gauge",
        "Of each pod's last scrape, the longest.",
        _maybe(stats.slowest_duration_seconds),
    )
    yield _family(
        "inflight_scrape_wait_seconds_total",
        "counter",
        "Wall time that all scrapes waited for their turn, added up.",
        [({}, stats.waited_seconds)],
    )
    yield _family(
        "inflight_targets_stretched",
        "gauge",
        "Pods that are read less often than was asked for.",
        [({}, stats.stretched)],
    )
    yield _family(
        "inflight_unrecognized_pages_total",
        "counter",
        "Pages on which no known engine was recognized.",
        [({}, stats.unrecognized_pages)],
    )
    yield _family(
        "inflight_pod_restarts_total",
        "counter",
        "Pages that showed that the pod's server had been restarted.",
        [({}, stats.restarts)],
    )
    yield _family(
        "inflight_sample_age_oldest_seconds",
        "gauge",
        "Age of the last page of the pod that has been silent longest.",
        _maybe(stats.oldest_page_at, now),
    )
    yield _family(
        "inflight_sample_age_newest_seconds",
        "gauge",
        "Age of the page received last.",
        _maybe(stats.newest_page_at, now),
    )


def discovery_families(stats: DiscoveryStats) -> Iterator[Family]:
    """What is followed in the cluster, and what keeps more from being followed."""
    yield _family(
        "inflight_discovery_autoscalers", "gauge", "HPAs that ask for a metric of ours.", [({}, stats.autoscalers)]
    )
    yield _family("inflight_discovery_workloads", "gauge", "Workloads whose selector is read.", [({}, stats.workloads)])
    yield _family(
        "inflight_discovery_pods", "gauge", "Pods kept in memory, of the namespaces of those HPAs.", [({}, stats.pods)]
    )
    yield _family(
        "inflight_discovery_problems",
        "gauge",
        "What keeps pods from being followed now, by kind; the log has each with its sentence.",
        [({"kind": str(kind)}, n) for kind, n in sorted(stats.problems.items())],
    )


def _maybe(value: float | None, now: float | None = None) -> list[tuple[Mapping[str, str], float]]:
    """One sample, or none; with `now`, the value is a time and its age is shown."""
    if value is None:
        return []
    return [({}, value if now is None else max(0.0, now - value))]


def _durations(telemetry: Telemetry) -> Family:
    name = "inflight_api_request_duration_seconds"
    samples = []
    for api, (buckets, total) in sorted(telemetry.durations()):
        running = 0
        for edge, count in zip((*DURATION_EDGES_SECONDS, float("inf")), buckets, strict=True):
            running += count
            samples.append(OutSample(f"{name}_bucket", running, {"api": api, "le": format_value(edge)}))
        samples.append(OutSample(f"{name}_sum", total, {"api": api}))
        samples.append(OutSample(f"{name}_count", running, {"api": api}))
    return Family(name, "histogram", "Time from a request's last header to the last byte of its answer.", samples)


def _family(
    name: str, kind: Literal["counter", "gauge"], meaning: str, rows: Sequence[tuple[Mapping[str, str], float]]
) -> Family:
    return Family(name, kind, meaning, [OutSample(name, value, labels) for labels, value in rows])
