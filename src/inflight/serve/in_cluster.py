"""What a run takes from a cluster: who may ask, and where no file says it, which pods there are and which certificate
is shown.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from inflight import __version__
from inflight.cluster import (
    Authenticator,
    Authorizer,
    Client,
    ClusterConfig,
    ConfigError,
    TokenReviewer,
    TrustWatcher,
    in_cluster,
    read_kubeconfig,
)
from inflight.cluster.client import MAX_CONNECTIONS
from inflight.discovery import Discovery
from inflight.discovery.wanted import MAX_NAMESPACES
from inflight.serve.api.health import Ailment
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.door import ClusterDoor, take_authorities
from inflight.serve.parts import Part
from inflight.serve.settings import RunSettings
from inflight.serve.shared_certificate import SharedCertificate
from inflight.signals import Catalogue
from inflight.sources import Target

DISCOVERY = "discovery"
CLIENTS = 2
"""One for the door and one for the rest."""


class InCluster:
    """The parts that ask a cluster, each of which waits by itself for one that is away."""

    def __init__(
        self,
        door_client: Client,
        pods_client: Client | None,
        settings: RunSettings,
        catalogue: Catalogue,
        telemetry: Telemetry,
    ) -> None:
        self._trust = TrustWatcher(door_client)
        self.door = ClusterDoor(Authenticator(TokenReviewer(door_client)), Authorizer(door_client), self._trust)
        self.discovery: Discovery | None = None
        self._certificate: SharedCertificate | None = None
        if pods_client is not None:
            self.discovery = Discovery(pods_client, catalogue, namespaces=settings.namespaces)
            if settings.tls_secret is not None and settings.service is not None:
                certificate = SharedCertificate(
                    pods_client, settings.tls_secret, settings.service, served=telemetry.note_certificate
                )
                self._certificate = certificate
                telemetry.certificate_problems = lambda: len(certificate.problems)

    def ailment(self) -> Ailment | None:
        """Why this process is not ready, as far as the cluster is concerned; None once everything has been read."""
        parts = {"trust": self._trust, DISCOVERY: self.discovery, "certificate": self._certificate}
        for name, part in parts.items():
            if part is not None and part.problem:
                return Ailment(name, part.problem)
        return None

    @property
    def connections(self) -> int:
        """How many it may need at once, as things stand: one for each watch, and the clients' own."""
        watches = 1 + (self.discovery.watches if self.discovery is not None else 0)
        if self._certificate is not None:
            watches += 1 + len(self._certificate.bundles)
        return watches + CLIENTS * MAX_CONNECTIONS

    @property
    def most_connections(self) -> int:
        """With as many namespaces as can be followed."""
        return self.connections + (MAX_NAMESPACES if self.discovery is not None else 0)

    def parts(self, context: ssl.SSLContext, take_targets: Callable[[list[Target]], None]) -> list[Part]:
        """What has to run while the server does. `context` is the one that it serves with.

        Without its watches discovery knows nothing for sure, and no sum is said. Without that of the trust, and without
        the certificate's, what is known goes on to count: to turn everybody away would be worse.
        """
        parts = [Part("trust", partial(self._follow_trust, context))]
        if self.discovery is not None:
            self.discovery.changed = take_targets
            parts.append(Part(DISCOVERY, self.discovery.run, needed_for="life"))
        if self._certificate is not None:
            parts.append(Part("certificate", partial(self._certificate.run, context)))
        return parts

    async def _follow_trust(self, context: ssl.SSLContext) -> None:
        """What was taken before a fault may not have reached the context."""
        self._trust.changed = partial(take_authorities, context)
        take_authorities(context, self._trust.trust)
        await self._trust.run()


@asynccontextmanager
async def connected(
    settings: RunSettings, catalogue: Catalogue, telemetry: Telemetry
) -> AsyncIterator[InCluster | None]:
    """None where neither the pods nor who may ask come from a cluster. Raises ConfigError; does not ask yet."""
    if settings.has_token:
        yield None
        return
    async with AsyncExitStack() as stack:
        pods_client = None
        if settings.targets_file is None:
            pods_client = await stack.enter_async_context(_client(cluster_of(settings.kubeconfig)))
        asked = settings.authentication_kubeconfig
        config = read_kubeconfig(asked) if asked is not None else cluster_of(settings.kubeconfig)
        # Connections of its own: who asks must not wait for lists and scales.
        door_client = await stack.enter_async_context(_client(config))
        yield InCluster(door_client, pods_client, settings, catalogue, telemetry)


def cluster_of(kubeconfig: Path | None) -> ClusterConfig:
    """The cluster of a file, or the one that this process runs in. Raises ConfigError."""
    if kubeconfig is not None:
        return read_kubeconfig(kubeconfig)
    try:
        return in_cluster(os.environ)
    except ConfigError as error:
        raise ConfigError(f"{error}. With --targets FILE the pods of a file are scraped") from error


def _client(config: ClusterConfig) -> Client:
    return Client(config, user_agent=f"inflight/{__version__}")
