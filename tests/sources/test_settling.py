"""Pods that were running before they were watched: for how long a fleet waits for them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from inflight.guard import Answer, Question, Unknown, answer
from inflight.signals.reader import PageReader
from inflight.sources import Collector, Target
from inflight.sources.pod import SETTLE_SECONDS, Readers, WatchedPod
from inflight.sources.scrape import Failure

from .conftest import CATALOGUE, EPOCH, PodServer, collecting, one, page, until

Serve = Callable[..., Awaitable[PodServer]]
DEAD = "http://127.0.0.1:1/metrics"
SUM = Question("inflight_requests", "in_flight", per_pod=False)
RATE = Question("inflight_generation_tokens_per_second", "generation_tokens_rate", per_pod=False)
PAGE = PageReader(CATALOGUE).read(page(running=5))
REFUSED = Failure("refused", "connection refused")


class SetClock:
    """Shows the time that it is set to."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def target(name: str = "pod", **more: Any) -> Target:
    more.setdefault("url", DEAD)
    more.setdefault("settle", True)
    return Target("default", name, {}, **more)


def still(*targets: Target) -> tuple[Collector, SetClock]:
    """A collector that does not run."""
    clock = SetClock()
    collector = Collector(CATALOGUE, clock)
    collector.set_targets(targets)
    return collector, clock


def watched(*alternatives: str) -> WatchedPod:
    pod = target(alternatives=alternatives)
    return WatchedPod(pod, Readers(CATALOGUE), 30.0, settles_at=EPOCH + SETTLE_SECONDS)


def read(pod: WatchedPod, at: float) -> None:
    pod.series.add(PAGE, at)
    pod.succeeded()


def test_a_fleet_waits_for_those_only_whose_targets_say_so() -> None:
    collector, _ = still(target("a"), target("b", settle=False))
    assert [sample.settling for sample in collector.samples("running")] == [True, False]
    assert [status.settling for status in collector.pods()] == [True, False]


def test_two_pages_are_enough() -> None:
    pod = watched()
    read(pod, EPOCH + 1)
    sample = pod.sample("running", EPOCH + 1)
    assert (sample.value, sample.settling) == (5, True)
    read(pod, EPOCH + 2)
    assert not pod.sample("running", EPOCH + 2).settling


def test_two_failures_in_a_row_are_enough() -> None:
    pod = watched()
    pod.failed(REFUSED)
    assert pod.settling(EPOCH + 1)
    pod.failed(REFUSED)
    assert not pod.settling(EPOCH + 2)


def test_one_page_and_one_failure_are_not_enough() -> None:
    pod = watched()
    read(pod, EPOCH + 1)
    pod.failed(Failure("timeout", "no page"))
    assert pod.settling(EPOCH + 7)
    read(pod, EPOCH + 8)
    assert not pod.settling(EPOCH + 8)


def test_a_failure_is_a_walk_through_all_places() -> None:
    pod = watched("http://127.0.0.1:2/metrics", "http://127.0.0.1:3/metrics")
    for _ in range(5):
        pod.failed(REFUSED)
        assert pod.settling(EPOCH + 1)
    pod.failed(REFUSED)
    assert not pod.settling(EPOCH + 1)


@pytest.mark.parametrize("signal", ["running", "generation_tokens_rate"])
def test_the_wait_has_an_end_also_for_samples_that_were_asked_before(signal: str) -> None:
    collector, clock = still(target())
    clock.time = EPOCH + SETTLE_SECONDS - 0.001
    before = collector.samples(signal)[0]
    assert before.settling
    assert collector.samples(signal)[0] is before, "kept until something changes"
    clock.time = EPOCH + SETTLE_SECONDS
    after = collector.samples(signal)[0]
    assert not after.settling
    assert collector.samples(signal)[0] is after
    assert not collector.pods()[0].settling
    clock.time = EPOCH
    assert not collector.samples(signal)[0].settling, "once settled, for good"


def test_the_same_targets_again_change_nothing_that_was_kept() -> None:
    collector, _ = still(target("a"), target("b"))
    before = collector.samples("running")
    collector.set_targets([target("a"), target("b", terminating=True)])
    after = collector.samples("running")
    assert after[0] is before[0]
    assert not after[1].alive


def test_targets_that_come_again_neither_end_the_wait_nor_begin_it_anew() -> None:
    collector, clock = still(target(uid="1"))
    clock.time += 10
    collector.set_targets([target(uid="1", settle=False)])
    assert one(collector).settling, "a file that is read again during the first seconds"
    clock.time += 10
    collector.set_targets([target(uid="1")])
    assert not one(collector).settling


def test_another_place_does_not_begin_the_wait_anew() -> None:
    collector, clock = still(target(uid="1"))
    clock.time += 10
    collector.set_targets([target(uid="1", url=f"{DEAD}/x")])
    assert one(collector).settling
    clock.time += 5
    assert not one(collector).settling
    collector.set_targets([target(uid="1", alternatives=(f"{DEAD}/y",))])
    assert not one(collector).settling


def test_a_successor_and_a_pod_that_comes_again_are_waited_for() -> None:
    collector, clock = still(target(uid="1"))
    clock.time += 20
    collector.set_targets([target(uid="2")])
    assert one(collector).settling
    clock.time += 20
    collector.set_targets([])
    collector.set_targets([target(uid="2")])
    assert one(collector).settling


async def test_no_sum_lacks_a_pod_that_was_there_before(serve: Serve) -> None:
    """Asked as often as possible from the first moment on: each sum is the whole one."""
    servers = [await serve(page(running=5)) for _ in range(8)]
    targets = [server.target(f"pod-{number}", settle=True) for number, server in enumerate(servers)]
    said: list[Answer | Unknown] = []

    def ask(c: Collector) -> bool:
        now = c.stats.newest_page_at or EPOCH
        said.append(answer(SUM, c.samples("in_flight"), now))
        rate = answer(RATE, c.samples("generation_tokens_rate"), now)
        assert isinstance(rate, Unknown) or rate.seen == 8
        return isinstance(rate, Answer)

    async with collecting(targets, speed=5) as c:
        await until(lambda: ask(c))
    assert {outcome.value for outcome in said if isinstance(outcome, Answer)} == {40}
    unknown = [outcome for outcome in said if isinstance(outcome, Unknown)]
    assert {outcome.code for outcome in unknown} == {"warming_up"}
    assert "8 of 8 pods have not been read yet" in unknown[0].reason


async def test_a_dead_pod_holds_the_fleet_up_for_two_attempts_only(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target("a", settle=True), target("dead")]) as c:
        await until(lambda: c.samples("in_flight")[0].value == 5)
        await until(lambda: isinstance(answer(SUM, c.samples("in_flight"), c.stats.newest_page_at or 0), Answer))
        assert c.pods()[1].failures_in_a_row >= 2


async def test_a_pod_whose_engine_lacks_the_signal_holds_nobody_up_for_long(serve: Serve) -> None:
    server, plain = await serve(page(running=5, tokens=1)), await serve(b"vllm:num_requests_running 1\n")
    async with collecting([server.target("a", settle=True), plain.target("b", settle=True)]) as c:
        said = await until(
            lambda: (
                isinstance(
                    found := answer(RATE, c.samples("generation_tokens_rate"), c.stats.newest_page_at or 0), Answer
                )
                and found
            )
        )
        assert (said.seen, said.expected) == (1, 1)


async def test_a_pod_that_hangs_is_given_up_after_fifteen_seconds(serve: Serve) -> None:
    async def hang(_: web.Request) -> web.Response:
        await until(lambda: False, seconds=60)
        return web.Response()

    server, hanging = await serve(page(running=5)), await serve(hang)
    targets = [server.target("a", settle=True), hanging.target("b", settle=True)]
    async with collecting(targets, timeout_seconds=30.0) as c:

        def said() -> Any:
            return answer(SUM, c.samples("in_flight"), c.stats.newest_page_at or EPOCH)

        await until(lambda: isinstance(said(), Answer))
        assert (c.stats.newest_page_at or 0) > EPOCH + SETTLE_SECONDS - 2
        assert said().value == 5
