"""`inflight serve`: scrape the servers of a targets file and answer the metrics APIs for them."""

import ipaddress
from pathlib import Path

import click


class CannotRun(click.ClickException):
    """A sentence on stderr and exit code 2."""

    exit_code = 2


def _check_address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no IP address; 0.0.0.0 and :: mean every address") from None


def _check_port(_context: click.Context, _parameter: click.Parameter, value: int) -> int:
    if not 1 <= value <= 65535:
        raise click.BadParameter(f"{value} is no port: 1 to 65535 (0, no HTTPS, would leave nothing to serve)")
    return value


def _check_interval(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0.05 <= value <= 3600:
        raise click.BadParameter(f"{value:g} seconds is no interval to scrape at: 0.05 to 3600")
    return value


@click.command("serve")
@click.option(
    "--targets",
    "targets_file",
    required=True,
    type=click.Path(path_type=Path),
    help="The pods to scrape (YAML). Read again when it changes, and on SIGHUP.",
)
@click.option(
    "--secure-port",
    default=6443,
    show_default=True,
    type=int,
    callback=_check_port,
    help="Port of the HTTPS API. There is no plain one.",
)
@click.option(
    "--bind-address",
    default="127.0.0.1",
    show_default=True,
    callback=_check_address,
    help="IP address to listen on.",
)
@click.option(
    "--scrape-interval",
    type=float,
    callback=_check_interval,
    metavar="SECONDS",
    help="Keep to this interval. By default 1 s, stretched to at most 5 s for pods whose page is slow.",
)
@click.option(
    "--tls-cert-file",
    type=click.Path(path_type=Path),
    help="Serving certificate with its chain (PEM). By default one is made for this run.",
)
@click.option("--tls-private-key-file", type=click.Path(path_type=Path), help="Its key (PEM, no passphrase).")
@click.option(
    "--tls-min-version",
    default="VersionTLS12",
    show_default=True,
    type=click.Choice(["VersionTLS12", "VersionTLS13"]),
    help="Oldest TLS version to accept.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Write the token there (mode 0600) instead of printing it. The file appears when the server listens.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    help="Write the certificate there that clients must trust (of the one made for this run).",
)
@click.option(
    "--authentication-kubeconfig",
    type=click.Path(path_type=Path),
    help="Let this cluster say who is asking and what they may read, instead of a token (see docs/cluster.md).",
)
def command(
    *,
    targets_file: Path,
    secure_port: int,
    bind_address: str,
    scrape_interval: float | None,
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    tls_min_version: str,
    token_file: Path | None,
    ca_file: Path | None,
    authentication_kubeconfig: Path | None,
) -> None:
    r"""Scrape inference servers and serve their load as Kubernetes custom and external metrics over HTTPS.

    \b
    Example:
      inflight serve --targets targets.yaml --token-file token --ca-file ca.pem
      curl --cacert ca.pem -H "Authorization: Bearer $(cat token)" \
        'https://127.0.0.1:6443/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests'

    The token is made for this run and printed once on standard output; log lines go to standard error and never
    hold it. SIGTERM and SIGINT end the run after the requests at hand are answered.
    """
    if (tls_cert_file is None) != (tls_private_key_file is None):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file belong together: give both or none")
    if ca_file is not None and tls_cert_file is not None:
        raise click.UsageError("--ca-file is for the certificate made for this run; with --tls-cert-file there is none")
    if authentication_kubeconfig is not None and token_file is not None:
        raise click.UsageError(
            "--token-file is for the token of this run; with --authentication-kubeconfig there is none"
        )

    from inflight.cluster.errors import ConfigError
    from inflight.documents import DocumentError
    from inflight.serve.certificates import CertificateError
    from inflight.serve.run import run_server
    from inflight.serve.server import ServeError
    from inflight.serve.settings import RunSettings

    settings = RunSettings(
        targets_file=targets_file,
        address=bind_address,
        port=secure_port,
        scrape_interval_seconds=scrape_interval,
        tls_cert_file=tls_cert_file,
        tls_private_key_file=tls_private_key_file,
        tls_min_version=tls_min_version,
        token_file=token_file,
        ca_file=ca_file,
        authentication_kubeconfig=authentication_kubeconfig,
    )
    try:
        run_server(settings, click.echo)
    except (CertificateError, ConfigError, DocumentError, OSError, ServeError) as error:
        raise CannotRun(str(error)) from error
