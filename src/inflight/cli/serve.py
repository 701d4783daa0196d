"""`inflight serve`: scrape inference servers, of a cluster or of a file, and answer the metrics APIs for them."""

import ipaddress
import re
from collections.abc import Mapping
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


_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


def _check_namespaced_name(
    _context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, str] | None:
    if value is None:
        return None
    namespace, slash, name = value.partition("/")
    if not slash or not re.fullmatch(_NAME, namespace) or not re.fullmatch(_NAME, name):
        raise click.BadParameter(f"{value!r} is no NAMESPACE/NAME, such as inflight-system/{_example_of(parameter)}")
    return namespace, name


def _example_of(parameter: click.Parameter) -> str:
    return "inflight-serving" if parameter.name == "tls_secret" else "inflight"


def _check_namespaces(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for namespace in value:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
            raise click.BadParameter(f"{namespace!r} is no name of a namespace")
    return tuple(dict.fromkeys(value))


def _check_interval(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0.05 <= value <= 3600:
        raise click.BadParameter(f"{value:g} seconds is no interval to scrape at: 0.05 to 3600")
    return value


EXAMPLES = """\b
Examples:
  inflight serve --kubeconfig ~/.kube/config --namespace inference
  inflight serve --targets targets.yaml --token-file token --ca-file ca.pem
  curl --cacert ca.pem -H "Authorization: Bearer $(cat token)" https://127.0.0.1:6443/metrics"""


@click.command("serve", epilog=EXAMPLES)
@click.option(
    "--targets",
    "targets_file",
    type=click.Path(path_type=Path),
    help="The pods to scrape (YAML), instead of those of a cluster. Read again when it changes, and on SIGHUP.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="The cluster to find pods in. By default the one that this process runs in as a pod.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_check_namespaces,
    metavar="NAMESPACE",
    help="Look for autoscalers and pods in this namespace alone; may be given several times. By default in all.",
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
    "--tls-secret",
    callback=_check_namespaced_name,
    metavar="NAMESPACE/NAME",
    help="Keep the serving certificate in this Secret, which all replicas share (see docs/certificates.md).",
)
@click.option(
    "--service",
    callback=_check_namespaced_name,
    metavar="NAMESPACE/NAME",
    help="The Service that the APIServices point at: whom that certificate names, and which get its authority.",
)
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
    help="Write the token there (mode 0600) instead of printing it. The file is there while the server listens.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    help="Write the certificate there that clients must trust (of the one made for this run).",
)
@click.option(
    "--authentication-kubeconfig",
    type=click.Path(path_type=Path),
    help="Let this cluster say who is asking and what they may read. Without --targets that is by default the cluster"
    " of the pods; with it, a token made for the run.",
)
def command(
    *,
    targets_file: Path | None,
    kubeconfig: Path | None,
    namespaces: tuple[str, ...],
    secure_port: int,
    bind_address: str,
    scrape_interval: float | None,
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    tls_secret: tuple[str, str] | None,
    service: tuple[str, str] | None,
    tls_min_version: str,
    token_file: Path | None,
    ca_file: Path | None,
    authentication_kubeconfig: Path | None,
) -> None:
    """Scrape inference servers and serve their load as Kubernetes custom and external metrics over HTTPS.

    In a cluster the pods are those that its HorizontalPodAutoscalers ask about, and the cluster says who may ask;
    deploy/install.yaml runs it there. With --targets the pods are those of a file.

    The token of a run with --targets is made for it and printed once on standard output; log lines go to standard error
    and never hold it. SIGTERM and SIGINT end the run after the requests at hand are answered.
    """
    _check_belonging(
        {
            "--tls-cert-file": tls_cert_file,
            "--tls-private-key-file": tls_private_key_file,
            "--tls-secret": tls_secret,
            "--service": service,
            "--kubeconfig": kubeconfig,
            "--namespace": namespaces or None,
            "--targets": targets_file,
            "--token-file": token_file,
            "--ca-file": ca_file,
            "--authentication-kubeconfig": authentication_kubeconfig,
        }
    )

    from inflight.cluster.errors import ConfigError
    from inflight.documents import DocumentError
    from inflight.serve.certificates import CertificateError
    from inflight.serve.run import run_server
    from inflight.serve.server import ServeError
    from inflight.serve.settings import RunSettings

    settings = RunSettings(
        targets_file=targets_file,
        kubeconfig=kubeconfig,
        namespaces=namespaces,
        address=bind_address,
        port=secure_port,
        scrape_interval_seconds=scrape_interval,
        tls_cert_file=tls_cert_file,
        tls_private_key_file=tls_private_key_file,
        tls_secret=tls_secret,
        service=service,
        tls_min_version=tls_min_version,
        token_file=token_file,
        ca_file=ca_file,
        authentication_kubeconfig=authentication_kubeconfig,
    )
    try:
        run_server(settings, click.echo)
    except (CertificateError, ConfigError, DocumentError, OSError, ServeError) as error:
        raise CannotRun(str(error)) from error


def _check_belonging(given: Mapping[str, object]) -> None:
    """Raises UsageError for flags of which one makes the other meaningless."""
    flags = {flag for flag, value in given.items() if value is not None}
    for pair in ({"--tls-cert-file", "--tls-private-key-file"}, {"--tls-secret", "--service"}):
        if len(pair & flags) == 1:
            raise click.UsageError(f"{' and '.join(sorted(pair))} belong together: give both or none")
    if {"--tls-cert-file", "--tls-secret"} <= flags:
        raise click.UsageError("--tls-cert-file and --tls-secret both name the certificate: give one")
    if "--ca-file" in flags and flags & {"--tls-cert-file", "--tls-secret"}:
        raise click.UsageError("--ca-file is for the certificate made for this run, and another one is named")
    if "--targets" in flags:
        for flag in sorted(flags & {"--kubeconfig", "--namespace", "--tls-secret"}):
            raise click.UsageError(f"{flag} is for pods found in a cluster, and --targets names them: give one")
    if "--token-file" in flags and ("--targets" not in flags or "--authentication-kubeconfig" in flags):
        raise click.UsageError("--token-file is for the token of a run with --targets; here a cluster says who may ask")
