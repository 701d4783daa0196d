"""When a pod is scraped: spread evenly, stretched for slow pages, backed off, never twice in one moment."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.sources import schedule

DURATIONS = st.floats(0, 100, allow_nan=False)


def test_many_pods_are_spread_evenly() -> None:
    bins = [0] * 50
    for number in range(10_000):
        phase = schedule.phase("default", f"vllm-7d9f8b6c5d-{number:05x}")
        assert 0 <= phase < 1
        bins[int(phase * 50)] += 1
    # 200 expected in each, standard deviation 14.
    assert all(140 < count < 260 for count in bins), bins


def test_a_pod_has_the_same_moment_in_every_process() -> None:
    assert schedule.phase("default", "vllm-0", "uid-1") == pytest.approx(0.6233, abs=1e-4)
    assert schedule.phase("default", "vllm-0") != schedule.phase("other", "vllm-0")
    assert schedule.phase("default", "vllm-0", "uid-1") != schedule.phase("default", "vllm-0", "uid-2")


@pytest.mark.parametrize(
    ("takes", "interval"), [(0.0, 1.0), (0.003, 1.0), (0.010, 1.0), (0.020, 2.0), (0.050, 5.0), (3.0, 5.0)]
)
def test_a_scrape_takes_a_hundredth_of_the_interval_at_most(takes: float, interval: float) -> None:
    assert schedule.interval_seconds(takes) == pytest.approx(interval)


def test_the_duration_is_smoothed_and_a_hang_is_soon_forgotten() -> None:
    smoothed = None
    for _ in range(30):
        smoothed = schedule.smooth(smoothed, 0.003)
    assert smoothed == pytest.approx(0.003)
    assert schedule.interval_seconds(schedule.smooth(smoothed, 0.030)) == 1.0, "one slow scrape of many"
    for _ in range(5):
        smoothed = schedule.smooth(smoothed, 5.0)
    assert schedule.interval_seconds(smoothed) == 5.0
    for _ in range(12):
        smoothed = schedule.smooth(smoothed, 0.003)
    assert schedule.interval_seconds(smoothed) == 1.0


def test_a_pod_that_hangs_is_tried_three_times_before_its_value_is_stale() -> None:
    attempts = [0.0]
    for failures in range(1, 10):
        wait = schedule.back_off_seconds(failures, schedule.SHORTEST_SECONDS, "default/a")
        attempts.append(attempts[-1] + schedule.DEADLINE_SECONDS + wait)
    assert attempts[2] + schedule.SHORTEST_SECONDS < 15


@given(st.floats(0, 1e9), st.floats(-10, 1000), st.floats(0.1, 60))
def test_the_next_moment_lies_ahead_on_the_same_grid(due: float, late: float, interval: float) -> None:
    now = due + late
    coming = schedule.next_due(due, now, interval)
    assert coming >= due
    assert coming > now
    steps = (coming - due) / interval
    assert steps == pytest.approx(round(steps), abs=1e-4)
    if late >= 0:
        assert coming - now <= 1.1 * interval + 1e-5


@given(st.integers(1, 10_000), st.floats(0.1, 120), st.text(max_size=20))
def test_the_back_off_is_bounded_and_never_below_the_interval(failures: int, shortest: float, key: str) -> None:
    wait = schedule.back_off_seconds(failures, shortest, key)
    assert shortest <= wait <= max(shortest, 5.0)
    assert math.isfinite(wait)


def test_the_back_off_doubles_and_pods_that_failed_together_come_back_apart() -> None:
    waits = [schedule.back_off_seconds(failures, 1.0, "default/a") for failures in range(1, 6)]
    for wait, longest in zip(waits, (1, 2, 4, 5, 5), strict=True):
        assert 0.75 * longest <= wait <= longest
    assert len({schedule.back_off_seconds(3, 1.0, f"default/{name}") for name in "abcdefgh"}) == 8
