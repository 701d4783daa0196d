"""Scraping 1,000 pods a second: how much of a core the collector takes, beside what part of it is only moving bytes.

    python bench/bench_scrape.py [pods] [rounds]

One process is all pods: each has an address of its own and writes the whole page of a busy vLLM (634 lines, 64 kB),
with values that grow from scrape to scrape. The others scrape them one after the other, each in a process of its own,
every pod once a second at its own moment over a kept connection; what counts is their CPU time (user and system):

    collector              what the product does: fetch, read every signal, keep the series
    aiohttp alone          the same client and limits, the page thrown away: what HTTP costs
    sockets alone          the bytes over asyncio's transports, no HTTP client at all: the bound
    prometheus_client      aiohttp and the usual parser, one pod after the other: the peer

Rounds alternate and of each the cheapest counts. That the collector has read the right values is checked.
"""

import asyncio
import multiprocessing
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock
from inflight.sources.connections import new_session
from inflight.sources.schedule import phase
from inflight.sources.scrape import HEADERS, FetchedPage, fetch

PODS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 2
WARM_SECONDS = 3.0
MEASURED_SECONDS = 4.0
LARGEST_SHARE = 0.30
PEER_SECONDS_THERE = 0.0076
"""What prometheus_client took for this page on the machine for which the target was set."""
VERSIONS = 64
PEER_PAGES = 30
PAGE = Path(__file__).parents[1] / "tests" / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt"
VALUE = re.compile(rb"(?m)^(vllm:[^#\n]* )([0-9.e+]+)$")

Measured = tuple[float, float]
"""Pages a second, microseconds of CPU a page."""


def versions() -> list[bytes]:
    """The page as it looks from scrape to scrape: totals grow by a hundredth, running requests by one."""
    body = PAGE.read_bytes()

    def at(step: int) -> bytes:
        def grown(match: re.Match[bytes]) -> bytes:
            head, value = match.group(1), float(match.group(2))
            if head.startswith(b"vllm:num_requests_running"):
                return head + b"%.1f" % (value + step)
            total = any(part in head for part in (b"_total", b"_bucket", b"_count", b"_sum"))
            return head + repr(value * (1 + step / 100)).encode() if total else match.group()

        return VALUE.sub(grown, body)

    return [at(step) for step in range(VERSIONS)]


def address_of(pod: int) -> str:
    return f"127.0.{1 + pod // 250}.{1 + pod % 250}"


# --- the pods -------------------------------------------------------------------------------------------------------


class Pod(asyncio.Protocol):
    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._step = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(self._answers[self._step % VERSIONS])
            self._step += 1


def serve_pods(pipe: Connection) -> None:
    async def serve() -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        )
        answers = [head % len(body) + body for body in versions()]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Pod(answers), "0.0.0.0", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)

    new_runner().run(serve())


# --- who scrapes them -----------------------------------------------------------------------------------------------


async def collector(port: int) -> Measured:
    scraped = Collector(shipped(), WallClock(), interval_seconds=1.0, timeout_seconds=10.0)
    scraped.set_targets(Target("bench", f"pod-{pod}", {}, f"http://{address_of(pod)}:{port}/m") for pod in range(PODS))
    running = asyncio.create_task(scraped.run())
    measured = await measure(lambda: scraped.stats.scrapes)
    check(scraped)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return measured


def check(scraped: Collector) -> None:
    """Each pod's page has been read as often as it was fetched, and its last values are those of some version of it."""
    stats = scraped.stats
    assert stats.answering == PODS, stats
    assert not any(stats.failures.values()), stats.failures
    assert stats.restarts == 0, stats
    running = [sample.value for sample in scraped.samples("running")]
    assert all(value is not None and 24 < value < 24 + VERSIONS for value in running), set(running)
    rates = [sample.value for sample in scraped.samples("generation_tokens_rate")]
    assert all(value is not None and value > 0 for value in rates), rates[:5]


async def aiohttp_alone(port: int) -> Measured:
    """The collector's own fetch, and nothing done with the page."""
    pages = 0
    async with new_session(1.0) as session:

        async def scrape(pod: int) -> None:
            nonlocal pages
            url = URL(f"http://{address_of(pod)}:{port}/m")
            page = await fetch(session, url, headers=HEADERS, tls=None, server_name=None, deadline_seconds=10.0)
            assert isinstance(page, FetchedPage), page
            pages += 1

        return await every_second(scrape, lambda: pages)


class Plain(asyncio.Protocol):
    """Asks for a page and waits for as many bytes as its head says."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0
        self._page: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get(self) -> asyncio.Future[bytes]:
        self._page = asyncio.get_running_loop().create_future()
        self._transport.write(b"GET /m HTTP/1.1\r\nHost: pod\r\nAccept: text/plain\r\n\r\n")
        return self._page

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._size and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            self._size = end + 4 + int(self._buffer[:end].rpartition(b" ")[2])
        if self._size and len(self._buffer) >= self._size:
            if not self._page.done():
                self._page.set_result(bytes(self._buffer))
            self._buffer.clear()
            self._size = 0


async def sockets_alone(port: int) -> Measured:
    pages = 0
    loop = asyncio.get_running_loop()
    pods = [(await loop.create_connection(Plain, address_of(pod), port))[1] for pod in range(PODS)]

    async def scrape(pod: int) -> None:
        nonlocal pages
        await pods[pod].get()
        pages += 1

    return await every_second(scrape, lambda: pages)


async def every_second(scrape: Callable[[int], Awaitable[None]], count: Callable[[], int]) -> Measured:
    """The collector's schedule."""
    begin = asyncio.get_running_loop().time()

    async def watch(pod: int) -> None:
        due = begin + phase("bench", f"pod-{pod}")
        while True:
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await scrape(pod)
            due += 1

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch(pod)) for pod in range(PODS)]
        measured = await measure(count)
        for task in tasks:
            task.cancel()
    return measured


async def measure(count: Callable[[], int]) -> Measured:
    await asyncio.sleep(WARM_SECONDS)
    pages, cpu, wall = count(), time.process_time(), time.perf_counter()
    await asyncio.sleep(MEASURED_SECONDS)
    pages, cpu, wall = count() - pages, time.process_time() - cpu, time.perf_counter() - wall
    return pages / wall, cpu / pages * 1e6


async def usual_parser(port: int) -> Measured:
    async with new_session(1.0) as session:
        cpu, wall = time.process_time(), time.perf_counter()
        for pod in range(PEER_PAGES):
            url = URL(f"http://{address_of(pod)}:{port}/m")
            page = await fetch(session, url, headers=HEADERS, tls=None, server_name=None, deadline_seconds=10.0)
            assert isinstance(page, FetchedPage), page
            assert sum(len(family.samples) for family in text_string_to_metric_families(page.body.decode())) > 400
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return PEER_PAGES / wall, cpu / PEER_PAGES * 1e6


SCRAPERS: dict[str, Callable[[int], Awaitable[Measured]]] = {
    "collector": collector,
    "aiohttp alone": aiohttp_alone,
    "sockets alone (the bound)": sockets_alone,
    "prometheus_client": usual_parser,
}


def scrape_in_process(pipe: Connection, name: str, port: int) -> None:
    from inflight.sources.file_limit import raise_file_limit

    async def scrape() -> Measured:
        return await SCRAPERS[name](port)

    raise_file_limit(PODS)
    pipe.send(new_runner().run(scrape()))


def new_runner() -> asyncio.Runner:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    return asyncio.Runner(loop_factory=factory)


def in_process(context: Any, name: str, port: int) -> Measured:
    mine, theirs = context.Pipe()
    process = context.Process(target=scrape_in_process, args=(theirs, name, port), daemon=True)
    process.start()
    theirs.close()
    measured: Measured = mine.recv()
    process.join()
    return measured


def main() -> None:
    from inflight.sources.file_limit import raise_file_limit

    raise_file_limit(PODS)
    context = multiprocessing.get_context("spawn")
    pipe, end = context.Pipe()
    pods = context.Process(target=serve_pods, args=(end,), daemon=True)
    pods.start()
    port = pipe.recv()
    found: dict[str, list[Measured]] = {name: [] for name in SCRAPERS}
    for _ in range(ROUNDS):
        for name in SCRAPERS:
            found[name].append(in_process(context, name, port))
    pipe.send("stop")
    pods.join()
    print(f"{PODS} pods, a page of {PAGE.stat().st_size} bytes from each of them once a second, {ROUNDS} rounds")
    print(f"{'':28}{'pages/s':>9}{'CPU us/page':>13}{'core at 1000/s':>16}")
    best = {name: min(rounds, key=lambda measured: measured[1]) for name, rounds in found.items()}
    for name, (rate, cost) in best.items():
        print(f"{name:28}{rate:9.0f}{cost:13.0f}{cost / 1000:15.1%}")
    cost = best["collector"][1]
    share = cost * 1000 / 1e6
    bound, peer = best["sockets alone (the bound)"][1], best["prometheus_client"][1]
    scaled = share * PEER_SECONDS_THERE * 1e6 / peer
    print(
        f"target: at most {LARGEST_SHARE:.0%} of a core: {'met' if share <= LARGEST_SHARE else 'MISSED'} here and now;"
    )
    print(
        f"  {scaled:.0%} where prometheus_client takes {PEER_SECONDS_THERE * 1e3:g} ms a page,"
        f" as where the target was set: {'met' if scaled <= LARGEST_SHARE else 'MISSED'}"
    )
    print(f"the collector costs {cost / bound:.1f} times the bound; prometheus_client {peer / cost:.0f} times as much")


if __name__ == "__main__":
    main()
