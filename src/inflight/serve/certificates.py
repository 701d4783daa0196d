"""The serving certificate: made for this run, or read from the files that the operator names.

A certificate of our own making comes from a certificate authority that exists in memory alone: its key signs one leaf
and is dropped, so whoever trusts the authority's certificate trusts this process and nothing else. Keys are P-256:
cheap to sign with, known to every client. The extensions are those that strict X.509 checking asks for (Python from
3.13, Go), so that a client can verify without switching anything off.
"""

import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
    ca_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"inflight-ca@{int(now.timestamp())}")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"inflight@{int(now.timestamp())}")])
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier)
    ca = (
        _builder(ca_name, ca_name, ca_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(ca_identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        _builder(leaf_name, ca_name, leaf_key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(bind_address)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(leaf_key.public_key()), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    ca_pem = ca.public_bytes(serialization.Encoding.PEM)
    key_pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ServingCertificate(leaf.public_bytes(serialization.Encoding.PEM) + ca_pem, key_pem, ca_pem)


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


def server_context(certificate: ServingCertificate, tls_min_version: str = "VersionTLS12") -> ssl.SSLContext:
    """A context for a server that speaks HTTP/1.1 alone: over HTTP/2 kube-aggregator puts all on one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[tls_min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate)
    return context


def load_certificate(context: ssl.SSLContext, certificate: ServingCertificate) -> None:
    """From the next handshake on the context shows this certificate; raises CertificateError where it cannot be
    written down for a moment, and ssl.SSLError or ValueError where it cannot be served.
    """
    with _as_file(certificate.chain + b"\n" + certificate.key) as path:
        context.load_cert_chain(path, password=_no_passphrase)


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """The ssl module reads keys from files only; this one is readable by us alone and gone at once."""
    path = ""
    try:
        try:
            descriptor, path = tempfile.mkstemp(prefix="inflight-", suffix=".pem")
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
        except OSError as error:
            raise CertificateError(
                "the certificate and its key have to stand in a temporary file for a moment, which cannot be written"
                f" ({error.strerror or error}): make room, or name a folder that can be written to in TMPDIR"
            ) from error
        yield path
    finally:
        if path:
            with suppress(OSError):
                os.unlink(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _names(bind_address: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((*ALWAYS_NAMED, bind_address)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    return names
