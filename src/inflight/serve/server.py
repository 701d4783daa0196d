"""The metrics API on the network: HTTPS, a token, a drain at the end. For the command, the lab and the tests alike."""

import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.health import HealthCheck, always_well
from inflight.serve.api.outcomes import SampleSource
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.api.workloads import WorkloadSource
from inflight.serve.arrivals import GOODBYE_SECONDS, Arrivals
from inflight.serve.certificates import ServingCertificate, ends_at, make_certificate, server_context
from inflight.serve.connections import Front
from inflight.serve.door import Door, ask_for_certificates
from inflight.serve.listening import ServeError, listen
from inflight.serve.own_metrics import DiscoveryStats, own_metrics_page
from inflight.sources import CollectorStats
from inflight.sources.clock import Clock

__all__ = ["RunningServer", "ServeError", "start_server"]

DRAIN_SECONDS = 5.0


class RunningServer(msgspec.Struct, frozen=True):
    """What a client needs to know of a server that listens."""

    address: str
    port: int
    token: str
    """ "" where a door decides who may ask."""
    ca_pem: bytes | None
    """What to trust of the certificate that was made for the run (PEM); None where one came from files. Where replicas
    share one, this is what is served until theirs is known.
    """
    context: ssl.SSLContext
    api: MetricsApi

    def __repr__(self) -> str:
        return f"RunningServer({self.url})"

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{host}:{self.port}"


@asynccontextmanager
async def start_server(
    source: SampleSource,
    clock: Clock,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    certificate: ServingCertificate | None = None,
    tls_min_version: str = "VersionTLS12",
    health: HealthCheck = always_well,
    warming_up: Callable[[str], str] = lambda _: "",
    stats: Callable[[], CollectorStats] | None = None,
    workloads: WorkloadSource | None = None,
    discovery_stats: Callable[[], DiscoveryStats] | None = None,
    cluster_connections: Callable[[], int] = lambda: 0,
    telemetry: Telemetry | None = None,
    door: Door | None = None,
) -> AsyncIterator[RunningServer]:
    """Serves the metrics APIs while the block runs, then drains. Port 0 takes any free one; raises ServeError.

    `source` answers as a Collector does; its `stats`, where given, are shown on `/metrics`. `warming_up` returns a
    sentence while the pods of a namespace are not known: no value for a whole fleet of it is given then. `workloads`
    knows the objects of the cluster that metrics are asked for besides pods, and which pods are not watched and why;
    `discovery_stats` are shown like `stats`. `cluster_connections` says how many open files the watches of a cluster
    and the requests to it need.
    With a `door` there is no token: the door decides who may ask, and clients may show certificates.
    """
    telemetry = telemetry if telemetry is not None else Telemetry()
    if door is not None:
        token = None
    elif token is None:
        token = secrets.token_urlsafe(32)
    certificate = certificate if certificate is not None else make_certificate(address, datetime.now(UTC))
    context = server_context(certificate, tls_min_version)
    telemetry.note_certificate(ends_at(certificate))
    if door is not None:
        ask_for_certificates(context)
    arrivals: Arrivals | None = None

    def page() -> bytes:
        telemetry.connections = arrivals.count if arrivals is not None else 0
        return own_metrics_page(
            telemetry,
            stats() if stats is not None else None,
            clock.now(),
            discovery_stats() if discovery_stats is not None else None,
        )

    api = MetricsApi(
        source,
        clock,
        token,
        health=health,
        warming_up=warming_up,
        workloads=workloads,
        own_metrics=page,
        telemetry=telemetry,
    )
    front = Front(api, telemetry, door)
    listener = listen(address, port)
    bound_address, bound_port = listener.getsockname()[:2]

    def others() -> int:
        return (stats().targets if stats is not None else 0) + cluster_connections()

    arrivals = Arrivals(front, listener, context, telemetry, others)
    arrivals.start()
    try:
        front.sweep()
        yield RunningServer(
            address=bound_address,
            port=bound_port,
            token=token or "",
            ca_pem=certificate.ca,
            context=context,
            api=api,
        )
    finally:
        arrivals.close()
        await front.drain(DRAIN_SECONDS)
        await arrivals.all_gone(GOODBYE_SECONDS)
