"""The HTTPS metrics API under load while the same process scrapes 400 pods.

Three processes: 400 emulated pods (a vLLM page of 634 lines each, every pod with an address of its own), the server
under test, and this one, which asks 200 times a second on a fixed schedule. Latency counts from the moment a request
was due, so a server that stalls cannot hide it. First empty answers (what transport and machine cost), then metrics
with the scraping paused, which is the bound, then with one scrape per pod and second; at last how long it takes until
a changed page is a changed answer, in scrape intervals.
"""

import asyncio
import multiprocessing
import random
import resource
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, cast

from inflight.serve.garbage import collect_on_schedule
from inflight.serve.server import start_server
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock

PODS = 400
PODS_PER_APP = 8
REQUESTS_PER_SECOND = 200
CONNECTIONS = 16
PHASE_SECONDS = 8.0
INTERVAL_SECONDS = 1.0
CHANGES = 200
CHANGES_AT_ONCE = 10
POLL_SECONDS = 0.01
PAGE = Path(__file__).parents[1] / "tests" / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt"
RUNNING = b"\nvllm:num_requests_running{"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/bench/vllm_requests_running"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/bench/pods"


# --- the pods -------------------------------------------------------------------------------------------------------


class Pod(asyncio.Protocol):
    """Answers GET with the page of the pod at the address that was connected to; `PUT /N` sets its running requests."""

    values: ClassVar[dict[str, bytes]] = {}

    def __init__(self, before: bytes, after: bytes) -> None:
        self.before = before
        self.after = after

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.address: str = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"PUT "):
            Pod.values[self.address] = data.split(b" ", 2)[1][1:]
            body = b""
        else:
            body = b"".join((self.before, Pod.values.get(self.address, b"24"), self.after))
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def serve_pods(pipe: Connection) -> None:
    async def serve() -> None:
        page = PAGE.read_bytes()
        start = page.index(b" ", page.index(b"}", page.index(RUNNING))) + 1
        before, after = page[:start], page[page.index(b"\n", start) :]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Pod(before, after), "0.0.0.0", 0, backlog=PODS)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        server.close()

    new_runner().run(serve())


def address_of(pod: int) -> str:
    return f"127.0.{1 + pod // 250}.{1 + pod % 250}"


# --- the server under test ------------------------------------------------------------------------------------------


def serve_api(pipe: Connection, pods_port: int) -> None:
    new_runner().run(serve_api_until_told(pipe, pods_port))


async def serve_api_until_told(pipe: Connection, pods_port: int) -> None:
    clock = WallClock()
    collector = Collector(shipped(), clock, interval_seconds=INTERVAL_SECONDS)
    collector.set_targets(
        Target("bench", f"pod-{pod}", {"app": f"app-{pod // PODS_PER_APP}"}, f"http://{address_of(pod)}:{pods_port}/m")
        for pod in range(PODS)
    )
    loop = asyncio.get_running_loop()
    garbage = asyncio.create_task(collect_on_schedule())
    async with start_server(collector, clock, stats=lambda: collector.stats) as server:
        scraping = asyncio.create_task(collector.run())
        pipe.send((server.port, server.token, server.ca_pem))
        while (order := await loop.run_in_executor(None, pipe.recv)) != "stop":
            if order == "pause":
                scraping.cancel()
                with suppress(asyncio.CancelledError):
                    await scraping
            elif order == "resume":
                scraping = asyncio.create_task(collector.run())
            stats = collector.stats
            pipe.send((stats.scrapes, sum(stats.failures.values()), time.process_time(), stats.answering))
        for task in (scraping, garbage):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


# --- the client -----------------------------------------------------------------------------------------------------


class Client:
    """A kept HTTPS connection that asks one question at a time."""

    def __init__(self, port: int, token: str, ca_pem: bytes) -> None:
        self._port = port
        self._head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._context = ssl.create_default_context(cadata=ca_pem.decode())
        self.unanswered = 0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost"
        )

    async def get(self, path: str) -> bytes:
        self._writer.write(b"GET " + path.encode() + self._head)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        body = await self._reader.readexactly(length)
        self.unanswered += not head.startswith(b"HTTP/1.1 200")
        return body

    def close(self) -> None:
        self._writer.close()


def no_question(_: random.Random) -> str:
    """The same server, transport and client without anything to find out."""
    return "/livez"


def question(draw: random.Random) -> str:
    """What HPAs ask: mostly the pods of one workload, now and then everything."""
    kind, selector = draw.random(), f"labelSelector=app%3Dapp-{draw.randrange(PODS // PODS_PER_APP)}"
    if kind < 0.6:
        return f"{EXTERNAL}?{selector}"
    return f"{CUSTOM}/*/vllm_requests_running?{selector}" if kind < 0.9 else EXTERNAL


async def ask_on_schedule(
    clients: list[Client], draw: random.Random, ask_for: Callable[[random.Random], str]
) -> list[float]:
    """Latencies in seconds, each from the moment at which its request was due."""
    idle: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        idle.put_nowait(client)
    latencies: list[float] = []
    begin = time.perf_counter() + 0.1

    async def ask(due: float) -> None:
        client = await idle.get()
        await client.get(ask_for(draw))
        latencies.append(time.perf_counter() - due)
        idle.put_nowait(client)

    async with asyncio.TaskGroup() as group:
        for number in range(int(PHASE_SECONDS * REQUESTS_PER_SECOND)):
            due = begin + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(due))
    return latencies


async def change_and_wait(clients: list[Client], pods_port: int, draw: random.Random) -> list[float]:
    """From the moment a pod's page changes until its answer does, in scrape intervals."""
    left = list(range(CHANGES))
    lags: list[float] = []

    async def follow(client: Client, first_pod: int) -> None:
        while left:
            value = 1001 + left.pop()
            pod = first_pod + CHANGES_AT_ONCE * draw.randrange(PODS // CHANGES_AT_ONCE)
            await asyncio.sleep(draw.random() * INTERVAL_SECONDS)
            reader, writer = await asyncio.open_connection(address_of(pod), pods_port)
            writer.write(b"PUT /%d \r\n\r\n" % value)
            await reader.readuntil(b"\r\n\r\n")
            changed = time.perf_counter()
            writer.close()
            path, wanted = f"{CUSTOM}/pod-{pod}/vllm_requests_running", f'"value":"{value}"'.encode()
            while wanted not in await client.get(path):  # noqa: ASYNC110 - the answer sets no event
                await asyncio.sleep(POLL_SECONDS)
            lags.append((time.perf_counter() - changed) / INTERVAL_SECONDS)

    await asyncio.gather(*(follow(client, number) for number, client in enumerate(clients[:CHANGES_AT_ONCE])))
    return lags


async def measure(server: Connection, pods_port: int) -> None:
    port, token, ca_pem = await receive(server)
    draw = random.Random(4)
    await asyncio.sleep(2 * INTERVAL_SECONDS)
    while (await tell(server, "look"))[3] < PODS:  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(0.1)
    clients = [Client(port, token, ca_pem) for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    print(
        f"{REQUESTS_PER_SECOND} requests a second for {PHASE_SECONDS:g} s over {CONNECTIONS} connections, {PODS} pods"
    )
    print(f"{'':34}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}{'scrapes/s':>11}{'core %':>8}")
    await phase(server, "pause", "an empty answer, scraping paused", clients, draw, no_question)
    await tell(server, "resume")
    await asyncio.sleep(3 * INTERVAL_SECONDS)
    await phase(server, "pause", "metrics, scraping paused (bound)", clients, draw)
    await tell(server, "resume")
    await asyncio.sleep(3 * INTERVAL_SECONDS)
    found = await phase(server, "look", "metrics, 400 pods scraped a second", clients, draw)
    print(f"{'target':34}{'':8}{'5.00':>8}   {'met' if found <= 5.0 else 'MISSED'}")
    lags = sorted(await change_and_wait(clients, pods_port, draw))
    print(f"\nfrom a changed page to the changed answer, {len(lags)} changes, in intervals of {INTERVAL_SECONDS:g} s")
    print(f"  p50 {at(lags, 50):.2f}   p99 {at(lags, 99):.2f}   max {lags[-1]:.2f}   (bound: p50 0.50, p99 0.99)")
    print(f"  target p99 below 1.2: {'met' if at(lags, 99) < 1.2 else 'MISSED'}")
    for client in clients:
        client.close()


async def phase(  # noqa: PLR0917 - a table of three rows
    server: Connection,
    order: str,
    name: str,
    clients: list[Client],
    draw: random.Random,
    ask_for: Callable[[random.Random], str] = question,
) -> float:
    scrapes, failures, cpu, _ = await tell(server, order)
    begun = time.perf_counter()
    latencies = sorted(await ask_on_schedule(clients, draw, ask_for))
    took = time.perf_counter() - begun
    scrapes_after, failures_after, cpu_after, _ = await tell(server, "look")
    p99 = at(latencies, 99) * 1000
    print(
        f"{name:34}{at(latencies, 50) * 1000:8.2f}{p99:8.2f}{latencies[-1] * 1000:8.2f}"
        f"{(scrapes_after - scrapes) / took:11.0f}{(cpu_after - cpu) / took * 100:8.0f}"
    )
    unanswered = sum(client.unanswered for client in clients)
    if failures_after > failures or unanswered:
        print(f"  an overloaded machine: {failures_after - failures} scrapes failed, {unanswered} answers were unknown")
    return p99


def at(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def receive(pipe: Connection) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def tell(pipe: Connection, order: str) -> Any:
    pipe.send(order)
    return await receive(pipe)


def new_runner() -> asyncio.Runner:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    return asyncio.Runner(loop_factory=factory)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    pods_pipe, pods_end = context.Pipe()
    server_pipe, server_end = context.Pipe()
    pods = context.Process(target=serve_pods, args=(pods_end,), daemon=True)
    pods.start()
    pods_port = pods_pipe.recv()
    server = context.Process(target=serve_api, args=(server_end, pods_port), daemon=True)
    server.start()
    new_runner().run(measure(server_pipe, pods_port))
    server_pipe.send("stop")
    print(f"\nresident memory of the server at its largest: {server_pipe.recv():.0f} MiB")
    pods_pipe.send("stop")
    for process in (server, pods):
        process.join()


if __name__ == "__main__":
    main()
