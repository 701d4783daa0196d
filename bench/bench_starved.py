"""The metrics API while 2,000 pods are scraped on one core, alone and beside others who want the same core.

    python bench/bench_starved.py [pods]

The server is pinned to one core; pods and client have another. Asked 50 times a second over kept connections, and five
times a second over a new one, whose handshake counts too (kube-aggregator gives it 10 s). Told for each case: answers,
new connections, how old the oldest pod's page became, scrapes a second, and how late the server's loop was.
"""

import asyncio
import multiprocessing
import os
import random
import ssl
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench_api import new_runner, receive
from inflight.serve.garbage import collect_on_schedule
from inflight.serve.server import start_server
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock
from inflight.sources.file_limit import raise_file_limit

PODS = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
PODS_PER_APP = 8
WARM_SECONDS, MEASURED_SECONDS = 20.0, 20.0
KEPT_A_SECOND, NEW_A_SECOND = 50, 5
CONNECTIONS = 16
HOGS = (0, 1, 2)
PAGE = Path(__file__).parents[1] / "tests" / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/bench/vllm_requests_running"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/bench/pods/*/vllm_requests_running"


class Pod(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, _: bytes) -> None:
        self._transport.write(self._answer)


def serve_pods(pipe: Connection, core: int) -> None:
    async def serve() -> None:
        body = PAGE.read_bytes()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Pod(answer), "0.0.0.0", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)

    os.sched_setaffinity(0, {core})
    raise_file_limit(PODS)
    new_runner().run(serve())


def hog(core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        pass


def serve_api(pipe: Connection, pods_port: int, core: int) -> None:
    os.sched_setaffinity(0, {core})
    new_runner().run(serve_until_told(pipe, pods_port))


async def serve_until_told(pipe: Connection, pods_port: int) -> None:
    clock = WallClock()
    collector = Collector(shipped(), clock)
    collector.set_targets(
        Target(
            "bench",
            f"pod-{pod}",
            {"app": f"app-{pod // PODS_PER_APP}"},
            f"http://127.0.{1 + pod // 250}.{1 + pod % 250}:{pods_port}/m",
        )
        for pod in range(PODS)
    )
    loop = asyncio.get_running_loop()
    late: list[float] = []

    async def look() -> None:
        while True:
            due = loop.time() + 0.02
            await asyncio.sleep(0.02)
            late.append(loop.time() - due)

    async with start_server(collector, clock, stats=lambda: collector.stats) as server:
        tasks = [asyncio.create_task(part) for part in (collector.run(), collect_on_schedule(), look())]
        pipe.send((server.port, server.token, server.ca_pem))
        while await loop.run_in_executor(None, pipe.recv) != "stop":
            stats = collector.stats
            oldest = clock.now() - stats.oldest_page_at if stats.oldest_page_at is not None else 999.0
            pipe.send((stats.scrapes, sum(stats.failures.values()), time.process_time(), oldest, sorted(late)))
            late.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Client:
    """One HTTPS connection that asks one question at a time."""

    def __init__(self, port: int, token: str, ca_pem: bytes) -> None:
        self._port = port
        self._head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._context = ssl.create_default_context(cadata=ca_pem.decode())

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost", ssl_handshake_timeout=30
        )

    async def get(self, path: str) -> None:
        self._writer.write(b"GET " + path.encode() + self._head)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]))

    def close(self) -> None:
        self._writer.close()


async def measure(server: Connection) -> str:
    port, token, ca_pem = await receive(server)
    await asyncio.sleep(WARM_SECONDS)
    draw, kept, new, failed = random.Random(4), [], [], 0
    idle: asyncio.Queue[Client] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        client = Client(port, token, ca_pem)
        await client.connect()
        idle.put_nowait(client)

    def question() -> str:
        selector = f"labelSelector=app%3Dapp-{draw.randrange(PODS // PODS_PER_APP)}"
        return f"{EXTERNAL if draw.random() < 0.7 else CUSTOM}?{selector}"

    async def ask(due: float) -> None:
        client = await idle.get()
        await client.get(question())
        kept.append(time.perf_counter() - due)
        idle.put_nowait(client)

    async def ask_anew(due: float) -> None:
        nonlocal failed
        client = Client(port, token, ca_pem)
        try:
            await client.connect()
            await client.get(question())
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
            return
        new.append(time.perf_counter() - due)
        client.close()

    async def on_schedule(a_second: int, asking: Callable[[float], Any]) -> None:
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(MEASURED_SECONDS * a_second)):
                due = begin + number / a_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(asking(due))

    scrapes, _, cpu, _, _ = await tell(server)
    begin, oldest = time.perf_counter(), 0.0
    asking = asyncio.gather(on_schedule(KEPT_A_SECOND, ask), on_schedule(NEW_A_SECOND, ask_anew))
    lates: list[float] = []
    while not asking.done():
        await asyncio.wait([asking], timeout=1.0)
        seen = await tell(server)
        oldest, lates = max(oldest, seen[3]), lates + seen[4]
    took = time.perf_counter() - begin
    return (
        f"{at(kept, 50):9.0f}{at(kept, 99):7.0f}{at(new, 50):9.0f}{at(new, 99):7.0f}{failed:8}"
        f"{oldest:9.1f}{(seen[0] - scrapes) / took:11.0f}{(seen[2] - cpu) / took:8.0%}{at(lates, 99):10.0f}"
    )


def at(found: list[float], percent: float) -> float:
    ordered = sorted(found) or [float("nan")]
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3


async def tell(pipe: Connection) -> Any:
    pipe.send("look")
    return await receive(pipe)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    here, *others = sorted(os.sched_getaffinity(0))
    other = others[0] if others else here
    pods_pipe, pods_end = context.Pipe()
    pods = context.Process(target=serve_pods, args=(pods_end, other), daemon=True)
    pods.start()
    pods_port = pods_pipe.recv()
    os.sched_setaffinity(0, {other})
    print(f"{PODS} pods, the server on one core; {KEPT_A_SECOND} answers a second, {NEW_A_SECOND} of new connections")
    print(
        f"{'others on that core':20}{'kept p50':>9}{'p99':>7}{'new p50':>9}{'p99':>7}{'failed':>8}{'oldest s':>9}"
        f"{'scrapes/s':>11}{'core':>8}{'loop p99':>10}   (ms)"
    )
    for count in HOGS:
        hogs = [context.Process(target=hog, args=(here,), daemon=True) for _ in range(count)]
        for process in hogs:
            process.start()
        mine, theirs = context.Pipe()
        server = context.Process(target=serve_api, args=(theirs, pods_port, here), daemon=True)
        server.start()
        print(f"{count:20}{asyncio.run(measure(mine))}", flush=True)
        mine.send("stop")
        server.join()
        for process in hogs:
            process.terminate()
            process.join()
    pods_pipe.send("stop")
    pods.join()


if __name__ == "__main__":
    main()
