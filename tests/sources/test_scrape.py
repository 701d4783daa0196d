"""One scrape of a server that misbehaves: a page or a reason, within limits of time and size."""

import asyncio
import errno
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from inflight.sources.connections import new_session
from inflight.sources.scrape import HEADERS, REASONS, Failure, FetchedPage, explain, fetch

from .conftest import PodServer, page

Serve = Callable[..., Awaitable[PodServer]]
Talk = Callable[..., Awaitable[str]]
LIMIT = 200_000


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session(5.0) as session:
        yield session


async def get(session: aiohttp.ClientSession, url: str, **more: Any) -> FetchedPage | Failure:
    settings: dict[str, Any] = {
        "headers": HEADERS,
        "tls": None,
        "server_name": None,
        "deadline_seconds": 10.0,
        "max_bytes": LIMIT,
    } | more
    return await fetch(session, URL(url), **settings)


def reason(outcome: FetchedPage | Failure) -> str:
    assert isinstance(outcome, Failure), outcome
    assert outcome.reason in REASONS
    assert 0 < len(outcome.text) < 200
    return outcome.reason


async def test_a_page_comes_as_it_is(session: aiohttp.ClientSession, serve: Serve) -> None:
    server = await serve(page(running=3))
    assert await get(session, server.url) == FetchedPage(page(running=3), open_metrics=False)
    (request,) = server.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Accept"].startswith("text/plain; version=0.0.4")
    assert request.headers["User-Agent"].startswith("inflight/")
    assert "Cookie" not in request.headers


async def test_what_the_server_calls_its_page_is_passed_on(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def open_metrics(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = b"Application/OpenMetrics-Text; version=1.0.0"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: 6\r\n\r\n# EOF\n")

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n")

    assert await get(session, await talk(open_metrics)) == FetchedPage(b"# EOF\n", open_metrics=True)
    assert await get(session, await talk(silent)) == FetchedPage(b"a 1\n", open_metrics=None)


async def test_one_connection_serves_scrape_after_scrape(session: aiohttp.ClientSession, serve: Serve) -> None:
    server = await serve()
    for _ in range(5):
        await get(session, server.url)
    assert len(server.connections) == 1


async def test_a_connection_that_the_server_has_closed_meanwhile_costs_nothing(
    session: aiohttp.ClientSession, serve: Serve
) -> None:
    server = await serve()
    for _ in range(3):
        assert isinstance(await get(session, server.url), FetchedPage)
        await server.stop()
        await server.start()


@pytest.mark.parametrize(("status", "expected"), [(401, "unauthorized"), (403, "unauthorized"), (500, "status")])
@pytest.mark.parametrize("size", [0, 20, 100_000])
async def test_a_status_is_a_reason(
    session: aiohttp.ClientSession, serve: Serve, status: int, expected: str, size: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"x" * size)

    outcome = await get(session, (await serve(answer)).url)
    assert reason(outcome) == expected
    assert isinstance(outcome, Failure)
    assert f"HTTP {status}" in outcome.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession, serve: Serve, status: int) -> None:
    elsewhere = await serve()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": elsewhere.url})

    assert reason(await get(session, (await serve(answer)).url)) == "redirect"
    assert elsewhere.requests == []


async def test_a_cookie_is_not_kept(session: aiohttp.ClientSession, serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=page(), headers={"Set-Cookie": "a=b"})

    server = await serve(answer)
    await get(session, server.url)
    await get(session, server.url)
    assert "Cookie" not in server.requests[1].headers


async def test_a_compressed_page_is_refused_unopened(session: aiohttp.ClientSession, serve: Serve) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < LIMIT

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    assert reason(await get(session, (await serve(answer)).url)) == "encoded"


async def test_a_page_that_says_it_is_too_large_is_not_read(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\nx")
        await asyncio.sleep(60)

    assert reason(await get(session, await talk(answer))) == "too_large"


async def test_a_page_without_end_is_cut_at_the_limit(session: aiohttp.ClientSession, talk: Talk) -> None:
    sent = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.transport.set_write_buffer_limits(high=1 << 16)
        while True:
            writer.write(b"junk 1\n" * 1000)
            await writer.drain()
            sent += 7000

    assert reason(await get(session, await talk(answer))) == "too_large"
    # What was sent beyond the limit lies in the buffers of two sockets, not in ours.
    assert sent < LIMIT + (16 << 20)


async def test_a_page_at_the_limit_is_read_and_one_above_is_not(session: aiohttp.ClientSession, serve: Serve) -> None:
    server = await serve(b"x" * LIMIT)
    assert isinstance(await get(session, server.url), FetchedPage)
    server.answer = b"x" * (LIMIT + 1)
    assert reason(await get(session, server.url)) == "too_large"

    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(LIMIT // 1000 + 1):
            await response.write(b"x" * 1000)
        return response

    server.answer = in_chunks
    assert reason(await get(session, server.url)) == "too_large"


async def test_a_server_that_hangs_is_given_up(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    outcome = await get(session, await talk(mute), deadline_seconds=0.1)
    assert outcome == Failure("timeout", "no page within 0.1 s")


async def test_a_body_that_trickles_does_not_stretch_the_deadline(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert reason(await get(session, await talk(trickle), deadline_seconds=0.2)) == "timeout"


async def test_headers_that_trickle_neither(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert reason(await get(session, await talk(trickle), deadline_seconds=0.2)) == "timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\xfe\x15\x03\x01" * 100,
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * 100_000 + b"K\r\n\r\n",
    ],
    ids=[
        "nothing",
        "ssh",
        "binary",
        "status",
        "negative length",
        "two lengths",
        "bad chunk",
        "cut chunk",
        "cut body",
        "long header",
        "many headers",
        "long status",
    ],
)
async def test_what_is_not_a_whole_http_answer(session: aiohttp.ClientSession, talk: Talk, answer: bytes) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    assert reason(await get(session, await talk(send))) in ("protocol", "closed")


async def test_a_reset_in_the_middle_of_the_page(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 100)
        await writer.drain()
        await asyncio.sleep(0.05)
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    assert reason(await get(session, await talk(reset))) == "closed"


async def test_an_answer_before_the_answer_is_skipped(session: aiohttp.ClientSession, talk: Talk) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    outcome = await get(session, await talk(send))
    assert isinstance(outcome, FetchedPage)
    assert outcome.body == b"ok"


async def test_a_refused_connection(session: aiohttp.ClientSession) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert await get(session, f"http://127.0.0.1:{port}/") == Failure("refused", "connection refused")
        assert reason(await get(session, f"http://localhost:{port}/")) == "refused"


async def test_tls_without_a_trusted_certificate_is_refused(
    session: aiohttp.ClientSession, serve: Serve, server_tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    server = await serve(None, server_tls)
    outcome = await get(session, server.url, tls=ssl.create_default_context())
    assert reason(outcome) == "tls"
    assert isinstance(outcome, Failure)
    assert "certificate is not accepted" in outcome.text
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    assert isinstance(await get(session, server.url, tls=trusting), FetchedPage)
    assert reason(await get(session, server.url, tls=trusting, server_name="other.example")) == "tls"
    assert isinstance(await get(session, server.url, tls=trusting, server_name="pod.example"), FetchedPage)


async def test_https_on_a_port_that_speaks_http(session: aiohttp.ClientSession, serve: Serve) -> None:
    server = await serve()
    url = server.url.replace("http:", "https:")
    assert reason(await get(session, url, tls=ssl.create_default_context())) == "tls"


async def test_http_on_a_port_that_speaks_tls(
    session: aiohttp.ClientSession, serve: Serve, server_tls: ssl.SSLContext
) -> None:
    server = await serve(None, server_tls)
    assert reason(await get(session, server.url.replace("https:", "http:"))) in ("protocol", "closed")


KEY = ConnectionKey("h", 80, False, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), "name"),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "No route to host")), "unreachable"),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, "Too many open files")), "unreachable"),
        (OSError(errno.EMFILE, "Too many open files"), "unreachable"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "closed"),
        (aiohttp.ServerDisconnectedError(), "closed"),
        (aiohttp.InvalidURL("x"), "protocol"),
        (ValueError("?"), "protocol"),
    ],
)
def test_what_cannot_be_had_on_loopback(error: Exception, expected: str) -> None:
    assert reason(explain(error)) == expected


def test_running_out_of_files_says_what_to_do() -> None:
    assert "ulimit -n" in explain(OSError(errno.EMFILE, "Too many open files")).text


def test_the_words_of_a_failure_are_printable_whoever_wrote_them() -> None:
    told = Failure("content", "the label \x1b]0;owned\x07 is\ntwo \u202elines \udc80")
    assert told.text == "the label \\x1b]0;owned\\x07 is\\ntwo \\u202elines \\udc80"
    assert Failure("status", "Überlast: 503 – später").text == "Überlast: 503 – später"
