# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""One run's stage: the control plane, the played kubelets, Inflight behind its APIServices; and a test's questions."""

import asyncio
import base64
import contextlib
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import isolation
import manifests
from container import Replica
from control_plane import ControlPlane, free_ports
from engine import Content
from kubectl import Kubectl, Plain, apply, merge, read_objects
from pods import Kubelet, Pod
from programs import CACHE, ROOT, Programs
from splice import Splice

from inflight.cluster import Client, ClusterError, read_kubeconfig

RECORDING = CACHE / "recording.jsonl"
MANIFEST = ROOT / "deploy" / "install.yaml"
WAIT_SECONDS = 90.0
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SECRET = f"/api/v1/namespaces/{manifests.SYSTEM}/secrets/inflight-serving"


class CheckError(AssertionError):
    """What was to be seen was not."""


class Waiting(Exception):  # noqa: N818 - no error yet
    """What is seen is not yet what is waited for."""


class NotRun(Exception):  # noqa: N818 - no error
    """A part cannot be run here: why."""


class Stage:
    """`service` plays the Service in front of Inflight's replicas that are Ready."""

    def __init__(self, plane: ControlPlane, programs: Programs, client: Client) -> None:
        self.plane = plane
        self.client = client
        self.kubectl = None
        if programs.kubectl is not None:
            self.kubectl = Kubectl(programs.kubectl, plane.admin_kubeconfig, plane.folder)
        self.kubelet = Kubelet(client, plane.folder, self._make, say=self.say)
        self.kubelet.changed = self._route
        self.service = Splice(plane.inflight_port)
        self.not_run: list[str] = []
        """What could not be looked at here, and why."""
        self._serving_ca = ""
        self._begun = time.monotonic()
        self._playing: list[asyncio.Task[None]] = []

    def say(self, sentence: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {sentence}", flush=True)

    # --- Inflight -----------------------------------------------------------------------------------------------

    @property
    def replicas(self) -> list[Replica]:
        """Inflight's, the oldest first; without one that has ended and is about to be taken out of the API."""
        there = (pod for pod in self.kubelet.pods.values() if pod.is_ready or not pod.deleted.is_set())
        return [pod.content for pod in there if isinstance(pod.content, Replica)]

    @property
    def ready_replicas(self) -> list[Replica]:
        return [each for each in self.replicas if each.pod.is_ready]

    def said(self) -> str:
        """The logs of all replicas that there were."""
        logs = sorted(self.plane.folder.glob("inflight-*.log"))
        return "".join(log.read_text(errors="replace") for log in logs)

    async def serving_ca(self) -> str:
        """What Inflight is to be known by, from its Secret; as it was last read, while the API server is away."""
        with contextlib.suppress(ClusterError):
            self._serving_ca = base64.b64decode((await self.client.get(SECRET))["data"]["ca.crt"]).decode()
        return self._serving_ca

    def _make(self, pod: Pod) -> Content | None:
        name = pod.labels.get("app.kubernetes.io/name")
        if pod.namespace != manifests.SYSTEM or name != "inflight":
            return None
        api = Splice(backends=(("127.0.0.1", self.plane.port),))
        ca = self.plane.folder / "cluster-ca.pem"
        replica = Replica(self.client, pod, folder=self.plane.folder, ca=ca, api=api)
        if replica.port in {each.port for each in self.replicas} or not _is_free(replica.port):
            (port,) = free_ports(1)
            replica = Replica(self.client, pod, folder=self.plane.folder, ca=ca, api=api, port=port)
        return replica

    def _route(self) -> None:
        self.service.backends = tuple(("127.0.0.1", each.port) for each in self.ready_replicas)

    async def install(self) -> None:
        """The manifest as it is. Raises CheckError where two replicas do not get Ready on it."""
        await apply(self.kubectl, self.client, read_objects(MANIFEST))
        await self.until("two replicas of Inflight are Ready", self._two_ready)
        await self.set_network()
        await self.until("APIServices Available", self.available)

    async def set_network(self) -> None:
        """In place of the one that this machine has not. Only now, as a Service whose pods are Ready only now has
        endpoints in a cluster: the aggregator waits longer each time that it finds nobody.
        """
        name = {"type": "ExternalName", "externalName": "localhost"}
        await merge(self.client, f"/api/v1/namespaces/{manifests.SYSTEM}/services/inflight", {"spec": name})
        for group, version in manifests.API_SERVICES:
            port = {"spec": {"service": {"port": self.plane.inflight_port}}}
            await merge(self.client, f"{APISERVICES}/{version}.{group}", port)

    def manifest_with_network(self) -> list[Plain]:
        """What `install` left, as one would keep it in a repository of one's own."""
        objects = read_objects(MANIFEST)
        for plain in objects:
            if plain["kind"] == "Service":
                plain["spec"] |= {"type": "ExternalName", "externalName": "localhost"}
            elif plain["kind"] == "APIService":
                plain["spec"]["service"]["port"] = self.plane.inflight_port
        return objects

    # --- questions ----------------------------------------------------------------------------------------------

    async def create(self, *objects: tuple[str, Plain]) -> None:
        for path, plain in objects:
            await self.client.create(path, plain)

    async def delete(self, path: str, *, gone: bool = False) -> None:
        """With `gone` it may be away already."""
        try:
            await self.client.request("DELETE", path)
        except ClusterError:
            if not gone:
                raise

    async def until(self, what: str, holds: Callable[[], Awaitable[Any]], seconds: float = WAIT_SECONDS) -> Any:
        """Asks until it holds. Raises CheckError with what was seen last."""
        deadline = time.monotonic() + seconds
        seen: Any = None
        while time.monotonic() < deadline:
            self.check()
            try:
                seen = await holds()
            except (ClusterError, Waiting) as error:
                seen = error
            else:
                if seen:
                    return seen
            await asyncio.sleep(0.2)
        raise CheckError(f"not within {seconds:g} s: {what}; seen last: {seen!r}")

    def check(self) -> None:
        """Raises where something that everything stands on has ended."""
        self.plane.check()
        for task in self._playing:
            if task.done():
                task.result()
                raise CheckError("the played kubelet has ended")

    async def deployment_replicas(self, name: str, namespace: str = manifests.INFERENCE) -> int:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        count: int = (await self.client.get(path))["spec"]["replicas"]
        return count

    async def hpa(self, name: str, namespace: str = manifests.INFERENCE) -> Plain:
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
        plain: Plain = await self.client.get(path)
        return plain

    async def condition(self, name: str, kind: str, namespace: str = manifests.INFERENCE) -> Plain:
        """One condition of an autoscaler; raises Waiting while it has none."""
        status = (await self.hpa(name, namespace)).get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == kind:
                found: Plain = condition
                return found
        raise Waiting(f"{name} has no condition {kind} yet")

    async def available(self) -> bool:
        """Whether each of the three APIServices says so; raises Waiting with the first that does not."""
        for group, version in manifests.API_SERVICES:
            plain = await self.client.get(f"{APISERVICES}/{version}.{group}")
            conditions = {each["type"]: each for each in (plain.get("status") or {}).get("conditions") or ()}
            condition = conditions.get("Available")
            if condition is None or condition["status"] != "True":
                raise Waiting(f"{version}.{group}: {(condition or {}).get('message', 'no condition yet')}")
        return True

    async def _two_ready(self) -> bool:
        if len(self.ready_replicas) != 2:
            raise Waiting(f"/readyz: {[await each.ask('/readyz') for each in self.replicas]}; {self.said()[-500:]}")
        return True

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Kubelets at work and the Service listening, within the block."""
        await self.service.start()
        self._playing.append(asyncio.create_task(self.kubelet.run()))
        try:
            yield
        finally:
            for task in self._playing:
                task.cancel()
            for outcome in await asyncio.gather(*self._playing, return_exceptions=True):
                if isinstance(outcome, Exception):
                    print(f"the played kubelet ended with {outcome!r}", file=sys.stderr)
            await self.service.stop()
            isolation.tidy()


@contextlib.asynccontextmanager
async def stage(plane: ControlPlane, programs: Programs) -> AsyncIterator[Stage]:
    """Everything that is needed, up; and down again at the end of the block."""
    log = plane.folder / "stage.log"
    logging.basicConfig(filename=log, format="%(asctime)s %(message)s", force=True)
    async with Client(read_kubeconfig(plane.admin_kubeconfig)) as client:
        scene = Stage(plane, programs, client)
        async with scene.open():
            await scene.create(manifests.namespace(manifests.INFERENCE))
            await scene.install()
            how = "kubectl apply" if scene.kubectl else "server-side apply"
            scene.say(f"{MANIFEST.relative_to(ROOT)} applied ({how}); two replicas Ready, three APIServices Available")
            yield scene


async def all_at_once(*checks: Coroutine[Any, Any, None]) -> None:
    """Each to its end, whatever becomes of the others. Raises what went wrong, together."""
    outcomes = await asyncio.gather(*checks, return_exceptions=True)
    if wrong := [outcome for outcome in outcomes if isinstance(outcome, Exception)]:
        raise ExceptionGroup(f"{len(wrong)} of {len(checks)}", wrong)


def _is_free(port: int) -> bool:
    """On every address, as Inflight takes it."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        with socket.create_server(("", port), family=family, dualstack_ipv6=family == socket.AF_INET6):
            return True
    except OSError:
        return False
