# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The ten questions, each set up on the real control plane, asked of the command, and compared with the next syncs."""

import asyncio
import json
import shutil
from pathlib import Path

from played_pods import NAMESPACE
from stand import INFLIGHT, SYNC_SECONDS, CheckError, Stand, able, cpu, expect, external, reason

from inflight.hpa import read_record
from inflight.objects import parse_time

SETTLE = 2.5 * SYNC_SECONDS


async def api_missing(stand: Stand) -> None:
    """Before metrics.k8s.io is registered; the others need it afterwards."""
    await stand.deploy("unserved", 2)
    await stand.autoscale("unserved", cpu(50))
    await stand.until("a sync", lambda status: reason(status, "ScalingActive") != "", "unserved")
    answer = await stand.ask("unserved")
    expect("unserved", answer, "get pods.metrics.k8s.io", "Nothing serves the API metrics.k8s.io in this cluster")
    await stand.compare("unserved", answer, 2)
    await stand.create_api_services("metrics.k8s.io")


async def not_scaling_up(stand: Stand) -> None:
    stand.metrics.external["slow-up"] = ["90"]
    await stand.deploy("slow-up", 3)
    policies = [{"type": "Pods", "value": 2, "periodSeconds": 120}]
    metric = external("slow-up", "30")
    await stand.autoscale("slow-up", metric, behavior={"scaleUp": {"policies": policies}})
    await stand.until("a first sync", lambda status: able(status) == "ReadyForNewScale", "slow-up")
    stand.metrics.external["slow-up"] = ["300"]
    await stand.until("the rise", lambda status: status.get("desiredReplicas") == 5, "slow-up")
    await asyncio.sleep(SETTLE)
    answer = await stand.ask("slow-up")
    expect(
        "slow-up",
        answer,
        "stays at 5",
        "10 wanted",
        "limited to 5 by the policy of 2 pods in 120 s",
        "s, all else the same: 7",
    )
    await stand.compare("slow-up", answer, 5)


async def stuck_at_max(stand: Stand) -> None:
    stand.metrics.external["topped"] = ["300"]
    await stand.deploy("topped", 4)
    await stand.autoscale("topped", external("topped", "30"), most=4)
    await stand.until("a sync", lambda status: reason(status, "ScalingLimited") == "TooManyReplicas", "topped")
    answer = await stand.ask("topped")
    expect(
        "topped", answer, "stays at 4", "10 wanted", "limited to 4 by maxReplicas", "with maxReplicas 5 instead of 4: 5"
    )
    await stand.compare("topped", answer, 4)


async def slow_to_come_down(stand: Stand) -> None:
    stand.metrics.external["slow-down"] = ["30"]
    await stand.deploy("slow-down", 1)
    down = {"stabilizationWindowSeconds": 120}
    await stand.autoscale("slow-down", external("slow-down", "30"), behavior={"scaleDown": down})
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "slow-down")
    stand.metrics.external["slow-down"] = ["150"]
    await stand.until("the rise", lambda status: status.get("desiredReplicas") == 5, "slow-down")
    await asyncio.sleep(SETTLE)
    stand.metrics.external["slow-down"] = ["30"]
    await stand.until("held", lambda status: able(status) == "ScaleDownStabilized", "slow-down")
    answer = await stand.ask("slow-down")
    expect(
        "slow-down",
        answer,
        "stays at 5",
        "1 wanted; held at 5",
        "It is held until",
        "at least, and until",
        "at the earliest",
    )
    await stand.compare("slow-down", answer, 5)
    hold = answer.plain["live"]["hold"]
    status = await stand.until("the fall", lambda seen: seen.get("desiredReplicas") == 1, "slow-down", 150)
    fell_ns = int(parse_time(status["lastScaleTime"]))
    period_ns = round((SYNC_SECONDS + 2) * 1e9)
    if not hold["at_least_ns"] - 10**9 <= fell_ns <= hold["at_most_ns"] + period_ns:
        raise CheckError(f"slow-down: held from {hold['at_least_ns']} to {hold['at_most_ns']} said, fell at {fell_ns}")
    stand.say(f"slow-down: it fell at {status['lastScaleTime']}, between the two times that were said")


async def flapping(stand: Stand) -> None:
    stand.metrics.external["flaps"] = ["60"]
    await stand.deploy("flaps", 2)
    down = {"stabilizationWindowSeconds": 0}
    await stand.autoscale("flaps", external("flaps", "30"), behavior={"scaleDown": down})
    for load, count in (("150", 5), ("60", 2), ("150", 5), ("60", 2), ("150", 5)):
        stand.metrics.external["flaps"] = [load]
        await stand.until(f"{count}", lambda status, count=count: status.get("desiredReplicas") == count, "flaps")  # type: ignore[misc]
    await asyncio.sleep(SETTLE)
    answer = await stand.ask("flaps")
    expect(
        "flaps",
        answer,
        "stays at 5",
        "The count goes up and down",
        "turned round",
        "would have held the count",
    )
    await stand.compare("flaps", answer, 5)


async def metric_missing(stand: Stand) -> None:
    await stand.deploy("blind", 3)
    await stand.autoscale("blind", external("no-such-metric", "30"))
    await stand.until("a failure", lambda status: reason(status, "ScalingActive") == "FailedGetExternalMetric", "blind")
    answer = await stand.ask("blind")
    expect(
        "blind",
        answer,
        "stays at 3",
        "the metric no-such-metric is not there",
        "so nothing is known and nothing changes",
    )
    await stand.compare("blind", answer, 3)


async def rollout(stand: Stand) -> None:
    await stand.deploy("rolls", 3)
    await stand.autoscale("rolls", cpu(50), behavior={})
    await stand.has_pods("rolls", 3)
    stand.metrics.cpu |= dict.fromkeys(stand.pods.of_app("rolls"), "480m")
    # Young pods' CPU is not believed before their sample covers a whole window after they became ready.
    await stand.until("a valid metric", lambda status: reason(status, "ScalingActive") == "ValidMetricFound", "rolls")
    await stand.patch_template("rolls", {"hold": "Unready"})
    await stand.has_pods("rolls", 4)
    stand.metrics.cpu |= {pod: "900m" for pod in stand.pods.of_app("rolls") if pod not in stand.metrics.cpu}
    stand.metrics.cpu |= {
        pod: "700m" for pod, used in stand.metrics.cpu.items() if pod.startswith("rolls") and used == "480m"
    }
    await asyncio.sleep(SETTLE)
    before = await stand.replicas("rolls")
    answer = await stand.ask("rolls")
    expect("rolls", answer, "A rollout is under way", "is unready and counts as 0: it is young and not ready")
    await stand.compare("rolls", answer, before)


async def at_zero(stand: Stand) -> None:
    stand.metrics.external["sleeps"] = ["0"]
    await stand.deploy("sleeps", 1)
    down = {"stabilizationWindowSeconds": 0}
    await stand.autoscale("sleeps", external("sleeps", "30"), minimum=0, behavior={"scaleDown": down})
    await stand.until("zero", lambda status: reason(status, "ScaledToZero") == "ScaledToZero", "sleeps")
    await asyncio.sleep(SETTLE)
    answer = await stand.ask("sleeps")
    expect(
        "sleeps",
        answer,
        "stays at 0",
        "with 1 more of sleeps in all (1 instead of 0): 1",
        "The HPA itself went to zero",
    )
    await stand.compare("sleeps", answer, 0)


async def paused(stand: Stand) -> None:
    stand.metrics.external["paused"] = ["60"]
    await stand.deploy("paused", 2)
    await stand.autoscale("paused", external("paused", "30"))
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "paused")
    await stand.set_replicas("paused", 0)
    await stand.until("disabled", lambda status: reason(status, "ScalingActive") == "ScalingDisabled", "paused")
    answer = await stand.ask("paused")
    expect("paused", answer, "stays at 0: scaling is disabled, somebody else set the target to 0")
    await stand.compare("paused", answer, 0)


async def two_metrics(stand: Stand) -> None:
    stand.metrics.external |= {"first": ["60"], "second": ["200"]}
    await stand.deploy("pair", 4)
    await stand.autoscale("pair", external("first", "30"), external("second", "40"), behavior={})
    await stand.until("5", lambda status: status.get("desiredReplicas") == 5, "pair")
    await asyncio.sleep(SETTLE)
    stand.metrics.external["second"] = ["280"]
    answer = await stand.ask("pair")
    before = 5
    if answer.explanation["replicas_before"] == 7:  # a sync was faster than the question
        before = 7
    expect("pair", answer, "Of the proposals 2, 7 the highest counts: 7")
    await stand.compare("pair", answer, before)


async def custom(stand: Stand) -> None:
    """Metrics of pods and of an object: one pod has no value, and the object's Value target counts ready pods."""
    await stand.deploy("mixed", 4)
    first, *others = stand.pods.of_app("mixed")
    stand.metrics.pods["mixed"] = dict.fromkeys(others, "13")
    stand.metrics.objects["deployments.apps/mixed/queue"] = "36"
    described = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mixed"}
    queue = {"describedObject": described, "metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}
    mean = {"metric": {"name": "mixed"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    metrics = {"type": "Pods", "pods": mean}, {"type": "Object", "object": queue}
    await stand.autoscale("mixed", *metrics, behavior={"scaleUp": {"selectPolicy": "Disabled"}})
    await stand.until("a sync", lambda status: reason(status, "ScalingActive") == "ValidMetricFound", "mixed")
    answer = await stand.ask("mixed")
    said = f"Pod {first} has no value and counts as 0", "a ratio of 1.2", "Of the proposals 4, 5 the highest counts: 5"
    expect("mixed", answer, *said, "Scaling up is disabled")
    await stand.compare("mixed", answer, 4)


async def tolerance(stand: Stand) -> None:
    stand.metrics.external["near"] = ["162"]
    await stand.deploy("near", 5)
    await stand.autoscale("near", external("near", "30"), behavior={})
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "near")
    answer = await stand.ask("near")
    expect(
        "near", answer, "within tolerance, 5 kept", "(0.9 to 1.1)", "with 4 more of near in all (166 instead of 162): 6"
    )
    await stand.compare("near", answer, 5)


async def what_if(stand: Stand) -> None:
    """A setting is a prediction: made true, the controller does what was said."""
    stand.metrics.external["wished"] = ["150"]
    await stand.deploy("wished", 5)
    await stand.autoscale("wished", external("wished", "30"), behavior={})
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "wished")
    answer = await stand.ask("wished", "--set", "value=300")
    said = answer.explanation["replicas_after"]
    stand.metrics.external["wished"] = ["300"]
    status = await stand.until("a rescale", lambda seen: seen.get("desiredReplicas") != 5, "wished", 15)
    if status["desiredReplicas"] != said:
        raise CheckError(f"wished: {said} said with value=300, {status['desiredReplicas']} done")
    stand.compared += 1


async def other_ways_in(stand: Stand) -> None:
    """Through `kubectl proxy`, where there is a kubectl; and as somebody who may read nothing."""
    stand.metrics.external["asked"] = ["60"]
    await stand.deploy("asked", 2)
    await stand.autoscale("asked", external("asked", "30"))
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "asked")
    base = [str(INFLIGHT), "explain", "hpa/asked", "-n", NAMESPACE]
    _, complaint = await stand.run([*base, "--kubeconfig", str(stand.plane.folder / "nobody.kubeconfig")], code=2)
    for phrase in (
        "you may not read it",
        f"kubectl auth can-i get horizontalpodautoscalers.autoscaling -n {NAMESPACE}",
    ):
        if phrase not in complaint:
            raise CheckError(f"asked: {phrase!r} is not said to nobody: {complaint}")
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return
    command = [kubectl, "proxy", "--port=0", f"--kubeconfig={stand.plane.admin_kubeconfig}"]
    proxy = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert proxy.stdout is not None
        async with asyncio.timeout(30):
            line = (await proxy.stdout.readline()).decode()
        said, _ = await stand.run([*base, "--server", f"http://{line.split()[-1]}"])
        if "stays at 2: external metric asked is 60 over 2 replicas" not in said:
            raise CheckError(f"asked: through kubectl proxy: {said}")
    finally:
        proxy.terminate()
        await proxy.wait()


async def watched(stand: Stand) -> None:
    """Follows an HPA whose load moves; what it says before each sync is what the controller does in it."""
    stand.metrics.external["live"] = ["60"]
    await stand.deploy("live", 2)
    down = {"stabilizationWindowSeconds": 20, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 5}]}
    up = {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 10}]}
    await stand.autoscale("live", external("live", "30"), behavior={"scaleUp": up, "scaleDown": down})
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "live")
    record = stand.plane.folder / "live.jsonl"
    command = stand.command("live", "--watch", "--record", str(record), "-o", "json")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    with (stand.keep / "live.watch.txt").open("w") as file:
        as_text = await asyncio.create_subprocess_exec(*stand.command("live", "--watch", "--no-changes"), stdout=file)
    assert process.stdout is not None
    try:
        blocks = []
        async with asyncio.timeout(180):
            for load in (
                60,
                60,
                60,
                60,
                60,
                60,
                60,
                60,
                150,
                300,
                300,
                300,
                90,
                90,
                90,
                90,
                90,
                90,
                90,
                90,
                90,
                90,
                90,
            ):
                blocks.append(json.loads(await process.stdout.readline()))
                # Past the sync that was looked at: the next look and the next sync see the same.
                await asyncio.sleep(SYNC_SECONDS / 2)
                stand.metrics.external["live"] = [str(load)]
    finally:
        for each in (process, as_text):
            each.terminate()
            await each.wait()
    if process.returncode != 0:
        raise CheckError(f"live: the watch ended with {process.returncode} after SIGTERM")
    _check_watch(stand, blocks, record)


def _check_watch(stand: Stand, blocks: list[dict[str, object]], record: Path) -> None:
    followed = [str(block["followed"]) for block in blocks if block["followed"]]
    answers = [block["answer"]["explanation"] for block in blocks if block["answer"]]  # type: ignore[index]
    exact = [each for each in answers if each["memory"]["certainty"] == "Exact"]
    wrong = [each for each in followed if "as computed" not in each]
    lost = [each for each in followed if "saw other values" in each]
    kept = [read_record(line) for line in record.read_bytes().splitlines()]
    if not exact or len(followed) - len(lost) < len(blocks) // 2:
        raise CheckError(f"live: {len(exact)} exact answers, {len(lost)} of {len(followed)} syncs lost: {followed}")
    if any(each["memory"]["certainty"] != "Range" for each in answers) and len(wrong) > _open_answers(answers):
        raise CheckError(f"live: {wrong}")
    stand.say(
        f"live: {len(blocks)} looks, {len(followed) - len(lost)} held against their sync ({len(wrong)} otherwise, where"
        f" the memory was not known), {len(exact)} of them exact; {len(kept)} records"
    )
    stand.compared += len(followed) - len(lost)


def _open_answers(answers: list[dict[str, object]]) -> int:
    return sum(each["memory"]["certainty"] == "Range" for each in answers)  # type: ignore[index]


async def restart(stand: Stand) -> None:
    """Last, as it empties every HPA's memory."""
    stand.metrics.external["young"] = ["150"]
    await stand.deploy("young", 5)
    await stand.autoscale("young", external("young", "30"), behavior={})
    await stand.until("a sync", lambda status: able(status) == "ReadyForNewScale", "young")
    stand.metrics.external["young"] = ["30"]
    await stand.restart_controllers()
    await stand.until("held", lambda status: able(status) == "ScaleDownStabilized", "young")
    answer = await stand.ask("young")
    expect(
        "young", answer, "The controller manager took over at", "began with the count that it found, 5", "stays at 5"
    )
    await stand.compare("young", answer, 5)


TOGETHER = (
    not_scaling_up, stuck_at_max, slow_to_come_down, flapping, metric_missing, rollout, at_zero, paused, two_metrics,
    custom, tolerance, what_if, other_ways_in, watched,
)  # fmt: skip
