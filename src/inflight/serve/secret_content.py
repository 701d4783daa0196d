"""What a Secret with a serving certificate holds: read and checked, never trusted to be what it should be.

Four keys, named as cert-manager names them: `tls.crt` (leaf first, then the way up), `tls.key`, `ca.crt` (the
authorities that a client has to trust, one or more) and `ca.key`, which only a Secret of our own has. What cannot be
used is a sentence in place of the value; no sentence holds a byte of a key.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from inflight.serve.authority import Authority, certificate_pem, private_pem
from inflight.serve.certificates import ServingCertificate

CERTIFICATE, KEY, AUTHORITIES, AUTHORITY_KEY = "tls.crt", "tls.key", "ca.crt", "ca.key"
KEYS = (CERTIFICATE, KEY, AUTHORITIES, AUTHORITY_KEY)
MAX_CERTIFICATES = 100
MAX_LINKS = 10
"""Between a leaf and its root; the deepest hierarchies of practice have four."""

T = TypeVar("T")

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
"""All that the cryptography library says of bytes that are not what they should be: much of it is no ValueError."""


class Pair(msgspec.Struct, frozen=True):
    """A certificate that can be served."""

    chain: tuple[x509.Certificate, ...]
    """The leaf first."""
    dns_names: frozenset[str]
    addresses: frozenset[str]
    pem: ServingCertificate

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    def __repr__(self) -> str:
        return f"Pair({self.leaf.subject.rfc4514_string()})"


class Content(msgspec.Struct, frozen=True):
    """Of one Secret. `str`: why there is none that can be used."""

    pair: Pair | str
    authorities: tuple[x509.Certificate, ...] | str
    """Without double ones, in the order of the text."""
    signer: Authority | str | None
    """With the key of `ca.key`; None where the Secret has none, so that it is somebody else's."""
    other_keys: tuple[str, ...] = ()
    empty: bool = False
    """None of the four keys is there."""

    def __repr__(self) -> str:
        return "Content(...)"


def read_content(secret: Mapping[str, Any]) -> Content:
    """Of a Secret as the API server gives it. Never raises: any bytes may stand in a Secret."""
    given = {key: value for key, value in data_of(secret).items() if value}
    values = {key: _decoded(given[key]) for key in KEYS if key in given}
    authorities = _read(AUTHORITIES, read_certificates, values.get(AUTHORITIES, b""))
    return Content(
        pair=_read(
            f"{CERTIFICATE} with {KEY}", lambda chain: _pair(chain, values.get(KEY, b"")), values.get(CERTIFICATE, b"")
        ),
        authorities=authorities,
        signer=_signer(values[AUTHORITY_KEY], authorities) if AUTHORITY_KEY in values else None,
        other_keys=tuple(sorted(set(given) - set(KEYS))),
        empty=not values,
    )


def data_of(secret: Mapping[str, Any]) -> dict[str, str]:
    """As it stands there: base64."""
    data = secret.get("data")
    return {str(key): str(value or "") for key, value in data.items()} if isinstance(data, Mapping) else {}


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """All of a PEM text, each once; raises ValueError."""
    if not pem.strip():
        raise ValueError("it is not there")
    if pem.count(b"-----BEGIN CERTIFICATE-----") > MAX_CERTIFICATES:
        raise ValueError(f"it has more than {MAX_CERTIFICATES} certificates")
    return tuple(dict.fromkeys(x509.load_pem_x509_certificates(pem)))


def bundle_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(map(certificate_pem, certificates))


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's key signed it, under its name."""
    try:
        certificate.verify_directly_issued_by(authority)
    except UNREADABLE:
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except UNREADABLE:
        return False


def leads_to(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> bool:
    """Whether a client that trusts these finds a way from the leaf to one of them."""
    at = chain[0]
    for _ in range(MAX_LINKS):
        if at in trusted or any(issued_by(at, authority) for authority in trusted):
            return True
        above = next((link for link in chain if link != at and issued_by(at, link)), None)
        if above is None:
            return False
        at = above
    return False


def _read(what: str, read: Callable[[bytes], T], pem: bytes) -> T | str:
    try:
        return read(pem)
    except UNREADABLE as error:
        # The library's sentences speak of structure alone; its longest ones are cut off all the same.
        return f"{what} cannot be used: {str(error)[:200] or type(error).__name__}"


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b"(no base64)"


def _pair(chain_pem: bytes, key_pem: bytes) -> Pair:
    """Raises what `UNREADABLE` lists."""
    chain = read_certificates(chain_pem)
    if not key_pem.strip():
        raise ValueError(f"there is no {KEY}")
    key = _private_key(key_pem)
    if key.public_key() != chain[0].public_key():
        raise ValueError("the key is not the one of the first certificate")
    try:
        names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Pair(
        chain=chain,
        dns_names=frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        addresses=frozenset(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        pem=ServingCertificate(bundle_pem(chain), private_pem(key), None),
    )


def _signer(key_pem: bytes, authorities: tuple[x509.Certificate, ...] | str) -> Authority | str:
    if isinstance(authorities, str):
        return authorities
    return _read(AUTHORITY_KEY, lambda pem: _find_signer(pem, authorities), key_pem)


def _find_signer(key_pem: bytes, authorities: Sequence[x509.Certificate]) -> Authority:
    key = _private_key(key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError("its kind is neither an elliptic curve's nor RSA")
    for certificate in authorities:
        if is_authority(certificate) and certificate.public_key() == key.public_key():
            if certificate.issuer == certificate.subject and not issued_by(certificate, certificate):
                raise ValueError(f"the authority with this key in {AUTHORITIES} was not signed with it")
            return Authority(certificate, key)
    raise ValueError(f"{AUTHORITIES} has no authority with this key")


def _private_key(pem: bytes) -> Any:
    try:
        return load_pem_private_key(pem, None)
    except UNREADABLE as error:
        raise ValueError("the key is not PEM, not whole, or has a passphrase") from error
