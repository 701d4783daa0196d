# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Plays scheduler and kubelet: binds every pod to a fake node, runs what is in it, and reports how it is.

Each pod has an address of its own in 127.0.0.0/8 and a real process behind it: an emulated engine, or Inflight itself.
It is Running from the start, Ready while its probe says so; what ends by itself is started again and counted; a pod
that is deleted is ended and then taken out of the API. A pod that the machine has no memory for stays Pending, and its
condition says why, as where a scheduler finds no node.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine import Content, Engine, Nothing, Play, port_of

from inflight.cluster import ApiError, Client, ClusterError, Reflector

NODE = "played-node"
PODS = "/api/v1/pods"
PROBE_SECONDS = 0.2
STEADY_PROBE_SECONDS = 1.0
RETRY_SECONDS = 0.2
POD_KIB = 40 << 10
"""Of an emulated engine, what it does not share with the others (30 MiB), and the kernel's part."""
SPARE_KIB = 1 << 20
"""For Inflight, for what the control plane grows by, and for whoever else is there."""
MOST_PODS = 1000
STARTS_AT_ONCE = 8
"""On two cores a Python that starts takes most of a second, and a hundred at once keep everybody waiting."""
START_SECONDS = 5.0
"""Others do not wait longer for it: it may be one that loads its weights."""
MERGE = "application/strategic-merge-patch+json"

_log = logging.getLogger(__name__)

Plain = Mapping[str, Any]


class Pod:
    """One pod for as long as it is there."""

    def __init__(self, plain: Plain, address: str) -> None:
        self.plain = plain
        self.address = address
        self.content: Content = Nothing()
        self.is_ready = False
        self.restarts = 0
        self.started = now()
        self.deleted = asyncio.Event()
        """It is to go, or is gone already."""
        self.news = asyncio.Event()
        """Something about it is to be reported."""

    @property
    def name(self) -> str:
        return str(self.plain["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.plain["metadata"]["namespace"])

    @property
    def labels(self) -> Mapping[str, str]:
        return self.plain["metadata"].get("labels") or {}

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def uid(self) -> str:
        return str(self.plain["metadata"]["uid"])

    @property
    def url(self) -> str:
        """Of its engine; empty where it has none."""
        return self.content.url if isinstance(self.content, Engine) else ""


class Kubelet:
    """Runs until cancelled; then everything that it started is ended. `pods` is by uid.

    `make` gives what is in a pod, or None for an engine as `plays` has it under the pod's label `app`.
    """

    def __init__(
        self,
        client: Client,
        folder: Path,
        make: Callable[[Pod], Content | None] = lambda _: None,
        *,
        most: int | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`most` pods at a time, by default as many as there is memory for; `say` is told when one has to wait."""
        self._client = client
        self._log = folder / "emulators.log"
        self._make = make
        self._news = asyncio.Event()
        self._reflector: Reflector[dict[str, Any]] = Reflector(
            client, PODS, decode=dict, changed=lambda _: self._news.set(), backoff_seconds=(0.2, 1.0)
        )
        self.pods: dict[str, Pod] = {}
        self.plays: dict[str, Play] = {}
        self.changed: Callable[[], None] = lambda: None
        """Told whenever a pod has become Ready, is so no longer, or has gone."""
        self.most = _room() if most is None else most
        self._say = say
        self._waiting: set[str] = set()
        """Pods without a place, by uid."""
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        # A block of its own, so that two runs on one machine do not meet.
        block = f"127.{64 + secrets.randbelow(128)}"
        third = secrets.randbelow(256)
        places = (divmod(number, 249) for number in range(self.most))
        self._addresses = [f"{block}.{(third + more) % 256}.{last + 2}" for more, last in places][::-1]

    def of(self, app: str, namespace: str = "") -> list[Pod]:
        """The Ready pods with this label `app`."""
        return [
            pod
            for pod in self.pods.values()
            if pod.is_ready and pod.labels.get("app") == app and namespace in {"", pod.namespace}
        ]

    async def run(self) -> None:
        await self._create_node()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run())
            while True:
                await self._news.wait()
                self._news.clear()
                objects = self._reflector.objects.values()
                there: dict[str, Plain] = {plain["metadata"]["uid"]: plain for plain in objects}
                # Of one that we have just taken out of the API the news may still be on its way.
                wanted = {uid: plain for uid, plain in there.items() if "deletionTimestamp" not in plain["metadata"]}
                for uid, pod in self.pods.items():
                    if uid not in wanted:
                        pod.deleted.set()
                new: list[Plain] = [plain for uid, plain in wanted.items() if uid not in self.pods]
                for plain in new[: len(self._addresses)]:
                    pod = Pod(plain, self._addresses.pop())
                    self.pods[pod.uid] = pod
                    group.create_task(self._live(pod))
                for plain in self._without_a_place(wanted):
                    group.create_task(self._leave_pending(plain))

    def _without_a_place(self, wanted: Mapping[str, Plain]) -> list[Plain]:
        """Those that are so since now. The first of them is told of."""
        waiting = {uid for uid in wanted if uid not in self.pods}
        new = waiting - self._waiting
        if waiting and not self._waiting:
            self._say(f"{len(waiting)} pods stay Pending: this machine plays {self.most} at most, for want of memory")
        self._waiting = waiting
        return [wanted[uid] for uid in new]

    async def _leave_pending(self, plain: Plain) -> None:
        pod = Pod(plain, "")
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": f"0/1 nodes are available: 1 Too many pods: this machine plays {self.most} at most.",
            "lastTransitionTime": now(),
        }
        body = {"status": {"phase": "Pending", "conditions": [condition]}}
        # One that has gone, or that changes meanwhile, is looked at again as it is then.
        with contextlib.suppress(ClusterError):
            await self._client.request("PATCH", f"{pod.path}/status", body=body, content_type=MERGE)

    async def _live(self, pod: Pod) -> None:
        tasks = [asyncio.create_task(each) for each in (self._run(pod), self._report(pod), pod.deleted.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pod.is_ready = False
            self.changed()
        await self._insist(pod, lambda: self._remove(pod))
        self.pods.pop(pod.uid, None)
        # The address that was used last is the last to be used again.
        self._addresses.insert(0, pod.address)
        self._news.set()

    async def _run(self, pod: Pod) -> None:
        if not pod.plain["spec"].get("nodeName"):
            await self._insist(pod, lambda: self._bind(pod))
        pod.content = self._make(pod) or self._engine(pod)
        while True:
            try:
                ended = await self._start(pod)
                try:
                    await self._probe(pod, ended)
                finally:
                    ended.cancel()
            finally:
                await pod.content.stop()
            # A crash. Real kubelets wait longer each time.
            pod.restarts += 1
            _log.warning("event=restarted pod=%s restarts=%d", pod.name, pod.restarts)

    async def _start(self, pod: Pod) -> "asyncio.Task[None]":
        """What is waiting for its end. It is given time to start before too many others do."""
        self._tell(pod, ready=False)
        async with self._starts:
            await pod.content.start()
            ended = asyncio.create_task(pod.content.ended())
            try:
                async with asyncio.timeout(START_SECONDS):
                    while not ended.done() and not await pod.content.is_ready():
                        await asyncio.wait((ended,), timeout=PROBE_SECONDS)
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                ended.cancel()
                raise
        return ended

    async def _probe(self, pod: Pod, ended: "asyncio.Task[None]") -> None:
        """Until it has ended."""
        while not ended.done():
            ready = await pod.content.is_ready()
            if ready != pod.is_ready:
                self._tell(pod, ready=ready)
            await asyncio.wait((ended,), timeout=STEADY_PROBE_SECONDS if ready else PROBE_SECONDS)
        ended.result()
        self._tell(pod, ready=False)

    def _tell(self, pod: Pod, *, ready: bool) -> None:
        """Not waited for: what is in a pod goes on while the API server is away."""
        pod.is_ready = ready
        pod.news.set()
        self.changed()

    async def _report(self, pod: Pod) -> None:
        while True:
            await pod.news.wait()
            pod.news.clear()
            await self._insist(pod, lambda: self._patch(pod))

    async def _patch(self, pod: Pod) -> None:
        status = {"status": _status(pod)}
        await self._client.request("PATCH", f"{pod.path}/status", body=status, content_type=MERGE)

    def _engine(self, pod: Pod) -> Content:
        play = self.plays.get(pod.labels.get("app", ""), Play())
        port = port_of(pod.plain, play)
        return Nothing() if port is None or not play.engine else Engine(pod.address, port, play, self._log)

    async def _insist(self, pod: Pod, ask: Callable[[], Awaitable[Any]]) -> None:
        """Until the API server has taken it, or the pod is not there any more."""
        while True:
            try:
                await ask()
            except ApiError as error:
                if error.code in {404, 409}:
                    return
                _log.warning("event=refused pod=%s why=%r", pod.name, str(error))
            except ClusterError as error:
                _log.warning("event=not_told pod=%s why=%r", pod.name, str(error))
            else:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _bind(self, pod: Pod) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        await self._client.create(f"{pod.path}/binding", binding)

    async def _remove(self, pod: Pod) -> None:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod.uid},
        }
        await self._client.request("DELETE", pod.path, body=options)

    async def _create_node(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        with contextlib.suppress(ApiError):
            await self._client.create("/api/v1/nodes", node)


def _room() -> int:
    """How many pods this machine has the memory for, now."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return max(1, min(MOST_PODS, (available - SPARE_KIB) // POD_KIB))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(pod: Pod) -> dict[str, Any]:
    ready, at = str(pod.is_ready), now()
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": at}
        for kind, status in (
            ("PodScheduled", "True"),
            ("Initialized", "True"),
            ("ContainersReady", ready),
            ("Ready", ready),
        )
    ]
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": pod.is_ready,
            "started": True,
            "restartCount": pod.restarts,
            "state": {"running": {"startedAt": at}},
        }
        for container in pod.plain["spec"]["containers"]
    ]
    return {
        "phase": "Running",
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "hostIP": "127.0.0.1",
        "startTime": pod.started,
        "conditions": conditions,
        "containerStatuses": containers,
    }
