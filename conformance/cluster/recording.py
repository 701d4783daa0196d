# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""What happened in a run, as JSON lines: every state of the autoscalers, Deployments and pods, and every event.

The first line says which release ran with which flags. Each other line has the time at which it was seen here (Unix
seconds), the kind, and the object as the API server gave it, or its name where it is gone.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import manifests
import msgspec

from inflight.cluster import Client, Reflector

_IN = f"namespaces/{manifests.INFERENCE}"
KINDS = {
    "HorizontalPodAutoscaler": f"/apis/autoscaling/v2/{_IN}/horizontalpodautoscalers",
    "Deployment": f"/apis/apps/v1/{_IN}/deployments",
    "Pod": f"/api/v1/{_IN}/pods",
    "Event": f"/api/v1/{_IN}/events",
}


class Recorder:
    """Writes until cancelled."""

    def __init__(self, client: Client, file: Path) -> None:
        self._client = client
        self._file = file
        self._known: dict[str, dict[tuple[str, str], Any]] = {kind: {} for kind in KINDS}

    async def run(self, header: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("w", encoding="utf-8") as out:
            _write(out, {"at": time.time(), "kind": "Run", **header})
            async with asyncio.TaskGroup() as group:
                for kind, path in KINDS.items():
                    group.create_task(self._reflector(kind, path, out).run())

    def _reflector(self, kind: str, path: str, out: TextIO) -> Reflector[Any]:
        def changed(objects: Mapping[tuple[str, str], Any]) -> None:
            known, now = self._known[kind], time.time()
            for key, plain in objects.items():
                if known.get(key) is not plain:
                    _write(out, {"at": now, "kind": kind, "object": plain})
            for namespace, name in known.keys() - objects.keys():
                _write(out, {"at": now, "kind": kind, "gone": {"namespace": namespace, "name": name}})
            self._known[kind] = dict(objects)

        return Reflector(self._client, path, decode=_without_managed_fields, changed=changed)


def _without_managed_fields(plain: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in plain["metadata"].items() if key != "managedFields"}
    return {**plain, "metadata": metadata}


def _write(out: TextIO, line: dict[str, Any]) -> None:
    out.write(msgspec.json.encode(line).decode() + "\n")
    out.flush()
