"""A targets file that is edited under a running server: what the pods had reported is not forgotten."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from inflight.guard import Answer, Question, Unknown, answer
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.reload import Reloader, read_targets
from inflight.serve.settings import RunSettings
from inflight.signals import shipped
from inflight.sources import Collector, WallClock

SUM = Question("inflight_requests", "in_flight", per_pod=False)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(text="vllm:num_requests_running 20\nvllm:num_requests_waiting 4\n")

    app = web.Application()
    app.router.add_get("/metrics", respond)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def answered(collector: Collector, kind: type[Answer | Unknown], seen: int = 0) -> Answer | Unknown:
    async with asyncio.timeout(20):
        while True:
            said = answer(SUM, collector.samples("in_flight"), WallClock().now())
            if isinstance(said, kind) and (isinstance(said, Unknown) or said.seen == seen):
                return said
            await asyncio.sleep(0.01)


async def test_a_typing_error_in_a_url_makes_the_sum_unknown_until_it_is_mended(
    tmp_path: Path, port: int, telemetry: Telemetry
) -> None:
    file = tmp_path / "targets.yaml"
    good = "targets:\n" + "".join(f"- name: {name}\n  url: http://127.0.0.1:{port}/metrics\n" for name in "ab")
    file.write_text(good)
    collector = Collector(shipped(), WallClock(), 0.05)
    collector.set_targets(read_targets(file, shipped()))
    server: Any = None  # only a certificate would be put into it
    reloader = Reloader(RunSettings(file, "127.0.0.1", 6443), shipped(), collector.set_targets, server, telemetry)
    running = asyncio.create_task(collector.run())
    try:
        whole = await answered(collector, Answer, seen=2)
        assert isinstance(whole, Answer)
        assert whole.value == 48
        file.write_text(good.removesuffix("/metrics\n") + "/metrcs\n")
        reloader.look()
        assert telemetry.reloads == {("targets", "taken"): 1}
        attempts = collector.stats.scrapes
        async with asyncio.timeout(20):
            while not collector.stats.failures["status"]:  # noqa: ASYNC110 - a scrape sets no event
                await asyncio.sleep(0.01)
        assert collector.stats.scrapes > attempts
        said = answer(SUM, collector.samples("in_flight"), WallClock().now())
        assert isinstance(said, Unknown), said
        assert "1 of 2 pods unseen: b (HTTP 404)" in said.reason
        file.write_text(good + "\n")
        reloader.look()
        mended = await answered(collector, Answer, seen=2)
        assert isinstance(mended, Answer)
        assert mended.value == 48
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
