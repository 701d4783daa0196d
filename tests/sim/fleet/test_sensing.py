"""What an HPA sees of a simulated fleet."""

import math

import pytest

import inflight.sim.sensing as sensing_module
from inflight.guard import Unknown
from inflight.hpa import ExternalAnswer, FailedAnswer, PodsAnswer
from inflight.objects import MetricSpec, ObjectMetricSource
from inflight.sim.cold_start import ColdStart
from inflight.sim.sensing import Sensing, UnsensedError, check_sensed

from .builders import EXACT, external, fleet, hpa, on_cpu, per_pod, steady

EPOCH = 1_700_000_000
SECOND = 1_000_000_000


def observe(one, metric: MetricSpec, at: float, sensing: Sensing | None = None):
    seen = (sensing or Sensing(one)).observe(hpa(metric), at)
    return seen, seen.answers[0]


def test_the_scale_and_its_selector_are_those_of_the_deployment():
    one = fleet(replicas=2, cold_start=EXACT)
    one.set_replicas(3, 5)
    seen, _ = observe(one, on_cpu(), 15)
    assert (seen.replicas, seen.status_replicas, seen.selector) == (3, 3, "app=vllm")
    assert [pod.metadata.name for pod in seen.pods] == ["vllm-0", "vllm-1", "vllm-2"]


def test_pods_look_as_the_api_shows_them_at_each_stage():
    one = fleet(steady(2, 1, start=30, output=8_000), replicas=1, cold_start=ColdStart(40, 40, 10), grace_seconds=90)
    one.set_replicas(2, 20.7)
    sensing = Sensing(one)

    def shown(at: float) -> list[tuple[str, str, int]]:
        seen, _ = observe(one, on_cpu(), at, sensing)
        return [
            (pod.status.phase, pod.status.conditions[0].status, pod.status.conditions[0].last_transition_time)
            for pod in seen.pods
        ]

    assert shown(30)[1] == ("Pending", "False", (EPOCH + 20) * SECOND)
    assert shown(45)[1] == ("Running", "False", (EPOCH + 20) * SECOND)
    assert shown(75)[1] == ("Running", "True", (EPOCH + 60) * SECOND)
    one.set_replicas(0, 75)
    seen, _ = observe(one, on_cpu(), 76, sensing)
    (draining,) = seen.pods
    assert draining.metadata.name == "vllm-0"
    assert draining.metadata.deletion_timestamp == (EPOCH + 75 + 90) * SECOND
    assert draining.is_ready
    assert draining.metadata.labels == {"app": "vllm"}
    assert str(draining.spec.containers[0].resources.requests["cpu"]) == "6"


def test_first_pods_started_long_before_every_period_of_initialisation():
    seen, _ = observe(fleet(replicas=1), on_cpu(), 15)
    assert seen.pods[0].status.start_time <= (EPOCH - 600) * SECOND


def test_cpu_comes_as_metrics_server_lists_it():
    one = fleet(steady(600, 0.1, output=200), replicas=1, cold_start=ColdStart(100, 100, 5))
    one.set_replicas(2, 20)
    _, answer = observe(one, on_cpu(), 60)
    assert isinstance(answer, PodsAnswer)
    busy, loading = answer.values["vllm-0"], answer.values["vllm-1"]
    assert 1_000 < busy.value_milli < 1_300
    assert loading.value_milli == 1_000
    assert busy.window_ns == 15 * SECOND
    assert (EPOCH + 45) * SECOND < busy.timestamp_ns <= (EPOCH + 60) * SECOND


def test_pods_metrics_are_the_gauges_of_a_scrape_within_the_last_second():
    one = fleet(steady(300, 0.1, output=300), replicas=2)
    _, answer = observe(one, per_pod("30"), 30)
    assert isinstance(answer, PodsAnswer)
    assert set(answer.values) == {"vllm-0", "vllm-1"}
    for pod in one.pods:
        metric = answer.values[pod.name]
        assert metric.value_milli == pytest.approx(1_000 * (pod.replica.running + pod.replica.waiting), abs=10_000)
        assert metric.value_milli % 1_000 == 0
        assert (EPOCH + 29) * SECOND < metric.timestamp_ns <= (EPOCH + 30) * SECOND
    assert len({metric.timestamp_ns for metric in answer.values.values()}) == 2  # each pod at its own moment


def test_an_external_metric_is_one_sum_over_the_pods_that_its_selector_means():
    one = fleet(steady(300, 0.1, output=300), replicas=2)
    _, each = observe(one, per_pod("30"), 30)
    _, total = observe(fleet(steady(300, 0.1, output=300), replicas=2), external("30"), 30)
    assert total == ExternalAnswer((sum(metric.value_milli for metric in each.values.values()),))
    _, none = observe(one, external("30", labels={"app": "another"}), 45)
    assert isinstance(none, FailedAnswer)
    assert "none of the pods" in none.text


def test_an_alias_of_a_popular_guide_is_the_same_number():
    assert (
        observe(fleet(steady(99, 0.1, output=300)), external("30", "vllm_requests_running"), 15)
        == observe(fleet(steady(99, 0.1, output=300)), external("30", "inflight_requests_running"), 15)
    )  # fmt: skip


def test_a_loading_pod_has_no_value_and_does_not_spoil_the_sum():
    one = fleet(steady(300, 0.1, output=300), replicas=1, cold_start=EXACT)
    one.set_replicas(2, 10)
    _, each = observe(one, per_pod("30"), 30)
    assert set(each.values) == {"vllm-0"}
    _, total = observe(one, external("30"), 31)
    assert isinstance(total, ExternalAnswer)


def test_a_draining_pod_still_counts_with_what_it_has():
    one = fleet(steady(100, 0.1, output=5_000), replicas=2)
    one.advance(20)
    one.set_replicas(1, 20)
    _, answer = observe(one, external("30"), 21)
    _, each = observe(one, per_pod("30"), 22)
    assert answer.values_milli == (100_000,)
    assert set(each.values) == {"vllm-0", "vllm-1"}  # the decision leaves out what is being deleted


def test_without_a_pod_that_answers_a_metric_is_unknown_and_not_zero():
    one = fleet(replicas=0)
    _, answer = observe(one, external("30"), 15)
    assert isinstance(answer, FailedAnswer)
    one.set_replicas(1, 15)
    for metric, api in ((external("30"), "external"), (per_pod("30"), "custom")):
        _, answer = observe(one, metric, one.now + 1)
        assert isinstance(answer, FailedAnswer)
        assert answer.text.startswith(f"unable to fetch metrics from {api} metrics API: inflight_requests: ")
        assert "the server does not answer yet" in answer.text


def test_what_the_guard_does_not_know_reaches_the_hpa_as_a_refusal(monkeypatch):
    asked = []

    def refuse(question, samples, now):
        asked.append((question, samples, now))
        return Unknown("pods_unseen", "nobody knows")

    monkeypatch.setattr(sensing_module, "answer", refuse)
    one = fleet(steady(9, 1), replicas=2)
    _, answer = observe(one, external("30"), 15)
    assert answer == FailedAnswer("unable to fetch metrics from external metrics API: nobody knows")
    ((question, samples, now),) = asked
    assert (question.metric, question.signal, question.per_pod, question.across) == (
        "inflight_requests", "in_flight", False, "sum"
    )  # fmt: skip
    assert now == EPOCH + 15
    assert [sample.reported_before for sample in samples] == [True, True]


def test_looking_at_a_fleet_changes_nothing_in_it():
    watched, alone = (fleet(steady(400, 0.1, output=100), replicas=2) for _ in range(2))
    sensing = Sensing(watched)
    for at in range(15, 60, 15):
        observe(watched, per_pod("30"), at, sensing)
    watched.advance(60)
    alone.advance(60)
    assert sorted(watched.outcomes, key=lambda each: each.id) == sorted(alone.outcomes, key=lambda each: each.id)
    assert watched.samples == alone.samples


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        (on_cpu(name="memory"), r"vllm: spec.metrics\[0\]: the resource 'memory' cannot be simulated; cpu can"),
        (per_pod("1", "inflight_ttft_seconds_p95"), "inflight_ttft_seconds_p95 cannot be simulated"),
        (external("1", "inflight_generation_tokens_per_second"), "made from two pages"),
        (MetricSpec(type="Object", object=ObjectMetricSource()), "a metric of type 'Object' cannot be simulated"),
    ],
)
def test_an_hpa_that_could_never_get_a_value_is_refused_before_the_run(metric, complaint):
    with pytest.raises(UnsensedError, match=complaint):
        check_sensed(hpa(metric))
    _, answer = observe(fleet(), metric, 15)
    assert isinstance(answer, FailedAnswer)


def test_a_metric_that_nobody_serves_is_refused_as_the_api_would():
    metric = external("1", "no_such_metric")
    check_sensed(hpa(metric))
    _, answer = observe(fleet(), metric, 15)
    assert answer == FailedAnswer("unable to fetch metrics from external metrics API: no_such_metric is not served")


@pytest.mark.parametrize(("value", "milli"), [(3.0, 3_000), (0.1 + 0.2, 300), (1 / 3, 334), (0.0, 0)])
def test_thousandths_are_rounded_up_as_they_are_served(value, milli):
    assert sensing_module._milli(value) == milli
    assert math.isclose(value, milli / 1_000, abs_tol=0.001)
