# ruff: noqa: INP001, S603 - scripts of the conformance suite, not a package.
"""The programs of a run: each started in a session of its own, with a log, and ended in the order that we want.

All of them carry a mark in their environment, which their children inherit: so that what is left of a run can be found
by anybody, also where nobody remembers having started it (see `leaks.py`).
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from leaks import MARK

STOP_SECONDS = 10.0
STOP_SECONDS_OF = {"kube-apiserver": 2.0}
"""It waits a minute for watchers to go, and nothing that it could lose is kept."""
RUN = secrets.token_hex(8)


class StartError(Exception):
    """A part of the control plane did not come up; its last log lines are in the message."""


class Process:
    """One program with its log."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.command, self.environment = tuple(command), environment
        with log.open("ab") as output:
            # A session of its own, so that a Ctrl-C of the terminal ends them in our order.
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=marked(environment),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises StartError where it has ended."""
        if not self.is_running:
            raise StartError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def ask_to_stop(self) -> None:
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Its exit code. A second Ctrl-C in between does not leave it running."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_SECONDS_OF.get(self.name, STOP_SECONDS))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.kill()
        return self._process.returncode


def marked(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: ours or the given one, without proxies, with the run's mark."""
    given = os.environ if environment is None else environment
    plain = {name: value for name, value in given.items() if not name.lower().endswith("_proxy")}
    return {**plain, MARK: RUN}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together until all are known, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
