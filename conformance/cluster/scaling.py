# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The stock HPA scales a Deployment up and down on what Inflight says: an External metric, then a Pods metric."""

from typing import Any

import manifests
from load import Load
from stage import CheckError, Stage, Waiting

IN_FLIGHT_PER_REPLICA = 8
MOST = 4


async def scaling(scene: Stage) -> None:
    external = manifests.external_metric("inflight_requests", "by-external", IN_FLIGHT_PER_REPLICA)
    await up_and_down(scene, "by-external", external)
    await up_and_down(scene, "by-pods", manifests.pods_metric("inflight_requests", IN_FLIGHT_PER_REPLICA))
    # As guides write it: the engine's own name, in words of an adapter's rule.
    guides = manifests.external_metric("vllm_requests_running", "vllm-deployment", IN_FLIGHT_PER_REPLICA)
    await up_and_down(scene, "vllm-deployment", guides)


async def up_and_down(scene: Stage, name: str, metric: dict[str, Any]) -> None:
    """From one replica to the three that the load needs, and back when the load goes."""
    await scene.create(manifests.deployment(name, 1))
    await scene.until(f"one pod of {name} runs", lambda: _running(scene, name, 1))
    load = Load(scene.runner, name)
    try:
        await scene.create(manifests.autoscaler(name, metric, most=MOST, down_seconds=5))
        await load.set(3 * IN_FLIGHT_PER_REPLICA)
        await scene.until(f"{name} is scaled to 3", lambda: _is_scaled_to(scene, name, 3))
        await scene.until(f"three pods of {name} run", lambda: _running(scene, name, 3))
        await scene.until(f"the HPA of {name} shows its value", lambda: _shows_value(scene, name))
        await scene.until(
            "what is asked through the aggregator is 24", lambda: _read_through_the_aggregator(scene, name)
        )
        scene.say(f"{name}: 24 in flight, 8 wanted at a replica: scaled from 1 to 3")
        await load.set(4)
        await scene.until(f"{name} is scaled to 1", lambda: _is_scaled_to(scene, name, 1))
        await scene.until(f"one pod of {name} is left", lambda: _running(scene, name, 1))
        scene.say(f"{name}: 4 in flight: scaled back to 1")
    finally:
        await load.close()


async def _is_scaled_to(scene: Stage, name: str, wanted: int) -> bool:
    now = await scene.replicas(name)
    if now > max(wanted, 3):
        raise CheckError(f"{name} was scaled to {now}, above what the load needs")
    if now != wanted:
        conditions = (await scene.hpa(name)).get("status", {}).get("conditions") or ()
        said = "; ".join(f"{each['type']} {each['status']}: {each['message']}" for each in conditions)
        raise Waiting(f"{now} replicas; {said}")
    return True


async def _running(scene: Stage, name: str, wanted: int) -> bool:
    running = [each.pod.name for each in scene.runner.running.values() if each.pod.labels.get("app") == name]
    return len(running) == wanted


async def _shows_value(scene: Stage, name: str) -> bool:
    """`kubectl get hpa` reads its TARGETS column from there."""
    status = (await scene.hpa(name))["status"]
    active = {each["type"]: each["status"] for each in status["conditions"]}
    current = status.get("currentMetrics") or [{}]
    kind = current[0].get("type", "").lower()
    value = current[0].get(kind, {}).get("current", {}).get("averageValue")
    return active.get("ScalingActive") == "True" and bool(value)


async def _read_through_the_aggregator(scene: Stage, name: str) -> bool:
    """What `kubectl get --raw` shows: one sum, and the same by pod."""
    params = {"labelSelector": f"app={name}"}
    external = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{manifests.INFERENCE}/inflight_requests"
    custom = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{manifests.INFERENCE}/pods/*/inflight_requests"
    total = [each["value"] for each in (await scene.client.get(external, params))["items"]]
    by_pod = [int(each["value"]) for each in (await scene.client.get(custom, params))["items"]]
    if total != ["24"] or len(by_pod) != 3 or sum(by_pod) != 24:
        raise Waiting(f"in all {total}, by pod {by_pod}")
    return True
