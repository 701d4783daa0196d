"""A replica's own port: refused before and after, the page of the moment in between."""

import aiohttp
import pytest

from inflight.lab.emulator import MetricsEndpoint


async def test_the_page_is_asked_for_at_each_scrape() -> None:
    pages = iter([b"a 1\n", b"a 2\n"])
    endpoint = MetricsEndpoint(lambda: next(pages))
    url = await endpoint.start()
    try:
        async with aiohttp.ClientSession() as session:
            for expected in (b"a 1\n", b"a 2\n"):
                async with session.get(f"{url}/metrics") as response:
                    assert response.status == 200
                    assert response.headers["Content-Type"].startswith("text/plain; version=")
                    assert await response.read() == expected
    finally:
        await endpoint.stop()


async def test_other_paths_and_methods() -> None:
    endpoint = MetricsEndpoint(lambda: b"a 1\n")
    url = await endpoint.start()
    try:
        async with aiohttp.ClientSession() as session:
            for method, path, status in (
                ("GET", "/health", 200),
                ("HEAD", "/metrics", 200),
                ("GET", "/", 404),
                ("GET", "/metrics/x", 404),
                ("POST", "/metrics", 405),
            ):
                async with session.request(method, url + path) as response:
                    assert response.status == status
    finally:
        await endpoint.stop()


async def test_the_port_is_refused_once_the_replica_is_gone_also_on_a_kept_connection() -> None:
    endpoint = MetricsEndpoint(lambda: b"a 1\n")
    url = await endpoint.start()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/metrics") as response:
            await response.read()
        await endpoint.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            async with session.get(f"{url}/metrics"):
                pass
    await endpoint.stop()


async def test_a_replica_may_come_back_on_its_port_and_another_cannot_have_it() -> None:
    endpoint = MetricsEndpoint(lambda: b"a 1\n")
    url = await endpoint.start()
    port = int(url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="started already"):
        await endpoint.start()
    with pytest.raises(OSError, match="Address already in use"):
        await MetricsEndpoint(lambda: b"").start(port)
    await endpoint.stop()
    assert await endpoint.start(port) == url
    await endpoint.stop()


async def test_a_page_that_fails_is_an_error_of_that_scrape_only(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[bytes] = []
    endpoint = MetricsEndpoint(answers.pop)
    url = await endpoint.start()
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/metrics") as response:
                assert response.status == 500
            answers.append(b"a 1\n")
            async with session.get(f"{url}/metrics") as response:
                assert response.status == 200
    finally:
        await endpoint.stop()
    assert "IndexError" in caplog.text


async def test_a_port_may_be_held_before_it_is_served() -> None:
    endpoint = MetricsEndpoint(lambda: b"a 1\n")
    url = endpoint.hold()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            async with session.get(f"{url}/metrics"):
                pass
        assert await endpoint.start() == url
        async with session.get(f"{url}/metrics") as response:
            assert response.status == 200
    await endpoint.stop()
    held_and_dropped = MetricsEndpoint(lambda: b"")
    held_and_dropped.hold()
    await held_and_dropped.stop()
