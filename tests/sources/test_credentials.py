"""Tokens and certificates from files: read again when they change, and never shown."""

import os
import ssl
from pathlib import Path

import pytest
import trustme

from inflight.sources.credentials import MAX_TOKEN_BYTES, CredentialError, Credentials


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
