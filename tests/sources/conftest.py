"""Servers on loopback that can be told to misbehave, and a collector that runs for a test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import web

from inflight.signals import shipped
from inflight.signals.series import PodSample
from inflight.sources import Collector, ScaledClock, Target

EPOCH = 1_790_000_000.0
CATALOGUE = shipped()

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def page(running: float = 1, waiting: float = 0, tokens: float = 0, **more: float) -> bytes:
    """A small vLLM page."""
    labels = '{engine="0",model_name="m"}'
    lines = {
        f"vllm:num_requests_running{labels}": running,
        f"vllm:num_requests_waiting{labels}": waiting,
        f"vllm:generation_tokens_total{labels}": tokens,
        **more,
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items()).encode()


class PodServer:
    """One pod's server. What it answers can be changed while it runs; it can be stopped and started on its port."""

    def __init__(self, answer: Answer | bytes | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer | bytes = page() if answer is None else answer
        self.requests: list[web.BaseRequest] = []
        self.connections: set[Any] = set()
        self.port = 0
        self._tls = tls
        self._runner: web.ServerRunner | None = None

    async def start(self) -> "PodServer":
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/metrics"

    def target(self, name: str = "pod", **more: Any) -> Target:
        more.setdefault("url", self.url)
        return Target(namespace="default", name=name, labels={"app": "llm"}, **more)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.connections.add(request.transport)
        answer = self.answer
        return web.Response(body=answer) if isinstance(answer, bytes) else await answer(request)  # type: ignore[arg-type]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[PodServer]]]:
    """Starts pod servers that end with the test."""
    servers: list[PodServer] = []

    async def start(answer: Answer | bytes | None = None, tls: ssl.SSLContext | None = None) -> PodServer:
        servers.append(await PodServer(answer, tls).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def talk() -> AsyncIterator[Callable[[Talk], Awaitable[str]]]:
    """Starts servers that speak bytes, not HTTP; gives the URL."""
    servers: list[asyncio.Server] = []
    running: set[asyncio.Task[None]] = set()

    async def start(conversation: Talk) -> str:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            try:
                await reader.readuntil(b"\r\n\r\n")
                await conversation(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                running.discard(task)
                writer.close()

        servers.append(await asyncio.start_server(connected, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/metrics"

    yield start
    for server in servers:
        server.close()
    for task in list(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def collecting(targets: Iterable[Target], speed: float = 20, **settings: Any) -> AsyncIterator[Collector]:
    """A collector at work; model time runs `speed` times as fast, so that an interval of a second takes 50 ms."""
    settings.setdefault("interval_seconds", 1.0)
    settings.setdefault("timeout_seconds", 5.0)
    before = asyncio.all_tasks()
    collector = Collector(CATALOGUE, ScaledClock(speed, EPOCH), **settings)
    collector.set_targets(targets)
    running = asyncio.create_task(collector.run())
    try:
        yield collector
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    left = {task for task in asyncio.all_tasks() - before if "inflight" in repr(task.get_coro())}
    assert not left


async def until(is_so: Callable[[], Any], what: str = "", seconds: float = 10) -> Any:
    """Waits for something that will be so; fails when it does not come."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := is_so()):
        assert asyncio.get_running_loop().time() < deadline, what or "it did not come"
        await asyncio.sleep(0.005)
    return found


def one(collector: Collector, signal: str = "running") -> PodSample:
    (sample,) = collector.samples(signal)
    return sample


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "pod.example").configure_cert(context)
    return context
