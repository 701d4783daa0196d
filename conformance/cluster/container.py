# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Inflight's own pods: the container's command as the Deployment has it, under its service account's own token.

Its arguments and its account come from the pod in the API, not from a file; the token is asked for as a kubelet asks,
bound to the pod, and renewed while it runs. Only the network is another: both replicas have one machine's ports, so
that the second one to start gets another `--secure-port`.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import isolation
from engine import INFLIGHT, PROBE_SECONDS, end
from pods import Pod
from processes import marked
from splice import Splice

from inflight.cluster import Client, ClusterError

TOKEN_SECONDS = 600
"""The shortest that an API server gives."""
STOP_SECONDS = 15.0
PORT_FLAG = "--secure-port"


class Replica:
    """One pod of Inflight; `Content` of its pod. `api` stands between it and the API server."""

    def __init__(
        self, client: Client, pod: Pod, *, folder: Path, ca: Path, api: Splice, port: int | None = None
    ) -> None:
        """`port` instead of the one in its arguments, where that is taken."""
        self._client = client
        self.pod = pod
        self.api = api
        self._container: Mapping[str, Any] = pod.plain["spec"]["containers"][0]
        # Where there is one place for all, its files are those of no pod, and outlive each.
        self._is_alone = isolation.kind() != "folder"
        self._account = folder / (pod.name if self._is_alone else "account")
        self._ca = ca
        self.log = folder / f"inflight-{pod.name}.log"
        self.arguments = [str(each) for each in self._container["args"]]
        self.wants_port = int(self.arguments[self.arguments.index(PORT_FLAG) + 1])
        if port is not None:
            self.arguments[self.arguments.index(PORT_FLAG) + 1] = str(port)
        self.port = self.wants_port if port is None else port
        self._process: asyncio.subprocess.Process | None = None
        self._renewing: asyncio.Task[None] | None = None
        self.renews = True
        """Taken back by a test that lets the token end."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def start(self) -> None:
        await self.api.start()
        self._account.mkdir(exist_ok=True)
        (self._account / "ca.crt").write_bytes(self._ca.read_bytes())
        (self._account / "namespace").write_text(self.pod.namespace)
        # A container that is started again finds the files of its pod as they were.
        if not (self._account / "token").exists():
            await self.renew()
        self._renewing = asyncio.create_task(self._renew_on_time())
        user = int((self.pod.plain["spec"].get("securityContext") or {}).get("runAsUser", os.getuid()))
        program: list[str | Path] = [INFLIGHT, *self.arguments]
        if isolation.kind() == "kubeconfig":
            program += ["--kubeconfig", str(self._write_kubeconfig())]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.api.port),
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(part) for part in isolation.command(program, self._account, user)),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=marked(environment), cwd="/",
            )  # fmt: skip

    async def renew(self) -> None:
        """A new token in the place of the old one, written beside it first: nobody reads a half."""
        spec: dict[str, Any] = {"expirationSeconds": TOKEN_SECONDS}
        if self._is_alone:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": self.pod.name, "uid": self.pod.uid}
        account = self.pod.plain["spec"].get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{self.pod.namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        self.write_token((await self._client.create(path, body))["status"]["token"])

    def write_token(self, token: str) -> None:
        unfinished = self._account / "token.unfinished"
        unfinished.touch(mode=0o600)
        unfinished.write_text(token)
        unfinished.rename(self._account / "token")

    def token_claims(self) -> dict[str, Any]:
        body = (self._account / "token").read_text().split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims

    async def is_ready(self) -> bool:
        """As the readiness probe asks. A kubelet does not look at the certificate either."""
        probe = self._container["readinessProbe"]["httpGet"]
        return (await self.ask(probe["path"]))[0] == 200

    async def ask(self, path: str) -> tuple[int, str]:
        """As nobody in particular; status 0 where nobody answers."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)
                ) as session,
                session.get(f"https://127.0.0.1:{self.port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, str(error)

    async def ended(self) -> None:
        assert self._process is not None
        await self._process.wait()

    async def stop(self) -> None:
        """After the pause that its `preStop` asks for, if it was deleted."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._process is None:
            await self.api.stop()
            return
        hook = (self._container.get("lifecycle") or {}).get("preStop", {}).get("sleep", {})
        try:
            if self.pod.deleted.is_set():
                await asyncio.sleep(float(hook.get("seconds", 0)))
        finally:
            await end(self._process, STOP_SECONDS)
            await self.api.stop()

    def kill(self) -> None:
        """As a node that dies."""
        os.kill(self.pid, signal.SIGKILL)

    async def _renew_on_time(self) -> None:
        """When four fifths of its life are over, as a kubelet does."""
        while True:
            await asyncio.sleep(max(1.0, 0.8 * (self.token_claims()["exp"] - time.time())))
            if self.renews:
                with contextlib.suppress(ClusterError):
                    await self.renew()

    def _write_kubeconfig(self) -> Path:
        file = self._account / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{self.api.port}", "certificate-authority": "ca.crt"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "run",
            "clusters": [{"name": "run", "cluster": cluster}],
            "users": [{"name": "run", "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "run", "context": {"cluster": "run", "user": "run"}}],
        }
        file.write_text(json.dumps(document))
        return file
