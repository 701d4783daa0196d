"""The serving certificate: made for this run, or read from the files that the operator names.

A certificate of our own making comes from a certificate authority that exists in memory alone: its key signs one leaf
and is dropped, so whoever trusts the authority's certificate trusts this process and nothing else.
"""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from inflight.cluster import ConfigError
from inflight.cluster.pem_file import as_pem_file
from inflight.serve.authority import Validity, certificate_pem, issue, make_authority, private_pem

ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
LIFETIME_DAYS = 397
"""Some TLS clients refuse a longer one; a process that runs longer needs a restart, or files that someone renews."""

_TLS_VERSIONS = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}


class CertificateError(ValueError):
    """A certificate or key that cannot be served; the sentence names the file."""


class ServingCertificate(msgspec.Struct, frozen=True):
    """PEM texts. `ca` is what a client must trust; for a certificate from files it is None: its owner knows."""

    chain: bytes
    key: bytes
    ca: bytes | None

    def __repr__(self) -> str:
        return "ServingCertificate(...)"


def make_certificate(bind_address: str, now: datetime.datetime) -> ServingCertificate:
    """A certificate for localhost, the loopback addresses and the bind address; valid from shortly before `now`."""
    validity = Validity(now - datetime.timedelta(minutes=5), now + datetime.timedelta(days=LIFETIME_DAYS))
    authority = make_authority(now, validity)
    leaf, key = issue(authority, tuple(dict.fromkeys((*ALWAYS_NAMED, bind_address))), now, validity)
    ca = certificate_pem(authority.certificate)
    return ServingCertificate(certificate_pem(leaf) + ca, private_pem(key), ca)


def read_certificate(cert_file: Path, key_file: Path) -> ServingCertificate:
    """The pair of two PEM files, checked to belong together; raises CertificateError."""
    chain, key = _read(cert_file), _read(key_file)
    certificate = ServingCertificate(chain, key, None)
    try:
        server_context(certificate)
    except CertificateError:
        raise
    except (ssl.SSLError, ValueError) as error:
        raise CertificateError(
            f"{cert_file} and {key_file} are no pair that can be served: both must be PEM, the key without a"
            f" passphrase and the one of the first certificate ({error})"
        ) from error
    return certificate


def ends_at(certificate: ServingCertificate) -> float:
    """When its leaf does, in Unix seconds. Raises ValueError where it cannot be read."""
    return x509.load_pem_x509_certificate(certificate.chain).not_valid_after_utc.timestamp()


def server_context(certificate: ServingCertificate, tls_min_version: str = "VersionTLS12") -> ssl.SSLContext:
    """A context for a server that speaks HTTP/1.1 alone: over HTTP/2 kube-aggregator puts all on one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[tls_min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate)
    return context


def load_certificate(context: ssl.SSLContext, certificate: ServingCertificate) -> None:
    """From the next handshake on the context shows this certificate, and no other; raises CertificateError where it
    cannot be written down for a moment, and ssl.SSLError or ValueError where it cannot be served. What was shown
    before stays then.
    """
    with ExitStack() as stack:
        # All files are there, and the pair has been tried elsewhere, before anything is touched: one that is refused
        # half-way takes the old one's key with it.
        pair = stack.enter_context(_as_file(_whole(certificate)))
        keyless = [stack.enter_context(_as_file(pem)) for pem in _keyless_of_other_kinds(certificate)]
        for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            target.load_cert_chain(pair, password=_no_passphrase)
        for path in keyless:
            with suppress(ssl.SSLError):
                context.load_cert_chain(path)


def _load(context: ssl.SSLContext, certificate: ServingCertificate) -> None:
    with _as_file(_whole(certificate)) as path:
        context.load_cert_chain(path, password=_no_passphrase)


def _whole(certificate: ServingCertificate) -> bytes:
    return certificate.chain + b"\n" + certificate.key


def _keyless_of_other_kinds(certificate: ServingCertificate) -> list[bytes]:
    """OpenSSL keeps one pair for each kind of key and lets the client's preference choose: an RSA pair (cert-manager's
    default) loaded over a P-256 one would never be shown.

    There is no call that takes a pair out. But a certificate that comes without its key displaces the key in its
    place (`ssl_set_cert` in OpenSSL's ssl/ssl_rsa.c), and a place without a key is passed over.
    """
    try:
        ours = type(x509.load_pem_x509_certificate(certificate.chain).public_key())
        return [_keyless(key) for key in _public_keys() if not isinstance(key, ours)]
    except (ValueError, UnsupportedAlgorithm):
        return []


def _public_keys() -> Iterator[CertificatePublicKeyTypes]:
    """One of each kind that a server may have. Nobody has the key of the RSA one: its modulus is not even made of
    two primes.
    """
    yield rsa.RSAPublicNumbers(65537, (1 << 3071) + 1).public_key()
    yield ec.generate_private_key(ec.SECP256R1()).public_key()
    yield ed25519.Ed25519PrivateKey.generate().public_key()
    yield ed448.Ed448PrivateKey.generate().public_key()


def _keyless(key: CertificatePublicKeyTypes) -> bytes:
    """A certificate that proves nothing, valid for no time at all."""
    never = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key)
        .serial_number(1)
        .not_valid_before(never)
        .not_valid_after(never)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return certificate_pem(certificate)


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    try:
        with as_pem_file(pem) as path:
            yield path
    except ConfigError as error:
        raise CertificateError(str(error)) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
