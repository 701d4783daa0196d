# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Plays the scheduler and the kubelets: pods are bound, reported Running and Ready, and removed when they are deleted.

No container runs. A test may hold the pods of a template back: they stay Pending, or Running and not Ready.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from inflight.cluster import ApiError, Client, ClusterError, Reflector

NAMESPACE = "explained"
NODE = "played-node"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
Plain = dict[str, Any]


class PlayedPods:
    """Runs until cancelled. `held` maps the value of a pod's label `hold` to `Pending` or `Unready`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed = asyncio.Event()
        self._done: dict[str, str] = {}
        """Uid to what was last done for it."""
        self.reflector: Reflector[Plain] = Reflector(client, PODS, decode=dict, changed=lambda _: self._changed.set())

    @property
    def names(self) -> list[str]:
        return sorted(name for (_, name), pod in self.reflector.objects.items() if not _is_deleted(pod))

    def of_app(self, app: str) -> list[str]:
        return [name for name in self.names if name.startswith(app)]

    async def run(self) -> None:
        with contextlib.suppress(ApiError):
            await self._client.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        async with asyncio.TaskGroup() as group:
            group.create_task(self.reflector.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                for pod in list(self.reflector.objects.values()):
                    try:
                        await self._step(pod)
                    except ClusterError:
                        await asyncio.sleep(0.2)
                        self._changed.set()

    async def _step(self, pod: Mapping[str, Any]) -> None:
        metadata, name = pod["metadata"], pod["metadata"]["name"]
        wanted = "removed" if _is_deleted(pod) else "running" if pod["spec"].get("nodeName") else "bound"
        if self._done.get(metadata["uid"]) == wanted:
            return
        match wanted:
            case "removed":
                with contextlib.suppress(ApiError):
                    await self._client.request("DELETE", f"{PODS}/{name}", body=_delete_now(metadata["uid"]))
            case "bound":
                await self._client.create(f"{PODS}/{name}/binding", _binding(name, metadata["uid"]))
            case "running":
                hold = (metadata.get("labels") or {}).get("hold", "")
                if hold != "Pending":
                    await self._client.request(
                        "PATCH",
                        f"{PODS}/{name}/status",
                        body={"status": _status(ready=hold != "Unready")},
                        content_type="application/strategic-merge-patch+json",
                    )
        self._done[metadata["uid"]] = wanted


def _is_deleted(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _binding(name: str, uid: str) -> Plain:
    target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "uid": uid}, "target": target}


def _delete_now(uid: str) -> Plain:
    return {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": uid}}


def _status(*, ready: bool) -> Plain:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": str(ready or kind in {"PodScheduled", "Initialized"}), "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    return {"phase": "Running", "hostIP": "127.0.0.1", "podIP": "127.0.1.1", "startTime": now, "conditions": conditions}
