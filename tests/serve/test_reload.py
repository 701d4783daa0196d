"""Files are looked at again while the server runs; what cannot be used is refused and the old state kept."""

import asyncio
import errno
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inflight.documents import DocumentError
from inflight.documents.yaml import MAX_BYTES
from inflight.serve import reload
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.certificates import make_certificate, server_context
from inflight.serve.reload import Reloader, read_targets
from inflight.serve.settings import RunSettings
from inflight.signals import shipped
from inflight.sources import Target

GOOD = "targets:\n- name: {}\n  url: http://127.0.0.1:1/metrics\n"


class Pods:
    """Remembers the targets that a collector would watch."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def set_targets(self, targets: list[Target]) -> None:
        self.names.append([target.name for target in targets])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "targets.yaml"
    path.write_text(GOOD.format("a"))
    return path


@pytest.fixture
def reloader(file: Path, pods: Any, telemetry: Telemetry) -> Reloader:
    settings = RunSettings(file, "127.0.0.1", 6443)
    server: Any = None  # only a certificate would be put into it
    return Reloader(settings, shipped(), pods.set_targets, server, telemetry)


@pytest.fixture
def pods() -> Pods:
    return Pods()


def test_an_unchanged_file_is_not_read(reloader: Reloader, pods: Pods) -> None:
    reloader.look()
    assert pods.names == []
    reloader.look(everything=True)
    assert pods.names == [["a"]]


def test_a_changed_file_is_read_once(reloader: Reloader, pods: Pods, file: Path, telemetry: Telemetry) -> None:
    file.write_text(GOOD.format("longer"))
    reloader.look()
    reloader.look()
    assert pods.names == [["longer"]]
    assert telemetry.reloads == {("targets", "taken"): 1}


@pytest.mark.parametrize("break_it", ["garbage", "gone", "gigantic"])
def test_a_file_that_cannot_be_used_is_refused(  # noqa: PLR0917 - fixtures
    reloader: Reloader, pods: Pods, file: Path, telemetry: Telemetry, caplog: pytest.LogCaptureFixture, break_it: str
) -> None:
    if break_it == "gone":
        file.unlink()
    else:
        file.write_text("targets: [" if break_it == "garbage" else "#" * (MAX_BYTES + 1))
    reloader.look()
    assert pods.names == []
    assert telemetry.reloads == {("targets", "refused"): 1}
    assert "event=reload_refused what=targets" in caplog.text
    file.write_text(GOOD.format("back"))
    reloader.look()
    assert pods.names == [["back"]]


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path, pods: Pods, telemetry: Telemetry) -> None:
    """A mounted ConfigMap is a link that is turned to another folder."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "targets.yaml").write_text(GOOD.format(name))
    link = tmp_path / "current"
    link.symlink_to("one")
    server: Any = None
    reloader = Reloader(
        RunSettings(link / "targets.yaml", "127.0.0.1", 1), shipped(), pods.set_targets, server, telemetry
    )
    link.unlink()
    link.symlink_to("two")
    reloader.look()
    assert pods.names == [["two"]]


async def test_changes_are_found_without_a_signal(
    reloader: Reloader, pods: Pods, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0.01)
    looking = asyncio.create_task(reloader.run())
    await asyncio.sleep(0.05)
    file.write_text(GOOD.format("seen"))
    async with asyncio.timeout(20):
        while not pods.names:  # noqa: ASYNC110 - the test waits for a file, which sets no event
            await asyncio.sleep(0.01)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert pods.names == [["seen"]]
    assert "event=reloaded what=targets pods=1" in caplog.text


@pytest.mark.parametrize("full_from", [1, 2])
def test_a_certificate_that_cannot_be_written_down_is_refused_and_the_old_one_kept(  # noqa: PLR0917 - fixtures
    file: Path,
    tmp_path: Path,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    full_from: int,
) -> None:
    """A full disk, when the pair is tried and when it is put into the server."""
    made = make_certificate("127.0.0.1", datetime.now(UTC))
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(made.chain)
    key.write_bytes(made.key)
    server: Any = SimpleNamespace(context=server_context(made))
    settings = RunSettings(file, "127.0.0.1", 1, tls_cert_file=cert, tls_private_key_file=key)
    pods = Pods()
    reloader = Reloader(settings, shipped(), pods.set_targets, server, telemetry)
    made_files = 0

    def make_file(*arguments: Any, **options: Any) -> tuple[int, str]:
        nonlocal made_files
        made_files += 1
        if made_files >= full_from:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(*arguments, **options)

    really = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", make_file)
    reloader.look(everything=True)
    assert telemetry.reloads == {("targets", "taken"): 1, ("certificate", "refused"): 1}
    assert "event=reload_refused what=certificate kept=the_old_one" in caplog.text
    assert "No space left on device" in caplog.text
    monkeypatch.setattr(tempfile, "mkstemp", really)
    reloader.look(everything=True)
    assert telemetry.reloads["certificate", "taken"] == 1


def test_a_file_that_is_not_there_names_itself(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: No such file"):
        read_targets(tmp_path / "none.yaml", shipped())
    with pytest.raises(DocumentError, match="cannot be read: Is a directory"):
        read_targets(tmp_path, shipped())


def test_an_engine_that_the_catalogue_does_not_know_is_refused(file: Path) -> None:
    file.write_text(GOOD.format("a") + "  engine: vlm\n")
    with pytest.raises(DocumentError, match="engine"):
        read_targets(file, shipped())
