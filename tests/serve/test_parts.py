"""A part of ours that fails: once, always, by ending, by being cancelled; the others go on."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inflight.serve.parts import (
    LONGEST_PAUSE_SECONDS,
    PROVEN_SECONDS,
    SHORTEST_PAUSE_SECONDS,
    STEADY_SECONDS,
    STUCK_SECONDS,
    Need,
    Part,
    Parts,
)


class Time:
    """Passes when it is told to; who sleeps is woken then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def seconds(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [each for each in self._sleepers if each[0] <= end]:
            first = min(due, key=lambda each: each[0])
            self._sleepers.remove(first)
            self.now = first[0]
            first[1].set_result(None)
            await settle()
        self.now = end


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Flawed:
    """A part that fails as often as it is told to, and then goes on."""

    def __init__(self, fail: Callable[[], Coroutine[Any, Any, None]], times: int = 1) -> None:
        self._fail = fail
        self.times = times
        self.begun = 0

    async def run(self) -> None:
        self.begun += 1
        if self.begun <= self.times:
            await self._fail()
        else:
            await asyncio.Event().wait()


async def raises() -> None:
    raise ZeroDivisionError("a fault of ours")


async def raises_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises())


async def ends() -> None:
    pass


async def is_cancelled() -> None:
    raise asyncio.CancelledError


@asynccontextmanager
async def kept(*named: Part) -> AsyncIterator[tuple[Parts, Time, Counter[str]]]:
    time, faults = Time(), Counter[str]()
    parts = Parts(faults, time.seconds, time.sleep)
    task = asyncio.create_task(parts.run(named))
    await settle()
    try:
        yield parts, time, faults
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("fail", [raises, raises_in_a_group, ends, is_cancelled])
async def test_a_part_that_fails_once_is_begun_anew_and_the_others_do_not_notice(
    fail: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flawed, well = Flawed(fail), Flawed(raises, times=0)
    async with kept(Part("flawed", flawed.run), Part("well", well.run)) as (parts, time, faults):
        assert "the part flawed has failed" in parts.down("flawed")
        assert parts.down("well") == ""
        await time.pass_by(SHORTEST_PAUSE_SECONDS)
        assert (flawed.begun, well.begun) == (2, 1)
        assert parts.down("flawed"), "it might fail again as soon as it has work"
        await time.pass_by(PROVEN_SECONDS)
        assert parts.down("flawed") == ""
        assert faults == {"flawed": 1, "well": 0}
    assert caplog.text.count("event=part_fault part=flawed") == 1


async def test_the_fault_is_in_the_log_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async with kept(Part("flawed", Flawed(raises_in_a_group).run)):
        pass
    assert "ZeroDivisionError: a fault of ours" in caplog.text


async def test_one_that_always_fails_is_tried_for_ever_at_longer_and_longer_intervals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flawed, well = Flawed(raises, times=10**9), Flawed(raises, times=0)
    async with kept(Part("flawed", flawed.run), Part("well", well.run)) as (_, time, _):
        await time.pass_by(3600)
        assert well.begun == 1
    assert time.slept[:7] == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_SECONDS]
    assert set(time.slept[7:]) == {LONGEST_PAUSE_SECONDS}
    assert len([line for line in caplog.messages if "part_fault" in line]) <= 70


async def test_faults_far_apart_are_not_in_a_row() -> None:
    time_of_fault = asyncio.Event()

    async def fails_late() -> None:
        await time_of_fault.wait()
        time_of_fault.clear()
        raise ZeroDivisionError

    async with kept(Part("flawed", Flawed(fails_late, times=10**9).run)) as (_, time, _):
        for _ in range(3):
            await time.pass_by(STEADY_SECONDS)
            time_of_fault.set()
            await settle()
            await time.pass_by(SHORTEST_PAUSE_SECONDS)
    assert time.slept == [SHORTEST_PAUSE_SECONDS] * 3


@pytest.mark.parametrize(
    ("need", "is_ready", "lives_long"),
    [("nothing", True, True), ("readiness", False, True), ("life", False, False)],
)
async def test_what_is_needed_for_what(need: Need, is_ready: bool, lives_long: bool) -> None:
    flawed = Flawed(raises, times=10**9)
    async with kept(Part("flawed", flawed.run, needed_for=need)) as (parts, time, _):
        assert (parts.ailment("readyz") is None) == is_ready
        assert parts.ailment("livez") is None
        await time.pass_by(STUCK_SECONDS)
        assert parts.ailment("livez") is None
        await time.pass_by(1)
        assert (parts.ailment("livez") is None) == lives_long
        flawed.times = 0
        await time.pass_by(LONGEST_PAUSE_SECONDS + PROVEN_SECONDS)
        assert parts.ailment("readyz") is None or not lives_long, "ready soon"
        await time.pass_by(STEADY_SECONDS)
        assert parts.ailment("livez") is None, "and alive once it has gone on for a while"


async def test_one_that_may_end_is_done() -> None:
    flawed = Flawed(ends)
    others = Part("others", Flawed(raises, times=0).run)
    async with kept(Part("short", flawed.run, may_end=True), others) as (parts, time, faults):
        await time.pass_by(3600)
        assert (flawed.begun, parts.down("short"), faults["short"]) == (1, "", 0)


async def test_who_is_told_to_end_does_not_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    async def fails_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await raises_in_a_group()

    flawed = Flawed(fails_at_the_end, times=10**9)
    parts = Parts(Counter())
    task = asyncio.create_task(parts.run([Part("flawed", flawed.run)]))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flawed.begun == 1
    assert caplog.text.count("event=part_fault part=flawed at_the_end=true") == 1


def test_nothing_is_down_before_anything_runs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts = Parts(Counter())
    assert parts.down("anything") == ""
    assert parts.ailment("readyz") is None
