"""Releases against each other: where they differ in count, where in words only, and which of them were judged."""

import pytest

from inflight.hpa import Controller, Memory, PodMetric, PodsAnswer, Reason
from inflight.hpa.record import Record, make_record
from inflight.hpa.upgrade import compare_releases
from inflight.objects import ReleaseError, known_releases

from .builders import START, external, hpa, observe, pod, pods, pods_metric, total


def at_the_edge() -> Record:
    """A ratio of exactly 1.1: outside the tolerance up to 1.32, inside from 1.33 on."""
    seen = observe(3, PodsAnswer({f"pod-{index}": PodMetric(110_000, START) for index in range(3)}), pods=pods(3))
    return make_record(hpa(pods_metric("100")), seen, Memory(), START)


def test_a_count_that_an_upgrade_changes() -> None:
    comparison = compare_releases(at_the_edge(), Memory(), known_releases())
    assert comparison.kind == "count"
    assert [each.decision.trace.desired_replicas for each in comparison.releases] == [4, 3, 3, 3, 3, 3]
    assert [each.judged for each in comparison.releases] == [False, False, False, False, True, True]
    assert [each.kubernetes for each in comparison.groups()[0]] == ["1.32"]


def test_words_that_an_upgrade_changes() -> None:
    record = make_record(hpa(), observe(3, total(100)), Memory(), START)
    comparison = compare_releases(record, Memory(), ["1.35", "1.37"])
    assert comparison.kind == "texts"
    assert comparison.differs == ("conditions",)


def test_releases_that_agree_are_one_group() -> None:
    record = make_record(hpa(), observe(3, total(90)), Memory(), START)
    comparison = compare_releases(record, Memory(), ["1.36", "1.37"])
    assert (comparison.kind, comparison.differs, len(comparison.groups())) == ("", (), 1)


def test_gates_that_a_release_lacks_are_left_out_and_named() -> None:
    controller = Controller(kubernetes="1.36", feature_gates={"HPAConfigurableTolerance": False})
    record = make_record(hpa(external("30")), observe(3, total(90)), Memory(), START, controller)
    comparison = compare_releases(record, Memory(), ["1.32", "1.36", "1.37"])
    gone = ("HPAConfigurableTolerance",)
    assert [each.without_gates for each in comparison.releases] == [gone, (), gone]


def test_a_container_that_a_pod_lacks() -> None:
    metric = {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "engine",
            "target": {"type": "Utilization", "averageUtilization": 80},
        },
    }
    seen = observe(1, PodsAnswer({"pod-0": PodMetric(900, START)}), pods=[pod("pod-0")])
    comparison = compare_releases(make_record(hpa(metric), seen, Memory(), START), Memory(), ["1.34", "1.35"])
    failures = [each.decision.trace.metrics[0].calculation.failure for each in comparison.releases]
    assert failures == [Reason.NO_MATCHING_PODS, Reason.CONTAINER_NOT_FOUND]
    assert comparison.kind == "texts"


def test_a_release_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ReleaseError):
        compare_releases(at_the_edge(), Memory(), ["1.12"])
