"""One run of the server: targets in, API up until a signal, and the reload of what changes meanwhile."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from inflight.guard import FRESH_SECONDS
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.certificates import read_certificate
from inflight.serve.files import WrittenFile, write_private, write_public
from inflight.serve.garbage import collect_on_schedule
from inflight.serve.health import Health
from inflight.serve.in_cluster import DISCOVERY, InCluster, connected
from inflight.serve.open_files import FileLimit
from inflight.serve.parts import Part, Parts
from inflight.serve.reload import Reloader, read_targets
from inflight.serve.server import RunningServer, start_server
from inflight.serve.settings import RunSettings
from inflight.serve.vitals import Vitals
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock

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
    collector = Collector(catalogue, clock, interval_seconds=settings.scrape_interval_seconds)
    if settings.targets_file is not None:
        collector.set_targets(_there_already(read_targets(settings.targets_file, catalogue)))
    certificate = None
    if settings.tls_cert_file is not None and settings.tls_private_key_file is not None:
        certificate = read_certificate(settings.tls_cert_file, settings.tls_private_key_file)
    _warn_of_a_long_interval(settings.scrape_interval_seconds)
    vitals = Vitals(settings.scrape_interval_seconds)
    vitals.note_targets(collector.stats.targets, clock.now())
    parts = Parts(telemetry.part_faults)
    stop = _stop_on_signals()

    def take_targets(targets: list[Target]) -> None:
        collector.set_targets(targets)
        vitals.note_targets(len(targets), clock.now())

    async with connected(settings, catalogue, telemetry) as cluster:
        discovery = None if cluster is None else cluster.discovery
        unknown = None if cluster is None else cluster.ailment
        # Before there is anything to scrape: a limit that is too low is to be heard of now.
        FileLimit().make_room(collector.stats.targets + (0 if cluster is None else cluster.most_connections))
        health = Health(parts, vitals, lambda: collector.stats, clock.now, unknown)
        async with start_server(
            collector,
            clock,
            address=settings.address,
            port=settings.port,
            certificate=certificate,
            tls_min_version=settings.tls_min_version,
            health=health,
            warming_up=lambda namespace: (
                parts.down(DISCOVERY) or (discovery.warming_up(namespace) if discovery is not None else "")
            ),
            stats=lambda: collector.stats,
            telemetry=telemetry,
            door=None if cluster is None else cluster.door,
            workloads=discovery,
            discovery_stats=None if discovery is None else lambda: discovery.stats,
            cluster_connections=lambda: 0 if cluster is None else cluster.connections,
        ) as server:
            # The files come first: whoever waits for them may go on at once.
            token_file = _write_files(settings, server)
            _announce(settings, server, collector.stats.targets, announce)
            reloader = Reloader(settings, catalogue, take_targets, server, telemetry)
            kept = [
                Part("scraping", collector.run, needed_for="life"),
                Part("files", reloader.run),
                Part("first_round", partial(_warm_up, vitals, collector, clock, cluster), may_end=True),
                Part("garbage", collect_on_schedule),
            ]
            if cluster is not None:
                kept += cluster.parts(server.context, take_targets)
            try:
                await _run_until(stop, parts.run(kept))
            finally:
                if token_file is not None:
                    token_file.remove()
    _log.info("event=stopped")


async def _run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        await stop.wait()
        _log.info("event=draining")
        task.cancel()


def _there_already(targets: list[Target]) -> list[Target]:
    """Nobody knows how long these pods have been serving: no fleet is summed up before each of them was asked."""
    return [msgspec.structs.replace(target, settle=True) for target in targets]


def _warn_of_a_long_interval(seconds: float | None) -> None:
    if seconds is not None and seconds >= FRESH_SECONDS:
        line = "event=interval_too_long seconds=%g why='a value counts for %g s only, so most answers will be unknown'"
        _log.warning(line, seconds, FRESH_SECONDS)


async def _warm_up(vitals: Vitals, collector: Collector, clock: WallClock, cluster: InCluster | None) -> None:
    """The first round is that of the pods which are known once the cluster has been read."""
    discovery = None if cluster is None else cluster.discovery
    while (discovery is not None and discovery.problem) or not vitals.look(collector.pods(), clock.now()):
        await clock.sleep(LOOK_SECONDS)
    _log.info("event=ready")


def _write_files(settings: RunSettings, server: RunningServer) -> WrittenFile | None:
    """The token's file, which the run takes away again; the certificate may outlive it."""
    if settings.ca_file is not None and server.ca_pem is not None:
        write_public(settings.ca_file, server.ca_pem)
    if settings.token_file is None:
        return None
    return write_private(settings.token_file, server.token.encode() + b"\n")


def _announce(settings: RunSettings, server: RunningServer, pods: int, announce: Callable[[str], None]) -> None:
    if settings.targets_file is not None:
        announce(f"serving {server.url} for {pods} pods of {settings.targets_file}")
    else:
        where = f"of {', '.join(settings.namespaces)} " if settings.namespaces else ""
        announce(f"serving {server.url} for the pods {where}that the cluster's autoscalers ask about")
    if not settings.has_token:
        announce(f"who may ask is decided by the cluster{_named(settings)}")
    else:
        announce(f"token: {server.token}" if settings.token_file is None else f"token: in {settings.token_file}")
    _log.info("event=listening url=%s pods=%d pid=%d", server.url, pods, os.getpid())


def _named(settings: RunSettings) -> str:
    kubeconfig = settings.authentication_kubeconfig or settings.kubeconfig
    return f" of {kubeconfig}" if kubeconfig is not None else " that this process runs in"


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
