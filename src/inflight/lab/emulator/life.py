"""The life of an emulated server: port bound, loading, serving, draining, gone.

While a real engine loads its weights, vLLM holds its port without listening on it, so that probes and scrapers are
refused; so does this. On SIGTERM (or SIGINT) it takes no more requests, lets the running ones end within the grace, and
goes; a second signal ends it at once.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator

from aiohttp import web

from inflight.lab.emulator.faults import Fault
from inflight.lab.emulator.listener import bind, url_of
from inflight.lab.emulator.server import EmulatedServer
from inflight.lab.emulator.settings import ServerSettings
from inflight.sources.clock import ScaledClock

# After the drain, for answers that are on their way out.
LAST_WRITES_SECONDS = 1.0


@contextlib.asynccontextmanager
async def serving(server: EmulatedServer, listener: socket.socket) -> AsyncIterator[str]:
    """Listen and keep the engines going within the block; gives the server's URL."""
    runner = web.AppRunner(
        server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=LAST_WRITES_SECONDS
    )
    await runner.setup()
    try:
        async with asyncio.TaskGroup() as group:
            engines = group.create_task(server.run())
            await web.SockSite(runner, listener).start()
            yield url_of(listener)
            engines.cancel()
    finally:
        await runner.cleanup()


class Life:
    """One run of a server. `say` is told what happens, a sentence each."""

    def __init__(self, settings: ServerSettings, clock: ScaledClock, say: Callable[[str], None]) -> None:
        self.settings = settings
        self._clock = clock
        self._say = say
        self._stop = asyncio.Event()
        self._drain: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Drain and end; called again, end at once."""
        if self._stop.is_set() and self._drain is not None:
            self._drain.reschedule(asyncio.get_running_loop().time())
        self._stop.set()

    async def run(
        self, host: str, port: int, *, cold_start_seconds: float, grace_seconds: float, fault: Fault | None = None
    ) -> None:
        """Serve until stopped. The cold start is in the clock's seconds, the grace in wall time.

        Raises OSError if the port is taken.
        """
        started_at = self._clock.now()
        with contextlib.closing(bind(host, port)) as listener, self._signals():
            if cold_start_seconds > 0:
                self._say(f"loading {self.settings.name}; the port is refused for {cold_start_seconds:g} s")
                if await self._stopped_within(cold_start_seconds):
                    return
            server = EmulatedServer(self.settings, self._clock, started_at)
            server.faults.set(fault, server.page())
            async with serving(server, listener) as url:
                self._say(f"serving {self.settings.name} at {url}")
                await self._stop.wait()
                await self._end(server, grace_seconds)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds / self._clock.speed):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def _end(self, server: EmulatedServer, grace_seconds: float) -> None:
        server.draining = True
        if server.engines.in_flight:
            self._say(f"stopping; {server.engines.in_flight} running requests may end within {grace_seconds:g} s")
        try:
            async with asyncio.timeout(grace_seconds) as self._drain:
                await server.engines.drained()
        except TimeoutError:
            self._say(f"cut off {server.engines.in_flight} requests")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
