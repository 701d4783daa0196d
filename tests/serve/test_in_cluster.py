"""`inflight serve` in a cluster, as a process: pods found, callers asked about, rights taken away."""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner
from tests.discovery.builders import autoscaler, object_metric, pod, pods_metric
from tests.discovery.fake_cluster import FakeCluster

from inflight.cli.serve import command

PAGE = (Path(__file__).parents[1] / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt").read_bytes()
INFLIGHT = (sys.executable, "-c", "from inflight.cli import main; main()")
PATIENCE_SECONDS = 30
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces"


class Cluster(FakeCluster):
    """Knows one token, whose owner may read everything."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/tokenreviews"):
            token = json.loads(await request.read())["spec"]["token"]
            found = {"authenticated": token == "good", "user": {"username": "somebody"}}
            return web.json_response({"status": found}, status=201)
        if request.path.endswith("/subjectaccessreviews"):
            user = json.loads(await request.read())["spec"]["user"]
            return web.json_response({"status": {"allowed": user == "somebody"}}, status=201)
        if request.path == "/api/v1/namespaces/kube-system/configmaps":
            if "watch" in request.query:
                await asyncio.sleep(PATIENCE_SECONDS)
            metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
            items = [{"metadata": metadata, "data": {}}]
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        return await super().handle(request)


class Run:
    """A running server and a client that trusts it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, session: aiohttp.ClientSession) -> None:
        self.process = process
        self._port = port
        self._session = session

    async def ask(self, path: str, token: str = "good") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.get(f"https://localhost:{self._port}{path}", headers=headers) as answer:
            return answer.status, await answer.text()

    async def until(self, wanted: int, path: str) -> str:
        last: tuple[int, str] = (0, "")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while last[0] != wanted:
                try:
                    last = await self.ask(path)
                except aiohttp.ClientError as error:
                    last = (0, str(error))
                await asyncio.sleep(0.05)
        return last[1]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster().served() as fake:
        yield fake


@pytest.fixture
async def engine_port() -> AsyncIterator[int]:
    async def page(request: web.BaseRequest) -> web.Response:
        return web.Response(status=500) if request.path == "/broken" else web.Response(body=PAGE)

    runner = web.ServerRunner(web.Server(page), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def run(cluster: Cluster, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Run]:
    kubeconfig, ca = tmp_path / "kubeconfig", tmp_path / "ca.pem"
    plain: dict[str, Any] = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    kubeconfig.write_text(json.dumps(plain))
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *INFLIGHT, "serve", "--kubeconfig", kubeconfig, "--secure-port", str(unused_tcp_port), "--ca-file", ca,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not ca.exists():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.05)
        context = ssl.create_default_context(cafile=str(ca))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            yield Run(process, unused_tcp_port, session)
    finally:
        if process.returncode is None:
            process.terminate()
        assert await process.wait() == 0
    assert "s3cret" not in (tmp_path / "log").read_text()


async def test_pods_are_found_scraped_and_summed_up(cluster: Cluster, run: Run, engine_port: int) -> None:
    cluster.give_scale("llm", "llm", "app=llm", replicas=2)
    here = {"prometheus.io/port": str(engine_port), "prometheus.io/path": "/metrics"}
    for name in ("a", "b"):
        await cluster.put("pods", pod(name, ip="127.0.0.1", annotations=here))
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", pods_metric(), object_metric("llm")))
    await run.until(200, "/readyz")
    by_pod = json.loads(await run.until(200, f"{CUSTOM}/pods/*/inflight_requests?labelSelector=app%3Dllm"))
    assert {item["describedObject"]["name"]: item["value"] for item in by_pod["items"]} == {"a": "24", "b": "24"}
    (whole,) = json.loads((await run.ask(f"{CUSTOM}/deployments.apps/llm/inflight_requests"))[1])["items"]
    assert (whole["describedObject"]["kind"], whole["describedObject"]["name"], whole["value"]) == (
        "Deployment", "llm", "48",
    )  # fmt: skip
    status, body = await run.ask(f"{EXTERNAL}/llm/inflight_requests?labelSelector=app%3Dother")
    assert status == 404
    assert "none of the 2 pods watched" in json.loads(body)["message"]
    status, body = await run.ask(f"{EXTERNAL}/elsewhere/inflight_requests")
    assert status == 404
    assert "no HPA in it asks for a metric of Inflight" in json.loads(body)["message"]
    page = (await run.ask("/metrics"))[1]
    assert "inflight_discovery_autoscalers 1\n" in page
    assert "inflight_targets 2\n" in page


async def test_pods_that_come_and_go_are_followed(cluster: Cluster, run: Run, engine_port: int) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    here = {"prometheus.io/port": str(engine_port), "prometheus.io/path": "/metrics"}
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a", ip="127.0.0.1", annotations=here))
    path = f"{EXTERNAL}/llm/inflight_requests"

    async def value() -> str:
        return str(json.loads(await run.until(200, path))["items"][0]["value"])

    async def until_it_is(wanted: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await value() != wanted:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.05)

    await until_it_is("24")
    await cluster.put("pods", pod("b", ip="127.0.0.1", annotations=here))
    await until_it_is("48")
    await cluster.remove("pods", "llm", "b")
    await until_it_is("24")
    await cluster.remove("horizontalpodautoscalers", "llm", "llm")
    await run.until(404, path)


async def test_no_sum_is_too_low_for_a_pod_that_is_not_read(cluster: Cluster, run: Run, engine_port: int) -> None:
    """One that no HPA asks for, and one that is sent work and shows no page; an HPA would see load that went away."""
    cluster.give_scale("llm", "llm", "app=llm")
    here = {"prometheus.io/port": str(engine_port), "prometheus.io/path": "/metrics"}
    broken = {**here, "prometheus.io/path": "/broken"}
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric("llm")))
    await cluster.put("pods", pod("a", ip="127.0.0.1", annotations=here))
    await cluster.put("pods", pod("other", ip="127.0.0.1", annotations=here, app="other"))
    await cluster.put("pods", pod("starting", ip="127.0.0.1", annotations=broken, ready=False))
    path = f"{EXTERNAL}/llm/inflight_requests"
    assert "24" in await run.until(200, f"{path}?labelSelector=app%3Dllm"), "who is not Ready holds up nothing"
    for selector in ("", "?labelSelector=app%3Dother", "?labelSelector=app%20in%20(llm,other)"):
        status, body = await run.ask(path + selector)
        assert status == 503
        assert "1 pod that matches is not read: other: no HPA of the namespace asks for this selector" in body
    await cluster.put("pods", pod("starting", ip="127.0.0.1", annotations=broken))
    async with asyncio.timeout(20):
        body = ""
        # For a moment it may be said that the pods have just changed.
        while "1 of 2 pods Ready but without a value yet: starting (HTTP 500)" not in body:
            body = await run.until(503, f"{path}?labelSelector=app%3Dllm")
    assert "starting (HTTP 500)" in await run.until(503, f"{CUSTOM}/deployments.apps/llm/inflight_requests")
    assert (await run.ask(f"{CUSTOM}/pods/*/inflight_requests"))[0] == 200
    await cluster.put("pods", pod("starting", ip="127.0.0.1", annotations=here))
    await run.until(200, f"{path}?labelSelector=app%3Dllm")


async def test_the_cluster_says_who_may_ask(run: Run) -> None:
    assert (await run.ask("/metrics"))[0] == 200
    assert (await run.ask("/metrics", token="bad"))[0] == 401
    assert (await run.ask("/metrics", token=""))[0] == 403
    assert (await run.ask("/livez", token=""))[0] == 200


async def test_without_rights_it_is_not_ready_and_says_what_to_grant(cluster: Cluster, run: Run) -> None:
    cluster.forbidden.add(("horizontalpodautoscalers", ""))
    cluster.cut()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            status, sentence = await run.ask(f"{EXTERNAL}/llm/inflight_requests")
            if "horizontalpodautoscalers" in sentence:
                break
            await asyncio.sleep(0.05)
    assert status in {404, 503}
    assert "kubectl create clusterrole" in sentence
    assert (await run.ask("/livez"))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "does not run in a pod"),
        (("--tls-secret", "a/b"), "belong together"),
        (("--tls-secret", "a", "--service", "a/b"), "is no NAMESPACE/NAME"),
        (("--tls-secret", "a/b", "--service", "a/..", ), "is no NAMESPACE/NAME"),
        (("--namespace", "Not_A_Name"), "is no name of a namespace"),
        (("--targets", "t", "--kubeconfig", "k"), "--kubeconfig is for pods found in a cluster"),
        (("--targets", "t", "--namespace", "n"), "--namespace is for pods found in a cluster"),
        (("--token-file", "t"), "here a cluster says who may ask"),
        (("--tls-secret", "a/b", "--service", "a/b", "--ca-file", "f"), "another one is named"),
        (("--tls-secret", "a/b", "--service", "a/b", "--tls-cert-file", "f", "--tls-private-key-file", "f"), "both"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("KUBERNETES_")]:
        monkeypatch.delenv(name)
    # This process goes on with other tests, whose log is looked at.
    monkeypatch.setattr("inflight.serve.run._log_to_stderr", lambda: None)
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert sentence in done.output
