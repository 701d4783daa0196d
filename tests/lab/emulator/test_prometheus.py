"""A real Prometheus scrapes the emulated server."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inflight.lab.emulator.faults import parse_fault

Start = Callable[..., AbstractAsyncContextManager[Any]]
PROMETHEUS = shutil.which("prometheus")

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on the path")]


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """A Prometheus that scrapes the target each second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "prometheus.yml"
    config.write_text(
        "scrape_configs:\n- job_name: engine\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
        f"  static_configs: [{{targets: ['{target}']}}]\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def answers(session: aiohttp.ClientSession, server: str, query: str) -> list[float]:
    try:
        async with session.get(f"{server}/api/v1/query", params={"query": query}) as response:
            return [float(row["value"][1]) for row in (await response.json())["data"]["result"]]
    except aiohttp.ClientError:
        return []


async def answered(session: aiohttp.ClientSession, server: str, query: str, value: list[float]) -> None:
    while await answers(session, server, query) != value:  # noqa: ASYNC110 - another program
        await asyncio.sleep(0.2)


async def test_prometheus_reads_the_page_and_notices_its_faults(emulated: Start, tmp_path: Path) -> None:
    async with emulated(speed=1.0) as running, aiohttp.ClientSession() as session:
        target = running.url.removeprefix("http://")
        async with prometheus(tmp_path, target) as server, asyncio.timeout(60), asyncio.TaskGroup() as group:
            body = {"prompt": "go", "max_tokens": 1900, "ignore_eos": True}
            asked = group.create_task(session.post(f"{running.api}/completions", json=body))
            expected = {
                "up": [1.0],
                "vllm:num_requests_running": [1.0],
                "vllm:engine_sleep_state{sleep_state='awake'}": [1.0],
                "count(vllm:inter_token_latency_seconds_bucket)": [20.0],
                "rate(vllm:generation_tokens_total[4s]) > bool 10": [1.0],
            }
            for query, value in expected.items():
                await answered(session, server, query, value)
            running.server.faults.set(parse_fault("truncated"), b"")
            await answered(session, server, "up", [0.0])
            asked.cancel()
