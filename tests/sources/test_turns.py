"""Whose turn it is: among namespaces, of the loop, of the thread, of the room for pages, of the log."""

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.sources.bounded_log import BoundedLog
from inflight.sources.fair_queue import FairQueue
from inflight.sources.holdings import LARGE_BYTES, Holdings
from inflight.sources.room import ORDINARY_BYTES, NoRoomError, Room, Slot, Slots
from inflight.sources.strain import Strain
from inflight.sources.turns import TURN_SECONDS, LoopTurns, ThreadTurns

NAMESPACES = st.sampled_from("abc")


@settings(max_examples=150)
@given(st.lists(st.tuples(NAMESPACES, st.floats(0.001, 10))))
def test_everything_that_waits_gets_its_turn_in_its_namespaces_order(items: list[tuple[str, float]]) -> None:
    queue: FairQueue[int] = FairQueue()
    for number, (namespace, _) in enumerate(items):
        queue.push(namespace, number)
    served: list[int] = []
    while queue:
        namespace, number = queue.pop()
        assert items[number][0] == namespace
        queue.charge(namespace, items[number][1])
        served.append(number)
    assert sorted(served) == list(range(len(items)))
    for name in "abc":
        of_one = [number for number in served if items[number][0] == name]
        assert of_one == sorted(of_one)


@settings(max_examples=100)
@given(st.lists(st.floats(0.01, 5), min_size=30, max_size=60), st.floats(0.01, 5))
def test_nobody_gets_more_than_others_by_more_than_one_turn(costs: list[float], cheap: float) -> None:
    queue: FairQueue[float] = FairQueue()
    for cost in costs:
        queue.push("costly", cost)
        queue.push("cheap", cheap)
    had: Counter[str] = Counter()
    largest = max([*costs, cheap])
    for _ in range(len(costs)):  # both wait all the time
        namespace, cost = queue.pop()
        queue.charge(namespace, cost)
        had[namespace] += cost  # type: ignore[assignment]
        assert abs(had["costly"] - had["cheap"]) <= largest + 1e-9


def test_who_comes_back_has_saved_nothing_up() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(100):
        queue.push("busy", number)
    for _ in range(50):
        queue.charge(queue.pop()[0], 1.0)
    for number in range(20):
        queue.push("late", number)
    order = []
    for _ in range(20):
        namespace, _ = queue.pop()
        queue.charge(namespace, 1.0)
        order.append(namespace)
    assert order.count("late") <= 11


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_the_loop_turns_while_many_pages_are_read() -> None:
    turns, read = LoopTurns(), 0

    def page() -> int:
        nonlocal read
        busy(TURN_SECONDS / 2)
        read += 1
        return read

    reading = [asyncio.create_task(turns.do("a", page)) for _ in range(60)]
    between = []
    while read < 60:
        before = read
        await asyncio.sleep(0)
        between.append(read - before)
    assert max(between) <= 3
    assert sorted(await asyncio.gather(*reading)) == list(range(1, 61))


async def test_scrapes_begin_a_few_at_each_turn_of_the_loop() -> None:
    turns, begun = LoopTurns(), 0

    async def scrape() -> None:
        nonlocal begun
        await turns.begin("a")
        begun += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(scrape())
        most = 0
        while begun < 200:
            before = begun
            await asyncio.sleep(0)
            most = max(most, begun - before)
    assert 1 <= most <= 12


async def test_a_namespace_of_costly_pages_waits_for_itself() -> None:
    turns, order = LoopTurns(), []

    def page(namespace: str, seconds: float) -> None:
        busy(seconds)
        order.append(namespace)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(turns.do("hostile", lambda: page("hostile", 0.004)))
        for _ in range(20):
            group.create_task(turns.do("honest", lambda: page("honest", 0.0001)))
    # Twenty cheap ones take as long as half a costly one; ten leave room for a machine that is busy elsewhere.
    assert order.index("honest") <= 2
    assert order[:30].count("honest") == 20


async def test_a_fault_in_a_turn_is_the_fault_of_who_waited(executor: ThreadPoolExecutor) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    turns, thread = LoopTurns(), ThreadTurns(executor)
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await asyncio.gather(turns.do("a", fail), turns.do("a", lambda: busy(TURN_SECONDS)), turns.do("a", fail))
    with pytest.raises(ZeroDivisionError):
        await thread.do("a", fail)
    assert await thread.do("a", lambda: 5) == 5
    assert await turns.do("a", lambda: 6) == 6


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as made:
        yield made


async def test_the_thread_serves_namespaces_by_what_they_took(executor: ThreadPoolExecutor) -> None:
    thread, order = ThreadTurns(executor), []
    usual = sys.getswitchinterval()

    def page(namespace: str, seconds: float) -> None:
        busy(seconds)
        order.append(namespace)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(thread.do("hostile", lambda: page("hostile", 0.02)))
        for _ in range(5):
            group.create_task(thread.do("honest", lambda: page("honest", 0.0001)))
        abandoned = group.create_task(thread.do("hostile", lambda: page("abandoned", 0.0)))
        await asyncio.sleep(0)
        abandoned.cancel()
    assert "honest" not in order[7:]
    assert "abandoned" not in order
    assert sys.getswitchinterval() == usual


async def test_half_of_the_slots_at_most_are_one_namespaces() -> None:
    slots = Slots(8)
    hostile = [asyncio.create_task(slots.take("hostile")) for _ in range(20)]
    await asyncio.sleep(0)
    assert sum(task.done() for task in hostile) == 4
    for _ in range(4):
        await asyncio.wait_for(slots.take("honest"), 1)
    late = [asyncio.create_task(slots.take(name)) for name in ("hostile", "honest", "newcomer")]
    await asyncio.sleep(0)
    assert not any(task.done() for task in late)
    slots.give_back("hostile")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert late[2].done()
    for task in (*hostile, *late):
        task.cancel()
    await asyncio.gather(*hostile, *late, return_exceptions=True)


async def test_slots_are_not_lost_by_those_who_stop_waiting() -> None:
    slots = Slots(2)
    await slots.take("a")
    for give_back_first in (True, False):
        waiting = asyncio.create_task(slots.take("a"))
        await asyncio.sleep(0)
        if give_back_first:
            slots.give_back("a")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not give_back_first:
            slots.give_back("a")
        assert slots.take_at_once("a")
        assert not slots.take_at_once("a")
    assert slots.take_at_once("b")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMESPACES, st.integers(0, 4), st.booleans()), max_size=40), st.integers(1, 6))
def test_slots_held_never_exceed_those_there_are_and_all_come_back(
    asks: list[tuple[str, int, bool]], count: int
) -> None:
    async def play() -> None:
        slots, held, most = Slots(count), 0, 0

        async def use(namespace: str, turns: int) -> None:
            nonlocal held, most
            await slots.take(namespace)
            held += 1
            most = max(most, held)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                held -= 1
                slots.give_back(namespace)

        tasks = []
        for namespace, turns, gives_up in asks:
            tasks.append(asyncio.create_task(use(namespace, turns)))
            await asyncio.sleep(0)
            if gives_up:
                tasks[-1].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert most <= count
        taken = 0
        while any(slots.take_at_once(name) for name in "abc"):
            taken += 1
        assert taken == min(count, 3 * max(1, count // 2))

    asyncio.run(play())


async def test_a_page_that_turns_out_large_takes_a_large_slot_for_its_ordinary_one() -> None:
    room = Room(ordinary=2, large=2)
    with Slot(room, "a", 1.0) as slot:
        await slot.take(0)
        assert not room.ordinary.take_at_once("a")
        await slot.take(ORDINARY_BYTES + 1)
        assert room.ordinary.take_at_once("a")
        assert not room.large.take_at_once("a")
        await slot.take(ORDINARY_BYTES + 2)
        with Slot(room, "a", 0.01) as another, pytest.raises(NoRoomError):
            await another.take(ORDINARY_BYTES + 1)
    assert room.large.take_at_once("a")


def test_what_large_pages_keep_is_shared_out_by_namespace() -> None:
    holdings = Holdings(100 * LARGE_BYTES)
    size = 5 * LARGE_BYTES
    admitted = [pod for pod in range(20) if holdings.claim(pod, "hostile", size)]
    assert len(admitted) == 5
    assert holdings.claim("small", "hostile", LARGE_BYTES)
    assert holdings.claim("honest", "honest", size)
    # More than there is room for: who has more than an equal share gives way with the next page.
    for pod in admitted:
        holdings.claim(pod, "hostile", size)
    assert holdings.held_bytes <= 100 * LARGE_BYTES
    assert holdings.claim("honest", "honest", size)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 8), NAMESPACES, st.integers(0, 12), st.booleans()), max_size=60),
)
def test_what_is_held_is_bounded_and_ends_with_the_pods(asks: list[tuple[int, str, int, bool]]) -> None:
    holdings = Holdings(40 * LARGE_BYTES)
    for pod, namespace, size, changed in asks:
        holdings.claim((pod, namespace), namespace, size * LARGE_BYTES, changed=changed)
        assert holdings.held_bytes <= 2 * 40 * LARGE_BYTES
    for pod, namespace, _, _ in asks:
        holdings.release((pod, namespace))
    assert holdings.held_bytes == 0


def test_a_namespace_fills_its_share_of_the_log_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    log = BoundedLog(logging.getLogger("test.lines"), lambda: now, "pods", lines=10, lines_of_a_namespace=4)
    with caplog.at_level(logging.INFO, "test.lines"):
        for number in range(50):
            log.say(logging.INFO, "noisy", "noisy %d", number)
        log.say(logging.WARNING, "quiet", "quiet")
        assert caplog.messages == ["noisy 0", "noisy 1", "noisy 2", "noisy 3", "quiet"]
        for _ in range(20):
            for number in range(50):
                log.say(logging.INFO, f"many-{number}", "many")
        # The first line of ten namespaces, and ten more.
        assert len(caplog.messages) == 20
        log.turn_over()
        now += 60
        log.turn_over()
        assert caplog.messages[20:] == [
            "event=lines_left_out what=pods lines=1031 namespaces=noisy,many-8,many-9,many-10,many-11,..."
            " why='too many in a minute'"
        ]
        log.say(logging.INFO, "noisy", "again")
        now += 60
        log.turn_over()
        assert caplog.messages[21:] == ["again"]


def test_strain_is_told_when_it_begins_and_when_it_ends() -> None:
    strain = Strain()
    assert not strain.look(100, 0.1)
    assert not strain.look(100, 0.1)
    assert strain.look(200, 0.1 + 100 * 0.05)
    assert strain.strained
    assert strain.mean_wait_seconds == pytest.approx(0.05)
    assert not strain.look(300, 5.1 + 100 * 0.01)
    assert strain.strained
    assert strain.look(400, 6.1)
    assert not strain.strained
