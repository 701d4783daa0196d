"""Bytes that are no page: what a server may send around a body is bounded, and behind it nothing may come."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from inflight.sources.connections import (
    HEAD_BYTES,
    KERNEL_BUFFER_BYTES,
    MAX_HEADS,
    READ_AHEAD_BYTES,
    BoundedResponse,
    new_session,
)
from inflight.sources.scrape import HEADERS, Failure, FetchedPage, fetch

from .conftest import until

Talk = Callable[..., Awaitable[str]]
LIMIT = 100_000
SENT_AT_ONCE = 50_000
IN_BUFFERS = 8 << 20
"""What a sender gets rid of before anybody reads it: its own socket's buffer grows to 4 MiB on Linux."""

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Endless:
    """Sends a beginning, then the same again and again, until the connection is taken away."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self.first, self.then = first, then
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.first)
        try:
            # What comes in one piece with the page makes it unreadable; the page is to be read first.
            await asyncio.sleep(0.05)
            while True:
                writer.write(self.then)
                await writer.drain()
                self.sent += len(self.then)
                await asyncio.sleep(0)
        finally:
            self.ended.set()


async def get(url: str, deadline_seconds: float = 20.0) -> FetchedPage | Failure:
    async with new_session(5.0, LIMIT) as session:
        return await fetch(
            session,
            URL(url),
            headers=HEADERS,
            tls=None,
            server_name=None,
            deadline_seconds=deadline_seconds,
            max_bytes=LIMIT,
        )


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (CHUNKED + b"1;", b"a=b;" * (SENT_AT_ONCE // 4)),
        (CHUNKED, (b"1;" + b"x" * 200 + b"\r\na\r\n") * (SENT_AT_ONCE // 200)),
        (CHUNKED + b"2\r\n1\n\r\n0\r\n", b"X: y\r\n" * (SENT_AT_ONCE // 6)),
        (CHUNKED + b"2\r\n1\n\r\n0\r\nX: ", b"y" * SENT_AT_ONCE),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * (SENT_AT_ONCE // 28)),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * SENT_AT_ONCE),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * (SENT_AT_ONCE // 6)),
        (b"HTTP/1.1 200 ", b"x" * SENT_AT_ONCE),
    ],
    ids=[
        "one extension",
        "extensions of small chunks",
        "trailers",
        "one trailer",
        "answers before the answer",
        "one header",
        "headers",
        "status line",
    ],
)
async def test_bytes_around_a_page_have_an_end(talk: Talk, first: bytes, then: bytes) -> None:
    server = Endless(first, then)
    outcome = await get(await talk(server))
    assert isinstance(outcome, Failure)
    assert outcome.reason in ("too_large", "protocol", "closed")
    await asyncio.wait_for(server.ended.wait(), 20)
    assert server.sent < IN_BUFFERS


@pytest.mark.parametrize(
    "then",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 500, b"x" * SENT_AT_ONCE],
    ids=["more answers", "no answers"],
)
async def test_a_connection_on_which_nothing_was_asked_is_silent_or_ends(talk: Talk, then: bytes) -> None:
    server = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", then)
    async with new_session(5.0, LIMIT) as session:
        url = URL(await talk(server))
        page = await fetch(session, url, headers=HEADERS, tls=None, server_name=None, deadline_seconds=20.0)
        assert page == FetchedPage(b"ok", None)
        await asyncio.wait_for(server.ended.wait(), 20)
        assert server.sent < IN_BUFFERS


async def test_a_few_answers_before_the_answer_are_no_fault(talk: Talk) -> None:
    async def hints(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_HEADS - 1)
        writer.write(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    assert await get(await talk(hints)) == FetchedPage(b"ok", None)


async def test_a_page_in_chunks_of_a_few_bytes_is_read(talk: Talk) -> None:
    async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"8\r\njunk 12\n\r\n" * (LIMIT // 8) + b"0\r\n\r\n")
        await writer.drain()

    outcome = await get(await talk(drips))
    assert isinstance(outcome, FetchedPage)
    assert len(outcome.body) == LIMIT // 8 * 8


async def test_an_answer_that_nobody_reads_waits_at_the_server(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    received = 0
    data_received = BoundedResponse.data_received

    def counting(self: BoundedResponse, data: bytes) -> None:
        nonlocal received
        received += len(data)
        data_received(self, data)

    monkeypatch.setattr(BoundedResponse, "data_received", counting)
    server = Endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * SENT_AT_ONCE)
    async with new_session(5.0, 1 << 30) as session, session.get(await talk(server)) as response:
        connection = response.connection
        assert connection is not None
        assert connection.transport is not None
        raw: socket.socket = connection.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * KERNEL_BUFFER_BYTES
        before = -1
        while before != server.sent:
            before = server.sent
            await asyncio.sleep(0.05)
        assert 0 < received <= 2 * READ_AHEAD_BYTES + 2 * KERNEL_BUFFER_BYTES
        assert received < HEAD_BYTES * 2
    await until(server.ended.is_set)
