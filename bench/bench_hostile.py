"""Pods of one namespace that send the worst pages they can, beside honest ones: what it costs the others, and memory.

    python bench/bench_hostile.py [hostile pods] [seconds]

One process is all pods. Those of the namespace `hostile` send, each again and again the same kind: pages as large as
may be that take long to read, that keep much in memory, that are no use, or that never end. Beside them two honest
namespaces: `large` (12 pods of 0.37 MiB, six engines behind one port) and `usual` (100 pods of a busy vLLM). The
other process scrapes them all, and for each kind this is told: its largest resident memory, how old the honest values
became, and how late the event loop was (what an answer of the metrics API would have waited, a few times over).
"""

import asyncio
import itertools
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from inflight.serve.garbage import collect_on_schedule
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock

HOSTILE = int(sys.argv[1]) if len(sys.argv) > 1 else 150
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
LARGE, USUAL = 12, 100
LIMIT = 4 << 20
PAGES = Path(__file__).parents[1] / "tests" / "data" / "metrics-pages"
VLLM = PAGES / "vllm-0.33.0-busy.txt"
BEGIN = b'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_waiting{engine="0"} 1\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def filled(line: Callable[[int], bytes], count: int = 10**9, limit: int = LIMIT, begin: bytes = BEGIN) -> bytes:
    lines, size = [begin], len(begin)
    for index in range(count):
        made = line(index)
        size += len(made)
        if size > limit:
            break
        lines.append(made)
    return b"".join(lines)


def engines(count: int) -> bytes:
    page = VLLM.read_bytes()
    return b"".join(page.replace(b'engine="0"', b'engine="%d"' % engine) for engine in range(count))


def labelled(index: int) -> bytes:
    return b"vllm:num_requests_running{" + b",".join(b'a%d="%d"' % (n, index) for n in range(120)) + b"} 1\n"


KINDS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "64 engines": lambda: engines(64),
    "small, 90 ms to read": lambda: filled(lambda n: b'vllm:num_requests_running{a="%d"} 1\n' % n, limit=250 << 10),
    "small, odd lines": lambda: filled(lambda n: b'a {b="%d"} 1\n' % n, limit=250 << 10),
    "100,000 labels": lambda: filled(labelled, 820),
    "190,000 lines": lambda: filled(lambda n: b'a{b="%d"} 1\n' % n, 190_000),
    "190,000 odd lines": lambda: filled(lambda n: b'a {b="%d"} 1\n' % n, 190_000),
    "no known engine": lambda: filled(lambda n: b'a%d_x{b="1"} 1\n' % n, 190_000, begin=b""),
    "too many samples": lambda: filled(lambda n: b'vllm:num_requests_running{a="%d"} 1\n' % n),
    "too large": lambda: b"x" * (LIMIT + 1),
    "extensions": lambda: b"",
}
CHANGING = {"64 engines", "100,000 labels", "190,000 lines", "small, 90 ms to read"}
"""Each answer has another layout, so that nothing that is remembered helps."""


class Pod(asyncio.Protocol):
    def __init__(self, kind: str, body: bytes) -> None:
        self._kind = kind
        self._body = body
        self._count = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._kind == "extensions":
            self._transport.write(CHUNKED + b"1;")
            self.resume_writing()
            return
        body = self._body
        if self._kind in CHANGING:
            number = next(self._count)
            body += b"".join(b'x%d_%d{a="b"} 1\n' % (id(self), row) for row in range(number % 7 + 1))
        self._transport.write(HEAD % len(body) + body)

    def resume_writing(self) -> None:
        if self._kind == "extensions" and not self._transport.is_closing():
            self._transport.write(b"a=b;" * 100_000)


def serve_pods(pipe: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        bodies = {name: make() for name, make in KINDS.items()}
        bodies["usual"] = VLLM.read_bytes()
        bodies["large"] = engines(6)
        ports = {}
        for kind, body in bodies.items():
            server = await loop.create_server(lambda kind=kind, body=body: Pod(kind, body), "0.0.0.0", 0, backlog=4096)  # type: ignore[misc]
            ports[kind] = server.sockets[0].getsockname()[1]
        pipe.send(ports)
        await loop.run_in_executor(None, pipe.recv)

    asyncio.run(serve())


def targets(namespace: str, count: int, port: int, net: int) -> Iterable[Target]:
    for pod in range(count):
        yield Target(namespace, f"pod-{pod}", {}, f"http://127.{net}.{1 + pod // 250}.{1 + pod % 250}:{port}/m")


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def scrape(kind: str, ports: dict[str, int]) -> dict[str, float]:
    scraped = Collector(shipped(), WallClock())
    wanted = [*targets("large", LARGE, ports["large"], 1), *targets("usual", USUAL, ports["usual"], 2)]
    if kind != "nothing":
        wanted += targets("hostile", HOSTILE, ports[kind], 3)
    scraped.set_targets(wanted)
    running = asyncio.create_task(scraped.run())
    collecting = asyncio.create_task(collect_on_schedule())
    memory, late, ages = [0.0], [], {"large": [0.0], "usual": [0.0]}
    ended = threading.Event()

    def look_at_memory() -> None:
        while not ended.wait(0.05):
            memory.append(resident_mib())

    watcher = threading.Thread(target=look_at_memory, daemon=True)
    watcher.start()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while loop.time() - begin < SECONDS:
        wake = loop.time() + 0.01
        await asyncio.sleep(0.01)
        late.append(loop.time() - wake)
        if len(late) % 20 == 0 and loop.time() - begin > 8:
            for namespace, found in ages.items():
                times = [sample.received_at for sample in scraped.samples("running", namespace)]
                found.append(max((time.time() - (at or 0.0) for at in times), default=0.0))
    ended.set()
    cpu = time.process_time()
    running.cancel()
    collecting.cancel()
    with suppress(asyncio.CancelledError):
        await running
    late.sort()
    return {
        "memory": max(memory),
        "large": min(999.0, max(ages["large"])),
        "usual": min(999.0, max(ages["usual"])),
        "late_p99": late[int(len(late) * 0.99)] * 1e3,
        "late": late[-1] * 1e3,
        "core": cpu / SECONDS,
    }


def scrape_in_process(pipe: Connection, kind: str, ports: dict[str, int]) -> None:
    import uvloop

    pipe.send(uvloop.run(scrape(kind, ports)))


def main() -> None:
    context: Any = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe()
    pods = context.Process(target=serve_pods, args=(end,), daemon=True)
    pods.start()
    ports = pipe.recv()
    print(f"{HOSTILE} hostile pods, {LARGE} large and {USUAL} usual ones, {SECONDS:g} s each")
    print(f"{'hostile pages':24}{'MiB':>7}{'oldest large':>14}{'usual s':>9}{'loop p99':>10}{'max ms':>8}{'core':>7}")
    for kind in KINDS:
        mine, theirs = context.Pipe()
        process = context.Process(target=scrape_in_process, args=(theirs, kind, ports), daemon=True)
        process.start()
        found = mine.recv()
        process.join()
        print(
            f"{kind:24}{found['memory']:7.0f}{found['large']:14.1f}{found['usual']:9.1f}"
            f"{found['late_p99']:10.0f}{found['late']:8.0f}{found['core']:7.0%}",
            flush=True,
        )
    pipe.send("stop")
    pods.join()


if __name__ == "__main__":
    main()
