"""What if: each setting changes its input, and what the API server would refuse is refused."""

from typing import Any

import pytest

from inflight.hpa import ExternalAnswer, FailedAnswer, Memory, Recommendation
from inflight.hpa.record import Record, make_record
from inflight.hpa.settings import SETTINGS, Setting, SettingError, apply_settings, parse_setting

from .builders import SECOND, START, cpu_metric, external, hpa, observe, per_pod, pods, pods_metric, total


def record(*metrics: dict[str, Any], **more: Any) -> Record:
    spec = hpa(*(metrics or (external("30"), pods_metric("10", name="queue"), cpu_metric(80))), **more)
    answers = {"External": total(231), "Pods": per_pod(10, 10, 10), "Resource": per_pod(0.8, 0.8, 0.8)}
    seen = observe(3, *(answers[metric.type] for metric in spec.spec.metrics), pods=pods(3))
    return make_record(spec, seen, Memory(recommendations=(Recommendation(3, START - SECOND),)), START)


def count(changed: Record) -> int:
    return changed.decide().trace.desired_replicas


def with_settings(before: Record, *texts: str) -> Record:
    return apply_settings(before, [parse_setting(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("target=40", 6, 6),
        ("target=60", 6, 4),
        ("target=100m", 6, 6),
        ("max=5", 6, 5),
        ("min=8", 6, 8),
        ("value=100", 6, 4),
        ("tolerance=9", 6, 3),
        ("replicas=9", 6, 8),
        ("up-window=60", 6, 3),
        ("up-window=60s", 6, 3),
        ("kubernetes=1.36", 6, 6),
        ("memory=empty", 6, 6),
    ],
)
def test_a_setting_changes_the_decision(text: str, before: int, after: int) -> None:
    recorded = record(external("30"))
    assert count(recorded) == before
    assert count(with_settings(recorded, text)) == after


def test_settings_add_up_and_name_their_metric() -> None:
    changed = with_settings(record(), "target:load=77", "max=20", "target:cpu=20%", "value:queue=900")
    assert changed.hpa.spec.max_replicas == 20
    proposals = [metric.calculation.replicas for metric in changed.decide().trace.metrics]
    assert proposals == [3, 90, 12]
    assert changed.outcome is None


def test_a_metric_is_named_by_position_where_names_repeat() -> None:
    recorded = record(external("30"), external("40"))
    changed = with_settings(recorded, "target:1=50")
    targets = [metric.target for metric in changed.decide().trace.metrics]
    assert targets == [30_000, 50_000]
    with pytest.raises(SettingError, match="2 metrics have this name"):
        with_settings(recorded, "target:load=50")


def test_down_window_with_and_without_behavior() -> None:
    memory = Memory(recommendations=(Recommendation(9, START - 100 * SECOND),))
    for behavior in (None, {}, {"scaleDown": {"stabilizationWindowSeconds": 300}}):
        recorded = make_record(hpa(behavior=behavior), observe(9, total(60)), memory, START)
        assert count(recorded) == 9
        assert count(with_settings(recorded, "down-window=60")) == 2


def test_tolerance_of_the_hpa_itself_is_meant_where_it_has_one() -> None:
    recorded = record(external("30"), behavior={"scaleUp": {"tolerance": "0.05"}})
    assert count(with_settings(recorded, "tolerance=2.5")) == 3


def test_a_failed_metric_can_be_given_a_value_where_one_number_says_it_all() -> None:
    recorded = make_record(hpa(), observe(3, FailedAnswer("away")), Memory(), START)
    changed = with_settings(recorded, "value=150")
    assert changed.observation.answers == (ExternalAnswer((150_000,)),)
    per_pod_failed = make_record(hpa(pods_metric()), observe(3, FailedAnswer("away"), pods=pods(3)), Memory(), START)
    with pytest.raises(SettingError, match="the metric failed"):
        with_settings(per_pod_failed, "value=150")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("target", "is no setting: write it as name=value"),
        ("target=", "is no setting"),
        ("speed=3", "there is no setting 'speed'; known are target"),
        ("max:load=3", "max is not a setting of one metric"),
        ("max=many", "must be a whole number"),
        ("max=-1", "must be a whole number"),
        ("max=99999999999", "must be a whole number"),
        ("tolerance=nan", "must be a number"),
        ("target=20", "the HPA has 3 metrics; say which: target:load=20, target:queue=20, target:cpu=20"),
        ("target:disk=20", "there is no such metric; the HPA has 0 load, 1 queue, 2 cpu"),
        ("target:load=much", "target:load=much"),
        ("target:cpu=1.5", "must be a whole number"),
        ("kubernetes=1.12", "1.12"),
        ("memory=full", "only memory=empty"),
        ("max=0", "would be refused: spec.maxReplicas"),
        ("min=30", "would be refused: spec.maxReplicas"),
        ("target:load=-5", "would be refused: spec.metrics[0].external.target.averageValue"),
        ("down-window=9999", "would be refused: spec.behavior.scaleDown.stabilizationWindowSeconds"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(SettingError) as refusal:
        with_settings(record(behavior={}), text)
    assert problem in str(refusal.value)


def test_a_setting_prints_as_it_is_written() -> None:
    for text in ("max=3", "target:load=5"):
        assert str(parse_setting(text)) == text
    assert set(SETTINGS) >= {"target", "max", "min", "tolerance"}
    assert parse_setting(" max = 3 ".replace(" ", "")) == Setting("max", "", "3")
