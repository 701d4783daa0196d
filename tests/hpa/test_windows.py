"""Stabilisation and the memory of recommendations: the vectors of upstream's own unit tests, and the edges of a window.

Numbers: kubernetes pkg/controller/podautoscaler/horizontal_test.go (TestNormalizeDesiredReplicas,
TestNormalizeDesiredReplicasWithBehavior).
"""

import pytest

from inflight.hpa import Recommendation
from inflight.hpa.windows import stabilize_behavior, stabilize_legacy

from .builders import SECOND

NOW = 1_000_000 * SECOND


def memory(text: str) -> tuple[Recommendation, ...]:
    """`4@120 5@60`: 4 replicas 120 seconds ago, and so on."""
    pairs = (part.split("@") for part in text.split())
    return tuple(Recommendation(int(replicas), NOW - int(age) * SECOND) for replicas, age in pairs)


@pytest.mark.parametrize(
    ("remembered", "raw", "stabilized", "length"),
    [
        ("", 5, 5, 1),
        ("4@120 5@60", 3, 5, 3),
        ("1@120 2@60", 3, 3, 3),
        ("10@600 9@540", 3, 3, 2),
        ("10@600 4@60 5@120 9@540", 3, 5, 4),
    ],
)
def test_without_behavior_the_highest_of_the_window_wins(
    remembered: str, raw: int, stabilized: int, length: int
) -> None:
    step, after = stabilize_legacy(memory(remembered), raw, 300 * SECOND, NOW)
    assert step.stabilized == stabilized
    assert len(after) == length
    assert Recommendation(raw, NOW) in after


@pytest.mark.parametrize(
    ("remembered", "current", "raw", "up", "down", "stabilized", "after"),
    [
        ("", 100, 5, 0, 0, 5, [5]),
        ("4@120 5@60", 100, 3, 0, 180, 5, [4, 5, 3]),
        ("4@120 5@60", 1, 7, 300, 0, 4, [4, 5, 7]),
        ("1@120 2@60", 100, 3, 300, 0, 3, [1, 2, 3]),
        ("4@120 5@60", 1, 3, 0, 300, 3, [4, 5, 3]),
        ("10@600 9@540", 100, 3, 0, 0, 3, [10, 3]),
        ("10@600 9@540", 1, 100, 0, 0, 100, [10, 100]),
        ("10@600 4@60 5@120 9@540", 100, 3, 0, 180, 5, [10, 4, 5, 3]),
        ("10@6000 6@60 5@120 9@180", 1, 100, 300, 0, 5, [100, 6, 5, 9]),
        ("2@6000 3@180", 2, 1, 300, 300, 2, None),
        ("2@6000 1@180", 2, 3, 300, 300, 2, None),
    ],
)
def test_with_behavior_the_count_moves_as_far_as_the_windows_agree(
    *, remembered: str, current: int, raw: int, up: int, down: int, stabilized: int, after: list[int] | None
) -> None:
    step, remembers = stabilize_behavior(
        memory(remembered), current, raw, up_ns=up * SECOND, down_ns=down * SECOND, now_ns=NOW
    )
    assert step.stabilized == stabilized
    if after is not None:
        assert [each.replicas for each in remembers] == after


def test_without_behavior_an_entry_still_counts_at_the_end_of_its_window() -> None:
    held, _ = stabilize_legacy(memory("9@300"), 3, 300 * SECOND, NOW)
    assert held.stabilized == 9
    free, after = stabilize_legacy(memory("9@300"), 3, 300 * SECOND, NOW + 1)
    assert free.stabilized == 3
    assert [each.replicas for each in after] == [3]


def test_with_behavior_an_entry_no_longer_counts_at_the_end_of_its_window() -> None:
    held, _ = stabilize_behavior(memory("9@300"), 9, 3, up_ns=0, down_ns=300 * SECOND, now_ns=NOW - 1)
    assert held.stabilized == 9
    free, after = stabilize_behavior(memory("9@300"), 9, 3, up_ns=0, down_ns=300 * SECOND, now_ns=NOW)
    assert free.stabilized == 3
    assert [each.replicas for each in after] == [9, 3], "its place is free one instant later only"


def test_the_trace_names_what_holds_and_until_when() -> None:
    step, _ = stabilize_behavior(memory("6@200 8@100 2@10"), 6, 3, up_ns=0, down_ns=300 * SECOND, now_ns=NOW)
    assert step.stabilized == 6
    assert [(entry.replicas, entry.until_ns - NOW) for entry in step.binding] == [
        (6, 100 * SECOND),
        (8, 200 * SECOND),
    ]
    assert step.clear_at_ns == NOW + 200 * SECOND


def test_the_list_given_is_not_changed() -> None:
    before = memory("10@600 9@540")
    copy = tuple(before)
    stabilize_legacy(before, 3, 300 * SECOND, NOW)
    assert before == copy
