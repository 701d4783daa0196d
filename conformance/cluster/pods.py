# ruff: noqa: ASYNC110, INP001 - scripts of the conformance suite, not a package.
"""Plays kubelets: every pod is bound to a fake node, reported Running and Ready, and answered for by an emulator.

Each pod gets an address of its own in 127.0.1.0/24 and a real `inflight emulate` behind it; a deleted pod loses its
emulator and is taken out of the API with grace period 0. The pods that run are written to a targets file, which
`inflight serve` reads again when it changes.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from inflight.cluster import ApiError, Client, ClusterError, Reflector

INFLIGHT = Path(sys.executable).with_name("inflight")
START_SECONDS = 30.0
NODE = "played-node"
NAMESPACE = "inference"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

_log = logging.getLogger(__name__)


class PlayedPod(msgspec.Struct, frozen=True):
    """What is kept of a pod."""

    name: str
    uid: str
    labels: Mapping[str, str]
    node: str
    phase: str
    deleted: bool


def read_pod(plain: Mapping[str, Any]) -> PlayedPod:
    metadata = plain["metadata"]
    return PlayedPod(
        name=metadata["name"],
        uid=metadata["uid"],
        labels=metadata.get("labels") or {},
        node=(plain.get("spec") or {}).get("nodeName") or "",
        phase=(plain.get("status") or {}).get("phase") or "",
        deleted="deletionTimestamp" in metadata,
    )


class Emulator:
    """The engine of one pod."""

    def __init__(self, pod: PlayedPod, address: str, port: int, process: asyncio.subprocess.Process) -> None:
        self.pod = pod
        self.address = address
        self.url = f"http://{address}:{port}"
        self.process = process


class PodRunner:
    """Runs until cancelled; then every emulator is ended. `running` is by the pod's uid."""

    def __init__(self, client: Client, port: int, targets_file: Path, emulator_log: Path) -> None:
        self._client = client
        self._port = port
        self._targets_file = targets_file
        self._emulator_log = emulator_log
        self._changed = asyncio.Event()
        self._reflector = Reflector(client, PODS, decode=read_pod, changed=lambda _: self._changed.set())
        self.running: dict[str, Emulator] = {}
        self._bound: set[str] = set()
        self._removed: set[str] = set()
        self._addresses = [f"127.0.1.{last}" for last in range(250, 1, -1)]

    async def run(self) -> None:
        self._write_targets()
        await self._create_node()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reflector.run())
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    if not await self._play(list(self._reflector.objects.values())):
                        await asyncio.sleep(0.2)
                        self._changed.set()
        finally:
            for emulator in list(self.running.values()):
                await self._end(emulator)

    async def _play(self, pods: list[PlayedPod]) -> bool:
        """One step for each pod; False where the API server did not take one of them."""
        there = {pod.uid for pod in pods if not pod.deleted}
        for done in (self._bound, self._removed):
            done &= {pod.uid for pod in pods}
        # The target goes first: nobody is to be scraped whose port closes.
        gone = [self.running.pop(uid) for uid in list(self.running) if uid not in there]
        if gone:
            self._write_targets()
        for emulator in gone:
            await self._end(emulator)
        good = True
        for pod in pods:
            try:
                await self._step(pod)
            except ClusterError as error:
                _log.warning("event=step_failed pod=%s why=%r", pod.name, str(error))
                good = False
        return good

    async def _step(self, pod: PlayedPod) -> None:
        # The copy may be older than what was just written: nothing is done twice.
        if pod.deleted:
            if pod.uid not in self._removed:
                await self._remove(pod)
        elif not pod.node:
            if pod.uid not in self._bound:
                await self._client.create(f"{PODS}/{pod.name}/binding", _binding(pod))
                self._bound.add(pod.uid)
        elif pod.uid not in self.running:
            emulator = self.running[pod.uid] = await self._start(pod)
            await self._report(pod, emulator.address)
            self._write_targets()

    async def _remove(self, pod: PlayedPod) -> None:
        try:
            await self._client.request("DELETE", f"{PODS}/{pod.name}", body=_delete_now(pod))
        except ApiError as error:
            # Gone already, or another pod of this name.
            if error.code not in {404, 409}:
                raise
        self._removed.add(pod.uid)

    async def _start(self, pod: PlayedPod) -> Emulator:
        address = self._addresses.pop()
        with self._emulator_log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                INFLIGHT, "emulate", "--host", address, "--port", str(self._port), "--grace", "0",
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        emulator = Emulator(pod, address, self._port, process)
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await _listens(address, self._port):
                    await asyncio.sleep(0.05)
        except BaseException:
            # Ctrl-C may come in between, and nobody knows this one yet.
            await self._end(emulator)
            raise
        return emulator

    async def _report(self, pod: PlayedPod, address: str) -> None:
        status = {"status": _status(address)}
        await self._client.request(
            "PATCH",
            f"{PODS}/{pod.name}/status",
            body=status,
            content_type="application/strategic-merge-patch+json",
        )

    async def _end(self, emulator: Emulator) -> None:
        if emulator.process.returncode is None:
            emulator.process.terminate()
            try:
                async with asyncio.timeout(5):
                    await emulator.process.wait()
            except TimeoutError:
                emulator.process.kill()
                await emulator.process.wait()
        self._addresses.append(emulator.address)

    async def _create_node(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self._client.create("/api/v1/nodes", node)

    def _write_targets(self) -> None:
        """Renamed into place, so that a reader never sees a half."""
        targets = [
            {
                "name": emulator.pod.name,
                "namespace": NAMESPACE,
                "labels": dict(emulator.pod.labels),
                "url": f"{emulator.url}/metrics",
            }
            for emulator in self.running.values()
        ]
        unfinished = self._targets_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"targets": targets}, indent=2) + "\n")
        unfinished.rename(self._targets_file)


async def _listens(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


def _binding(pod: PlayedPod) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    }


def _delete_now(pod: PlayedPod) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": pod.uid},
    }


def _status(address: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": now,
        "conditions": conditions,
    }
