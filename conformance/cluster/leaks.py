# ruff: noqa: INP001, S603 - scripts of the conformance suite, not a package.
"""What a run leaves behind: nothing. Looked for after each run, and taken away where a run was killed.

    python conformance/cluster/leaks.py MARK FOLDER     waits for its standard input to end, then takes all away

A run starts the second form of itself at its beginning. Whatever way the run ends, the pipe between them does too; what
was not stopped by then is stopped here.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 30.0
"""A run that ends by itself needs less to stop everything."""
MARK = "INFLIGHT_CONFORMANCE_RUN"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def processes_of(run: str) -> dict[int, str]:
    """Command lines by pid, of what carries the mark of this run."""
    found = {}
    mark = f"{MARK}={run}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def places(folder: Path) -> list[str]:
    """Of the run's folder, the account's place, and mounts that have to do with either."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    found = [f"the mount {line}" for line in lines if str(folder) in line or str(ACCOUNT) in line]
    return found + [f"the folder {each}" for each in (folder, *ACCOUNT.parents[:3], ACCOUNT) if each.exists()]


def left_behind(run: str, folder: Path, *, before: list[str]) -> list[str]:
    """A sentence for each thing; processes that are just ending are waited for. `before` is what `places` said."""
    until = time.monotonic() + 5
    while (running := processes_of(run)) and time.monotonic() < until:
        time.sleep(0.1)
    found = [f"the process {pid}: {command[:100]}" for pid, command in running.items()]
    return found + [place for place in places(folder) if place not in before]


class Keeper:
    """The process that takes away what a run that was killed leaves."""

    def __init__(self, run: str, folder: Path) -> None:
        # Without the mark, which would make it one of those that it ends.
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).resolve(), run, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """All is stopped already."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"done")
            self._process.stdin.close()
        self._process.wait()


def end(run: str) -> None:
    """All that carries the mark of this run: asked to end, then made to."""
    until = time.monotonic() + GRACE_SECONDS
    while (running := processes_of(run)) and time.monotonic() < until:
        for pid in running:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
    for pid in running:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def keep(run: str, folder: Path) -> None:
    if not sys.stdin.buffer.read():
        end(run)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep(sys.argv[1], Path(sys.argv[2]))
