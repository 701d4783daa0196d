"""When the process calls itself alive and ready, and for how long it says nothing about whole fleets."""

from typing import Any

import msgspec

from inflight.serve.vitals import FIRST_ROUNDS_SECONDS, STILL_SECONDS, Vitals
from inflight.sources import PodStatus

START = 1000.0


def pod(received_at: float | None = None, failures: int = 0, interval: float = 1.0) -> PodStatus:
    return PodStatus(
        namespace="n",
        name="p",
        engine=None,
        version=None,
        received_at=received_at,
        interval_seconds=interval,
        last_duration_seconds=None,
        failing="refused" if failures else "",
        failures_in_a_row=failures,
        restarts=0,
    )


def test_nothing_to_scrape_is_fine(full_stats: Any) -> None:
    vitals = Vitals(START, None)
    assert vitals.standstill(msgspec.structs.replace(full_stats, targets=0), START + 1e6) == ""
    assert vitals.look([], START)


def test_a_collector_that_stands_still_is_found(full_stats: Any) -> None:
    vitals = Vitals(START, None)
    never = msgspec.structs.replace(full_stats, last_finished_at=None)
    assert vitals.standstill(never, START + STILL_SECONDS) == ""
    assert "61 s" in vitals.standstill(never, START + STILL_SECONDS + 1)
    late = msgspec.structs.replace(full_stats, last_finished_at=START + 100)
    assert vitals.standstill(late, START + 159) == ""
    assert "61 s" in vitals.standstill(late, START + 161)


def test_a_long_interval_is_waited_for(full_stats: Any) -> None:
    late = msgspec.structs.replace(full_stats, last_finished_at=START)
    assert Vitals(START, 100.0).standstill(late, START + 299) == ""
    assert Vitals(START, 100.0).standstill(late, START + 301)


def test_warm_once_each_pod_was_read_and_read_again() -> None:
    vitals = Vitals(START, None)
    assert vitals.warming_up, "before the first look"
    assert not vitals.look([pod(START), pod()], START + 0.5)
    assert "1 of 2 pods" in vitals.warming_up
    assert not vitals.look([pod(START), pod(START + 0.9)], START + 1)
    assert vitals.warming_up.startswith("just started: nothing is said of a whole fleet until"), "gauges wait as well"
    assert "second page" in vitals.warming_up
    assert vitals.look([pod(START), pod(START + 0.9)], START + 2.3)
    assert vitals.warming_up == ""
    assert vitals.look([pod(START), pod()], START + 2.4), "a pod that comes later waits for nobody"


def test_a_pod_that_fails_twice_is_not_waited_for() -> None:
    vitals = Vitals(START, None)
    assert not vitals.look([pod(failures=1)], START + 1)
    assert vitals.look([pod(failures=2)], START + 2)


def test_the_wait_has_an_end() -> None:
    vitals = Vitals(START, None)
    assert not vitals.look([pod()], START + FIRST_ROUNDS_SECONDS - 0.1)
    assert vitals.look([pod()], START + FIRST_ROUNDS_SECONDS)
