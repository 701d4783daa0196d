"""A real Go client: kubectl asks the server, straight."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from inflight import __version__
from inflight.serve.api.release import to_semver
from inflight.serve.server import RunningServer, start_server

pytestmark = pytest.mark.e2e

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference"


async def kubectl(
    server: RunningServer, folder: Path, *arguments: str, token: str | None = None
) -> tuple[int, str, str]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not on PATH")
    assert server.ca_pem is not None
    (folder / "ca.pem").write_bytes(server.ca_pem)
    process = await asyncio.create_subprocess_exec(
        program,
        *("--server", server.url, "--certificate-authority", "ca.pem", "--token", token or server.token),
        *("--cache-dir", str(folder / "cache"), *arguments),
        cwd=folder,
        env={"HOME": str(folder), "KUBECONFIG": "/dev/null"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_values_and_errors_reach_the_person(pods: Any, clock: Any, tmp_path: Path) -> None:
    pods.add("a", labels={"app": "vllm-deployment"}, running=24.5)
    async with start_server(pods, clock) as server:
        path = f"{EXTERNAL}/vllm_requests_running?labelSelector=app%3Dvllm-deployment"
        code, out, _ = await kubectl(server, tmp_path, "get", "--raw", path)
        assert (code, json.loads(out)["items"][0]["value"]) == (0, "24500m")
        code, _, err = await kubectl(server, tmp_path, "get", "--raw", f"{EXTERNAL}/vllm_request_running")
        assert code == 1
        assert err.startswith("Error from server (NotFound): the server could not find the metric vllm_request_running")
        code, _, err = await kubectl(server, tmp_path, "get", "--raw", f"{EXTERNAL}/inflight_requests")
        assert err.startswith("Error from server (ServiceUnavailable): the value is not known now")
        code, _, err = await kubectl(server, tmp_path, "get", "--raw", "/apis", token="wrong")
        assert (code, "Unauthorized" in err) == (1, True)


async def test_kubectl_finds_the_groups_by_discovery(pods: Any, clock: Any, tmp_path: Path) -> None:
    async with start_server(pods, clock) as server:
        code, out, err = await kubectl(server, tmp_path, "api-versions")
        assert code == 0, err
        assert out.split() == [
            "custom.metrics.k8s.io/v1beta1",
            "custom.metrics.k8s.io/v1beta2",
            "external.metrics.k8s.io/v1beta1",
        ]
        code, out, err = await kubectl(server, tmp_path, "api-resources", "--api-group=external.metrics.k8s.io")
        assert code == 0, err
        assert "inflight_requests_waiting" in out
        # Custom metrics have a slash in their name, and kubectl leaves such out; it reads their groups all the same.
        code, out, err = await kubectl(server, tmp_path, "api-resources", "--output=name")
        assert code == 0, err
        names = out.split()
        assert names
        assert all(name.endswith(".external.metrics.k8s.io") and "/" not in name for name in names)


async def test_kubectl_reads_the_version(pods: Any, clock: Any, tmp_path: Path) -> None:
    async with start_server(pods, clock) as server:
        code, out, err = await kubectl(server, tmp_path, "version", "--output=json")
        assert code == 0, err
        version = json.loads(out)["serverVersion"]
        assert version["major"].isdecimal()
        assert version["minor"].rstrip("+").isdecimal()
        assert version["gitVersion"].startswith("v")


async def test_a_workload_is_asked_for_by_its_name(pods: Any, clock: Any, tmp_path: Path) -> None:
    """Without a cluster no workload is known, and the sentence says so."""
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/deployments.apps/llm/inflight_requests"
    async with start_server(pods, clock) as server:
        code, _, err = await kubectl(server, tmp_path, "get", "--raw", path)
        assert code == 1
        assert err.startswith("Error from server (NotFound)")
        assert "llm" in err


async def test_kubectl_can_read_the_release(pods: Any, clock: Any, tmp_path: Path) -> None:
    async with start_server(pods, clock) as server:
        code, out, err = await kubectl(server, tmp_path, "version", "-o", "json")
        assert code == 0, err
        assert json.loads(out)["serverVersion"]["gitVersion"] == f"v{to_semver(__version__)}"
        code, out, err = await kubectl(server, tmp_path, "version")
        assert code == 0, err
        assert "Server Version: v" in out
        assert "could not parse" not in err
