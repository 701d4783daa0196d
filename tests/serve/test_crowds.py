"""Callers of every kind who hold as many connections as they can: whoever else may ask is answered all the same."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import trustme

from inflight.cluster import parse_trust
from inflight.serve import RunningServer, open_files, start_server
from inflight.serve.api.asked import Asked
from inflight.serve.connections import Front
from inflight.serve.door import Admission, ClusterDoor, Peer, take_authorities

FEW = 48
"""Places: 24 for the front proxy, 12 for users, of them 3 for each, 12 for one address that shows nothing."""
PATIENCE_SECONDS = 20


class Doorkeeper(ClusterDoor):
    """Takes the bearer token for the name, after `said` where it begins with `late-`; the front proxy is known by its
    certificate, as ever.
    """

    def __init__(self, proxy: trustme.CA) -> None:
        pem = proxy.cert_pem.bytes().decode()
        self._trust = self
        self.trust = parse_trust({"requestheader-client-ca-file": pem, "requestheader-allowed-names": '["front"]'})
        self.said = asyncio.Event()
        self.waiting = 0

    async def admit(self, method: str, asked: Asked, headers: tuple[tuple[str, str], ...], peer: Peer) -> Admission:
        name = dict(headers).get("authorization", "").removeprefix("Bearer ")
        if name.startswith("late-"):
            self.waiting += 1
            await self.said.wait()
        return Admission(name.removeprefix("late-"))


class Client:
    """One TLS connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, path: str, user: str = "") -> None:
        credentials = f"Authorization: Bearer {user}\r\n" if user else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{credentials}\r\n".encode())

    async def receive(self) -> int:
        """The status of the next answer; 0 where the connection has ended."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length: "))
                await self.reader.readexactly(int(length.split()[1]))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return 0
        return int(head.split()[1])

    async def get(self, path: str, user: str = "") -> int:
        with suppress(ConnectionError):
            self.send(path, user)
        return await self.receive()

    async def has_ended(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await self.reader.read(1 << 16):
                    pass
        except (ConnectionError, ssl.SSLError):
            pass
        return True

    def close(self) -> None:
        self.writer.transport.abort()


class House:
    def __init__(self, server: RunningServer, door: Doorkeeper, proxy: trustme.CA, stack: AsyncExitStack) -> None:
        self.server = server
        self.door = door
        self.fronts: list[Front] = []
        self._proxy = proxy
        self._stack = stack

    async def come(self, *, is_proxy: bool = False) -> Client:
        assert self.server.ca_pem is not None
        context = ssl.create_default_context(cadata=self.server.ca_pem.decode())
        if is_proxy:
            self._proxy.issue_cert(common_name="front").configure_cert(context)
        async with asyncio.timeout(PATIENCE_SECONDS):
            streams = await asyncio.open_connection(
                "127.0.0.1", self.server.port, ssl=context, server_hostname="localhost"
            )
        client = Client(*streams)
        self._stack.callback(client.close)
        return client

    async def crowd(self, number: int, user: str) -> list[Client]:
        """Each asks once, and stays."""
        clients = []
        for _ in range(number):
            clients.append(await self.come())
            await clients[-1].get("/version", user)
        return clients

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)

    async def assert_all_are_answered(self) -> None:
        """Newcomers of every kind."""
        probe = await self.come()
        assert await probe.get("/livez") == 200
        proxy = await self.come(is_proxy=True)
        assert await proxy.get("/version", "alice") == 200
        friend = await self.come()
        assert await friend.get("/version", "friend") == 200


@pytest.fixture
async def house(pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(open_files, "MAX_CONNECTIONS", FEW)
    fronts: list[Front] = []

    def front(*arguments: Any) -> Front:
        fronts.append(Front(*arguments))
        return fronts[0]

    monkeypatch.setattr("inflight.serve.server.Front", front)
    proxy = trustme.CA()
    door = Doorkeeper(proxy)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(start_server(pods, clock, telemetry=telemetry, door=door))
        take_authorities(server.context, door.trust)
        house = House(server, door, proxy, stack)
        house.fronts = fronts
        yield house
        door.said.set()


async def test_one_who_may_ask_holds_no_more_than_a_share(house: House, telemetry: Any) -> None:
    proxy = await house.come(is_proxy=True)
    assert await proxy.get("/version", "alice") == 200
    crowd = await house.crowd(2 * FEW, "greedy")
    await house.assert_all_are_answered()
    assert [await client.get("/version", "greedy") for client in crowd[-3:]] == [200] * 3
    assert all([await client.has_ended() for client in crowd[:-3]])
    assert await proxy.get("/version", "alice") == 200
    assert telemetry.refused_connections["share"] == 2 * FEW - 3


async def test_many_who_may_ask_leave_room_too(house: House) -> None:
    proxy = await house.come(is_proxy=True)
    for number in range(FEW):
        await house.crowd(2, f"user-{number}")
    await house.assert_all_are_answered()
    assert await proxy.get("/version", "alice") == 200


async def test_who_waits_for_the_cluster_with_every_connection_stands_in_nobodys_way(house: House) -> None:
    """As where the API server is slow to say whose token that is."""
    for _ in range(2 * FEW):
        client = await house.come()
        client.send("/version", "late-somebody")
    await house.assert_all_are_answered()


async def test_requests_that_never_end_stand_in_nobodys_way(house: House) -> None:
    proxy = await house.come(is_proxy=True)
    for _ in range(2 * FEW):
        client = await house.come()
        client.writer.write(b"GET /version HTTP/1.1\r\nHost:")
    await house.assert_all_are_answered()
    assert await proxy.get("/version", "alice") == 200


async def test_the_front_proxy_makes_room_for_itself_and_leaves_some_for_probes(house: House) -> None:
    kept = []
    for _ in range(FEW):
        kept.append(await house.come(is_proxy=True))
        assert await kept[-1].get("/version", "alice") == 200
    await house.assert_all_are_answered()
    assert await kept[0].has_ended()
    assert await kept[-1].get("/version", "alice") == 200


async def test_a_front_proxy_that_is_refused_for_one_is_not_shown_out(house: House) -> None:
    proxy = await house.come(is_proxy=True)
    assert await proxy.get("/nothing", "alice") == 404
    assert await proxy.get("/version", "alice") == 200


async def test_whose_share_is_busy_is_answered_and_then_shown_out(house: House, telemetry: Any) -> None:
    busy = await house.crowd(3, "greedy")
    for client in busy:
        client.send("/version", "late-greedy")
    await house.until(lambda: house.door.waiting == 3)
    fourth = await house.come()
    assert await fourth.get("/version", "greedy") == 200
    assert await fourth.has_ended()
    assert telemetry.refused_connections == {"share": 1}
    house.door.said.set()
    assert [await client.receive() for client in busy] == [200] * 3
    assert [await client.get("/version", "greedy") for client in busy] == [200] * 3


async def test_pipelined_requests_are_read_no_faster_than_they_are_answered(house: House) -> None:
    client = await house.come()
    client.writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer late-greedy\r\n\r\n" * 20_000)
    await house.until(lambda: house.door.waiting == 1)
    await house.assert_all_are_answered()
    assert 0 < max(len(connection._messages) for connection in house.fronts[0].connections) < 1_000
    client.close()
    await house.assert_all_are_answered()
