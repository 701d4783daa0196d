# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""kubectl, as a person calls it; and what `kubectl apply` does, for a machine that has none."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from processes import marked

from inflight.cluster import Client

SECONDS = 60
MANAGER = "conformance"
PLURALS = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "APIService": "apiservices",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
}

Plain = dict[str, Any]


class KubectlError(AssertionError):
    """It ended with another code than 0; what it said is in the message."""


class Kubectl:
    """One program with one kubeconfig, and a cache of its own."""

    def __init__(self, program: Path, kubeconfig: Path, folder: Path) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._folder = folder

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, output, errors."""
        environment = {
            **marked(),
            "KUBECONFIG": str(self._kubeconfig),
            "HOME": str(self._folder),
            "KUBECACHEDIR": str(self._folder / "kubectl-cache"),
        }
        process = await asyncio.create_subprocess_exec(
            self._program, *arguments, env=environment, cwd=self._folder,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode or 0, out.decode(), err.decode()

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Its output. Raises KubectlError."""
        code, out, err = await self.run(*arguments, stdin=stdin)
        if code:
            raise KubectlError(f"kubectl {' '.join(arguments)}: exit code {code}: {err or out}")
        return out


def read_objects(file: Path) -> list[Plain]:
    return [plain for plain in yaml.safe_load_all(file.read_text(encoding="utf-8")) if plain]


def collection_of(plain: Mapping[str, Any]) -> str:
    """The path of the objects of its kind, in its namespace if it has one."""
    version = plain["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = plain["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{PLURALS[plain['kind']]}"


def path_of(plain: Mapping[str, Any]) -> str:
    return f"{collection_of(plain)}/{plain['metadata']['name']}"


async def apply(kubectl: Kubectl | None, client: Client, objects: Sequence[Plain]) -> None:
    """As `kubectl apply -f`, or by server-side apply where there is no kubectl. Raises KubectlError or ApiError."""
    if kubectl is not None:
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        await kubectl("apply", "-f", "-", stdin=document)
        return
    for plain in objects:
        await client.request(
            "PATCH",
            path_of(plain),
            params={"fieldManager": MANAGER, "force": "true"},
            body=plain,
            content_type="application/apply-patch+yaml",
        )


async def merge(client: Client, path: str, change: Plain) -> Plain:
    """A merge patch; the object as it is then."""
    answer = await client.request("PATCH", path, body=change, content_type="application/merge-patch+json")
    plain: Plain = json.loads(answer)
    return plain
