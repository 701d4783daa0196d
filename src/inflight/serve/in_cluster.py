"""What a run takes from a cluster: who may ask, and where no file says it, which pods there are and which certificate
is shown.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

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
from inflight.discovery import Discovery
from inflight.serve.door import ClusterDoor, take_authorities
from inflight.serve.settings import RunSettings
from inflight.serve.shared_certificate import SharedCertificate
from inflight.signals import Catalogue
from inflight.sources import Target


class InCluster:
    """The parts that ask a cluster, each of which waits by itself for one that is away."""

    def __init__(
        self, door_client: Client, pods_client: Client | None, settings: RunSettings, catalogue: Catalogue
    ) -> None:
        self._trust = TrustWatcher(door_client)
        self.door = ClusterDoor(Authenticator(TokenReviewer(door_client)), Authorizer(door_client), self._trust)
        self.discovery: Discovery | None = None
        self._certificate: SharedCertificate | None = None
        if pods_client is not None:
            self.discovery = Discovery(pods_client, catalogue, namespaces=settings.namespaces)
            if settings.tls_secret is not None and settings.service is not None:
                self._certificate = SharedCertificate(pods_client, settings.tls_secret, settings.service)

    @property
    def problem(self) -> str:
        """Why this process is not ready, as far as the cluster is concerned; "" once everything has been read."""
        parts = (self._trust, self.discovery, self._certificate)
        return next((part.problem for part in parts if part is not None and part.problem), "")

    def runs(
        self, context: ssl.SSLContext, take_targets: Callable[[list[Target]], None]
    ) -> list[Coroutine[Any, Any, None]]:
        """What has to run while the server does. `context` is the one that it serves with."""
        self._trust.changed = partial(take_authorities, context)
        runs = [self._trust.run()]
        if self.discovery is not None:
            self.discovery.changed = take_targets
            runs.append(self.discovery.run())
        if self._certificate is not None:
            runs.append(self._certificate.run(context))
        return runs


@asynccontextmanager
async def connected(settings: RunSettings, catalogue: Catalogue) -> AsyncIterator[InCluster | None]:
    """None where neither the pods nor who may ask come from a cluster. Raises ConfigError; does not ask yet."""
    if settings.has_token:
        yield None
        return
    async with AsyncExitStack() as stack:
        pods_client = door_client = None
        if settings.targets_file is None:
            pods_client = await stack.enter_async_context(_client(cluster_of(settings.kubeconfig)))
        if settings.authentication_kubeconfig is not None:
            door_client = await stack.enter_async_context(_client(read_kubeconfig(settings.authentication_kubeconfig)))
        door_client = door_client or pods_client
        assert door_client is not None
        yield InCluster(door_client, pods_client, settings, catalogue)


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
