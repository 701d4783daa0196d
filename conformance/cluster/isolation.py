# ruff: noqa: INP001, S603 - scripts of the conformance suite, not a package.
"""What a container gives Inflight, as far as a machine without a container runtime can: the files of its service
account at their place, its user, and a file system that it cannot write to.

A user namespace with mounts of its own needs no root and leaves nothing on the machine. Where the kernel or the
administrator does not let it be made, the folder is made for real if we are root; or else Inflight is started with a
kubeconfig, which is then no longer exactly the container's command, and the run says so.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SCRIPT = """
set -eu
account=$1; user=$2; tmp=$3; shift 3
run=$(readlink -f /var/run)
mount -t tmpfs -o size=64k,mode=755 tmpfs "$run"
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
mount --bind "$account" /var/run/secrets/kubernetes.io/serviceaccount
mount -o remount,bind,ro /var/run/secrets/kubernetes.io/serviceaccount
mount -t tmpfs -o size=1m,mode=1777 tmpfs "$tmp"
mount -o remount,bind,ro /
exec unshare --user --map-user="$user" --map-group="$user" -- "$@"
"""
"""The account's files read-only, an empty folder for temporary files of 1 MiB in memory, all else read-only, no
capabilities.
"""
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
SECONDS = 10


@functools.cache
def kind() -> str:
    """`namespace`, `folder` or `kubeconfig`."""
    if _can_unshare():
        return "namespace"
    if os.geteuid() == 0 and not ACCOUNT.exists():
        return "folder"
    return "kubeconfig"


def sentence() -> str:
    return {
        "namespace": "in a user namespace: the account's files at their place, all else read-only, no capabilities",
        "folder": f"with the account's files in {ACCOUNT}, made for the run (no user namespace can be made here)",
        "kubeconfig": "with --kubeconfig, which the container's command has not: no user namespace can be made here,"
        f" and only root can make {ACCOUNT}",
    }[kind()]


def command(program: Sequence[str | Path], account: Path, user: int) -> list[str | Path]:
    """What to start so that `program` runs with the files of `account`. Of `kubeconfig` the caller takes care."""
    if kind() == "folder":
        ACCOUNT.parent.mkdir(parents=True, exist_ok=True)
        if not ACCOUNT.is_symlink():
            ACCOUNT.symlink_to(account)
        return list(program)
    if kind() == "kubeconfig":
        return list(program)
    return [*UNSHARE, "sh", "-c", SCRIPT, "sh", account, str(user), _own_tmp(), *program]


def tidy() -> None:
    """Takes away what `folder` made."""
    if kind() != "folder" or not ACCOUNT.is_symlink():
        return
    ACCOUNT.unlink()
    for folder in ACCOUNT.parents:
        if folder in {Path("/var/run"), Path("/run"), Path("/")} or any(folder.iterdir()):
            return
        folder.rmdir()


def _own_tmp() -> str:
    """Where temporary files go: not where the program itself lies, which an empty folder would hide."""
    places = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__))
    return "/var/tmp" if any(place.resolve().is_relative_to("/tmp") for place in places) else "/tmp"  # noqa: S108


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    # All that the script does, so that a kernel which allows half of it is found out here.
    folder = Path(__file__).resolve().parent
    test: list[str | Path] = [*UNSHARE, "sh", "-c", SCRIPT, "sh", folder, "65532", _own_tmp(), "true"]
    try:
        return subprocess.run(test, check=False, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
