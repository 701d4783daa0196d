"""Files with secrets: whole, private, never through somebody else's link, and gone at the end if still ours."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from inflight.serve.files import MAX_LINKS, write_private, write_public

STRANGER = 65_433


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can make links and files of others."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a file to another user")


def test_a_private_file_is_the_owners_alone_whatever_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        write_private(path, b"secret\n")
        write_public(tmp_path / "ca", b"pem")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o644
    assert names(tmp_path) == {"token", "ca"}


def test_a_reader_of_the_old_file_never_sees_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    with path.open() as reader:
        write_private(path, b"secret")
        assert reader.read() == "old"


def test_a_link_of_our_own_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "token").write_text("old")
    (tmp_path / "second").symlink_to(Path("run") / "token")
    path = tmp_path / "first"
    path.symlink_to("second")
    written = write_private(path, b"secret")
    assert path.is_symlink() and (tmp_path / "second").is_symlink()
    assert written.path == tmp_path / "run" / "token"
    assert written.path.read_bytes() == b"secret"
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert names(tmp_path / "run") == {"token"}


def test_a_link_to_nothing_yet_leads_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "run" / "token")
    write_private(path, b"secret")
    assert (tmp_path / "run" / "token").read_bytes() == b"secret"
    assert path.is_symlink()


def test_a_link_of_somebody_else_is_not_followed(as_root: None, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    path = tmp_path / "token"
    path.symlink_to(tmp_path / "target")
    os.lchown(path, STRANGER, STRANGER)
    with pytest.raises(OSError, match=rf"token is not written: it is a symbolic link of another user \(uid {STRANGER}"):
        write_private(path, b"secret")
    assert (tmp_path / "target").read_text() == "kept"
    assert names(tmp_path) == {"token", "target"}


def test_a_link_of_ours_to_somebody_elses_link_or_file_is_not_followed(as_root: None, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "token"
    target.write_text("kept")
    path.symlink_to(target)
    os.chown(target, STRANGER, STRANGER)
    with pytest.raises(OSError, match=r"it leads to .*target, which is a file of another user"):
        write_private(path, b"secret")
    assert target.read_text() == "kept"
    target.unlink()
    target.symlink_to(tmp_path / "elsewhere")
    os.lchown(target, STRANGER, STRANGER)
    with pytest.raises(OSError, match=r"it leads to .*target, which is a symbolic link of another user"):
        write_private(path, b"secret")
    assert names(tmp_path) == {"token", "target"}


def test_who_is_not_root_follows_links_of_their_own_and_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.symlink_to(tmp_path / "target")
    owner = path.lstat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        write_private(path, b"secret")
        assert (tmp_path / "target").read_bytes() == b"secret"
    else:
        with pytest.raises(OSError, match="another user"):
            write_private(path, b"secret")


def test_a_plain_file_of_somebody_else_is_replaced_by_ours(as_root: None, tmp_path: Path) -> None:
    """The one who names it asked for that, and the new one is not theirs to read."""
    path = tmp_path / "token"
    path.write_text("old")
    os.chown(path, STRANGER, STRANGER)
    write_private(path, b"secret")
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (os.geteuid(), 0o600)


def test_a_circle_of_links_ends_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=f"more than {MAX_LINKS} symbolic links"):
        write_private(tmp_path / "a", b"secret")


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    """Root that names /dev/null must not replace it."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("folder", "pipe", "socket"):
            with pytest.raises(OSError, match=rf"{name} is not written: it is no regular file\. Name a file"):
                write_private(tmp_path / name, b"secret")
        with pytest.raises(OSError, match=f"it leads to {os.devnull}, which is no regular file"):
            write_private(tmp_path / "link", b"secret")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert names(tmp_path) == {"folder", "pipe", "link", "socket"}


def test_a_file_in_no_folder_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"token cannot be written: No such file or directory \(.*none\)"):
        write_private(tmp_path / "none" / "token", b"x")
    assert names(tmp_path) == set()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="token cannot be written: No space left on device"):
        write_private(path, b"secret")
    assert path.read_text() == "old"
    assert names(tmp_path) == {"token"}


def test_at_the_end_the_file_goes_and_a_link_to_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "token")
    written = write_private(path, b"secret")
    assert written.remove()
    assert names(tmp_path) == {"link"}
    assert not written.remove(), "it is gone"


def test_a_file_that_somebody_else_has_written_since_stays(tmp_path: Path) -> None:
    """A second server under the same name has replaced it; a person has put something else there."""
    path = tmp_path / "token"
    first = write_private(path, b"first")
    second = write_private(path, b"second")
    assert not first.remove()
    assert path.read_bytes() == b"second"
    path.write_bytes(b"by hand")
    os.utime(path, ns=(0, 0))
    assert not second.remove()
    assert path.read_bytes() == b"by hand"


def test_a_link_in_the_place_of_our_file_is_not_followed_at_the_end(tmp_path: Path) -> None:
    written = write_private(tmp_path / "token", b"secret")
    written.path.rename(tmp_path / "moved")
    written.path.symlink_to("moved")
    assert not written.remove()
    assert names(tmp_path) == {"token", "moved"}
