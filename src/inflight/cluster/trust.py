"""Whom the cluster lets vouch for a caller: its client authority, and the front proxy with its headers.

kube-apiserver publishes it in the ConfigMap `kube-system/extension-apiserver-authentication` for servers like this one
(kube-apiserver `pkg/controlplane/controller/clusterauthenticationtrust`). It is watched: authorities are rotated.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from inflight.cluster.client import Client
from inflight.cluster.credentials import Anchor, PeerCertificate, anchor_of
from inflight.cluster.errors import ApiError, ClusterError, ConfigError
from inflight.cluster.reflector import Reflector

NAMESPACE = "kube-system"
NAME = "extension-apiserver-authentication"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
MAX_CERTIFICATES = 200
HOW_TO_GRANT = (
    f"bind the Role {NAME}-reader of {NAMESPACE} to the service account that this process runs as"
    f" (kubectl create rolebinding -n {NAMESPACE} inflight-auth-reader --role={NAME}-reader"
    " --serviceaccount=NAMESPACE:NAME)"
)

_log = logging.getLogger(__name__)


class Trust(msgspec.Struct, frozen=True):
    """Empty bundles: nobody is known by a certificate."""

    client_ca_pem: str = ""
    client_anchors: frozenset[Anchor] = frozenset()
    proxy_ca_pem: str = ""
    proxy_anchors: frozenset[Anchor] = frozenset()
    allowed_names: tuple[str, ...] = ()
    """Common names of the front proxy; none listed means any."""
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()

    @property
    def ca_pem(self) -> str:
        return f"{self.client_ca_pem}\n{self.proxy_ca_pem}"

    def is_front_proxy(self, certificate: PeerCertificate, now: float) -> bool:
        """Whether this is the front proxy's certificate: of its authority, with one of its names, in its time."""
        is_allowed = not self.allowed_names or certificate.common_name in self.allowed_names
        return certificate.is_valid_at(now) and is_allowed and bool(certificate.issuers & self.proxy_anchors)


def parse_trust(data: Mapping[str, Any]) -> Trust:
    """The `data` of the ConfigMap. Raises ConfigError naming the key."""
    client_pem, client_anchors = _bundle(data, "client-ca-file")
    proxy_pem, proxy_anchors = _bundle(data, "requestheader-client-ca-file")
    return Trust(
        client_ca_pem=client_pem,
        client_anchors=client_anchors,
        proxy_ca_pem=proxy_pem,
        proxy_anchors=proxy_anchors,
        allowed_names=_names(data, "requestheader-allowed-names"),
        username_headers=_names(data, "requestheader-username-headers"),
        uid_headers=_names(data, "requestheader-uid-headers"),
        group_headers=_names(data, "requestheader-group-headers"),
        extra_prefixes=_names(data, "requestheader-extra-headers-prefix"),
    )


class _ConfigMap(msgspec.Struct, frozen=True):
    data: dict[str, str] | None = None


class TrustWatcher:
    """Keeps the trust up to date. What cannot be used is refused and the one before it kept."""

    def __init__(self, client: Client, changed: Callable[[Trust], None] = lambda _: None) -> None:
        self._client = client
        self.changed = changed
        self.trust = Trust()
        self.problem = f"the ConfigMap {NAMESPACE}/{NAME} has not been read yet"
        """A sentence while it is not known whom to trust; "" once it has been read."""

    async def run(self) -> None:
        """Watches until cancelled; an API server that is away is waited for."""
        reflector = Reflector(
            self._client,
            PATH,
            decode=lambda config_map: config_map.data or {},
            item_type=_ConfigMap,
            changed=self.take,
            params={"fieldSelector": f"metadata.name={NAME}"},
            failed=self._note,
        )
        await reflector.run()

    def take(self, objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """The ConfigMaps that match, by namespace and name: one or none."""
        data = objects.get((NAMESPACE, NAME))
        if data is None:
            self._note(ConfigError("it is not there: the cluster has no aggregation"))
            return
        try:
            trust = parse_trust(data)
        except ConfigError as error:
            self._note(error)
            return
        self.problem = ""
        if trust != self.trust:
            self.trust = trust
            _log.info(
                "event=trust_changed client_authorities=%d proxy_authorities=%d allowed_names=%r",
                len(trust.client_anchors),
                len(trust.proxy_anchors),
                ",".join(trust.allowed_names)[:1000] or "(any)",
            )
            self.changed(trust)

    def _note(self, error: ClusterError) -> None:
        sentence = f"the ConfigMap {NAMESPACE}/{NAME} is not known: {error}"
        if isinstance(error, ApiError) and error.code in {401, 403}:
            sentence += f"; {HOW_TO_GRANT}"
        if self.problem:
            self.problem = sentence
        _log.warning("event=trust_not_read why=%r", sentence)


def _bundle(data: Mapping[str, Any], key: str) -> tuple[str, frozenset[Anchor]]:
    pem = data.get(key) or ""
    if not pem.strip():
        return "", frozenset()
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except Exception as error:
        raise ConfigError(f"{key} of the ConfigMap {NAMESPACE}/{NAME} holds no PEM certificates") from error
    if len(certificates) > MAX_CERTIFICATES:
        raise ConfigError(f"{key} of the ConfigMap {NAMESPACE}/{NAME} has more than {MAX_CERTIFICATES} certificates")
    anchors: set[Anchor] = set()
    # Without the comments that such files have: the ssl module takes ASCII alone.
    pem = ""
    for certificate in certificates:
        try:
            anchors.add(anchor_of(certificate))
        except Exception as error:  # noqa: BLE001 - cryptography has no family for what it does not read
            # Nobody's signature could be checked with it; the others of the bundle count.
            _log.warning("event=authority_left_out key=%s why=%r", key, str(error)[:1000])
            continue
        pem += certificate.public_bytes(serialization.Encoding.PEM).decode()
    if not anchors:
        raise ConfigError(f"{key} of the ConfigMap {NAMESPACE}/{NAME} holds no certificate whose key can be used")
    return pem, frozenset(anchors)


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    text = data.get(key) or "[]"
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.DecodeError as error:
        raise ConfigError(f"{key} of the ConfigMap {NAMESPACE}/{NAME} is no JSON list of texts") from error
