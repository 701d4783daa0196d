"""A key in a file: for its owner alone, and for a moment."""

import errno
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trustme

from inflight.cluster import Client, ClusterConfig, ConfigError
from inflight.cluster.config import Material
from inflight.cluster.pem_file import as_pem_file


def test_nobody_else_can_read_it_and_it_is_gone_whatever_happens() -> None:
    seen: list[Path] = []

    def fail_in_between() -> None:
        with as_pem_file(b"secret") as name:
            seen.append(Path(name))
            assert seen[0].read_bytes() == b"secret"
            assert stat.S_IMODE(seen[0].stat().st_mode) == 0o600
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_between()
    assert not seen[0].exists()


async def test_a_client_that_cannot_write_its_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> tuple[int, str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    authority = trustme.CA()
    pair = authority.issue_cert("somebody")
    config = ClusterConfig(
        "https://127.0.0.1:1",
        "test",
        ca=Material(authority.cert_pem.bytes()),
        client_certificate=Material(pair.cert_chain_pems[0].bytes()),
        client_key=Material(pair.private_key_pem.bytes()),
    )
    async with Client(config):
        pass
    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(ConfigError, match=r"No space left on device.*TMPDIR"):
        async with Client(config):
            pass
