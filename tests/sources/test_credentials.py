"""Tokens and certificates from files: read again when they change, and never shown."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inflight.sources.credentials import MAX_TOKEN_BYTES, CredentialError, Credentials

HOUR = timedelta(hours=1)


def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file, credentials = tmp_path / "token", Credentials()
    file.write_text("first\n")
    assert credentials.bearer(str(file)) == "Bearer first"
    file.write_text("second\n")
    assert credentials.bearer(str(file)) == "Bearer second"


def test_a_token_that_is_replaced_by_a_link_is_noticed(tmp_path: Path) -> None:
    """The way in which a mounted Secret changes: same size, a link to another directory."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(f"token-{version}")
        os.utime(tmp_path / version / "token", (1, 1))
    link, credentials = tmp_path / "current", Credentials()
    link.symlink_to(tmp_path / "one")
    assert credentials.bearer(str(link / "token")) == "Bearer token-one"
    link.unlink()
    link.symlink_to(tmp_path / "two")
    assert credentials.bearer(str(link / "token")) == "Bearer token-two"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"secret\r\nX-Injected: 1", "printable ASCII"),
        (b"se cret", "printable ASCII"),
        ("sécret".encode(), "printable ASCII"),
        (b"s" * (MAX_TOKEN_BYTES + 1), "has more than"),
    ],
)
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(CredentialError, match=problem) as caught:
        Credentials().bearer(str(file))
    assert "cret" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"the token file .*/absent cannot be read: No such file"):
        Credentials().bearer(str(tmp_path / "absent"))
    with pytest.raises(CredentialError, match=r"the CA file .*/absent cannot be read: No such file"):
        Credentials().context(str(tmp_path / "absent"), False)
    with pytest.raises(CredentialError, match="Is a directory"):
        Credentials().bearer(str(tmp_path))


def test_a_ca_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file, credentials = tmp_path / "ca.pem", Credentials()
    trustme.CA().cert_pem.write_to_path(file)
    first = credentials.context(str(file), False)
    assert credentials.context(str(file), False) is first
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.check_hostname
    trustme.CA().cert_pem.write_to_path(file)
    assert credentials.context(str(file), False) is not first


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"no certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"]
)
def test_a_ca_file_without_certificates_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(CredentialError, match="holds no PEM certificates"):
        Credentials().context(str(file), False)


@pytest.fixture
def strict_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default of Python 3.13, whichever this is."""
    default = ssl.create_default_context

    def create(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = default(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create)


@pytest.mark.usefixtures("strict_default")
def test_no_context_checks_strictly(tmp_path: Path) -> None:
    file, credentials = tmp_path / "ca.pem", Credentials()
    trustme.CA().cert_pem.write_to_path(file)
    for ca_file in (None, str(file)):
        assert not credentials.context(ca_file, False).verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.usefixtures("strict_default")
def test_a_certificate_without_key_identifiers_of_an_authority_without_key_usage_is_accepted(tmp_path: Path) -> None:
    ca_file, server = plain_certificates(tmp_path, "pod.example")
    shake_hands(Credentials().context(str(ca_file), False), server, "pod.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(Credentials().context(str(ca_file), False), server, "other.example")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
        shake_hands(Credentials().context(None, False), server, "pod.example")


def plain_certificates(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """An authority and a server's certificate with no extension that is not needed, as `openssl x509 -req` makes it."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    extensions: list[x509.ExtensionType] = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.DNSName(name)]),
    ]
    certificates = [
        x509.CertificateBuilder(issuer, owner, key.public_key(), serial, now - HOUR, now + HOUR)
        .add_extension(extension, critical=False)
        .sign(keys[0], hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        for serial, owner, key, extension in zip((1, 2), (issuer, subject), keys, extensions, strict=True)
    ]
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "plain-ca.pem").write_bytes(certificates[0])
    (folder / "plain-server.pem").write_bytes(certificates[1] + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "plain-server.pem")
    return folder / "plain-ca.pem", context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A whole handshake in memory. Raises what the client has against the server's certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(to_client, to_server, server_hostname=name)
    answers = server.wrap_bio(to_server, to_client, server_side=True)
    done = 0
    while done < 2:
        done = 0
        for side in (asks, answers):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass


def test_unverified_is_asked_for_and_apart() -> None:
    credentials = Credentials()
    assert credentials.context(None, True).verify_mode == ssl.CERT_NONE
    assert credentials.context(None, False).verify_mode == ssl.CERT_REQUIRED


def test_files_that_no_target_names_are_forgotten(tmp_path: Path) -> None:
    file, credentials = tmp_path / "ca.pem", Credentials()
    trustme.CA().cert_pem.write_to_path(file)
    first = credentials.context(str(file), False)
    credentials.keep({None, "other"})
    assert credentials.context(str(file), False) is not first
