# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""What a played pod has inside: an emulated inference server, or nothing that answers."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from processes import marked

INFLIGHT = Path(sys.executable).with_name("inflight")
STOP_SECONDS = 5.0
PROBE_SECONDS = 2.0
PORT_ANNOTATION = "prometheus.io/port"


class Play(msgspec.Struct, frozen=True):
    """How a pod is played; by default as its spec says."""

    engine: bool = True
    """False: nothing listens, and it is Ready all the same."""
    cold_start_seconds: float = 0.0
    """Its port is refused for so long, in the engine's time: ten times as long at a tenth of its speed."""
    arguments: tuple[str, ...] = ()
    """Of `inflight emulate`."""
    port: int | None = None
    """Instead of the one that the pod shows."""


class Content(Protocol):
    """What runs in a pod."""

    async def start(self) -> None: ...
    async def is_ready(self) -> bool: ...
    async def ended(self) -> None:
        """Returns when it has ended by itself."""

    async def stop(self) -> None: ...


class Nothing:
    """A container that runs, and listens nowhere."""

    async def start(self) -> None:
        pass

    async def is_ready(self) -> bool:
        return True

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        pass


class Engine:
    """One `inflight emulate` at the pod's own address."""

    def __init__(self, address: str, port: int, play: Play, log: Path) -> None:
        self.address = address
        self.url = f"http://{address}:{port}"
        self._port = port
        self._play = play
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                INFLIGHT, "emulate", "--host", self.address, "--port", str(self._port), "--grace", "0",
                "--cold-start", str(self._play.cold_start_seconds), *self._play.arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=marked(),
            )  # fmt: skip

    async def is_ready(self) -> bool:
        """As the probe of the examples asks: GET /health."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)) as session,
                session.get(f"{self.url}/health") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def ended(self) -> None:
        assert self._process is not None
        await self._process.wait()

    def crash(self) -> None:
        """At once, as if out of memory. Its kubelet starts it again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process)


async def end(process: asyncio.subprocess.Process, seconds: float = STOP_SECONDS) -> None:
    """SIGTERM, then SIGKILL, also when we are cancelled meanwhile."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise


def port_of(pod: Mapping[str, Any], play: Play) -> int | None:
    """The annotation's, else the first that a container declares; None where the pod shows none."""
    if play.port is not None:
        return play.port
    annotated = (pod["metadata"].get("annotations") or {}).get(PORT_ANNOTATION, "")
    if annotated.isdecimal():
        return int(annotated)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    return None
