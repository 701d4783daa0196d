"""Connections are counted from the moment they come: who says nothing takes nothing from those who do."""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inflight.serve import arrivals, open_files
from inflight.serve.arrivals import MAX_LEAVING, QUIET_SECONDS, Refusals
from inflight.serve.server import RunningServer, start_server

SILENT = 300

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each kind of loop."""
    factory = pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def on_loop(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario)

    return on_loop


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A small cap."""
    monkeypatch.setattr(open_files, "MAX_CONNECTIONS", 40)
    return 40


class Strangers:
    """Plain connections on which nothing is ever sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    async def come(self, number: int) -> None:
        for _ in range(number):
            one = socket.socket()
            one.setblocking(False)
            self._sockets.append(one)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self._port))

    def leave(self) -> None:
        for one in self._sockets:
            one.close()


@asynccontextmanager
async def strangers_at(server: RunningServer) -> AsyncIterator[Strangers]:
    strangers = Strangers(server.port)
    try:
        yield strangers
    finally:
        strangers.leave()


class Client:
    """One TLS connection."""

    def __init__(self, server: RunningServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, *, token: bool = True) -> tuple[int, str]:
        credentials = f"Authorization: Bearer {self._server.token}\r\n" if token else ""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{credentials}\r\n".encode())
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length: "))
            body = await self._reader.readexactly(int(length.split()[1]))
        return int(head.split()[1]), body.decode()

    async def is_closed(self) -> bool:
        """Whether the server ends the connection."""
        try:
            async with asyncio.timeout(20):
                return await self._reader.read() == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    def close(self) -> None:
        self._writer.transport.abort()


async def connect(server: RunningServer) -> Client:
    assert server.ca_pem is not None
    context = ssl.create_default_context(cadata=server.ca_pem.decode())
    async with asyncio.timeout(20):
        return Client(
            server, *await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="localhost")
        )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


def test_a_crowd_that_says_nothing_stands_in_nobodys_way(
    run: Run, pods: Any, clock: Any, telemetry: Any, few: int
) -> None:
    async def scenario() -> None:
        async with start_server(pods, clock, telemetry=telemetry) as server, strangers_at(server) as strangers:
            await strangers.come(SILENT)
            prober = await connect(server)
            assert await prober.get("/livez", token=False) == (200, "ok")
            _, page = await prober.get("/metrics")
            values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
            assert int(values["inflight_api_connections"]) <= few + MAX_LEAVING
            assert int(values['inflight_api_connections_refused_total{reason="too_many"}']) >= SILENT + 1 - few
            await until(lambda: shown(server) <= few)
            prober.close()

    def shown(server: RunningServer) -> int:
        server.api._own_metrics()
        return int(telemetry.connections)

    run(scenario())


def test_the_log_says_once_that_connections_are_refused(
    run: Run, pods: Any, clock: Any, few: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with start_server(pods, clock) as server, strangers_at(server) as strangers:
            await strangers.come(3 * few)

    run(scenario())
    assert caplog.text.count("event=connections_refused cause=too_many") == 1


def test_who_was_let_in_stays(run: Run, pods: Any, clock: Any, few: int) -> None:
    async def scenario() -> None:
        async with start_server(pods, clock) as server, strangers_at(server) as strangers:
            friend = await connect(server)
            assert (await friend.get("/version"))[0] == 200
            only_probes = await connect(server)
            assert (await only_probes.get("/livez", token=False))[0] == 200
            await strangers.come(3 * few)
            assert (await friend.get("/version"))[0] == 200
            assert await only_probes.is_closed()
            friend.close()
            only_probes.close()

    run(scenario())


def test_where_all_were_let_in_who_rests_longest_gives_way(run: Run, pods: Any, clock: Any, few: int) -> None:
    async def scenario() -> None:
        async with start_server(pods, clock) as server, strangers_at(server) as strangers:
            friends = []
            for _ in range(few):
                friends.append(await connect(server))
                assert (await friends[-1].get("/version"))[0] == 200
                # The first one rests less than all others.
                assert (await friends[0].get("/version"))[0] == 200
            await strangers.come(few)
            newcomer = await connect(server)
            assert (await newcomer.get("/livez", token=False))[0] == 200
            assert await friends[1].is_closed()
            assert (await friends[0].get("/version"))[0] == 200
            assert (await friends[-1].get("/version"))[0] == 200
            for client in (*friends, newcomer):
                client.close()

    run(scenario())


def test_who_does_not_shake_hands_is_shown_out(
    run: Run, pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "HANDSHAKE_SECONDS", 0.2)

    async def scenario() -> None:
        async with start_server(pods, clock, telemetry=telemetry) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.timeout(20):
                assert await reader.read() == b""
            writer.close()
            assert telemetry.refused_connections == {"slow": 1}
            await until(lambda: server.api._own_metrics() != b"" and telemetry.connections == 0)

    run(scenario())


def test_the_end_does_not_wait_for_handshakes(run: Run, pods: Any, clock: Any, telemetry: Any) -> None:
    async def scenario() -> None:
        async with start_server(pods, clock, telemetry=telemetry) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: server.api._own_metrics() != b"" and telemetry.connections == 1)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        assert telemetry.refused_connections == {}

    run(scenario())


class _Full(socket.socket):
    """A listening socket in a process that is out of files, at first."""

    failures = 2

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_a_process_without_files_takes_the_connection_later(  # noqa: PLR0917 - fixtures
    run: Run, pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(address: str, port: int) -> socket.socket:
        listener = _Full()
        listener.bind((address, port))
        listener.listen()
        return listener

    monkeypatch.setattr("inflight.serve.server.listen", listen)
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with start_server(pods, clock, telemetry=telemetry) as server:
            client = await connect(server)
            assert (await client.get("/livez", token=False))[0] == 200
            client.close()

    run(scenario())
    assert telemetry.refused_connections == {"no_files": 2}
    assert caplog.text.count("event=connections_refused cause=no_files") == 1


def test_the_end_of_the_refusals_is_said_too(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refusals = Refusals(telemetry)
    refusals.look(0.0)
    for now in (1.0, 2.0):
        refusals.count("too_many", "why", now, is_open=5, room=5)
    refusals.look(2.0 + QUIET_SECONDS - 0.1)
    assert "no_longer" not in caplog.text
    refusals.look(2.0 + QUIET_SECONDS)
    refusals.look(9.0 + QUIET_SECONDS)
    assert caplog.text.count("event=connections_no_longer_refused refused=2") == 1
    refusals.count("too_many", "why", 50.0, is_open=5, room=5)
    assert caplog.text.count("event=connections_refused") == 2
