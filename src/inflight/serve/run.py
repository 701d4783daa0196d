"""One run of the server: targets in, API up until a signal, and the reload of what changes meanwhile."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from inflight.cluster import TrustWatcher
from inflight.guard import FRESH_SECONDS
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.certificates import read_certificate
from inflight.serve.door import ClusterDoor, cluster_door, take_authorities
from inflight.serve.files import write_private, write_public
from inflight.serve.garbage import collect_on_schedule
from inflight.serve.reload import Reloader, read_targets
from inflight.serve.server import RunningServer, start_server
from inflight.serve.settings import RunSettings
from inflight.serve.vitals import Vitals
from inflight.signals import shipped
from inflight.sources import Collector, WallClock

LOOK_SECONDS = 0.1

_log = logging.getLogger(__name__)


def run_server(settings: RunSettings, announce: Callable[[str], None]) -> None:
    """Runs until SIGTERM or SIGINT. Raises DocumentError, CertificateError, ServeError, ConfigError or OSError
    if it cannot start.

    `announce` gets the lines for the person who started it: the address and, once, the token.
    """
    _log_to_stderr()
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_run(settings, announce))


async def _run(settings: RunSettings, announce: Callable[[str], None]) -> None:
    catalogue = shipped()
    clock = WallClock()
    telemetry = Telemetry()
    targets = read_targets(settings.targets_file, catalogue)
    certificate = None
    if settings.tls_cert_file is not None and settings.tls_private_key_file is not None:
        certificate = read_certificate(settings.tls_cert_file, settings.tls_private_key_file)
    collector = Collector(catalogue, clock, interval_seconds=settings.scrape_interval_seconds)
    collector.set_targets(targets)
    if settings.scrape_interval_seconds is not None and settings.scrape_interval_seconds >= FRESH_SECONDS:
        line = "event=interval_too_long seconds=%g why='a value counts for %g s only, so most answers will be unknown'"
        _log.warning(line, settings.scrape_interval_seconds, FRESH_SECONDS)
    vitals = Vitals(clock.now(), settings.scrape_interval_seconds)
    stop = _stop_on_signals()
    async with (
        _door(settings) as (door, watcher),
        start_server(
            collector,
            clock,
            address=settings.address,
            port=settings.port,
            certificate=certificate,
            tls_min_version=settings.tls_min_version,
            health=lambda check: _health(check, vitals, collector, clock, watcher),
            warming_up=lambda: vitals.warming_up,
            stats=lambda: collector.stats,
            telemetry=telemetry,
            door=door,
        ) as server,
    ):
        _announce(settings, server, len(targets), announce)
        reloader = Reloader(settings, catalogue, collector, server, telemetry)
        async with asyncio.TaskGroup() as group:
            parts = [collector.run(), reloader.run(), _warm_up(vitals, collector, clock), collect_on_schedule()]
            if watcher is not None:
                watcher.changed = partial(take_authorities, server.context)
                parts.append(watcher.run())
            tasks = [group.create_task(part) for part in parts]
            await stop.wait()
            _log.info("event=draining")
            for task in tasks:
                task.cancel()
    _log.info("event=stopped")


@asynccontextmanager
async def _door(settings: RunSettings) -> AsyncIterator[tuple[ClusterDoor | None, TrustWatcher | None]]:
    """None where the token of this run decides who may ask."""
    if settings.authentication_kubeconfig is None:
        yield None, None
        return
    async with cluster_door(settings.authentication_kubeconfig) as (door, watcher):
        yield door, watcher


def _health(
    check: str, vitals: Vitals, collector: Collector, clock: WallClock, watcher: TrustWatcher | None = None
) -> str:
    problem = vitals.standstill(collector.stats, clock.now())
    if check != "readyz" or problem:
        return problem
    return vitals.warming_up or (watcher.problem if watcher is not None else "")


async def _warm_up(vitals: Vitals, collector: Collector, clock: WallClock) -> None:
    while not vitals.look(collector.pods(), clock.now()):
        await clock.sleep(LOOK_SECONDS)
    _log.info("event=ready")


def _announce(settings: RunSettings, server: RunningServer, pods: int, announce: Callable[[str], None]) -> None:
    """The files come first: whoever waits for them may go on at once."""
    if settings.ca_file is not None and server.ca_pem is not None:
        write_public(settings.ca_file, server.ca_pem)
    if settings.token_file is not None:
        write_private(settings.token_file, server.token.encode() + b"\n")
    announce(f"serving {server.url} for {pods} pods of {settings.targets_file}")
    if settings.authentication_kubeconfig is not None:
        announce(f"who may ask is decided by the cluster of {settings.authentication_kubeconfig}")
    else:
        announce(f"token: {server.token}" if settings.token_file is None else f"token: in {settings.token_file}")
    _log.info("event=listening url=%s pods=%d pid=%d", server.url, pods, os.getpid())


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where it can be had (not on every platform and interpreter), else the standard one."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


def _log_to_stderr() -> None:
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    logging.getLogger("inflight").setLevel(logging.INFO)
