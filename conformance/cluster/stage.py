# ruff: noqa: INP001, T201, ASYNC110 - scripts of the conformance suite, not a package.
"""One run's stage: the control plane, the played pods, Inflight behind its APIServices; and the questions of a test."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import manifests
from control_plane import ControlPlane, free_ports
from pods import INFLIGHT, PodRunner
from programs import CACHE

from inflight.cluster import Client, ClusterError, read_kubeconfig

RECORDING = CACHE / "recording.jsonl"
WAIT_SECONDS = 90.0


class CheckError(AssertionError):
    """What was to be seen was not."""


class Waiting(Exception):  # noqa: N818 - no error yet
    """What is seen is not yet what is waited for."""


class Stage:
    def __init__(self, plane: ControlPlane, client: Client, runner: PodRunner) -> None:
        self.plane = plane
        self.client = client
        self.runner = runner
        self._begun = time.monotonic()

    def say(self, sentence: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {sentence}", flush=True)

    async def create(self, *objects: tuple[str, dict[str, Any]]) -> None:
        for path, plain in objects:
            await self.client.create(path, plain)

    async def until(self, what: str, holds: Callable[[], Awaitable[Any]], seconds: float = WAIT_SECONDS) -> Any:
        """Asks until it holds. Raises CheckError with what was seen last."""
        deadline = time.monotonic() + seconds
        seen: Any = None
        while time.monotonic() < deadline:
            self.plane.check()
            try:
                seen = await holds()
            except (ClusterError, Waiting) as error:
                seen = error
            else:
                if seen:
                    return seen
            await asyncio.sleep(0.2)
        raise CheckError(f"not within {seconds:g} s: {what}; seen last: {seen!r}")

    async def replicas(self, name: str) -> int:
        path = f"/apis/apps/v1/namespaces/{manifests.INFERENCE}/deployments/{name}"
        count: int = (await self.client.get(path))["spec"]["replicas"]
        return count

    async def hpa(self, name: str) -> dict[str, Any]:
        path = f"/apis/autoscaling/v2/namespaces/{manifests.INFERENCE}/horizontalpodautoscalers/{name}"
        plain: dict[str, Any] = await self.client.get(path)
        return plain


@contextlib.asynccontextmanager
async def stage(plane: ControlPlane) -> AsyncIterator[Stage]:
    """Everything that is needed, up; and down again at the end of the block."""
    logging.basicConfig(filename=plane.folder / "stage.log", format="%(asctime)s %(message)s", force=True)
    targets, (pod_port,) = plane.folder / "targets.json", free_ports(1)
    async with Client(read_kubeconfig(plane.admin_kubeconfig)) as client:
        runner = PodRunner(client, pod_port, targets, plane.folder / "emulators.log")
        scene = Stage(plane, client, runner)
        await scene.create(manifests.namespace(manifests.SYSTEM), manifests.namespace(manifests.INFERENCE))
        playing = [asyncio.create_task(runner.run())]
        try:
            ca_pem = (plane.folder / "serving-ca.pem").read_bytes()
            await scene.create(*manifests.inflight_objects(plane.inflight_port, ca_pem))
            while not targets.exists():
                await asyncio.sleep(0.05)
            start_inflight(plane, targets)
            await scene.until("APIServices Available", lambda: _available(client))
            scene.say("the three APIServices are Available with Inflight behind them")
            yield scene
        finally:
            for task in playing:
                task.cancel()
            for outcome in await asyncio.gather(*playing, return_exceptions=True):
                if isinstance(outcome, Exception):
                    print(f"the pod runner ended with {outcome!r}", file=sys.stderr)


def start_inflight(plane: ControlPlane, targets: Path) -> None:
    plane.spawn(
        "inflight",
        [
            INFLIGHT, "serve", "--targets", targets, "--secure-port", str(plane.inflight_port),
            "--tls-cert-file", plane.folder / "serving.pem", "--tls-private-key-file", plane.folder / "serving.key",
            "--authentication-kubeconfig", plane.inflight_kubeconfig,
        ],
    )  # fmt: skip


async def _available(client: Client) -> bool:
    for group, version in manifests.API_SERVICES:
        plain = await client.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}")
        conditions = {each["type"]: each for each in (plain.get("status") or {}).get("conditions") or ()}
        available = conditions.get("Available")
        if available is None or available["status"] != "True":
            raise Waiting(f"{version}.{group}: {(available or {}).get('message', 'no condition yet')}")
    return True
