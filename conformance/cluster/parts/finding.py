"""Which pods are found and what is said of those that are not: every odd case in a namespace of its own, all at once.

Whatever happens to one of them, the others are answered meanwhile; that is what being at once shows.
"""

import asyncio

import manifests
from engine import Engine, Play
from kubectl import merge
from load import Load
from manifests import autoscaler, deployment, external_metric, object_metric, pods_metric
from stage import Stage, Waiting

from parts.asking import (
    Case,
    all_cases,
    expect_active,
    expect_condition,
    expect_refusal,
    expect_said,
    expect_values,
    external_path,
    object_path,
    pods_path,
    pods_ready,
    require,
    values,
)
from parts.polling import Polling
from parts.shapes import SLOW

METRIC = "inflight_requests"
UNKNOWN_SECONDS = 5.0
MUTE = (
    {"name": "engine", "image": manifests.IMAGE},
    *({"name": f"side-{n}", "image": manifests.IMAGE} for n in (1, 2)),
)
"""Three containers, and no port."""


async def finding(scene: Stage) -> None:
    cases: tuple[Case, ...] = (
        _no_port,
        _nothing_matches,
        _overlapping,
        _other_owners,
        _deleted_meanwhile,
        _crashed,
        _slow_to_start,
        _short_lived,
    )
    await all_cases(scene, cases)


async def _no_port(scene: Stage) -> None:
    """Then annotated, as the sentence says."""
    name = namespace = "no-port"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 1, namespace, containers=MUTE),
        autoscaler(name, external_metric(METRIC, 30, {"app": name}), most=3, namespace=namespace),
    )
    await expect_refusal(scene, 404, external_path(namespace), f"app={name}", "declares no port", "prometheus.io/port")
    await expect_condition(scene, namespace, name, "annotate it with prometheus.io/port")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    annotations = {"prometheus.io/port": "8123"}
    await merge(scene.client, path, {"spec": {"template": {"metadata": {"annotations": annotations}}}})
    async with Load(scene.kubelet, name, namespace) as load:
        load.hold(5)
        await expect_values(scene, [5], external_path(namespace), f"app={name}")
        await expect_active(scene, namespace, name)
    scene.say("three containers and no port: the sentence says to annotate; annotated, the pods are found at that port")


async def _nothing_matches(scene: Stage) -> None:
    name = namespace = "nothing-matches"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace),
        autoscaler(name, external_metric(METRIC, 30, {"app": "nobody"}), most=3, namespace=namespace),
    )
    await expect_refusal(scene, 404, external_path(namespace), "app=nobody", "nobody")
    await expect_condition(scene, namespace, name, "app=nobody")
    await expect_said(scene, "kind=selects_nothing", "app=nobody")
    await asyncio.sleep(5)
    require(await scene.deployment_replicas(name, namespace) == 2, "an HPA whose selector matches nothing was scaled")
    scene.say("a selector that matches nothing: 404 with the selector, no 0, and the HPA stays where it is")


async def _overlapping(scene: Stage) -> None:
    """Kubernetes refuses to scale both; each pod is read once, and said to be in both."""
    namespace, wide, narrow = "overlapping", "wide", "narrow"
    for app in (wide, narrow):
        scene.kubelet.plays[app] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(wide, 1, namespace, labels={"tier": "llm"}),
        deployment(narrow, 1, namespace, labels={"tier": "llm", "role": "decode"}),
        autoscaler(wide, pods_metric(METRIC, 30), most=3, namespace=namespace),
        autoscaler(narrow, pods_metric(METRIC, 30), most=3, namespace=namespace),
    )
    async with Load(scene.kubelet, wide, namespace) as one, Load(scene.kubelet, narrow, namespace) as other:
        one.hold(3)
        other.hold(4)
        await expect_values(scene, [3, 4], pods_path(namespace), "tier=llm")
        await expect_values(scene, [7], object_path(namespace, wide))
        await expect_values(scene, [4], object_path(namespace, narrow))
        await expect_condition(scene, namespace, wide, "controlled by more than one HPA")
        await expect_said(scene, "kind=overlap", "Deployment wide", "Deployment narrow")
        await scene.delete(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{narrow}")
        await expect_active(scene, namespace, wide)
    scene.say("overlapping selectors: every pod once, the sentence names both; with one HPA left it is scaled again")


async def _other_owners(scene: Stage) -> None:
    """They count, as the HPA counts them, and the log says whose they are."""
    name = namespace = "other-owners"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    metrics = (object_metric(METRIC, 30, name), external_metric(METRIC, 30, {"app": name}))
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 1, namespace),
        autoscaler(name, *metrics, most=3, namespace=namespace),
        manifests.lone_pod("lonely", namespace, {"app": name}),
    )
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("both pods are Ready", lambda: pods_ready(scene, name, namespace, 2))
        load.hold(6)
        await expect_values(scene, [6], external_path(namespace), f"app={name}")
        await expect_values(scene, [3, 3], pods_path(namespace), f"app={name}")
        await expect_values(scene, [6], object_path(namespace, name))
        await expect_said(scene, "kind=foreign_owner", f"Deployment {name}")
    scene.say("pods of others under the same labels: counted, as the HPA does, and the log says so")


async def _deleted_meanwhile(scene: Stage) -> None:
    """Never less than what the others have. For a moment the sum may be unknown: its port is closed as soon as the
    API server says so, and Inflight hears of it at about the same time.
    """
    name = namespace = "deleted-meanwhile"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 3, namespace),
        autoscaler(name, external_metric(METRIC, 100, {"app": name}), most=3, namespace=namespace),
    )
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("three pods are Ready", lambda: pods_ready(scene, name, namespace, 3))
        load.hold(12)
        await expect_values(scene, [4, 4, 4], pods_path(namespace), f"app={name}")
        async with Polling(lambda: values(scene, external_path(namespace), f"app={name}")) as polling:
            gone = scene.kubelet.of(name, namespace)[0]
            await scene.delete(gone.path)
            await polling.at_least(20)
            await expect_values(scene, [4, 4, 4], pods_path(namespace), f"app={name}")
        sums = [each[0] for each in polling.values if isinstance(each, list)]
        other = [each for each in polling.errors if not each.startswith("503") or "not 0" not in each]
        require(not other, f"a pod was deleted, and answers failed: {other[:1]}")
        outage = polling.longest_outage_seconds
        require(outage < UNKNOWN_SECONDS, f"a pod was deleted, and the sum was unknown for {outage:.1f} s")
        require(min(sums) >= 8, f"a pod was deleted, and the sum fell to {min(sums)}, below what the others have")
    scene.say(f"a pod deleted between scrape and answer: sums from {min(sums):g} to {max(sums):g}; {polling}")


async def _crashed(scene: Stage) -> None:
    """Its sum is unknown until it is back, since nobody knows what it had; nothing is scaled meanwhile."""
    name = namespace = "crashed"
    scene.kubelet.plays[name] = Play(arguments=SLOW, cold_start_seconds=0.4)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace),
        autoscaler(name, external_metric(METRIC, 4, {"app": name}), most=3, namespace=namespace),
    )
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("two pods are Ready", lambda: pods_ready(scene, name, namespace, 2))
        load.hold(8)
        await expect_values(scene, [8], external_path(namespace), f"app={name}")
        pod = scene.kubelet.of(name, namespace)[0]
        require(isinstance(pod.content, Engine), f"{pod.name} has no engine")
        assert isinstance(pod.content, Engine)
        pod.content.crash()
        await expect_refusal(scene, 503, external_path(namespace), f"app={name}", pod.name, "not 0")
        await expect_values(scene, [8], external_path(namespace), f"app={name}")
        require(pod.restarts == 1, f"{pod.name} has been restarted {pod.restarts} times")
        require(await scene.deployment_replicas(name, namespace) == 2, "scaled because a pod crashed")
    scene.say("an engine crashed: the sum is unknown, and the sentence names the pod; restarted, it counts again")


async def _slow_to_start(scene: Stage) -> None:
    """A pod that loads its weights has reported nothing: no sum waits for it."""
    name = namespace = "slow-to-start"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 1, namespace),
        autoscaler(name, external_metric(METRIC, 4, {"app": name}), most=2, namespace=namespace),
    )
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("one pod is Ready", lambda: pods_ready(scene, name, namespace, 1))
        scene.kubelet.plays[name] = Play(arguments=SLOW, cold_start_seconds=0.6)
        load.hold(7)
        await expect_values(scene, [7], external_path(namespace), f"app={name}")
        async with Polling(lambda: values(scene, external_path(namespace), f"app={name}")) as polling:
            await scene.until("scaled to 2", lambda: _scaled(scene, name, namespace, 2))
            await scene.until("both pods are Ready", lambda: pods_ready(scene, name, namespace, 2))
            await expect_values(scene, [3, 4], pods_path(namespace), f"app={name}")
        require(not polling.errors, f"a pod was starting, and answers failed: {polling.errors[:1]}")
    scene.say(f"a pod that is slow to start: {len(polling.values)} sums while it loads, none refused")


async def _short_lived(scene: Stage) -> None:
    """Kubernetes asks every group first, ours too; then nothing of it is followed any more."""
    name = namespace = "short-lived"
    scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace),
        autoscaler(name, pods_metric(METRIC, 30), most=3, namespace=namespace),
    )
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("two pods are Ready", lambda: pods_ready(scene, name, namespace, 2))
        load.hold(4)
        await expect_values(scene, [2, 2], pods_path(namespace), f"app={name}")
    await scene.delete(f"/api/v1/namespaces/{namespace}")

    async def gone() -> bool:
        names = [each["metadata"]["name"] for each in (await scene.client.get("/api/v1/namespaces"))["items"]]
        if namespace in names:
            raise Waiting((await scene.client.get(f"/api/v1/namespaces/{namespace}"))["status"])
        return True

    await scene.until("the namespace is gone", gone, 60)
    await expect_refusal(scene, 404, external_path(namespace), f"app={name}", "no pod of namespace")
    scene.say("a namespace deleted: it goes, its pods are forgotten, and it is answered with 404")


async def _scaled(scene: Stage, name: str, namespace: str, wanted: int) -> bool:
    count = await scene.deployment_replicas(name, namespace)
    if count != wanted:
        raise Waiting(f"{count} replicas")
    return True
