"""Connections to pods, kept from scrape to scrape, each within a limit of bytes and of memory.

A limit on the body alone is none: status lines, headers, answers before the answer, extensions of chunks and trailers
are bytes too, which a server may send without an end. What counts here is what comes off the wire, and a connection on
which nothing was asked must be silent. Until somebody reads, a connection holds 48 KiB at most, in the process and once
more in the kernel.
"""

import asyncio
import functools
import socket
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MAX_PAGE_BYTES = 4 << 20
"""The largest page met in the field has 0.35 MiB (eight engines behind one port)."""
KERNEL_BUFFER_BYTES = 32 << 10
"""Asked for; Linux takes twice as much and counts its own bookkeeping. Its own choice grows to 6 MiB a connection,
which counts against a container's memory too."""
READ_AHEAD_BYTES = 8 << 10
"""The client reads twice as much ahead, and what one receive brings."""
HEAD_BYTES = 64 << 10
"""Before the body: status lines and headers; a real page has less than 1 KiB of them."""
MAX_HEADS = 8
"""Answers before the answer (`103 Early Hints`) and the answer."""

_FINAL = 200


class OversizeError(aiohttp.ClientPayloadError):
    """The answer has more bytes than one with the largest page may have."""


class BoundedResponse(ResponseHandler):
    """The client's side of one connection: 64 KiB until the head of the answer has come, then `max_bytes`.

    It is closed at once where the server sends more, or anything behind its answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        super().__init__(loop=loop)
        self._max_bytes = max_bytes
        self._left_bytes = HEAD_BYTES
        self._heads = 0
        self._answered = False

    def set_response_params(self, **params: Any) -> None:
        """A request goes out."""
        self._left_bytes = HEAD_BYTES
        self._heads = 0
        self._answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """The head of an answer has come."""
        self._heads += 1
        if self._answered or self._heads > MAX_HEADS:
            self._end()
            return
        message, payload = data
        super().feed_data(data, size)
        if message.code >= _FINAL:
            self._answered = True
            self._left_bytes = self._max_bytes
            payload.on_eof(self._be_silent)

    def data_received(self, data: bytes) -> None:
        if self._left_bytes <= 0 and data:
            self._end()
            return
        # What is received at once may be more than what is left: it is here already.
        self._left_bytes -= len(data)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        payload = self._payload
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            # A trailer that is too long ends the connection, and the client would wait for its deadline.
            payload.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    def _be_silent(self) -> None:
        self._left_bytes = 0

    def _end(self) -> None:
        """No more of this; whoever waits for the answer or its body is told why."""
        error = OversizeError("more bytes than the largest page")
        payload = self._payload
        if payload is not None and not payload.is_eof():
            payload.set_exception(error)
        if not self._answered:
            self.set_exception(error)
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


class PodConnector(aiohttp.TCPConnector):
    """As many connections as there are pods; each of them bounded."""

    def __init__(self, max_page_bytes: int, keepalive_seconds: float) -> None:
        super().__init__(
            limit=0, keepalive_timeout=keepalive_seconds, ttl_dns_cache=10, socket_factory=_with_small_buffer
        )
        # The client has no setting for what speaks on a connection. A page in chunks of a few bytes is still let in.
        limit = 2 * max_page_bytes + HEAD_BYTES
        self._factory = functools.partial(_bounded, limit, loop=self._loop)


def new_session(longest_interval_seconds: float, max_page_bytes: int = MAX_PAGE_BYTES) -> aiohttp.ClientSession:
    """A session that keeps one connection per pod open from scrape to scrape, and nothing else."""
    connector = PodConnector(max_page_bytes, max(15.0, min(120.0, 1.5 * longest_interval_seconds)))
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        raise_for_status=False,
        read_bufsize=READ_AHEAD_BYTES,
    )


def _bounded(max_bytes: int, loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return BoundedResponse(loop, max_bytes)


def _with_small_buffer(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    # Before the connection is made: the window that is offered to the server follows from it.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
    return made
