"""An API server in this process, over TLS, that does what a test tells it; and certificates for all sides."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme
from aiohttp import web

from inflight.cluster import Client, ClusterConfig
from inflight.cluster.config import Material

from .following import Collection, Copy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApiServer:
    """`answers` by method and path; everything else is 404. `requests` are those that came."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.authorizations: list[str] = []
        self.url = ""

    def give(self, method: str, path: str, plain: Any, status: int = 200) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(plain, status=status)

        self.answers[method, path] = answer

    @staticmethod
    def status(code: int, reason: str, message: str) -> dict[str, Any]:
        return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        self.authorizations.append(request.headers.get("Authorization", ""))
        if request.can_read_body:
            self.bodies.append(json.loads(await request.read()))
        answer = self.answers.get((request.method, request.path))
        if answer is None:
            return web.json_response(self.status(404, "NotFound", "not here"), status=404)
        return await answer(request)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def server(authority: trustme.CA) -> AsyncIterator[FakeApiServer]:
    fake = FakeApiServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    # Clients that show a certificate are looked at, those that do not are served too.
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(context)
    runner = web.ServerRunner(web.Server(fake.handle), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    fake.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def config(server: FakeApiServer, authority: trustme.CA) -> ClusterConfig:
    return ClusterConfig(
        server=server.url,
        source="test",
        ca=Material(authority.cert_pem.bytes()),
        token=Material(b"our-token"),
    )


@pytest.fixture
async def client(config: ClusterConfig) -> AsyncIterator[Client]:
    async with Client(config) as opened:
        yield opened


@pytest.fixture
def collection(server: Any) -> Collection:
    return Collection(server)


@pytest.fixture
def copy(client: Client) -> Copy:
    return Copy(client)
