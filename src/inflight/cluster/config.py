"""Where the cluster is and who we are there: from a kubeconfig file, or from what every pod is given.

Files that a configuration names are not read here but by the client, again when they change: service account tokens and
client certificates are rotated under a running process. No content of a file or field ever stands in a message.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from inflight.cluster.errors import ConfigError
from inflight.documents import Document, DocumentError, load_documents

MAX_FILE_BYTES = 4 << 20
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Material(msgspec.Struct, frozen=True):
    """A certificate, key or token: given here, or in a file."""

    content: bytes = b""
    file: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.content) or self.file is not None

    def __repr__(self) -> str:
        return f"Material(file={self.file})" if self.file else f"Material({len(self.content)} bytes)"

    def read(self) -> bytes:
        """Raises ConfigError where the file cannot be read or is absurdly large."""
        return self.content if self.file is None else read_file(self.file)


class ClusterConfig(msgspec.Struct, frozen=True):
    """One API server, and our credentials there."""

    server: str
    source: str
    """The file it is from, for messages."""
    ca: Material = Material()
    """Empty: the certificate authorities of the system."""
    server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    client_certificate: Material = Material()
    client_key: Material = Material()
    token: Material = Material()

    def __repr__(self) -> str:
        return f"ClusterConfig({self.server} of {self.source})"


def in_cluster(environment: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> ClusterConfig:
    """What a pod is given: the variables of the service `kubernetes` and its service account. Raises ConfigError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigError(
            "this process does not run in a pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set):"
            " give a kubeconfig file (--kubeconfig)"
        )
    for name in ("token", "ca.crt"):
        if not (directory / name).is_file():
            raise ConfigError(
                f"{directory / name} is missing: the pod has no service account token;"
                " is automountServiceAccountToken false?"
            )
    host = f"[{host}]" if ":" in host else host
    return ClusterConfig(
        server=f"https://{host}:{port}",
        source=str(directory),
        ca=Material(file=directory / "ca.crt"),
        token=Material(file=directory / "token"),
    )


def read_kubeconfig(path: Path, context: str | None = None) -> ClusterConfig:
    """The cluster and user of one context, by default the current one. Raises ConfigError naming line and field."""
    try:
        documents = load_documents(read_file(path), str(path))
        if len(documents) != 1:
            raise ConfigError(f"{path} has {len(documents)} YAML documents; a kubeconfig is one")
        return _Kubeconfig(documents[0], path.parent).read(context)
    except DocumentError as error:
        raise ConfigError(str(error)) from error


def read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be read: {why}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    return content


class _Kubeconfig:
    """Reads the fields that are used, with the errors of those that are not understood."""

    def __init__(self, document: Document, directory: Path) -> None:
        self._document = document
        self._directory = directory

    def read(self, context: str | None) -> ClusterConfig:
        if not isinstance(self._document.value, dict):
            raise self._document.error((), "a kubeconfig is a mapping with clusters, users and contexts")
        name = context or self._document.value.get("current-context")
        if not name:
            raise self._document.error(("current-context",), "is not set, and no context was asked for")
        at = self._named("contexts", "context", name)
        cluster_name, user_name = self._text((*at, "cluster")), self._text((*at, "user"))
        cluster = self._named("clusters", "cluster", cluster_name)
        user = self._named("users", "user", user_name) if user_name else None
        server = self._text((*cluster, "server"))
        if not server.startswith(("https://", "http://")):
            raise self._document.error((*cluster, "server"), "must be a URL that begins with https:// (or http://)")
        if self._get((*cluster, "proxy-url")):
            raise self._document.error((*cluster, "proxy-url"), "proxies are not used; take the field out")
        config = ClusterConfig(
            server=server.rstrip("/"),
            source=self._document.name,
            ca=self._material(cluster, "certificate-authority"),
            server_name=self._text((*cluster, "tls-server-name")) or None,
            insecure_skip_tls_verify=self._get((*cluster, "insecure-skip-tls-verify")) is True,
        )
        return config if user is None else self._with_user(config, user)

    def _with_user(self, config: ClusterConfig, user: tuple[str | int, ...]) -> ClusterConfig:
        for field in ("exec", "auth-provider", "username"):
            if self._get((*user, field)):
                raise self._document.error(
                    (*user, field), "is not supported: give a client certificate, a token or a tokenFile"
                )
        certificate, key = self._material(user, "client-certificate"), self._material(user, "client-key")
        if bool(certificate) != bool(key):
            raise self._document.error(user, "client-certificate and client-key belong together")
        file, token = self._text((*user, "tokenFile")), self._text((*user, "token"))
        # As client-go: a tokenFile takes precedence.
        bearer = Material(file=self._directory / file) if file else Material(token.encode())
        return msgspec.structs.replace(config, client_certificate=certificate, client_key=key, token=bearer)

    def _named(self, group: str, kind: str, name: str) -> tuple[str | int, ...]:
        """The path to the body of the entry with this name."""
        entries = self._get((group,))
        if not isinstance(entries, list):
            raise self._document.error((group,), "must be a list")
        for index, entry in enumerate(entries):
            if isinstance(entry, dict) and entry.get("name") == name:
                if not isinstance(entry.get(kind), dict):
                    raise self._document.error((group, index, kind), "must be a mapping")
                return (group, index, kind)
        raise self._document.error((group,), f"there is none called {name[:100]!r}")

    def _material(self, at: tuple[str | int, ...], field: str) -> Material:
        """Inline data takes precedence over a file, as in client-go."""
        data = self._text((*at, f"{field}-data"))
        if data:
            try:
                return Material(base64.b64decode("".join(data.split()), validate=True))
            except (binascii.Error, ValueError):
                raise self._document.error((*at, f"{field}-data"), "is not base64") from None
        file = self._text((*at, field))
        return Material(file=self._directory / file) if file else Material()

    def _text(self, path: tuple[str | int, ...]) -> str:
        value = self._get(path)
        if value is not None and not isinstance(value, str):
            raise self._document.error(path, "must be text")
        return value or ""

    def _get(self, path: tuple[str | int, ...]) -> Any:
        value = self._document.value
        for part in path:
            value = value.get(part) if isinstance(value, dict) else value[part]
        return value
