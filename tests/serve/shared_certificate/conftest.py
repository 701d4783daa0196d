"""A small API server with a storage: versions, conflicts, watches, grants. And replicas that share a certificate there.

The clock of the replicas stands `Clock.ahead` beside the real one, because a TLS handshake is judged by the real one:
tests begin in the past, so that what is due "a year later" is due now.
"""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography import x509

from inflight.cluster import Client, ClusterConfig
from inflight.cluster.config import Material
from inflight.serve.ca_bundle import APISERVICES
from inflight.serve.certificates import make_certificate, server_context
from inflight.serve.chore import Chore
from inflight.serve.secret_content import bundle_pem
from inflight.serve.shared_certificate import SharedCertificate

SECRET, SERVICE = ("inflight-system", "inflight-serving"), ("inflight-system", "inflight")
HOST = "inflight.inflight-system.svc"
SECRETS = "/api/v1/namespaces/inflight-system/secrets"
APIS = "/apis/apiregistration.k8s.io/v1/apiservices"
DAY = 86_400.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cluster:
    """Objects by collection and name. What `denied` lists (verb and resource) is forbidden; `down` answers nothing."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: list[tuple[int, str, str, dict[str, Any]]] = []
        self.version = 100
        self.compacted = 0
        self.denied: set[tuple[str, str]] = set()
        self.down = False
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.written: list[tuple[str, str]] = []
        """By whom (as its requests say) and what, of the writes that were accepted and answered."""
        self.instead: Handler | None = None
        """Answers the next PUT or PATCH in place of the storage."""
        self.news = asyncio.Condition()
        self.watchers: set[asyncio.Task[Any]] = set()
        self.url = ""

    async def put(self, collection: str, name: str, plain: Mapping[str, Any] | None) -> None:
        """As somebody else would; None deletes."""
        self.store(collection, name, plain)
        await self.tell()

    def store(self, collection: str, name: str, plain: Mapping[str, Any] | None) -> dict[str, Any]:
        self.version += 1
        before = self.objects.pop((collection, name), None)
        kind = "DELETED" if plain is None else "MODIFIED" if before is not None else "ADDED"
        stored = json.loads(json.dumps(plain if plain is not None else before))
        stored.setdefault("metadata", {}).update(name=name, resourceVersion=str(self.version))
        if collection == SECRETS:
            stored["metadata"]["namespace"] = SECRET[0]
        if plain is not None:
            self.objects[collection, name] = stored
        self.history.append((self.version, collection, kind, stored))
        return stored

    async def tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def secret(self, data: Mapping[str, bytes] | None, **more: Any) -> None:
        plain: dict[str, Any] = {"type": "Opaque", **more}
        if data is not None:
            plain["data"] = {key: base64.b64encode(value).decode() for key, value in data.items()}
        await self.put(SECRETS, SECRET[1], plain)

    async def apiservice(self, name: str, service: tuple[str, str] | None = SERVICE, **spec: Any) -> None:
        where = {"namespace": service[0], "name": service[1], "port": 443} if service is not None else None
        await self.put(APIS, name, {"spec": {"service": where, **spec}})

    def data(self) -> dict[str, bytes]:
        data = self.objects[SECRETS, SECRET[1]].get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    def bundle(self, name: str = APISERVICES[0]) -> bytes:
        return base64.b64decode(self.objects[APIS, name]["spec"].get("caBundle", ""))

    def count(self, *verbs: str) -> int:
        return sum(verb in verbs for verb, _ in self.requests)

    def drop_watches(self) -> None:
        for task in self.watchers:
            task.cancel()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        collection = SECRETS if request.path.startswith(SECRETS) else APIS
        name = request.path.removeprefix(collection).strip("/")
        selected = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        verb = {"GET": "get", "PUT": "update", "PATCH": "patch"}[request.method]
        if not name:
            verb = "watch" if "watch" in request.query else "list"
        self.requests.append((verb, name or selected))
        if self.down:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()
        resource = collection.rsplit("/", 1)[1]
        if (verb, resource) in self.denied:
            return failure(403, "Forbidden", f'{resource} "{name or selected}" is forbidden: User cannot {verb}')
        if verb == "list":
            return web.json_response(self._list(collection, selected))
        if verb == "watch":
            return await self._watch(request, collection, selected)
        if (collection, name) not in self.objects:
            return failure(404, "NotFound", f'{resource} "{name}" not found')
        if verb == "get":
            return web.json_response(self.objects[collection, name])
        if self.instead is not None:
            answer, self.instead = self.instead, None
            return await answer(request)
        answer = await self._write(collection, name, await request.json(), request.content_type)
        if answer.status == 200:
            self.written.append((request.headers["User-Agent"], name))
        return answer

    def _list(self, collection: str, name: str) -> dict[str, Any]:
        items = [plain for key, plain in self.objects.items() if key == (collection, name)]
        return {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}

    async def _watch(self, request: web.Request, collection: str, name: str) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        if seen < self.compacted:
            return failure(410, "Expired", "too old resource version")
        task = asyncio.current_task()
        assert task is not None
        self.watchers.add(task)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                for version, where, kind, plain in [event for event in self.history if event[0] > seen]:
                    seen = version
                    if (where, plain["metadata"]["name"]) == (collection, name):
                        await response.write(json.dumps({"type": kind, "object": plain}).encode() + b"\n")
                async with self.news:
                    await self.news.wait()
        finally:
            self.watchers.discard(task)

    async def _write(self, collection: str, name: str, body: Any, content_type: str) -> web.Response:
        self.bodies.append(body)
        before = self.objects[collection, name]
        given = body.get("metadata", {}).get("resourceVersion")
        if given is not None and given != before["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        if content_type == "application/merge-patch+json":
            body = merged(before, body)
        spec = body.get("spec", {})
        if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
            return failure(422, "Invalid", "spec.insecureSkipTLSVerify: may not be true if caBundle is present")
        after = self.store(collection, name, body)
        await self.tell()
        return web.json_response(after)


def failure(code: int, reason: str, message: str) -> web.Response:
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(status, status=code)


def merged(before: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Rounds:
    """Watches over a chore: how often its work was done, and whether it has any."""

    def __init__(self, chore: Chore) -> None:
        self.done = 0
        self._chore = chore
        self._work = chore._work
        self._is_done = False
        chore._work = self._observed

    async def _observed(self) -> None:
        self._is_done = False
        await self._work()
        self._is_done = True
        self.done += 1

    @property
    def is_idle(self) -> bool:
        return self._is_done and not self._chore._woken.is_set()


def version_of(plain: Mapping[str, Any] | None) -> str | None:
    return plain["metadata"]["resourceVersion"] if plain is not None else None


async def eventually_true(condition: Callable[[], Any], what: Callable[[], Any] = lambda: "") -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not happen within 10 s: {what()}")


class Replica:
    """A process that serves, as far as its certificate goes."""

    def __init__(self, shared: SharedCertificate, name: str, cluster: Cluster) -> None:
        self.shared = shared
        self._name = name
        self._cluster = cluster
        self.context = server_context(make_certificate("127.0.0.1", datetime.now(UTC)))
        self._secret = Rounds(shared._chore)
        self._bundles = [Rounds(bundle._chore) for bundle in shared.bundles]
        self.task = asyncio.get_running_loop().create_task(shared.run(self.context))

    @property
    def trusted(self) -> bytes:
        """What a client of its has to trust."""
        return bundle_pem(self.shared.authorities)

    def writes(self, *names: str) -> int:
        """Its writes of the Secret, or of the APIServices that are named."""
        return sum(self._cluster.written.count((self._name, name)) for name in names or (SECRET[1],))

    @property
    def looks(self) -> int:
        """How often it has looked at the Secret and done what was to be done."""
        return self._secret.done

    async def has_looked(self) -> None:
        """At the Secret, from the beginning to the end: one look may have begun before."""
        before = self.looks
        await eventually_true(lambda: self.looks >= before + 2)

    async def is_at_rest(self, looks: int = 1) -> None:
        """It has heard of everything, has looked at each object so often since, and found nothing to do."""
        await eventually_true(self._has_heard)
        chores = (self._secret, *self._bundles)
        before = [chore.done for chore in chores]
        await eventually_true(
            lambda: (
                all(chore.done >= done + looks for chore, done in zip(chores, before, strict=True))
                and all(chore.is_idle for chore in chores)
                and self._has_heard()
            )
        )

    def _has_heard(self) -> bool:
        known = [self.shared._secret, *(bundle._object for bundle in self.shared.bundles)]
        keys = [(SECRETS, SECRET[1]), *((APIS, name) for name in APISERVICES)]
        return [version_of(each) for each in known] == [version_of(self._cluster.objects.get(key)) for key in keys]

    def served(self, trusted: bytes, host: str = HOST) -> x509.Certificate:
        """The leaf of a whole handshake with a strict client; raises ssl.SSLError where it does not verify."""
        client = ssl.create_default_context(cadata=trusted.decode())
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_end = self.context.wrap_bio(to_server, to_client, server_side=True)
        client_end = client.wrap_bio(to_client, to_server, server_hostname=host)
        for end in (client_end, server_end) * 3:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        shown = client_end.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown)

    def serves(self, trusted: bytes) -> bool:
        try:
            self.served(trusted)
        except (ssl.SSLError, ValueError):
            return False
        return True


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def cluster(authority: trustme.CA) -> AsyncIterator[Cluster]:
    """With an empty Secret, as the manifest ships it, and three APIServices of ours."""
    fake = Cluster()
    await fake.secret(None)
    for name in APISERVICES:
        await fake.apiservice(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    runner = web.ServerRunner(web.Server(fake.handle), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    fake.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    fake.drop_watches()
    await runner.cleanup()


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start(cluster: Cluster, authority: trustme.CA, clock: Clock) -> AsyncIterator[Start]:
    """Starts a replica; keywords as SharedCertificate takes them."""
    begun = 0
    async with AsyncExitStack() as stack:

        async def begin(**keywords: Any) -> Replica:
            config = ClusterConfig(cluster.url, "test", ca=Material(authority.cert_pem.bytes()), token=Material(b"t"))
            nonlocal begun
            begun += 1
            client = await stack.enter_async_context(Client(config, user_agent=f"replica-{begun}"))
            settings = {"now": clock.now, "look_seconds": 0.05, "backoff_seconds": (0.01, 0.05), **keywords}
            settings = {"secret": SECRET, "service": SERVICE, **settings}
            replica = Replica(SharedCertificate(client, **settings), f"replica-{begun}", cluster)

            async def stop() -> None:
                replica.task.cancel()
                await asyncio.gather(replica.task, return_exceptions=True)

            stack.push_async_callback(stop)
            return replica

        yield begin


Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    return eventually_true
