"""When the process calls itself alive and ready."""

from typing import Any

import msgspec

from inflight.serve.vitals import FIRST_ROUNDS_SECONDS, STILL_SECONDS, Vitals
from inflight.sources import PodStatus

START = 1000.0


def pod(name: str = "p", received_at: float | None = None, *, settling: bool = True) -> PodStatus:
    return PodStatus(
        namespace="n",
        name=name,
        engine=None,
        version=None,
        received_at=received_at,
        interval_seconds=1.0,
        last_duration_seconds=None,
        failing="",
        failures_in_a_row=0,
        restarts=0,
        settling=settling,
    )


def test_nothing_to_scrape_is_fine(full_stats: Any) -> None:
    vitals = Vitals(None)
    assert vitals.standstill(msgspec.structs.replace(full_stats, targets=0), START + 1e6) == ""
    assert vitals.look([], START)


def test_a_collector_that_stands_still_is_found(full_stats: Any) -> None:
    vitals = Vitals(None)
    never = msgspec.structs.replace(full_stats, last_finished_at=None)
    assert vitals.standstill(never, START) == ""
    assert vitals.standstill(never, START + STILL_SECONDS) == ""
    assert "61 s" in vitals.standstill(never, START + STILL_SECONDS + 1)
    late = msgspec.structs.replace(full_stats, last_finished_at=START + 100)
    assert vitals.standstill(late, START + 159) == ""
    assert "61 s" in vitals.standstill(late, START + 161)


def test_a_long_interval_is_waited_for(full_stats: Any) -> None:
    vitals = Vitals(100.0)
    vitals.note_targets(3, START)
    late = msgspec.structs.replace(full_stats, last_finished_at=START)
    assert vitals.standstill(late, START + 299) == ""
    assert vitals.standstill(late, START + 301)


def test_the_first_pods_after_a_long_time_without_any_are_given_time(full_stats: Any) -> None:
    vitals = Vitals(None)
    never = msgspec.structs.replace(full_stats, last_finished_at=None)
    none = msgspec.structs.replace(never, targets=0)
    assert vitals.standstill(none, START + 900) == ""
    vitals.note_targets(3, START + 1000)
    assert vitals.standstill(never, START + 1000 + STILL_SECONDS) == ""
    assert vitals.standstill(never, START + 1001 + STILL_SECONDS)
    assert Vitals(None).standstill(never, START + 1000) == "", "nor where nobody has told of them"


def test_nothing_to_scrape_in_between_is_no_standstill(full_stats: Any) -> None:
    vitals = Vitals(None)
    vitals.note_targets(3, START)
    old = msgspec.structs.replace(full_stats, last_finished_at=START + 10)
    vitals.note_targets(0, START + 11)
    vitals.note_targets(1, START + 500)
    vitals.note_targets(2, START + 520)
    assert vitals.standstill(old, START + 500 + STILL_SECONDS) == ""
    assert vitals.standstill(old, START + 501 + STILL_SECONDS), "counted from the first of them"


def test_ready_once_none_of_the_first_pods_settles() -> None:
    vitals = Vitals(None)
    assert vitals.warming_up, "before the first look"
    assert not vitals.look([pod("a", START), pod("b")], START + 0.5)
    assert vitals.warming_up == "just started: 1 of 2 pods have not been read yet"
    assert not vitals.look([pod("a", START + 1, settling=False), pod("b", START + 1)], START + 1)
    assert vitals.warming_up == "just started: 1 of 2 pods have not been read twice yet"
    assert vitals.look([pod("a", settling=False), pod("b", settling=False)], START + 2)
    assert vitals.warming_up == ""
    assert vitals.look([pod("a")], START + 3), "who was ready stays so"


def test_pods_that_come_later_are_not_waited_for() -> None:
    vitals = Vitals(None)
    assert not vitals.look([pod("a")], START)
    assert not vitals.look([pod("a"), pod("b")], START + 1)
    assert "1 of 1 pods" in vitals.warming_up
    assert vitals.look([pod("a", settling=False), pod("b"), pod("c")], START + 2)


def test_a_pod_that_goes_is_not_waited_for() -> None:
    vitals = Vitals(None)
    assert not vitals.look([pod("a")], START)
    assert vitals.look([], START + 1)


def test_pods_that_nobody_waits_for_do_not_keep_it_from_being_ready() -> None:
    assert Vitals(None).look([pod("a", settling=False)], START)


def test_the_wait_has_an_end_counted_from_the_first_look() -> None:
    vitals = Vitals(None)
    assert not vitals.look([pod()], START + 100), "the pods came late"
    assert not vitals.look([pod()], START + 100 + FIRST_ROUNDS_SECONDS - 0.1)
    assert vitals.look([pod()], START + 100 + FIRST_ROUNDS_SECONDS)
