"""The whole way: pages of real engines on loopback servers, scraped by the Collector, asked for as the HPA asks."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from inflight.serve.server import RunningServer, start_server
from inflight.serve.vitals import Vitals
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock

PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
EXPECTED = json.loads((PAGES / "expected.json").read_text())
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods"
FROM_HPA = "vllm_requests_running?labelSelector=app%3Dvllm-deployment"


class Engines:
    """One loopback server that shows each pod's page under its name; a page can be changed or taken away."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.port = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        page = self.pages.get(request.path.removeprefix("/"))
        return web.Response(status=404) if page is None else web.Response(text=page)

    def target(self, name: str, page: str, namespace: str = "inference", **labels: str) -> Target:
        self.pages[name] = (PAGES / page).read_text()
        url = f"http://127.0.0.1:{self.port}/{name}"
        return Target(namespace, name, labels or {"app": "vllm-deployment"}, url, settle=True)


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    engines = Engines()
    runner = web.ServerRunner(web.Server(engines.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engines.port = runner.addresses[0][1]
    yield engines
    await runner.cleanup()


class Asker:
    """A client with the token and the certificate."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._session.get(path) as response:
            return response.status, await response.json()

    async def value(self, path: str) -> str:
        status, document = await self.get(path)
        assert status == 200, document
        (item,) = document["items"]
        text: str = item["value"]
        return text

    async def until(self, path: str, status: int) -> Any:
        """Ask until the status comes; the deadline is the test's patience, not a speed."""
        return (await self.until_found(path, lambda found, _: found == status))[1]

    async def until_found(self, path: str, wanted: Callable[[int, Any], bool]) -> tuple[int, Any]:
        async with asyncio.timeout(20):
            found = await self.get(path)
            while not wanted(*found):
                found = await self._again(path)
        return found

    async def _again(self, path: str) -> tuple[int, Any]:
        await asyncio.sleep(0.02)
        return await self.get(path)


@asynccontextmanager
async def serving(targets: list[Target], interval_seconds: float = 0.1) -> AsyncIterator[tuple[Asker, Collector]]:
    clock = WallClock()
    collector = Collector(shipped(), clock, interval_seconds=interval_seconds)
    collector.set_targets(targets)
    vitals = Vitals(interval_seconds)
    async with (
        start_server(
            collector,
            clock,
            warming_up=lambda _: "" if vitals.look(collector.pods(), clock.now()) else vitals.warming_up,
            stats=lambda: collector.stats,
        ) as server,
        asyncio.TaskGroup() as group,
        _client(server) as asker,
    ):
        task = group.create_task(collector.run())
        yield asker, collector
        task.cancel()


@asynccontextmanager
async def _client(server: RunningServer) -> AsyncIterator[Asker]:
    assert server.ca_pem is not None
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=server.ca_pem.decode()))
    headers = {"Authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
        yield Asker(session)


async def test_the_articles_hpa_reads_the_sum_of_its_pods(engines: Engines) -> None:
    targets = [
        engines.target("vllm-1", "vllm-0.33.0-busy.txt"),
        engines.target("vllm-2", "vllm-0.33.0-seq-t075.txt"),
        engines.target("other", "vllm-0.33.0-saturated.txt", app="else"),
        engines.target("vllm-1", "vllm-0.33.0-saturated.txt", namespace="elsewhere"),
    ]
    engines.pages["vllm-1"] = (PAGES / "vllm-0.33.0-busy.txt").read_text()
    async with serving(targets) as (asker, _):
        await asker.until(f"{EXTERNAL}/{FROM_HPA}", 200)
        assert await asker.value(f"{EXTERNAL}/{FROM_HPA}") == "72"
        assert await asker.value(f"{EXTERNAL}/inflight_requests?labelSelector=app%3Dvllm-deployment") == "210"
        assert await asker.value(f"{EXTERNAL}/inflight_requests?labelSelector=app+in+(else)") == "928"
        assert await asker.value(f"{CUSTOM}/vllm-2/inflight_requests_waiting") == "138"
        _, document = await asker.get(f"{CUSTOM}/*/inflight_requests?labelSelector=app%3Dvllm-deployment")
        assert [(item["describedObject"]["name"], item["value"]) for item in document["items"]] == [
            ("vllm-1", "24"),
            ("vllm-2", "186"),
        ]


@pytest.mark.parametrize("page", ["sglang-0.5.23-saturated.txt", "tgi-3.3.txt", "nim-1.txt", "lmdeploy-0.16.0.txt"])
async def test_the_same_names_serve_every_engine(engines: Engines, page: str) -> None:
    async with serving([engines.target("p", page)]) as (asker, _):
        await asker.until(f"{EXTERNAL}/inflight_requests", 200)
        for name, signal in (
            ("inflight_requests", "in_flight"),
            ("inflight_requests_running", "running"),
            ("vllm_num_requests_waiting", "waiting"),
        ):
            value = await asker.value(f"{EXTERNAL}/{name}")
            assert float(value.replace("k", "e3")) == EXPECTED[page][signal], name


async def test_nothing_is_said_of_a_fleet_before_its_pods_were_read(engines: Engines) -> None:
    targets = [engines.target(f"vllm-{number}", "vllm-0.33.0-busy.txt") for number in range(12)]
    async with serving(targets, interval_seconds=0.3) as (asker, _):
        seen = set()
        async with asyncio.timeout(20):
            while 200 not in {status for status, _ in seen}:
                status, document = await asker.get(f"{EXTERNAL}/{FROM_HPA}")
                seen.add((status, document["items"][0]["value"] if status == 200 else document["reason"]))
        assert {status_value for status_value in seen if status_value[0] == 200} == {(200, str(24 * 12))}
        assert seen - {(200, str(24 * 12))} == {(503, "ServiceUnavailable")}


async def test_a_changed_page_changes_the_answer(engines: Engines) -> None:
    async with serving([engines.target("a", "vllm-0.33.0-busy.txt")]) as (asker, _):
        await asker.until(f"{EXTERNAL}/{FROM_HPA}", 200)
        assert await asker.value(f"{EXTERNAL}/{FROM_HPA}") == "24"
        engines.pages["a"] = engines.pages["a"].replace(
            'vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 24.0',
            'vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 31.0',
        )
        path = f"{EXTERNAL}/{FROM_HPA}"
        await asker.until_found(path, lambda _, document: document["items"][0]["value"] == "31")


async def test_a_dead_pod_that_never_reported_does_not_hold_up_the_others(engines: Engines) -> None:
    dead = Target("inference", "dead", {"app": "vllm-deployment"}, "http://127.0.0.1:9/metrics")
    async with serving([engines.target("a", "vllm-0.33.0-busy.txt"), dead]) as (asker, _):
        await asker.until(f"{EXTERNAL}/{FROM_HPA}", 200)
        assert await asker.value(f"{EXTERNAL}/{FROM_HPA}") == "24"
        status, document = await asker.get(f"{CUSTOM}/dead/inflight_requests")
        assert status == 404
        assert "dead" in document["message"]


async def test_pods_of_an_unknown_engine_are_an_error_and_not_zero(engines: Engines) -> None:
    target = engines.target("a", "vllm-0.33.0-busy.txt")
    engines.pages["a"] = "# TYPE up gauge\nup 1\n"
    async with serving([target]) as (asker, _):
        await asker.until_found(f"{CUSTOM}/a/inflight_requests", lambda _, document: "engine" in document["message"])
        status, document = await asker.get(f"{EXTERNAL}/{FROM_HPA}")
        assert (status, document["reason"]) == (503, "ServiceUnavailable")
        status, document = await asker.get(f"{CUSTOM}/*/inflight_requests")
        assert (status, document["reason"]) == (503, "ServiceUnavailable")
        assert "no known engine's page" in document["message"]
