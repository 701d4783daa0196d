"""Bounds and rate policies: the vectors of upstream's own unit tests and of the Kubernetes documentation.

Numbers: kubernetes pkg/controller/podautoscaler/horizontal_test.go (TestConvertDesiredReplicasWithRules,
TestScalingWithRules, TestStoreScaleEvents); the walk from 80 to 10: kubernetes.io, Horizontal Pod Autoscaling.
"""

import pytest

from inflight.hpa import Reason, ScaleEvent
from inflight.hpa.limits import Past, limit_behavior, limit_legacy, store_scale_event
from inflight.objects import HPAScalingPolicy, HPAScalingRules

from .builders import SECOND

NOW = 1_000_000 * SECOND
DEFAULT_UP = "P4/15 %100/15"
DEFAULT_DOWN = "%100/15"


def rules(text: str, select: str = "Max") -> HPAScalingRules:
    """`P4/15 %100/60`: 4 pods in 15 s, 100 % in 60 s."""
    policies = []
    for part in text.split():
        value, period = part[1:].split("/")
        kind = "Pods" if part[0] == "P" else "Percent"
        policies.append(HPAScalingPolicy(type=kind, value=int(value), period_seconds=int(period)))
    return HPAScalingRules(select_policy=select, policies=tuple(policies))


def events(*changes: int, age_seconds: int = 1) -> tuple[ScaleEvent, ...]:
    return tuple(ScaleEvent(change, NOW - age_seconds * SECOND) for change in changes)


@pytest.mark.parametrize(
    ("current", "raw", "minimum", "maximum", "limited", "reason"),
    [
        (5, 7, 3, 8, 7, Reason.DESIRED_WITHIN_RANGE),
        (3, 1, 2, 8, 2, Reason.TOO_FEW_REPLICAS),
        (1, 0, 0, 10, 0, Reason.DESIRED_WITHIN_RANGE),
        (20, 1000, 1, 10, 10, Reason.TOO_MANY_REPLICAS),
        (3, 1000, 1, 2000, 6, Reason.SCALE_UP_LIMIT),
    ],
)
def test_without_behavior_at_most_double_or_four(
    *, current: int, raw: int, minimum: int, maximum: int, limited: int, reason: Reason
) -> None:
    limits = limit_legacy(current, raw, (minimum, maximum), saturate=False)
    assert (limits.limited, limits.reason) == (limited, reason)


@pytest.mark.parametrize(
    ("policies", "current", "raw", "minimum", "maximum", "limited", "reason"),
    [
        (DEFAULT_UP, 10, 50, 1, 1000, 20, Reason.SCALE_UP_LIMIT),
        ("%1/60", 3, 1000, 1, 2000, 4, Reason.SCALE_UP_LIMIT),
        ("P100/60 %100/60", 10, 500, 1, 1000, 110, Reason.SCALE_UP_LIMIT),
        ("P2/60 %100/60", 10, 500, 1, 1000, 20, Reason.SCALE_UP_LIMIT),
        ("P30/60", 10, 50, 1, 1000, 40, Reason.SCALE_UP_LIMIT),
        ("%200/60", 10, 50, 1, 1000, 30, Reason.SCALE_UP_LIMIT),
        ("%12/60", 25, 50, 1, 1000, 29, Reason.SCALE_UP_LIMIT),
        ("P20/60 %1/60", 100, 2, 1, 1000, 80, Reason.SCALE_DOWN_LIMIT),
        ("P2/60 %1/60", 100, 2, 1, 1000, 98, Reason.SCALE_DOWN_LIMIT),
        ("P5/60", 10, 2, 1, 1000, 5, Reason.SCALE_DOWN_LIMIT),
        ("%100/60", 10, 2, 5, 1000, 5, Reason.TOO_FEW_REPLICAS),
        ("%80/60", 10, 0, 0, 1000, 1, Reason.SCALE_DOWN_LIMIT),
        ("%90/60", 10, 0, 0, 1000, 0, Reason.DESIRED_WITHIN_RANGE),
        ("%80/60", 5, 0, 0, 1000, 0, Reason.DESIRED_WITHIN_RANGE),
    ],
)
def test_the_furthest_policy_limits(
    *, policies: str, current: int, raw: int, minimum: int, maximum: int, limited: int, reason: Reason
) -> None:
    limits = limit_behavior(current, raw, (minimum, maximum), rules(policies), Past((), (), NOW), saturate=False)
    assert (limits.limited, limits.reason) == (limited, reason)


@pytest.mark.parametrize(("current", "raw", "limited"), [(1, 9, 2), (5, 0, 3)])
def test_select_policy_min_takes_the_smallest_change(current: int, raw: int, limited: int) -> None:
    chosen = rules("P2/60 %50/60", "Min")
    assert limit_behavior(current, raw, (0, 10), chosen, Past((), (), NOW), saturate=False).limited == limited


def test_select_policy_disabled_allows_no_change() -> None:
    chosen = rules("P2/60", "Disabled")
    limits = limit_behavior(5, 9, (0, 10), chosen, Past((), (), NOW), saturate=False)
    assert (limits.limited, limits.reason) == (5, Reason.SCALE_UP_LIMIT)


@pytest.mark.parametrize(
    ("policies", "ups", "downs", "current", "raw", "maximum", "limited", "reason"),
    [
        ("P300/60", (1, 5, 9), (), 100, 500, 200, 200, Reason.TOO_MANY_REPLICAS),
        ("P5/120", (1, 5, 9), (), 100, 500, 1000, 100, Reason.SCALE_UP_LIMIT),
        ("P150/120", (1, 5, 9), (), 100, 500, 1000, 235, Reason.SCALE_UP_LIMIT),
        ("%200/120", (1, 5, 9), (), 100, 500, 1000, 255, Reason.SCALE_UP_LIMIT),
        ("%300/300", (4,), (2,), 6, 24, 1000, 16, Reason.SCALE_UP_LIMIT),
        ("P5/120", (), (1, 5, 9), 100, 2, 1000, 100, Reason.SCALE_DOWN_LIMIT),
        ("%50/120", (), (2, 4, 6), 100, 0, 1000, 56, Reason.SCALE_DOWN_LIMIT),
        ("%50/180", (2,), (4,), 10, 1, 1000, 6, Reason.SCALE_DOWN_LIMIT),
        ("%10/120", (), (10, 10, 10), 100, 0, 1000, 100, Reason.SCALE_DOWN_LIMIT),
        ("%1000/120", (), (10, 10, 10), 10, 5, 1000, 5, Reason.DESIRED_WITHIN_RANGE),
    ],
)
def test_changes_of_the_period_are_counted_in_both_directions(
    *,
    policies: str,
    ups: tuple[int, ...],
    downs: tuple[int, ...],
    current: int,
    raw: int,
    maximum: int,
    limited: int,
    reason: Reason,
) -> None:
    limits = limit_behavior(
        current, raw, (0, maximum), rules(policies), Past(events(*ups), events(*downs), NOW), saturate=False
    )
    assert (limits.limited, limits.reason) == (limited, reason)


def test_the_walk_of_the_documentation_from_80_to_10() -> None:
    chosen = rules("P4/60 %10/60")
    downs: tuple[ScaleEvent, ...] = ()
    current, now_ns, walk = 80, NOW, [80]
    while current > 10:
        limited = limit_behavior(current, 10, (10, 1000), chosen, Past((), downs, now_ns), saturate=False).limited
        downs = store_scale_event(downs, current - limited, chosen, now_ns)
        current, now_ns = limited, now_ns + 60 * SECOND
        walk.append(current)
    assert walk == [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]


def test_from_zero_percent_alone_never_leaves_zero() -> None:
    assert limit_behavior(0, 5, (0, 10), rules("%100/15"), Past((), (), NOW), saturate=False).limited == 0


def test_an_event_counts_strictly_inside_the_period() -> None:
    chosen = rules("P2/60")
    inside = (ScaleEvent(2, NOW - 60 * SECOND + 1),)
    outside = (ScaleEvent(2, NOW - 60 * SECOND),)
    assert limit_behavior(5, 9, (1, 10), chosen, Past(inside, (), NOW), saturate=False).limited == 5
    assert limit_behavior(5, 9, (1, 10), chosen, Past(outside, (), NOW), saturate=False).limited == 7


def test_an_event_older_than_the_longest_period_gives_its_place() -> None:
    stored = store_scale_event((ScaleEvent(7, NOW - 61 * SECOND),), 5, rules("P4/60 %10/15"), NOW)
    assert stored == (ScaleEvent(5, NOW),)
    kept = ScaleEvent(7, NOW - 58 * SECOND)
    assert store_scale_event((kept,), 5, rules("P4/60"), NOW) == (kept, ScaleEvent(5, NOW))


def test_of_two_outdated_events_the_last_is_replaced_and_the_other_flagged() -> None:
    first, second = ScaleEvent(7, NOW - 61 * SECOND), ScaleEvent(9, NOW - 62 * SECOND)
    stored = store_scale_event((first, second), 5, rules("P4/60"), NOW)
    assert stored == (ScaleEvent(7, NOW - 61 * SECOND, True), ScaleEvent(5, NOW))


def test_a_percent_policy_that_overflows_freezes_on_amd64_and_saturates_on_arm64() -> None:
    chosen = rules("%2147483647/15")
    frozen = limit_behavior(1000, 5000, (1, 100_000), chosen, Past((), (), NOW), saturate=False)
    assert frozen.limited == 1000
    free = limit_behavior(1000, 5000, (1, 100_000), chosen, Past((), (), NOW), saturate=True)
    assert free.limited == 5000


def test_the_trace_shows_each_policy() -> None:
    limits = limit_behavior(10, 500, (1, 1000), rules("P2/60 %100/60"), Past(events(3), (), NOW), saturate=False)
    assert [(each.start, each.added, each.limit) for each in limits.policies] == [(7, 3, 9), (7, 3, 14)]
    assert (limits.direction, limits.rate_limit) == ("up", 14)
