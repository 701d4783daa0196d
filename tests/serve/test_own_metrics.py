"""The server's own page: right for any Prometheus parser, bounded, and without secrets."""

import shutil
import subprocess
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request
from inflight.serve.api.refusals import DoorCause
from inflight.serve.api.telemetry import DURATION_EDGES_SECONDS, Telemetry
from inflight.serve.own_metrics import own_metrics_page
from inflight.signals.metric_names import served_names
from inflight.sources import REASONS

NOW = 1_800_000_000.25
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


@pytest.fixture
def busy() -> Telemetry:
    """Counters that have all moved."""
    telemetry = Telemetry()
    telemetry.requests["external", 200] = 7
    telemetry.requests["other", 401] = 2
    telemetry.refusals["pods_unseen"] = 3
    telemetry.answers["custom", "partial"] = 4
    telemetry.refused_connections["slow"] = 1
    telemetry.reloads["targets", "refused"] = 1
    telemetry.connections = 5
    telemetry.part_faults["trust"] = 2
    telemetry.note_certificate(NOW + 86_400)
    telemetry.certificate_problems = lambda: 1
    for seconds in (0.0001, 0.0005, 0.003, 9.0):
        telemetry.observe_duration("external", seconds)
    return telemetry


def test_the_page_says_what_happened(busy: Telemetry, full_stats: Any) -> None:
    page = own_metrics_page(busy, full_stats, NOW)
    found = samples(page)
    assert found["inflight_api_requests_total", (("api", "external"), ("code", "200"))] == 7
    assert found["inflight_api_requests_total", (("api", "other"), ("code", "401"))] == 2
    assert found["inflight_api_unanswered_total", (("cause", "pods_unseen"),)] == 3
    assert found["inflight_api_answers_total", (("api", "custom"), ("coverage", "partial"))] == 4
    assert found["inflight_api_connections", ()] == 5
    assert found["inflight_targets", ()] == 3
    assert found["inflight_targets_answering", ()] == 2
    assert found["inflight_scrapes_total", ()] == 40
    assert found["inflight_scrape_failures_total", (("reason", REASONS[1]),)] == 1
    assert found["inflight_sample_age_oldest_seconds", ()] == 9.0
    assert found["inflight_sample_age_newest_seconds", ()] == 0.5
    assert found["inflight_reloads_total", (("outcome", "refused"), ("what", "targets"))] == 1
    assert found["inflight_part_faults_total", (("part", "trust"),)] == 2
    assert found["inflight_certificate_end_timestamp_seconds", ()] == NOW + 86_400
    assert found["inflight_certificate_problems", ()] == 1
    assert ("inflight_certificate_problems", ()) not in samples(own_metrics_page(Telemetry(), None, NOW))


def test_what_is_found_in_the_cluster_is_shown_where_it_is_looked_for(full_discovery: Any) -> None:
    found = samples(own_metrics_page(Telemetry(), None, NOW, full_discovery))
    assert found["inflight_discovery_autoscalers", ()] == 4
    assert found["inflight_discovery_workloads", ()] == 3
    assert found["inflight_discovery_pods", ()] == 17
    assert found["inflight_discovery_problems", (("kind", "no_port"),)] == 2
    assert found["inflight_discovery_problems", (("kind", "overlap"),)] == 0
    assert b"inflight_discovery" not in own_metrics_page(Telemetry(), None, NOW)


def test_who_was_not_let_in_is_counted_by_cause(get: Any, telemetry: Telemetry) -> None:
    def refused() -> dict[str, float]:
        found = samples(own_metrics_page(telemetry, None, NOW))
        return {labels[0][1]: n for (name, labels), n in found.items() if name == "inflight_door_refusals_total"}

    assert refused() == dict.fromkeys(get_args(DoorCause), 0), "all of them, so that a first one is seen to be new"
    get(EXTERNAL, authorization="")
    get(EXTERNAL, authorization="Bearer ")
    get(EXTERNAL, authorization="Bearer wrong")
    get(EXTERNAL, authorization="Basic dDB==")
    get("/livez", authorization="Bearer wrong")
    get(EXTERNAL)
    assert refused() == {**dict.fromkeys(get_args(DoorCause), 0), "no_credentials": 2, "bad_token": 2}


def test_durations_are_a_histogram(busy: Telemetry) -> None:
    found = samples(own_metrics_page(busy, None, NOW))
    name = "inflight_api_request_duration_seconds"
    counts = [found[f"{name}_bucket", (("api", "external"), ("le", f"{edge:g}"))] for edge in DURATION_EDGES_SECONDS]
    assert counts == sorted(counts)
    assert counts[0] == 2, "an edge belongs to its bucket"
    assert found[f"{name}_bucket", (("api", "external"), ("le", "+Inf"))] == 4
    assert found[f"{name}_count", (("api", "external"),)] == 4
    assert found[f"{name}_sum", (("api", "external"),)] == pytest.approx(9.0036)


def test_what_is_not_known_yet_has_no_sample(full_stats: Any) -> None:
    import msgspec

    young = msgspec.structs.replace(full_stats, oldest_page_at=None, newest_page_at=None, slowest_duration_seconds=None)
    names = {name for name, _ in samples(own_metrics_page(Telemetry(), young, NOW))}
    assert "inflight_targets" in names
    assert not names & {
        "inflight_sample_age_oldest_seconds",
        "inflight_sample_age_newest_seconds",
        "inflight_scrape_slowest_seconds",
    }


def test_our_own_names_are_none_of_the_metrics_that_we_serve(busy: Telemetry, full_stats: Any) -> None:
    own = {family.name for family in text_string_to_metric_families(own_metrics_page(busy, full_stats, NOW).decode())}
    assert all(name.startswith("inflight_") for name in own)
    assert not (own | {f"{name}_total" for name in own}) & set(served_names())


def test_clients_cannot_make_the_page_grow(api: MetricsApi, telemetry: Telemetry, pods: Any) -> None:
    pods.add("a", in_flight=1)
    api.handle(Request("GET", EXTERNAL, "Bearer t0ken"))
    api.handle(Request("GET", EXTERNAL + "x0", "Bearer t0ken"))
    api.handle(Request("GET", EXTERNAL + "?labelSelector=x%3D0", "Bearer t0ken"))
    api.handle(Request("GET", "/x0", "Bearer x0"))
    before = len(own_metrics_page(telemetry, None, NOW).splitlines())
    for number in range(50):
        api.handle(Request("GET", EXTERNAL + f"x{number}", "Bearer t0ken"))
        api.handle(Request("GET", EXTERNAL + f"?labelSelector=x%3D{number}", "Bearer t0ken"))
        api.handle(Request("GET", f"/x{number}", f"Bearer x{number}"))
    assert len(own_metrics_page(telemetry, None, NOW).splitlines()) == before


@pytest.mark.e2e
def test_promtool_finds_nothing_to_complain_about(busy: Telemetry, full_stats: Any) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH")
    page = own_metrics_page(busy, full_stats, NOW)
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=30, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
