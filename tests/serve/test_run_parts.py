"""Each part of a run fails, once and for ever: the server answers, says how it is, and the part comes back."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.discovery.builders import autoscaler
from tests.discovery.fake_cluster import FakeCluster

from inflight.cluster import TrustWatcher
from inflight.discovery import Discovery
from inflight.serve import parts, run
from inflight.serve.door import Admission, ClusterDoor
from inflight.serve.reload import Reloader
from inflight.serve.settings import RunSettings
from inflight.serve.shared_certificate import SharedCertificate
from inflight.sources import Collector

PATIENCE_SECONDS = 20
SUM = "/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/inflight_requests"


class Cluster(FakeCluster):
    """Publishes whom to trust, and has neither a Secret nor APIServices."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/api/v1/namespaces/kube-system/configmaps":
            if "watch" in request.query:
                await asyncio.sleep(PATIENCE_SECONDS)
            metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
            items = [{"metadata": metadata, "data": {}}]
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        if request.path.endswith("/secrets") or request.path.endswith("/apiservices"):
            return web.json_response({"message": "no"}, status=403)
        return await super().handle(request)


class Flaw:
    """Takes the place of a part's `run`: fails `times` times, then goes on as the part does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, times: int) -> None:
        self.times = times
        self.begun = 0
        real = getattr(owner, name)

        async def flawed(*arguments: Any) -> None:
            self.begun += 1
            if self.begun <= self.times:
                raise ZeroDivisionError("a fault of ours")
            await real(*arguments)

        monkeypatch.setattr(owner, name, flawed)


PARTS = {
    "scraping": (Collector, "run"),
    "discovery": (Discovery, "run"),
    "trust": (TrustWatcher, "run"),
    "certificate": (SharedCertificate, "run"),
    "files": (Reloader, "run"),
    "first_round": (run, "_warm_up"),
    "garbage": (run, "collect_on_schedule"),
}
NEEDED = {"scraping", "discovery", "trust", "first_round"}
"""Without which it does not become ready; the certificate's Secret may not be read here, so it is left out of a run."""


class Served:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._port = port

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"https://127.0.0.1:{self._port}{path}") as answer:
            return answer.status, await answer.text()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster().served() as fake:
        yield fake


@asynccontextmanager
async def running(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch, port: int, *, shares: bool
) -> AsyncIterator[Served]:
    kubeconfig, ca = folder / "kubeconfig", folder / "ca.pem"
    plain: dict[str, Any] = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    kubeconfig.write_text(json.dumps(plain))
    stop = asyncio.Event()
    monkeypatch.setattr(run, "_stop_on_signals", lambda: stop)
    monkeypatch.setattr(parts, "SHORTEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(parts, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(parts, "PROVEN_SECONDS", 1.0)

    async def everybody(*_: Any) -> Admission:
        return Admission("somebody")

    monkeypatch.setattr(ClusterDoor, "admit", everybody)
    pair = ("inflight-system", "inflight") if shares else None
    settings = RunSettings(None, "127.0.0.1", port, kubeconfig=kubeconfig, ca_file=ca, tls_secret=pair, service=pair)
    task = asyncio.create_task(run._run(settings, lambda _: None))

    async def is_there() -> bool:
        if task.done():
            task.result()
        return ca.exists()

    try:
        await until(is_there)
        context = ssl.create_default_context(cafile=str(ca))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            yield Served(session, port)
    finally:
        stop.set()
        await task


@pytest.mark.parametrize("name", PARTS)
async def test_a_part_that_fails_once_comes_back_and_the_server_is_ready(  # noqa: PLR0917 - fixtures
    cluster: Cluster, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, name: str, caplog: Any
) -> None:
    flaw = Flaw(monkeypatch, *PARTS[name], times=1)
    async with running(cluster, tmp_path, monkeypatch, unused_tcp_port, shares=name == "certificate") as server:

        async def is_back() -> bool:
            return flaw.begun == 2 and (name == "certificate" or (await server.get("/readyz"))[0] == 200)

        await until(is_back)
        assert await server.get("/livez") == (200, "ok")
        page = (await server.get("/metrics"))[1]
        assert f'inflight_part_faults_total{{part="{name}"}} 1' in page
        assert "\ninflight_certificate_end_timestamp_seconds " in page
        assert ("\ninflight_certificate_problems " in page) == (name == "certificate")
    assert caplog.text.count(f"event=part_fault part={name} ") == 1


@pytest.mark.parametrize("name", PARTS)
async def test_a_part_that_always_fails_takes_no_other_with_it(
    cluster: Cluster, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flaw = Flaw(monkeypatch, *PARTS[name], times=10**9)
    others = {other: Flaw(monkeypatch, *PARTS[other], times=0) for other in PARTS if other != name}
    shares = name == "certificate"
    async with running(cluster, tmp_path, monkeypatch, unused_tcp_port, shares=shares) as server:

        async def has_failed_often() -> bool:
            return flaw.begun > 5

        await until(has_failed_often)
        assert await server.get("/livez") == (200, "ok")

        async def is_ready() -> bool:
            return (await server.get("/readyz"))[0] == 200

        if name not in NEEDED and not shares:
            await until(is_ready)
        else:
            assert not await is_ready()
        assert {other: other_flaw.begun for other, other_flaw in others.items() if other != "certificate"} == {
            other: 1 for other in others if other != "certificate"
        }


async def test_no_sum_is_said_while_nobody_follows_the_pods(
    cluster: Cluster, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    caplog.set_level(logging.INFO)
    async with running(cluster, tmp_path, monkeypatch, unused_tcp_port, shares=False) as server:

        async def is_ready() -> bool:
            return (await server.get("/readyz"))[0] == 200

        await until(is_ready)
        assert (await server.get(SUM))[0] == 404

        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(Discovery, "_refresh", fail)
            await cluster.put("horizontalpodautoscalers", autoscaler("other"))

            async def is_unknown() -> bool:
                status, body = await server.get(SUM)
                return status == 503 and "the part discovery has failed" in body

            await until(is_unknown)
            assert not await is_ready()
            assert (await server.get("/livez"))[0] == 200
        await until(is_ready)
        assert (await server.get(SUM))[0] == 404
