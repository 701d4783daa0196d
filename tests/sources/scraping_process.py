"""A process that scrapes pods, so that its memory is its own: `python scraping_process.py PORT HOSTILE HONEST ANSWERS`.

The pods are names of loopback. It ends when hostile pods have answered so often and each honest one has a value, and
prints as JSON by how many MiB its resident memory had grown at most, and the honest values.
"""

import asyncio
import json
import sys
import threading
from contextlib import suppress
from pathlib import Path

from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock

PAGE_BYTES = 4096
LONGEST_SECONDS = 60.0


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


async def scrape(port: int, hostile: int, honest: int, answers: int) -> dict[str, object]:
    collector = Collector(shipped(), WallClock())
    collector.set_targets(
        [
            *(Target("hostile", f"h-{n}", {}, f"http://127.0.0.1:{port}/hostile/{n}") for n in range(hostile)),
            *(Target("honest", f"p-{n}", {}, f"http://127.0.0.1:{port}/honest/{n}") for n in range(honest)),
        ]
    )
    before = resident_mib()
    most, ended = before, threading.Event()

    def look() -> None:
        nonlocal most
        while not ended.wait(0.01):
            most = max(most, resident_mib())

    looking = threading.Thread(target=look)
    looking.start()
    running = asyncio.create_task(collector.run())
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            while not enough(collector, answers):  # noqa: ASYNC110 - values come without an event
                await asyncio.sleep(0.05)
    finally:
        ended.set()
        looking.join()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return {
        "grown_mib": most - before,
        "values": [sample.value for sample in collector.samples("running", "honest")],
        "failures": {reason: count for reason, count in collector.stats.failures.items() if count},
    }


def enough(collector: Collector, answers: int) -> bool:
    honest = collector.samples("running", "honest")
    stats = collector.stats
    return stats.scrapes - len(honest) >= answers and all(sample.value is not None for sample in honest)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(scrape(*map(int, sys.argv[1:])))))
