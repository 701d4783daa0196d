"""One `inflight serve` on a real API server: memory and CPU by number of pods, and its answers behind the aggregator.

    python bench/bench_cluster.py [minutes] [pods ...]        by default half a minute each of 40, 400 and 2,000 pods

An unmodified etcd and kube-apiserver (see conformance/cluster, which says what they need), pods that are objects of the
API with an address of their own, one process that writes their pages (a busy vLLM, 634 lines, rendered before), and one
`inflight serve` that finds them by their HPAs, eight pods each. First 200 requests a second go through the aggregator
for a part of the time, half of them External metrics and half Pods metrics; latency counts from the moment at which a
request was due. The bound is the same load on a path of the API server that it answers from memory by itself. Then the
pods are only scraped; memory at the beginning and at the end of that says whether it stays flat.
"""

import asyncio
import os
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "conformance" / "cluster"))

import manifests  # noqa: E402
from control_plane import ControlPlane, StartError, control_plane  # noqa: E402
from programs import MissingError, Programs  # noqa: E402

from inflight.cluster import Client, ClusterError, read_kubeconfig  # noqa: E402

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1] != "pages" else 0.5
PODS = [int(each) for each in sys.argv[2:]] or [40, 400, 2000]
PODS_PER_APP = 8
REQUESTS_PER_SECOND = 200
CONNECTIONS = 16
LOAD_SECONDS = 15.0
NAMESPACE = "bench"
SETTLE_SECONDS = 10.0
START_SECONDS = 120.0
SAMPLE_SECONDS = 2.0
PAGE = ROOT / "tests" / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt"
EXTERNAL = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/inflight_requests"
CUSTOM = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/*/inflight_requests"
BOUND = "/version"
INFLIGHT = Path(sys.executable).with_name("inflight")


class Page(asyncio.Protocol):
    """Writes the page to whoever asks for anything."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(self.answer)


async def serve_pages() -> None:
    """All pods at once: each asks under an address of its own in 127.0.0.0/8. Prints the port, ends with its parent."""
    body = PAGE.read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
    Page.answer = head % len(body) + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Page, "0.0.0.0", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def address_of(pod: int) -> str:
    return f"127.2.{1 + pod // 250}.{1 + pod % 250}"


# --- the cluster ----------------------------------------------------------------------------------------------------


async def fill(client: Client, pods: int, port: int) -> None:
    """Deployments that want no replicas of their own, an HPA for each, and the pods that their selectors match."""
    path, namespace = manifests.namespace(NAMESPACE)
    await client.create(path, namespace)
    for app in range((pods + PODS_PER_APP - 1) // PODS_PER_APP):
        for path, plain in (deployment(f"app-{app}"), autoscaler(f"app-{app}")):
            await client.create(path, plain)
    waiting = asyncio.Semaphore(12)

    async def create(pod: int) -> None:
        async with waiting:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods"
            await client.create(path, pod_object(pod, port))
            status = {"status": running_at(address_of(pod))}
            kind = "application/strategic-merge-patch+json"
            await client.request("PATCH", f"{path}/pod-{pod}/status", body=status, content_type=kind)

    async with asyncio.TaskGroup() as group:
        for pod in range(pods):
            group.create_task(create(pod))


def deployment(name: str) -> tuple[str, dict[str, Any]]:
    container = {"name": "engine", "image": "played.invalid/engine:1"}
    return f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def autoscaler(name: str) -> tuple[str, dict[str, Any]]:
    target = {"type": "AverageValue", "averageValue": "30"}
    identifier = {"name": "inflight_requests"}
    external = {**identifier, "selector": {"matchLabels": {"app": name}}}
    return f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers", {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": 20,
            "metrics": [
                {"type": "Pods", "pods": {"metric": identifier, "target": target}},
                {"type": "External", "external": {"metric": external, "target": target}},
            ],
        },
    }


def pod_object(pod: int, port: int) -> dict[str, Any]:
    container = {"name": "engine", "image": "played.invalid/engine:1", "ports": [{"containerPort": 8000}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{pod}",
            "labels": {"app": f"app-{pod // PODS_PER_APP}"},
            "annotations": {"prometheus.io/port": str(port), "prometheus.io/path": "/metrics"},
        },
        "spec": {"nodeName": "nowhere", "containers": [container]},
    }


def running_at(address: str) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
    return {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": now, "conditions": [ready]}


# --- what is measured -----------------------------------------------------------------------------------------------


class Process:
    """CPU and memory of a process, as the kernel counts them."""

    def __init__(self, pid: int) -> None:
        self._stat, self._status = Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/status")

    @property
    def cpu_seconds(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mib(self) -> float:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


class Connection:
    """A kept connection to the API server that asks one question at a time."""

    def __init__(self, plane: ControlPlane) -> None:
        self._port = plane.port
        self._context = ssl.create_default_context(cafile=str(plane.folder / "cluster-ca.pem"))
        self._context.load_cert_chain(plane.folder / "admin.pem", plane.folder / "admin.key")
        self.unanswered = 0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost"
        )

    async def get(self, path: str) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"
        self._writer.write(head.encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length: " in answer:
            length = int(answer.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            await self._reader.readexactly(length)
        else:
            await self._read_chunks()
        self.unanswered += not answer.startswith(b"http/1.1 200")

    async def _read_chunks(self) -> None:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            await self._reader.readexactly(size + 2)
        await self._reader.readexactly(2)

    def close(self) -> None:
        self._writer.close()


async def ask_on_schedule(connections: list[Connection], question: Callable[[], str]) -> list[float]:
    """Latencies in seconds, each from the moment at which its request was due."""
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        idle.put_nowait(connection)
    latencies: list[float] = []
    begin = time.perf_counter() + 0.1

    async def ask(due: float) -> None:
        connection = await idle.get()
        await connection.get(question())
        latencies.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(int(LOAD_SECONDS * REQUESTS_PER_SECOND)):
            due = begin + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(due))
    return sorted(latencies)


async def load(plane: ControlPlane, process: Process, pods: int) -> None:
    draw = random.Random(1)
    apps = (pods + PODS_PER_APP - 1) // PODS_PER_APP

    def of(path: str) -> Callable[[], str]:
        return lambda: f"{path}?labelSelector=app%3Dapp-{draw.randrange(apps)}"

    external, custom = of(EXTERNAL), of(CUSTOM)
    connections = [Connection(plane) for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.connect()
    rows: list[tuple[str, Callable[[], str]]] = [
        (f"the API server's own {BOUND} (the bound)", lambda: BOUND),
        ("External metric", external),
        ("Pods metric, 8 pods", custom),
    ]
    for name, question in rows:
        cpu, begun = process.cpu_seconds, time.perf_counter()
        found = await ask_on_schedule(connections, question)
        share = (process.cpu_seconds - cpu) / (time.perf_counter() - begun)
        p50, p99 = at(found, 50), at(found, 99)
        print(f"  {name:42}{p50 * 1e3:8.2f}{p99 * 1e3:8.2f}{found[-1] * 1e3:9.1f} ms{share * 100:8.0f} % of a core")
    if unanswered := sum(connection.unanswered for connection in connections):
        print(f"  {unanswered} answers were no value")
    for connection in connections:
        connection.close()


def at(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def only_scrape(process: Process, seconds: float) -> None:
    resident, cpu, begun = [process.resident_mib], process.cpu_seconds, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        await asyncio.sleep(SAMPLE_SECONDS)
        resident.append(process.resident_mib)
    share = (process.cpu_seconds - cpu) / (time.perf_counter() - begun)
    third = max(1, len(resident) // 3)
    early, late = (sum(part) / len(part) for part in (resident[:third], resident[-third:]))
    print(
        f"  scraping alone for {seconds:.0f} s: {share * 100:.0f} % of a core;"
        f" resident {early:.1f} MiB in the first third, {late:.1f} in the last, {max(resident):.1f} at most"
    )


async def until(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + START_SECONDS
    seen: object = None
    while time.monotonic() < deadline:
        try:
            if seen := await holds():
                return
        except ClusterError as error:
            seen = error
        await asyncio.sleep(0.5)
    raise SystemExit(f"not within {START_SECONDS:g} s: {what}; seen last: {seen}")


async def measure(plane: ControlPlane, pods: int, port: int) -> None:
    async with Client(read_kubeconfig(plane.admin_kubeconfig)) as client:
        begun = time.perf_counter()
        await fill(client, pods, port)
        print(f"{pods} pods, {time.perf_counter() - begun:.0f} s to create them", flush=True)
        await client.create(*manifests.namespace(manifests.SYSTEM))
        for path, plain in manifests.inflight_objects(
            plane.inflight_port, (plane.folder / "serving-ca.pem").read_bytes()
        ):
            await client.create(path, plain)
        process = plane.spawn(
            "inflight",
            [
                INFLIGHT, "serve", "--kubeconfig", plane.admin_kubeconfig, "--secure-port", str(plane.inflight_port),
                "--tls-cert-file", plane.folder / "serving.pem", "--tls-private-key-file", plane.folder / "serving.key",
            ],
        )  # fmt: skip
        last = (pods - 1) // PODS_PER_APP

        async def answers() -> bool:
            plane.check()
            found = await client.get(EXTERNAL, {"labelSelector": f"app=app-{last}"})
            return bool(found["items"])

        await until("the External metric of the last app is answered", answers)
        print(f"  answered after {time.perf_counter() - begun:.0f} s", flush=True)
        await asyncio.sleep(SETTLE_SECONDS)
        watched = Process(process.pid)
        await load(plane, watched, pods)
        await only_scrape(watched, MINUTES * 60)


@contextmanager
def pages() -> Iterator[int]:
    """The port of the process that writes the pages."""
    process = subprocess.Popen([sys.executable, __file__, "pages"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def main() -> None:
    try:
        programs = Programs()
        print(f"{'':44}{'p50':>8}{'p99':>8}{'longest':>9}")
        for pods in PODS:
            with control_plane(programs) as plane, pages() as port:
                asyncio.run(measure(plane, pods, port))
    except MissingError as error:
        print(f"NOT RUN: {error}")
    except StartError as error:
        raise SystemExit(f"the control plane did not start: {error}") from error


if __name__ == "__main__":
    if sys.argv[1:] == ["pages"]:
        asyncio.run(serve_pages())
    else:
        main()
