"""A pod that takes load from now on, or whose engine is another, is asked at once and not after its back-off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from inflight.sources import Collector, Target

from .conftest import CATALOGUE, EPOCH, PodServer, collecting, page, until

Serve = Callable[..., Awaitable[PodServer]]
DEAD = "http://127.0.0.1:1/metrics"


class HeldClock:
    """Time stands still; who sleeps does so until the test lets them go on, or for ever."""

    def __init__(self) -> None:
        self.asleep: list[asyncio.Future[None]] = []

    def now(self) -> float:
        return EPOCH

    async def sleep(self, _: float) -> None:
        sleeping = asyncio.get_running_loop().create_future()
        self.asleep.append(sleeping)
        try:
            await sleeping
        finally:
            self.asleep.remove(sleeping)

    def wake(self) -> None:
        for sleeping in self.asleep:
            sleeping.set_result(None)


def target(**more: Any) -> Target:
    return Target(**{"namespace": "n", "name": "p", "labels": {}, "url": DEAD, "uid": "1"} | more)


NEWS = [
    ({"ready": False}, {"ready": True}, True),
    ({"ready": None}, {"ready": True}, True),
    ({"restarts": 1}, {"restarts": 2}, True),
    ({"ready": True}, {"ready": True}, False),
    ({"ready": True}, {"ready": False}, False),
    ({"ready": True}, {"ready": True, "terminating": True}, False),
    ({"restarts": 2}, {"restarts": 1}, False),
    ({}, {"labels": {"a": "b"}}, False),
]


@pytest.mark.parametrize(("before", "now", "is_news"), NEWS, ids=[f"{before} {now}" for before, now, _ in NEWS])
async def test_what_wakes_a_pod_that_waits(before: dict[str, Any], now: dict[str, Any], is_news: bool) -> None:
    clock = HeldClock()
    collector = Collector(CATALOGUE, clock)
    collector.set_targets([target(**before)])
    running = asyncio.create_task(collector.run())
    await until(lambda: len(clock.asleep) == 1)
    clock.wake()
    await until(lambda: collector.stats.scrapes == 1 and len(clock.asleep) == 1)
    collector.set_targets([target(**now)])
    for _ in range(3):
        # Said again it is no news.
        collector.set_targets([target(**now)])
    await until(lambda: collector.stats.scrapes == (2 if is_news else 1) and len(clock.asleep) == 1)
    await asyncio.sleep(0.05)
    assert collector.stats.scrapes == (2 if is_news else 1)
    assert len(clock.asleep) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_news_while_a_pod_is_asked_lets_it_be_asked_once_more_at_once(serve: Serve) -> None:
    clock = HeldClock()
    answer = asyncio.Event()

    async def slow(_: Any) -> Any:
        await answer.wait()
        return web.Response(status=503)

    server = await serve(slow)
    collector = Collector(CATALOGUE, clock)
    collector.set_targets([target(url=server.url)])
    running = asyncio.create_task(collector.run())
    await until(lambda: len(clock.asleep) == 1)
    clock.wake()
    await until(lambda: len(server.requests) == 1)
    collector.set_targets([target(url=server.url, ready=True)])
    answer.set()
    await until(lambda: len(clock.asleep) == 1)
    assert len(server.requests) == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_pod_that_becomes_ready_has_its_value_at_once(serve: Serve) -> None:
    server = await serve(page(running=5))
    await server.stop()
    # So slow a clock that the second back-off does not end within what is waited for.
    async with collecting([server.target(uid="1", ready=False)], speed=0.5) as c:
        await until(lambda: c.stats.failures["refused"] >= 1 or c.stats.scrapes)
        await server.start()
        c.set_targets([server.target(uid="1", ready=True)])
        await until(lambda: c.samples("running")[0].value == 5)


async def test_pods_that_go_while_they_sleep_leave_nothing_behind(serve: Serve) -> None:
    server = await serve()
    async with collecting([server.target("a", uid="1"), server.target("b", uid="2")]) as c:
        await until(lambda: c.stats.scrapes > 3)
        c.set_targets([server.target("b", uid="2", ready=True)])
        c.set_targets([])
        seen = len(server.requests)
        await asyncio.sleep(0.2)
        assert len(server.requests) <= seen + 1
        # After a time without any pod the first is asked as always.
        c.set_targets([server.target("c", uid="3")])
        await until(lambda: c.samples("running")[0].value == 1)
