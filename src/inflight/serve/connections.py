"""The transport: aiohttp's low-level server with the limits that a server on a network needs, in front of the API
function.

aiohttp reads HTTP and writes it; what it lacks is added here: a deadline for a request's headers (a client that sends
one byte a minute would hold a connection for ever), and errors as complete Status documents. HTTP/1.1 only.
"""

import asyncio
import logging
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol, cast

from aiohttp.http_exceptions import LineTooLong
from aiohttp.web import BaseRequest, Response, StreamResponse
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from inflight.cluster.credentials import lower_headers
from inflight.serve.api import messages
from inflight.serve.api.asked import Asked, read_target
from inflight.serve.api.handler import Manner, MetricsApi, refusal_response
from inflight.serve.api.refusals import Refused
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.api.uri import MAX_TARGET_BYTES
from inflight.serve.door import Admission, Door, Peer, peer_of
from inflight.serve.places import FRONT_PROXY, Owner

MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 << 10
MAX_FIELD_BYTES = 8 << 10
HEADER_SECONDS = 10.0
"""From the first byte of a request, or from the handshake, to the end of the headers."""
ANSWER_SECONDS = 30.0
"""From the end of a request's headers to its answer in the client's hands: who does not read is shown out too."""
KEEP_ALIVE_SECONDS = 150.0
"""Longer than the 90 s after which Go's clients close: whoever closes first must not be us, or a request meets a shut
door.
"""
LINGER_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Host(Protocol):
    """Who keeps the connections."""

    def let_in(self, connection: "Connection", owner: Owner) -> bool:
        """It is known now whose it is; whether it has a place as such."""
        ...

    def left(self, connection: "Connection") -> None:
        """One that was up is lost."""
        ...


class Connection(RequestHandler):
    """One client's connection, from before its handshake on."""

    __slots__ = (
        "_host",
        "_wire",
        "address",
        "answering_since",
        "is_let_in",
        "is_proxy",
        "peer",
        "rests_since",
        "waiting_since",
        "was_up",
    )

    def __init__(self, front: "Front", host: "Host", address: str, **options: Any) -> None:
        """`host` is told what becomes of it; `address` is where it comes from."""
        super().__init__(front, **options)
        self._host = host
        self._wire: asyncio.Transport | None = None
        self.address = address
        self.was_up = False
        """Whether the handshake succeeded."""
        self.is_let_in = False
        """Whether it has a place as somebody's whose request was let in."""
        self.is_proxy = False
        """Whether the front proxy is at the other end."""
        self.peer = Peer()
        self.waiting_since: float | None = None
        self.answering_since: float | None = None
        self.rests_since = self._loop.time()

    @property
    def is_busy(self) -> bool:
        return self.answering_since is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        self.was_up = True
        self.waiting_since = self.rests_since = self._loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        super().connection_lost(exc)
        self._host.left(self)

    def let_in(self, user: str) -> bool:
        """It is `user` who asks, or the front proxy for them; whether there is a place for it as such."""
        owner = Owner("proxy", FRONT_PROXY) if self.is_proxy else Owner("user", user)
        self.is_let_in = self.is_let_in or self._host.let_in(self, owner)
        return self.is_let_in

    def answered(self) -> None:
        self.answering_since, self.rests_since = None, self._loop.time()

    def data_received(self, data: bytes) -> None:
        received = self._request_count
        super().data_received(data)
        if self._request_count > received:
            self.waiting_since = None
        elif self.waiting_since is None and data:
            self.waiting_since = self._loop.time()

    def is_too_slow(self, header_seconds: float, answer_seconds: float) -> bool:
        """Whether its request has been on its way, or its answer, for longer than that."""
        now = self._loop.time()
        if self.answering_since is not None:
            return now - self.answering_since > answer_seconds
        return self.waiting_since is not None and now - self.waiting_since > header_seconds

    def abort(self) -> None:
        """Ends it without waiting for what is still to be sent, or for the client's goodbye."""
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """A request that could not be parsed, or a defect of ours: a Status, and the end of the connection."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("a request failed: method=%s path=%r", request.method, request.path[:200], exc_info=exc)
            refusal = Refused(500, "Internal error occurred: see the server's log", close=True)
        else:
            refusal = _why_unreadable(exc, message or "bad request")
        return _to_aiohttp(refusal_response(refusal, Manner()))


def _why_unreadable(error: BaseException | None, message: str) -> Refused:
    """The parser tells a long URL from a long header by the limit that it names, and an excess of headers by its
    words.
    """
    if isinstance(error, LineTooLong) and error.args[1] == MAX_TARGET_BYTES:
        return Refused(414, f"the URL is longer than {MAX_TARGET_BYTES} bytes", close=True)
    if isinstance(error, LineTooLong):
        return Refused(431, f"a header is longer than {MAX_FIELD_BYTES} bytes", close=True)
    if message.startswith("Too many headers"):
        return Refused(431, f"the request has more than {MAX_HEADERS} headers", close=True)
    return Refused(400, f"the request cannot be read as HTTP/1.1: {message[:200]}", close=True)


class Front(Server):
    """Accepts connections for one API."""

    def __init__(self, api: MetricsApi, telemetry: Telemetry, door: Door | None = None) -> None:
        super().__init__(self._serve)
        self._api = api
        self._door = door
        self._telemetry = telemetry
        self._options: dict[str, Any] = {
            "keepalive_timeout": KEEP_ALIVE_SECONDS,
            "access_log": None,
            "max_line_size": MAX_TARGET_BYTES,
            "max_field_size": MAX_FIELD_BYTES,
            "max_headers": MAX_HEADERS,
            "lingering_time": LINGER_SECONDS,
        }
        self.draining = False

    @property
    def has_door(self) -> bool:
        return self._door is not None

    def receive(self, host: Host, address: str) -> Connection:
        """The protocol for one more connection."""
        return Connection(self, host, address, loop=self._loop, **self._options)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self.draining:
            transport.abort()
        elif self._door is not None and isinstance(handler, Connection):
            handler.peer = peer_of(transport)
            handler.is_proxy = self._door.is_front_proxy(handler.peer)
            if handler.is_proxy:
                # Before its first request: a newcomer might take its place meanwhile.
                handler.let_in("")

    def sweep(self) -> None:
        """Ends connections on which nothing comes to an end; once called, goes on until the drain."""
        if self.draining:
            return
        # First, so that a fault below cannot end it for good.
        self._loop.call_later(HEADER_SECONDS / 10, self.sweep)
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.is_too_slow(HEADER_SECONDS, ANSWER_SECONDS):
                self._telemetry.refused_connections["slow"] += 1
                connection.abort()

    async def drain(self, seconds: float) -> None:
        """Ends idle connections at once, and the others when their request is answered or the time is up."""
        self.draining = True
        self.pre_shutdown()
        await self.shutdown(timeout=seconds)

    async def _serve(self, request: BaseRequest) -> StreamResponse:
        # Not the loop's clock: uvloop's stands still for a millisecond at a time.
        begun = time.perf_counter()
        headers = request.headers
        if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEADER_BYTES:
            refusal = Refused(431, f"the headers are longer than {MAX_HEADER_BYTES} bytes", close=True)
            return _to_aiohttp(refusal_response(refusal, Manner()))
        question = messages.Request(
            method=request.method,
            target=request.raw_path,
            authorization=headers.get("Authorization", ""),
            accept=",".join(headers.getall("Accept", ())),
            user_agent=headers.get("User-Agent", ""),
            has_body=request.body_exists or "Upgrade" in headers,
        )
        connection = cast("Connection", request.protocol)
        connection.answering_since = self._loop.time()
        try:
            response = await self._answer(question, request, connection)
            answer = _to_aiohttp(response)
            is_turned_away = response.status in {401, 403} and not connection.is_let_in
            has_no_place = response.is_let_in and not connection.is_let_in
            if self.draining or is_turned_away or has_no_place:
                answer.force_close()
            with suppress(ConnectionError):
                # Clients go away before their answer, as kube-aggregator does when it looks whether we live.
                await answer.prepare(request)
                await answer.write_eof()
        finally:
            connection.answered()
        self._telemetry.observe_duration(response.api, time.perf_counter() - begun)
        return answer

    async def _answer(
        self, question: messages.Request, request: BaseRequest, connection: Connection
    ) -> messages.Response:
        asked = read_target(question.target)
        admission = Admission()
        if self._door is not None and isinstance(asked, Asked) and not asked.is_open:
            headers = lower_headers(request.raw_headers)
            admission = await self._door.admit(question.method, asked, headers, connection.peer)
        response = self._api.handle(question, admission.refusal, asked)
        if response.is_let_in:
            connection.let_in(admission.user)
        return response


def _to_aiohttp(response: messages.Response) -> Response:
    answer = Response(status=response.status, body=response.body)
    answer.headers.update(
        {
            "Content-Type": response.content_type,
            "Cache-Control": "no-cache, private",
            "X-Content-Type-Options": "nosniff",
            "Server": "inflight",
        }
    )
    for name, value in response.headers:
        answer.headers[name] = value
    if response.close:
        answer.force_close()
    return answer
