# ruff: noqa: ASYNC110, INP001, T201 - scripts of the conformance suite, not a package.
"""What a situation is set up with, and how the command's answer is held against what the real controller does next."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from control_plane import ControlPlane
from metrics_api import MetricsApi, api_services
from played_pods import NAMESPACE, PlayedPods

from inflight.cluster import Client

INFLIGHT = Path(sys.executable).with_name("inflight")
HPAS = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SYNC_SECONDS = 3.0
WAIT_SECONDS = 90.0
FLAGS = {
    "sync-period": "3s",
    "downscale-stabilization": "60s",
    "initial-readiness-delay": "1s",
}
AT_ONCE = 2
Plain = dict[str, Any]


class CheckError(AssertionError):
    """The command said something else than the controller did, or not what it should."""


class Answer(msgspec.Struct, frozen=True):
    plain: Plain
    text: str

    @property
    def explanation(self) -> Plain:
        found: Plain = self.plain["explanation"]
        return found


class Stand:
    """One run's control plane with its metrics and pods."""

    def __init__(self, plane: ControlPlane, client: Client, metrics: MetricsApi, pods: PlayedPods, keep: Path) -> None:
        self.plane, self.client, self.metrics, self.pods = plane, client, metrics, pods
        self.keep = keep
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._begun = time.monotonic()
        self.compared = 0

    def say(self, sentence: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {sentence}", flush=True)

    async def deploy(self, name: str, replicas: int, *, cpu: str = "1", labels: dict[str, str] | None = None) -> None:
        """Until its status counts them: an average is over those."""
        await self.client.create(DEPLOYMENTS, deployment(name, replicas, cpu, labels or {}))
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self.client.get(f"{DEPLOYMENTS}/{name}"))["status"].get("readyReplicas", 0) < replicas:
                await asyncio.sleep(0.2)

    async def autoscale(self, name: str, *metrics: Plain, minimum: int = 1, most: int = 10, **spec: Any) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        body = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": most, "metrics": list(metrics), **spec,
            },
        }  # fmt: skip
        await self.client.create(HPAS, body)

    async def hpa(self, name: str) -> Plain:
        plain: Plain = await self.client.get(f"{HPAS}/{name}")
        return plain

    async def status(self, name: str) -> Plain:
        found: Plain = (await self.hpa(name)).get("status") or {}
        return found

    async def replicas(self, name: str) -> int:
        count: int = (await self.client.get(f"{DEPLOYMENTS}/{name}"))["spec"]["replicas"]
        return count

    async def set_replicas(self, name: str, count: int) -> None:
        await self._patch(f"{DEPLOYMENTS}/{name}/scale", {"spec": {"replicas": count}})

    async def patch_template(self, name: str, labels: dict[str, str]) -> None:
        await self._patch(f"{DEPLOYMENTS}/{name}", {"spec": {"template": {"metadata": {"labels": labels}}}})

    async def create_api_services(self, group: str) -> None:
        for path, plain in api_services(group, self.metrics.port):
            await self.client.create(path, plain)

    async def restart_controllers(self) -> None:
        """Another process with an empty memory; the lease of the one before has to end first."""
        self.plane.restart_one("kube-controller-manager")

    async def _patch(self, path: str, body: Plain) -> None:
        content = "application/merge-patch+json"
        await self.client.request("PATCH", path, body=body, content_type=content)

    async def has_pods(self, app: str, count: int) -> None:
        """Waits until so many are there."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.pods.of_app(app)) < count:
                await asyncio.sleep(0.2)

    async def until(self, what: str, holds: Callable[[Plain], bool], name: str, seconds: float = WAIT_SECONDS) -> Plain:
        """Waits for the HPA's status. Raises CheckError with what it was last."""
        deadline = time.monotonic() + seconds
        status: Plain = {}
        while time.monotonic() < deadline:
            self.plane.check()
            status = await self.status(name)
            if holds(status):
                return status
            await asyncio.sleep(0.2)
        raise CheckError(f"{name}: not within {seconds:g} s: {what}; last: {json.dumps(status)[:1500]}")

    async def ask(self, name: str, *arguments: str, code: int = 0) -> Answer:
        """Both forms of the answer, the JSON one first."""
        async with self._asking:
            plain = json.loads(await self._run(name, "-o", "json", *arguments, code=code))
            text = await self._run(name, *arguments, code=code)
        (self.keep / f"{name}.txt").write_text(text)
        return Answer(plain, " ".join(text.split()))

    async def _run(self, name: str, *arguments: str, code: int) -> str:
        return (await self.run(self.command(name, *arguments), code))[0]

    async def run(self, command: list[str], code: int = 0) -> tuple[str, str]:
        """What was printed and what was complained of. Raises CheckError for another exit code."""
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        if process.returncode != code:
            raise CheckError(f"{' '.join(command)} ended with {process.returncode}: {out.decode()}{err.decode()}")
        return out.decode(), err.decode()

    def command(self, name: str, *arguments: str) -> list[str]:
        flags = [part for flag, value in FLAGS.items() for part in ("--controller", f"{flag}={value}")]
        place = ["-n", NAMESPACE, "--kubeconfig", str(self.plane.admin_kubeconfig)]
        return [str(INFLIGHT), "explain", f"hpa/{name}", *place, *flags, *arguments]

    async def compare(self, name: str, answer: Answer, before: int) -> Plain:
        """The next syncs of the controller: the same count, for the same reasons. `before`: what the count was."""
        explanation = answer.explanation
        memory, after = explanation["memory"], explanation["replicas_after"]
        if explanation["replicas_before"] != before:
            raise CheckError(f"{name}: {explanation['replicas_before']} said, {before} there")
        failed = explanation["outcome"] not in {"Unchanged", "Rescaled"}
        if after == before:
            # Two periods, and then what stands there is of a sync after the look.
            await asyncio.sleep(2.2 * SYNC_SECONDS)
            status = await self.status(name)
        else:
            status = await self.until("a rescale", lambda seen: seen.get("desiredReplicas") != before, name, 15)
        # A sync that comes to nothing leaves the desired count of an earlier one.
        desired = await self.replicas(name) if failed else status.get("desiredReplicas", 0)
        if not memory["lowest"] <= desired <= memory["highest"]:
            raise CheckError(f"{name}: {memory['lowest']} to {memory['highest']} said, {desired} done: {answer.text}")
        if memory["certainty"] != "Range" and desired != after:
            raise CheckError(f"{name}: {after} said for sure, {desired} done: {answer.text}")
        self._compare_reasons(name, explanation, status, rescaled=after != before)
        self.compared += 1
        return status

    def _compare_reasons(self, name: str, explanation: Plain, status: Plain, *, rescaled: bool) -> None:
        trace = explanation["trace"]
        conditions = {each["type"]: each for each in status["conditions"]}
        expected = {}
        if trace["branch"] == "ScalingDisabled":
            expected["ScalingActive"] = "ScalingDisabled"
        elif trace["combination"] is not None and trace["combination"]["verdict"] == "ValidMetricFound":
            expected["ScalingActive"] = "ValidMetricFound"
        if trace["stabilization"] is not None and explanation["memory"]["certainty"] != "Range":
            expected["AbleToScale"] = "SucceededRescale" if rescaled else trace["stabilization"]["reason"]
        if trace["limits"] is not None and explanation["memory"]["certainty"] != "Range":
            expected["ScalingLimited"] = trace["limits"]["reason"]
        for kind, reason in expected.items():
            if conditions[kind]["reason"] != reason:
                raise CheckError(f"{name}: {kind} {reason} said, {conditions[kind]} there")
        errors = [metric["error"] for metric in trace["metrics"] if metric["error"]]
        if explanation["outcome"] == "InvalidMetrics" and errors:
            message = f"the HPA was unable to compute the replica count: {errors[0]}"
            if conditions["ScalingActive"]["message"] != message:
                raise CheckError(f"{name}: {message!r} said, {conditions['ScalingActive']['message']!r} there")


def expect(name: str, answer: Answer, *phrases: str) -> None:
    for phrase in phrases:
        if phrase not in answer.text:
            raise CheckError(f"{name}: {phrase!r} is not said in: {answer.text}")


def deployment(name: str, replicas: int, cpu: str, labels: dict[str, str]) -> Plain:
    container = {"name": "engine", "image": "played.invalid/engine:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": name, **labels}}, "spec": {"containers": [container]}},
        },
    }


def external(metric: str, average: str, **more: Any) -> Plain:
    target = {"type": "AverageValue", "averageValue": average}
    return {"type": "External", "external": {"metric": {"name": metric, **more}, "target": target}}


def cpu(percent: int) -> Plain:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def able(status: Plain) -> str:
    return reason(status, "AbleToScale")


def reason(status: Plain, kind: str) -> str:
    return next((each["reason"] for each in status.get("conditions") or () if each["type"] == kind), "")
