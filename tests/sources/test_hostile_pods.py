"""Pods that send the worst they can, many at once: they hurt neither the memory nor the other namespaces' values."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inflight.signals import PageReader, PageReading
from inflight.sources import Collector, Target, WallClock, schedule
from inflight.sources.connections import MAX_PAGE_BYTES
from inflight.sources.holdings import Holdings
from inflight.sources.pod import COSTLY_AFTER
from inflight.sources.scraper import BIG_PAGE_BYTES

from .conftest import CATALOGUE, PodServer, collecting, page, until

Serve = Callable[..., Awaitable[PodServer]]
VLLM = (Path(__file__).parents[1] / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt").read_bytes()
LARGE = b"".join(VLLM.replace(b'engine="0"', b'engine="%d"' % engine) for engine in range(5))
HOSTILE_PODS, HONEST_PODS, ANSWERS = 60, 6, 24

GROWN_MIB = 200
"""Eight slots of 4 MiB of which one namespace has four, 64 of 256 KiB, one page being read (60 MiB), and layouts."""


def many_lines(number: int) -> bytes:
    """As many lines as may be, in a layout of its own."""
    line = b'other_%d{b="%%06d"} 1\n' % number
    return page() + b"".join(line % row for row in range((MAX_PAGE_BYTES - 10_000) // 22))


def endless(_: int) -> bytes:
    return b"x" * (MAX_PAGE_BYTES + 1)


@pytest.mark.parametrize("made", [many_lines, endless])
async def test_memory_stays_bounded_and_honest_pods_are_read(serve: Serve, made: Callable[[int], bytes]) -> None:
    bodies = [made(number)[:MAX_PAGE_BYTES].rpartition(b"\n")[0] + b"\n" for number in range(3)]
    if made is endless:
        bodies = [made(0)]

    async def answer(request: web.Request) -> web.Response:
        who, _, number = request.path.removeprefix("/").partition("/")
        if who == "hostile":
            return web.Response(body=bodies[int(number) % len(bodies)])
        return web.Response(body=LARGE if int(number) % 2 else VLLM)

    server = await serve(answer)
    script = str(Path(__file__).with_name("scraping_process.py"))
    arguments = [str(number) for number in (server.port, HOSTILE_PODS, HONEST_PODS, ANSWERS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    assert found["grown_mib"] < GROWN_MIB, found
    assert all(value is not None for value in found["values"])


async def test_a_page_in_flight_of_another_namespace_does_not_wait_for_those_that_hang_in_the_middle(
    serve: Serve, talk: Callable[..., Awaitable[str]]
) -> None:
    begun = 0

    async def hangs(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * BIG_PAGE_BYTES) + b"x" * 1000)
        begun += 1
        await asyncio.sleep(60)

    url = await talk(hangs)
    server = await serve(LARGE)
    targets = [server.target(f"hang-{number}", url=f"{url}/{number}") for number in range(20)]
    honest = Target("other", "honest", {}, server.url)
    async with collecting([*targets, honest], timeout_seconds=30.0) as c:
        await until(lambda: begun == 20)
        seen = len(server.requests)
        await until(lambda: len(server.requests) > seen + 3)
        (sample,) = c.samples("running", "other")
        assert sample.value is not None


async def test_a_pod_whose_large_pages_are_no_use_is_left_alone_for_longer(serve: Serve) -> None:
    useless = await serve(page() + b"# " + b"x" * BIG_PAGE_BYTES + b"\n" + b"no metric at all, and cut off")
    refused = await serve(page() + b"cut off")
    async with collecting([useless.target("large"), refused.target("small")], speed=40) as c:
        await until(lambda: c.pods()[0].failures_in_a_row >= 8, seconds=20)
        large, small = c.pods()
        # Model seconds: 1 + 2 + 4 + 8 + 16 ... against 1 + 2 + 4 + 5 + 5 ...
        assert small.failures_in_a_row > 3 * large.failures_in_a_row


def test_back_off_of_large_pages_ends_at_a_minute() -> None:
    longest = schedule.LONGEST_COSTLY_BACK_OFF_SECONDS
    waits = [schedule.back_off_seconds(failures, 1.0, "a/b", longest) for failures in range(COSTLY_AFTER, 40)]
    assert max(waits) <= longest
    assert waits[-1] >= 0.75 * longest


async def test_a_large_page_that_becomes_useful_is_read_as_before(serve: Serve) -> None:
    server = await serve(page() + b"# " + b"x" * BIG_PAGE_BYTES + b"\ncut off")
    async with collecting([server.target()], speed=200) as c:
        await until(lambda: c.pods()[0].failures_in_a_row > COSTLY_AFTER)
        server.answer = page(running=7)
        await until(lambda: c.samples("running")[0].value == 7)
        assert c.pods()[0].failures_in_a_row == 0


async def test_reading_counts_for_the_interval_as_a_slow_answer_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = PageReader.remembered

    def slowly(self: PageReader, body: bytes, open_metrics: bool | None = None) -> PageReading | None:
        time.sleep(0.06)
        return remembered(self, body, open_metrics)

    monkeypatch.setattr(PageReader, "remembered", slowly)
    server = await serve()
    async with collecting([server.target()], interval_seconds=None) as c:
        await until(lambda: c.pods()[0].interval_seconds == schedule.LONGEST_SECONDS)
        assert c.stats.stretched == 1


async def test_failing_pods_of_one_namespace_fill_their_share_of_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    bad, good, also_bad = await serve(broken), await serve(), await serve(broken)
    flapping = [Target("noisy", f"n-{number}", {}, bad.url) for number in range(100)]
    others = [Target("quiet", "good", {}, good.url), Target("third", "bad", {}, also_bad.url)]
    collector = Collector(CATALOGUE, WallClock())
    collector.set_targets([*flapping, *others])
    with caplog.at_level(logging.INFO, "inflight.sources"):
        running = asyncio.create_task(collector.run())
        await until(lambda: collector.stats.failures["status"] >= 101)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    said = [message for message in caplog.messages if "event=pod_fails" in message]
    assert 0 < sum("namespace=noisy" in message for message in said) <= 31
    assert sum("namespace=third" in message for message in said) == 1
    assert collector.samples("running", "quiet")[0].value == 1


async def test_a_namespace_in_which_nothing_answers_leaves_the_others_as_they_are(
    serve: Serve, talk: Callable[..., Awaitable[str]]
) -> None:
    async def mute(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    url, good = await talk(mute), await serve()
    dead = [Target("dead", f"n-{number}", {}, f"{url}/{number}") for number in range(150)]
    honest = [Target(f"ns-{number}", "p", {}, good.url) for number in range(5)]
    async with collecting([*dead, *honest], timeout_seconds=30.0) as c:
        await until(lambda: all(c.samples("running", one.namespace)[0].value == 1 for one in honest))
        seen = len(good.requests)
        await until(lambda: len(good.requests) > seen + 20)


async def test_large_pages_that_keep_too_much_are_not_kept(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = b"".join(b'vllm:num_requests_running{a="%d"} 1\n' % row for row in range(2_000))
    hostile, honest = await serve(page() + rows), await serve(page(running=4))
    monkeypatch.setattr("inflight.sources.watch.Holdings", lambda: Holdings(2 << 20))
    targets = [hostile.target(f"h-{number}", uid=str(number)) for number in range(8)]
    async with collecting([*targets, honest.target("honest")]) as c:
        await until(lambda: c.stats.failures["too_large"] > 8 and c.samples("running")[8].value is not None)
        samples = c.samples("running")
        kept = [sample for sample in samples[:8] if sample.value is not None]
        assert 0 < len(kept) < 8
        assert any("its namespace has used up" in sample.failure for sample in samples[:8])
        assert samples[8].value == 4
