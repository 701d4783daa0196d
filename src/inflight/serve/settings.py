"""What the operator of `inflight serve` chose."""

from pathlib import Path

import msgspec


class RunSettings(msgspec.Struct, frozen=True):
    """What the operator chose; docs/serve.md says what each is for."""

    targets_file: Path
    address: str
    port: int
    scrape_interval_seconds: float | None = None
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    tls_min_version: str = "VersionTLS12"
    token_file: Path | None = None
    ca_file: Path | None = None
    authentication_kubeconfig: Path | None = None
