"""What the operator of `inflight serve` chose."""

from pathlib import Path

import msgspec

NamespacedName = tuple[str, str]


class RunSettings(msgspec.Struct, frozen=True):
    """What the operator chose; docs/serve.md says what each is for."""

    targets_file: Path | None
    """None: the pods are found in the cluster."""
    address: str
    port: int
    kubeconfig: Path | None = None
    """That cluster; None: the one that this process runs in."""
    namespaces: tuple[str, ...] = ()
    """Where autoscalers and pods are looked for; none named means everywhere."""
    scrape_interval_seconds: float | None = None
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    tls_secret: NamespacedName | None = None
    """The Secret with the certificate that all replicas share."""
    service: NamespacedName | None = None
    """The Service that the APIServices point at."""
    tls_min_version: str = "VersionTLS12"
    token_file: Path | None = None
    ca_file: Path | None = None
    authentication_kubeconfig: Path | None = None

    @property
    def has_token(self) -> bool:
        """Whether a token made for this run decides who may ask; else a cluster does."""
        return self.targets_file is not None and self.authentication_kubeconfig is None
