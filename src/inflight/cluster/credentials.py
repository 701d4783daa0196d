"""What a connection and a request show of who is asking, before anybody believes it.

The certificate chain is the one that the TLS handshake verified, leaf first, up to one of the authorities that the
listener trusts. Which of them, and so whose certificate it is, is decided for each request: bundles change under open
connections, and certificates end.
"""

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

MAX_CHAIN = 10

Anchor = tuple[bytes, bytes]
"""Subject and public key of a certificate (DER): what makes two certificates the same authority."""


class PeerCertificate(msgspec.Struct, frozen=True):
    """A client's certificate, as the handshake verified it."""

    common_name: str
    organizations: tuple[str, ...]
    fingerprint: str
    """SHA-256 of the certificate, in hexadecimal."""
    not_before: float
    not_after: float
    """Unix seconds."""
    issuers: frozenset[Anchor]
    """Every certificate above the leaf in the verified chain."""

    def is_valid_at(self, now: float) -> bool:
        return self.not_before <= now <= self.not_after


class Credentials(msgspec.Struct, frozen=True):
    """Of one request. `headers` are all of them, with names in lower case, in their order."""

    headers: Sequence[tuple[str, str]] = ()
    certificate: PeerCertificate | None = None
    has_unverified_certificate: bool = False
    """Whether a certificate was shown whose chain is not known (a resumed session) or cannot be read: it proves
    nothing.
    """

    def __repr__(self) -> str:
        return "Credentials(...)"

    def header(self, name: str) -> str:
        wanted = name.lower()
        return next((value for given, value in self.headers if given == wanted), "")

    def header_values(self, name: str) -> tuple[str, ...]:
        wanted = name.lower()
        return tuple(value for given, value in self.headers if given == wanted)


def read_chain(connection: Any) -> tuple[PeerCertificate | None, bool]:
    """The verified certificate of an `ssl.SSLObject`, and whether there is one that proves nothing: its chain is not
    known, or cannot be read.
    """
    if connection is None or connection.getpeercert(binary_form=True) is None:
        return None, False
    chain = _verified_chain(connection)
    if not chain or len(chain) > MAX_CHAIN:
        return None, True
    try:
        return describe_chain([x509.load_der_x509_certificate(der) for der in chain]), False
    except Exception:  # noqa: BLE001 - cryptography has no family for what a certificate may hold that it does not read
        return None, True


def describe_chain(chain: Sequence[x509.Certificate]) -> PeerCertificate:
    """Raises ValueError where a name in it cannot be read."""
    leaf = chain[0]
    names = [_text(part) for part in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(_text(part) for part in leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return PeerCertificate(
        # The last one counts, as in Go's pkix.Name.
        common_name=names[-1] if names else "",
        organizations=groups,
        fingerprint=hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER)).hexdigest(),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        issuers=frozenset(anchor_of(certificate) for certificate in chain[1:]),
    )


def anchor_of(certificate: x509.Certificate) -> Anchor:
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return certificate.subject.public_bytes(), key


def _verified_chain(connection: Any) -> list[bytes]:
    """Public from Python 3.13 on; before, the same function of the object inside."""
    inside = getattr(connection, "_sslobj", connection)
    chain = (getattr(connection, "get_verified_chain", None) or inside.get_verified_chain)()
    return [each if isinstance(each, bytes) else ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain or ()]


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.decode("utf-8")


def lower_headers(raw: Mapping[str, str] | Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Header lines as they came, for `Credentials`."""
    pairs = raw.items() if isinstance(raw, Mapping) else [(n.decode("latin-1"), _utf8(v)) for n, v in raw]
    return tuple((name.lower(), value.strip()) for name, value in pairs)


def _utf8(value: bytes) -> str:
    """As Go takes it: any bytes; what is no UTF-8 can be nobody's name."""
    return value.decode("utf-8", "replace")
