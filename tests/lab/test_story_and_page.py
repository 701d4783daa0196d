"""The live page: what a browser is given, in what order, and what it is refused."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from inflight.lab.page import serve_page
from inflight.lab.story import Story


def sample(at: float) -> dict[str, Any]:
    fleet = {
        "running": 1,
        "waiting": 2,
        "kv": 0.1,
        "ready": 1,
        "replicas": 1,
        "slo": None,
        "ttft_p95": None,
        "pods": [],
    }
    return {"t": at, "load": 3.0, "speed": 10.0, "slip": 0.0, "policies": {"cpu": fleet, "in-flight": fleet}}


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, Any]:
    name = (await response.content.readline()).decode().removeprefix("event: ").strip()
    data = json.loads((await response.content.readline()).decode().removeprefix("data: "))
    assert await response.content.readline() == b"\n"
    return name, data


async def test_a_watcher_gets_the_whole_story_and_then_what_happens() -> None:
    story = Story({"title": "t"})
    story.tick(sample(1.0))
    story.decided({"t": 15.0, "policy": "cpu", "from": 1, "to": 2, "reason": "because"})
    async with serve_page(story, "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
        async with session.get(address + "events") as response:
            assert response.content_type == "text/event-stream"
            name, whole = await next_event(response)
            assert name == "setup"
            assert whole["columns"]["t"] == [1.0]
            assert whole["columns"]["cpu.waiting"] == [2]
            assert whole["decisions"][0]["reason"] == "because"
            story.tick(sample(2.0))
            assert await next_event(response) == ("tick", sample(2.0))
            story.finish({"policies": []})
            assert (await next_event(response))[0] == "results"


async def test_the_end_of_the_run_ends_the_streams() -> None:
    story = Story({})
    async with aiohttp.ClientSession() as session:
        async with serve_page(story, "127.0.0.1", 0) as address:
            response = await session.get(address + "events")
            await next_event(response)
        assert await response.content.read() == b""


async def test_a_watcher_that_falls_behind_is_let_go_and_nothing_piles_up() -> None:
    story = Story({})
    queue = story.watch()
    for second in range(1000):
        story.tick(sample(second))
    assert queue.qsize() <= 258
    items = [queue.get_nowait() for _ in range(queue.qsize())]
    assert items[-1] is None
    assert items[0] is not None and items[0][0] == "setup"


@pytest.mark.parametrize("path", ["", "lab.js", "lab.css", "uplot.min.js", "uplot.min.css"])
async def test_the_files_are_served_from_the_package_under_a_strict_policy(path: str) -> None:
    async with serve_page(Story({}), "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
        async with session.get(address + path) as response:
            assert response.status == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "http://" not in (await response.text()).replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "../../etc/passwd", {}, 404),
        ("GET", "uplot.LICENSE.txt", {}, 404),
        ("POST", "", {}, 405),
        ("GET", "", {"Host": "rebound.example:80"}, 421),
        ("GET", "events", {"Host": "rebound.example"}, 421),
    ],
)
async def test_everything_else_is_refused(method: str, path: str, headers: dict[str, str], status: int) -> None:
    async with serve_page(Story({}), "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
        async with session.request(method, address + path, headers=headers) as response:
            assert response.status == status


async def test_so_many_watchers_and_no_more() -> None:
    story = Story({})
    async with serve_page(story, "127.0.0.1", 0) as address:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            responses = [await session.get(address + "events") for _ in range(33)]
            assert [response.status for response in responses] == [200] * 32 + [503]
            for response in responses:
                response.close()
        await asyncio.sleep(0)
