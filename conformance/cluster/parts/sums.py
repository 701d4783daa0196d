"""No sum is low for a reason that is not there: whoever is not read, and may hold work, makes it unknown.

Each case has an HPA that goes down at once, with a load that fits its replicas exactly: one answer that is too low
would be one replica less.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import manifests
from engine import Play
from kubectl import Plain, merge
from load import Load
from manifests import autoscaler, deployment, external_metric, pods_metric
from stage import Stage

from parts.asking import (
    METRIC,
    Case,
    all_cases,
    expect_active,
    expect_condition,
    expect_refusal,
    expect_values,
    external_path,
    pods_path,
    pods_ready,
    require,
    values,
)
from parts.polling import Polling
from parts.shapes import SLOW

SYNCS_SECONDS = 5.0
"""More than two."""
LOADED_SECONDS = 1.0
"""An HPA that is there before its load is goes down."""
HEARD_SECONDS = 1.0
"""A change of a pod is known to both replicas by then."""
HANGS = Play(arguments=("--fault", "hang"))
FAILS = Play(arguments=("--fault", "error"))
"""Ready, as its health says, and without a page."""


async def sums(scene: Stage) -> None:
    cases: tuple[Case, ...] = (_asked_for_later, _never_read, _relabelled, _without_values)
    await all_cases(scene, cases)


async def _asked_for_later(scene: Stage) -> None:
    """An HPA that is created, and one that is edited, over pods of which some are followed already for another."""
    namespace, stable, canary = "asked-for-later", "stable", "canary"
    both = {"fleet": namespace}
    for name in (stable, canary):
        scene.kubelet.plays[name] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(namespace),
        *(deployment(name, 2, namespace, labels={"app": name, **both}) for name in (stable, canary)),
    )
    async with Load(scene.kubelet, stable, namespace) as one, Load(scene.kubelet, canary, namespace) as other:
        for name, load in ((stable, one), (canary, other)):
            await scene.until(f"two pods of {name} are Ready", lambda name=name: pods_ready(scene, name, namespace, 2))  # type: ignore[misc]
            load.hold(12)
        await asyncio.sleep(LOADED_SECONDS)
        await scene.create(_goes_down(stable, external_metric(METRIC, 6, {"app": stable}), namespace))
        await expect_values(scene, [12], external_path(namespace), f"app={stable}")
        await expect_refusal(scene, 503, external_path(namespace), f"fleet={namespace}", "no HPA of the namespace asks")
        async with _never_low(scene, namespace, 24, stable, canary):
            created = _goes_down(canary, external_metric(METRIC, 12, both), namespace)
            await scene.create(created)
            await expect_active(scene, namespace, canary)
            await asyncio.sleep(SYNCS_SECONDS)
            await scene.delete(f"{created[0]}/{canary}")
            await expect_refusal(scene, 503, external_path(namespace), f"fleet={namespace}", canary)
            edited = {"spec": {"metrics": [external_metric(METRIC, 12, both)]}}
            await merge(scene.client, f"{created[0]}/{stable}", edited)
            await expect_values(scene, [24], external_path(namespace), f"fleet={namespace}")
            await expect_active(scene, namespace, stable)
            await asyncio.sleep(SYNCS_SECONDS)
    scene.say("an HPA created, and one edited, over pods that nobody had asked for: the whole sum or none")


async def _never_read(scene: Stage) -> None:
    """Beside pods that are read: one that hangs and one whose page is an error, from their beginning. One at which
    nobody listens holds no work.
    """
    name = namespace = "never-read"
    fleet = {"fleet": namespace}
    plays = {name: Play(arguments=SLOW), "refuses": Play(engine=False), "hangs": HANGS, "fails": FAILS}
    scene.kubelet.plays |= plays
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace, labels={"app": name, **fleet}),
    )
    path, selector = external_path(namespace), f"fleet={namespace}"
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("two pods are Ready", lambda: pods_ready(scene, name, namespace, 2))
        load.hold(12)
        await asyncio.sleep(LOADED_SECONDS)
        await scene.create(_goes_down(name, external_metric(METRIC, 6, fleet), namespace))
        await expect_values(scene, [12], path, selector)
        async with _never_low(scene, namespace, 12, name):
            await scene.create(manifests.lone_pod("refuses", namespace, {"app": "refuses", **fleet}))
            await scene.until("it is Ready", lambda: pods_ready(scene, "refuses", namespace, 1))
            await asyncio.sleep(SYNCS_SECONDS)
            await expect_values(scene, [12], path, selector, 5)
            for odd, why in (("hangs", "no page within"), ("fails", "HTTP 500")):
                await scene.create(manifests.lone_pod(odd, namespace, {"app": odd, **fleet}))
                await expect_refusal(scene, 503, path, selector, f"{odd} ({why}")
            await expect_condition(scene, namespace, name, "Ready but without a value yet", "hangs", "fails")
            await asyncio.sleep(SYNCS_SECONDS)
            for odd in ("hangs", "fails"):
                await scene.delete(f"/api/v1/namespaces/{namespace}/pods/{odd}")
            await expect_values(scene, [12], path, selector)
    scene.say(
        "a Ready pod that hangs, one whose page is an error: no sum, by name; one where nobody listens: none is missed"
    )


async def _relabelled(scene: Stage) -> None:
    """A pod that has run for a while, and nobody knows what it holds, is labelled into a selector. It hangs, so that
    what is said before its page has been read is seen for longer than a moment.
    """
    name = namespace = "relabelled"
    fleet = {"fleet": namespace}
    scene.kubelet.plays |= {name: Play(arguments=SLOW), "joins-and-hangs": HANGS}
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace, labels={"app": name, **fleet}),
        manifests.lone_pod("joins", namespace, {"app": name}),
        manifests.lone_pod("joins-and-hangs", namespace, {"app": "joins-and-hangs"}),
    )
    path, selector = external_path(namespace), f"fleet={namespace}"
    async with Load(scene.kubelet, name, namespace) as load:
        await scene.until("three pods are Ready", lambda: pods_ready(scene, name, namespace, 3))
        await scene.until("and another", lambda: pods_ready(scene, "joins-and-hangs", namespace, 1))
        load.hold(18)
        await asyncio.sleep(LOADED_SECONDS)
        await scene.create(_goes_down(name, external_metric(METRIC, 6, fleet), namespace))
        await expect_values(scene, [12], path, selector)
        await _label(scene, namespace, "joins", fleet)
        await expect_values(scene, [18], path, selector)
        await _label(scene, namespace, "joins-and-hangs", fleet)
        await asyncio.sleep(HEARD_SECONDS)
        async with Polling(lambda: values(scene, path, selector)) as polling:
            await polling.at_least(20)
        require(not polling.values, f"a pod was labelled into the selector and not read, and a sum was said: {polling}")
        await expect_refusal(scene, 503, path, selector, "joins-and-hangs")
    scene.say("pods labelled into a selector while they run: waited for, and no sum without them")


async def _without_values(scene: Stage) -> None:
    """An empty list would leave the HPA without a reason."""
    name = namespace = "without-values"
    scene.kubelet.plays[name] = Play(engine=False)
    await scene.create(
        manifests.namespace(namespace),
        deployment(name, 2, namespace),
        _goes_down(name, pods_metric(METRIC, 6), namespace),
    )
    await expect_refusal(scene, 503, pods_path(namespace), f"app={name}", "none of 2 pods has a value", "refused")
    await expect_condition(scene, namespace, name, "none of 2 pods has a value that counts: connection refused")
    require(await scene.deployment_replicas(name, namespace) == 2, "an HPA without any value was scaled")
    scene.say("a Pods metric for which no pod has a value: 503, and the HPA's condition shows the sentence")


def _goes_down(name: str, metric: Plain, namespace: str) -> manifests.Placed:
    return autoscaler(name, metric, most=4, namespace=namespace, down_seconds=0)


async def _label(scene: Stage, namespace: str, pod: str, labels: dict[str, str]) -> None:
    await merge(scene.client, f"/api/v1/namespaces/{namespace}/pods/{pod}", {"metadata": {"labels": labels}})


@asynccontextmanager
async def _never_low(scene: Stage, namespace: str, whole: float, *names: str) -> AsyncIterator[None]:
    """In the block the sum over the fleet is `whole` or unknown, and each Deployment keeps its two replicas."""
    path, selector = external_path(namespace), f"fleet={namespace}"

    async def counts() -> list[int]:
        return [await scene.deployment_replicas(name, namespace) for name in names]

    async with Polling(lambda: values(scene, path, selector)) as sums, Polling(counts) as replicas:
        yield
    low = [each for each in sums.values if each != [whole]]
    require(not low, f"{namespace}: {low[:3]} was said of {whole:g} requests")
    other = [each for each in sums.errors if not each.startswith("503")]
    require(not other, f"{namespace}: answers failed: {other[:1]}")
    scaled = [each for each in replicas.values if set(each) != {2}]  # type: ignore[call-overload]
    require(not scaled, f"{namespace}: the HPA scaled to {scaled[:1]}")
