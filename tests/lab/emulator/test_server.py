"""What stands around the API: statuses, bounds, counts of requests, the drain."""

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest

from inflight.lab.emulator.server import MAX_BODY_BYTES

Start = Callable[..., AbstractAsyncContextManager[Any]]
LONG = {"prompt": "go", "max_tokens": 1900, "ignore_eos": True}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ping", 200),
        ("POST", "/ping", 200),
        ("GET", "/version", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/completions", 405),
        ("DELETE", "/v1/models", 405),
    ],
)
async def test_routes(emulated: Start, method: str, path: str, status: int) -> None:
    async with (
        emulated() as running,
        aiohttp.ClientSession() as session,
        session.request(method, running.url + path) as response,
    ):
        assert response.status == status
        if status >= 400:
            error = (await response.json())["error"]
            assert error["code"] == status
            assert error["message"]
        if status == 405:
            assert "Allow" in response.headers


async def test_the_page_is_plain_text_and_needs_no_key(emulated: Start) -> None:
    async with (
        emulated(api_key="k") as running,
        aiohttp.ClientSession() as session,
        session.get(f"{running.url}/metrics") as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        assert b"vllm:num_requests_running" in await response.read()


@pytest.mark.parametrize("given", [None, "k", "Basic k", "Bearer", "Bearer wrong", "Bearer k k", "Bearer ké"])
async def test_a_wrong_key_is_refused_as_the_api_does(emulated: Start, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    async with emulated(api_key="k") as running, aiohttp.ClientSession() as session:
        async with session.get(f"{running.api}/models", headers=headers) as response:
            assert response.status == 401
            assert (await response.json())["error"]["type"] == "invalid_request_error"
        async with session.get(f"{running.api}/models", headers={"Authorization": "bearer k"}) as response:
            assert response.status == 200


async def test_a_body_above_the_limit_is_refused(emulated: Start) -> None:
    async with emulated() as running, aiohttp.ClientSession() as session:
        body = json.dumps({"prompt": "x" * MAX_BODY_BYTES}).encode()
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{running.api}/completions", data=io.BytesIO(body), headers=headers) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == 413


async def test_a_body_that_is_not_json_by_its_type_is_refused(emulated: Start) -> None:
    async with (
        emulated() as running,
        aiohttp.ClientSession() as session,
        session.post(f"{running.api}/completions", data=b"{}") as response,
    ):
        assert response.status == 400
        assert "application/json" in (await response.json())["error"]["message"]


async def test_requests_are_counted_by_route_and_probes_are_not(emulated: Start) -> None:
    async with emulated() as running, aiohttp.ClientSession() as session:
        for path in ("/health", "/metrics", "/version", "/v1/models", "/v1/models", "/a", "/b"):
            async with session.get(running.url + path) as response:
                await response.read()
        async with session.post(f"{running.api}/completions", json={"prompt": "go", "max_tokens": 2}) as response:
            await response.read()
        async with session.post(f"{running.api}/completions", json={"prompt": ""}) as response:
            await response.read()
        page = running.server.page().decode().splitlines()
    counted = {line.partition("{")[2] for line in page if line.startswith("http_requests_total{")}
    assert counted == {
        'handler="/v1/models",method="GET",status="2xx"} 2.0',
        'handler="none",method="GET",status="4xx"} 2.0',
        'handler="/v1/completions",method="POST",status="2xx"} 1.0',
        'handler="/v1/completions",method="POST",status="4xx"} 1.0',
    }
    assert "http_request_duration_highr_seconds_count 6.0" in page
    sent = json.dumps({"prompt": "go", "max_tokens": 2}), json.dumps({"prompt": ""})
    total = float(sum(map(len, sent)))
    assert f'http_request_size_bytes_sum{{handler="/v1/completions"}} {total}' in page


async def test_a_draining_server_says_so_and_ends_what_runs(emulated: Start) -> None:
    async with emulated(speed=1.0) as running, aiohttp.ClientSession() as session:
        server = running.server
        started = asyncio.create_task(session.post(f"{running.api}/completions", json=LONG))
        await running.until(lambda: server.engines.in_flight == 1)
        server.draining = True
        async with session.get(f"{running.url}/health") as response:
            assert response.status == 503
        async with session.post(f"{running.api}/completions", json=LONG) as response:
            assert response.status == 503
            assert (await response.json())["error"]["type"] == "ServiceUnavailableError"
        async with session.get(f"{running.url}/metrics") as response:
            assert response.status == 200
        running.clock.set_speed(200.0)
        await server.engines.drained()
        async with await started as response:
            assert (await response.json())["usage"]["completion_tokens"] == 1900


async def test_a_slow_reader_holds_nobody_else_up(emulated: Start) -> None:
    async with emulated(speed=20.0) as running:
        host, port = running.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({**LONG, "stream": True}).encode()
        head = ("POST /v1/completions HTTP/1.1", "Host: x", "Content-Type: application/json")
        writer.write("\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode() + body)
        await running.until(lambda: running.server.engines.in_flight == 1)
        async with aiohttp.ClientSession() as session:
            quick = {"prompt": "go", "max_tokens": 5}
            async with session.post(f"{running.api}/completions", json=quick) as response:
                assert response.status == 200
        writer.close()
        await writer.wait_closed()
        await running.until(lambda: running.server.engines.in_flight == 0)


async def test_cpu_time_on_the_page_is_the_emulated_servers(emulated: Start) -> None:
    async with emulated(speed=100.0) as running, aiohttp.ClientSession() as session:
        async with session.post(f"{running.api}/completions", json=LONG) as response:
            assert response.status == 200
        lines = running.server.page().decode().splitlines()
        (cpu,) = [float(line.split(" ")[1]) for line in lines if line.startswith("process_cpu_seconds_total ")]
        # One core while the engine runs: 1,900 steps of more than ten milliseconds.
        assert cpu >= running.server.engines.busy_seconds > 19
