"""The lab's clock is held when the model cannot keep up, and says how much."""

import pytest

from inflight.lab.pace import PacedClock


class Wall:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_it_runs_at_its_speed_while_it_is_released_in_time() -> None:
    wall = Wall()
    clock = PacedClock(10, 1000.0, max_ahead_seconds=2.0, wall=wall)
    for _ in range(50):
        wall.seconds += 0.1
        clock.release(clock.now())
    assert clock.now() == pytest.approx(1050.0)
    assert clock.slip() == 0.0


def test_it_stands_still_when_the_work_is_late_and_counts_the_slip() -> None:
    wall = Wall()
    clock = PacedClock(10, 1000.0, max_ahead_seconds=2.0, wall=wall)
    wall.seconds += 1.0  # ten model seconds promised, two given
    assert clock.now() == 1002.0
    clock.release(1002.0)
    assert clock.slip() == pytest.approx(0.8)
    wall.seconds += 0.1
    assert clock.now() == pytest.approx(1003.0)


def test_time_that_was_held_is_not_made_up() -> None:
    wall = Wall()
    clock = PacedClock(10, 0.0, max_ahead_seconds=1.0, wall=wall)
    wall.seconds += 5.0
    clock.release(1.0)
    assert clock.now() == 1.0


def test_a_new_speed_does_not_make_the_time_jump_and_counts_anew() -> None:
    wall = Wall()
    clock = PacedClock(10, 0.0, max_ahead_seconds=1.0, wall=wall)
    wall.seconds += 1.0
    clock.set_speed(5)
    assert clock.now() == 1.0
    assert clock.slip() == 0.0
    clock.release(1.0)
    wall.seconds += 0.1
    assert clock.now() == pytest.approx(1.5)


def test_a_speed_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        PacedClock(0, 0.0, max_ahead_seconds=1.0)


async def test_sleep_waits_for_model_time() -> None:
    clock = PacedClock(1000, 0.0, max_ahead_seconds=1e9)
    await clock.sleep(5.0)
    assert clock.now() >= 5.0
    await clock.sleep(-1)
