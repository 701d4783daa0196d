"""The serving certificate: one made for the run, or one from files."""

import datetime
import itertools
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from inflight.serve.certificates import (
    CertificateError,
    ServingCertificate,
    load_certificate,
    make_certificate,
    read_certificate,
    server_context,
)

NOW = datetime.datetime.now(datetime.UTC)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """A whole TLS handshake in memory; returns the client's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname=name)
    for end in (client_end, server_end) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client_end


def trusting(pem: bytes | None) -> ssl.SSLContext:
    assert pem is not None
    context = ssl.create_default_context(cadata=pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "10.2.3.4"])
def test_a_strict_client_that_trusts_the_authority_verifies_each_name(name: str) -> None:
    certificate = make_certificate("10.2.3.4", NOW)
    connection = handshake(server_context(certificate), trusting(certificate.ca), name)
    assert connection.version() == "TLSv1.3"


def test_other_names_and_other_authorities_are_not_verified() -> None:
    certificate = make_certificate("127.0.0.1", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(certificate), trusting(certificate.ca), "example.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(certificate), trusting(make_certificate("127.0.0.1", NOW).ca), "localhost")


def test_http_1_1_is_all_that_is_offered() -> None:
    certificate = make_certificate("127.0.0.1", NOW)
    client = trusting(certificate.ca)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(server_context(certificate), client, "localhost").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("minimum", "client_version", "works"),
    [
        ("VersionTLS12", ssl.TLSVersion.TLSv1_2, True),
        ("VersionTLS12", ssl.TLSVersion.TLSv1_3, True),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_2, False),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_the_oldest_version_taken_can_be_raised(minimum: str, client_version: ssl.TLSVersion, works: bool) -> None:
    certificate = make_certificate("127.0.0.1", NOW)
    client = trusting(certificate.ca)
    client.maximum_version = client_version
    if works:
        handshake(server_context(certificate, minimum), client, "localhost")
    else:
        with pytest.raises(ssl.SSLError):
            handshake(server_context(certificate, minimum), client, "localhost")


def test_nothing_older_than_tls_1_2_is_taken() -> None:
    assert server_context(make_certificate("127.0.0.1", NOW)).minimum_version == ssl.TLSVersion.TLSv1_2


def test_who_gets_the_key_later_cannot_read_what_was_recorded() -> None:
    ciphers = server_context(make_certificate("127.0.0.1", NOW)).get_ciphers()
    assert ciphers
    assert all(cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith(("ECDHE-", "DHE-")) for cipher in ciphers)


def test_the_leaf_cannot_sign_and_the_authority_signs_leaves_only() -> None:
    leaf, ca = x509.load_pem_x509_certificates(make_certificate("0.0.0.0", NOW).chain)
    assert leaf.issuer == ca.subject
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc


def test_the_key_is_in_no_text_of_the_value() -> None:
    assert "PRIVATE" not in repr(make_certificate("127.0.0.1", NOW))


def test_a_pair_from_files(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("metrics.example")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    issued.private_key_pem.write_to_path(tmp_path / "key")
    certificate = read_certificate(tmp_path / "cert", tmp_path / "key")
    assert certificate.ca is None
    handshake(server_context(certificate), trusting(authority.cert_pem.bytes()), "metrics.example")


@pytest.mark.parametrize("broken", ["missing", "garbage", "another", "encrypted", "empty"])
def test_a_pair_that_cannot_be_served_names_its_files(tmp_path: Path, broken: str) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("a.example")
    cert, key = tmp_path / "cert", tmp_path / "key"
    issued.cert_chain_pems[0].write_to_path(cert)
    texts = {
        "garbage": b"-----BEGIN PRIVATE KEY-----\nx\n",
        "another": authority.issue_cert("b.example").private_key_pem.bytes(),
        "encrypted": _encrypted_key(),
        "empty": b"",
    }
    if broken != "missing":
        key.write_bytes(texts[broken])
    with pytest.raises(CertificateError, match=str(key)):
        read_certificate(cert, key)


def test_a_context_shows_a_new_certificate_from_the_next_handshake_on() -> None:
    first, second = make_certificate("127.0.0.1", NOW), make_certificate("127.0.0.1", NOW)
    context = server_context(first)
    handshake(context, trusting(first.ca), "localhost")
    load_certificate(context, second)
    handshake(context, trusting(second.ca), "localhost")


KINDS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(KINDS, 2)))
def test_a_key_of_another_kind_replaces_the_old_one_whatever_the_client_prefers(
    before: str, after: str, version: ssl.TLSVersion
) -> None:
    context = server_context(self_signed(before))
    replaced = self_signed(after)
    load_certificate(context, replaced)
    client = trusting(replaced.chain)
    client.maximum_version = version
    handshake(context, client, "localhost")


def test_a_pair_that_is_refused_takes_nothing_away() -> None:
    old, other = self_signed("P-256"), self_signed("P-256")
    context = server_context(old)
    for broken in (ServingCertificate(other.chain, old.key, None), ServingCertificate(other.chain, b"nothing", None)):
        with pytest.raises(ssl.SSLError):
            load_certificate(context, broken)
    handshake(context, trusting(old.chain), "localhost")


@pytest.mark.parametrize("room_for", range(4))
def test_a_disk_that_is_full_at_any_moment_takes_nothing_away(room_for: int, monkeypatch: pytest.MonkeyPatch) -> None:
    old = self_signed("P-256")
    context = server_context(old)
    make, made = tempfile.mkstemp, itertools.count()

    def mkstemp(**keywords: Any) -> tuple[int, str]:
        if next(made) == room_for:
            raise OSError(28, "No space left on device")
        return make(**keywords)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    with pytest.raises(CertificateError, match="No space left"):
        load_certificate(context, self_signed("RSA"))
    handshake(context, trusting(old.chain), "localhost")


def self_signed(kind: str) -> ServingCertificate:
    key = KINDS[kind]()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None if kind == "Ed25519" else hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ServingCertificate(pem, key_pem, pem)


def test_no_key_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server_context(make_certificate("127.0.0.1", NOW))
    with pytest.raises(ssl.SSLError):
        server_context(ServingCertificate(b"x", b"y", None))
    assert list(tmp_path.iterdir()) == []


def _encrypted_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass"),
    )
