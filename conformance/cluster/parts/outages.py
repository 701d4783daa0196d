"""The API server away, its watches dropped, its versions forgotten, a token ended: nothing of ours needs a restart."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import manifests
from engine import Play
from kubectl import apply, path_of, read_objects
from load import Load
from manifests import autoscaler, deployment, external_metric
from stage import MANIFEST, Stage, Waiting

from inflight.cluster import ApiError
from parts.asking import (
    expect_active,
    expect_refusal,
    expect_said,
    expect_values,
    external_path,
    pods_ready,
    require,
    values,
)
from parts.polling import Polling
from parts.shapes import SLOW
from parts.sums import HANGS
from parts.who_may_ask import AS_ADMIN, EXTERNAL, ask, expect

METRIC = "inflight_requests"
NAME = NAMESPACE = "through-outages"
SELECTOR = f"app={NAME}"
HANGING = "beside-one-that-hangs"
FIRST_PAGE_SECONDS = 3.0
TOKEN_CACHE_SECONDS = 12
"""The API server goes on believing a token for ten."""


async def outages(scene: Stage) -> None:
    scene.kubelet.plays[NAME] = Play(arguments=SLOW)
    await scene.create(
        manifests.namespace(NAMESPACE),
        deployment(NAME, 2, NAMESPACE),
        autoscaler(NAME, external_metric(METRIC, 30, {"app": NAME}), most=4, namespace=NAMESPACE),
    )
    async with Load(scene.kubelet, NAME, NAMESPACE) as load, _one_that_hangs(scene):
        load.hold(6)
        await expect_values(scene, [6], external_path(NAMESPACE), SELECTOR)
        try:
            await _watches_dropped(scene)
            await _unreachable_for_inflight(scene)
            await _away_and_versions_forgotten(scene)
            await _away_at_the_start(scene)
            await _token_ended(scene)
            await expect_active(scene, NAMESPACE, NAME)
        finally:
            # Whatever failed, the other parts have what they need.
            if not scene.plane.has("kube-apiserver"):
                await asyncio.to_thread(scene.plane.start_apiserver)
            for replica in scene.replicas:
                replica.api.mend()
    await scene.delete(f"/api/v1/namespaces/{NAMESPACE}")


@asynccontextmanager
async def _one_that_hangs(scene: Stage) -> AsyncIterator[None]:
    """Two pods that are loaded and one that is Ready and hangs, with an HPA that would go down at once: whatever
    happens in the block, no sum of theirs is said. Processes that were killed know no more who has ever reported.
    """
    fleet = {"fleet": HANGING}
    path, selector = external_path(HANGING), f"fleet={HANGING}"
    scene.kubelet.plays |= {HANGING: Play(arguments=SLOW), "hangs": HANGS}
    await scene.create(
        manifests.namespace(HANGING),
        deployment(HANGING, 2, HANGING, labels={"app": HANGING, **fleet}),
        manifests.lone_pod("hangs", HANGING, {"app": "hangs", **fleet}),
    )

    async def count() -> int:
        return await scene.deployment_replicas(HANGING, HANGING)

    async with Load(scene.kubelet, HANGING, HANGING) as load:
        await scene.until("two pods are Ready", lambda: pods_ready(scene, HANGING, HANGING, 2))
        await scene.until("the third is Ready", lambda: pods_ready(scene, "hangs", HANGING, 1))
        load.hold(12)
        metric = external_metric(METRIC, 6, fleet)
        await scene.create(autoscaler(HANGING, metric, most=4, namespace=HANGING, down_seconds=0))
        async with Polling(lambda: values(scene, path, selector)) as sums, Polling(count) as replicas:
            yield
            await expect_refusal(scene, 503, path, selector, "Ready but without a value yet", "hangs")
    require(not sums.values, f"a pod hung all the time, and {sums.values[:1]} was said")
    require(set(replicas.values) == {2}, f"a pod hung all the time, and the HPA scaled: {set(replicas.values)}")
    scene.say(f"a pod that hung all the time: {len(sums.seen)} questions, no sum, and the HPA stayed where it was")
    await scene.delete(f"/api/v1/namespaces/{HANGING}")


async def _watches_dropped(scene: Stage) -> None:
    """Every connection to the API server is broken; pods that come are found, and no answer is lost. But a pod that
    runs before it is seen may hold work: nothing is said without it for the moment that its first page takes.
    """
    async with Polling(lambda: values(scene, external_path(NAMESPACE), SELECTOR)) as polling:
        dropped = sum([await replica.api.drop() for replica in scene.replicas])
        require(dropped, "Inflight has no connection to the API server that could be broken")
        await _pod_is_found(scene, "after-the-drop")
    others = [error for error in polling.errors if "after-the-drop" not in error]
    require(not others, f"watches were dropped, and answers failed: {others[:1]}")
    waited = polling.longest_outage_seconds
    require(waited < FIRST_PAGE_SECONDS, f"a pod that had just been found held up the sum for {waited:.2f} s")
    scene.say(
        f"{dropped} connections to the API server broken: {len(polling.values)} answers, none lost; new pods found"
    )


async def _unreachable_for_inflight(scene: Stage) -> None:
    """What is known is served on to whom it is known that he may ask."""
    headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    path = f"{external_path(NAMESPACE)}?labelSelector=app%3D{NAME}"
    for replica in scene.replicas:
        await replica.api.cut()
    await asyncio.sleep(5)
    for replica in scene.replicas:
        status, body = await ask(scene, path, "front-proxy", headers, port=replica.port)
        require(status == 200 and '"value":"6"' in body, f"cut off, a replica answers {status}: {body[:300]}")
        for health in ("/readyz", "/livez"):
            require((await replica.ask(health))[0] == 200, f"cut off, a replica's {health} fails")
        status, body = await ask(scene, path, "front-proxy", {"X-Remote-User": "newcomer"}, port=replica.port)
        require(status == 503 and "cannot be asked" in body, f"cut off, a newcomer gets {status}: {body[:300]}")
    await expect_said(scene, "kind=pods_unknown")
    for replica in scene.replicas:
        replica.api.mend()
    await _pod_is_found(scene, "after-the-cut")
    scene.say("cut off from the API server for 5 s: values as before, healthy, nobody new let in; then as before")


async def _away_and_versions_forgotten(scene: Stage) -> None:
    """Killed, started again, and etcd compacted: what a watch resumes from is not known any more (410)."""
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    version = (await scene.client.get(pods))["metadata"]["resourceVersion"]
    scene.plane.kill_one("kube-apiserver")
    body = await expect(scene, 503, EXTERNAL, pair="front-proxy", headers={"X-Remote-User": "meanwhile"})
    require("cannot be asked" in body, body)
    await expect(scene, 200, "/metrics", pair="front-proxy", headers=AS_ADMIN)
    await expect(scene, 503, EXTERNAL, headers={"Authorization": "Bearer unknown"})
    for health in ("/readyz", "/livez"):
        await expect(scene, 200, health)
    # Something has to happen after the version from which the watches go on.
    await asyncio.to_thread(_compact, scene.plane.etcd_url, await asyncio.to_thread(_write, scene.plane.etcd_url))
    await asyncio.to_thread(scene.plane.start_apiserver)
    try:
        async with scene.client.lines(pods, {"watch": "1", "resourceVersion": version}, 5) as lines:
            first = await anext(lines)
            code = json.loads(first)["object"].get("code") if isinstance(first, bytes) else 0
    except ApiError as error:
        code = error.code
    require(code == 410, f"the API server still knows the version {version}: {code}")
    await scene.until("APIServices Available", scene.available, 60)
    await _pod_is_found(scene, "after-the-compaction")
    scene.say("API server killed and started again, old versions gone (410): listed anew, new pods found")


def _write(url: str) -> int:
    """Something into etcd; its revision."""
    answer = _etcd(f"{url}/v3/kv/put", {"key": "aW5mbGlnaHQ=", "value": "MQ=="})
    return int(str(answer["header"]["revision"]))


def _compact(url: str, revision: int) -> None:
    _etcd(f"{url}/v3/kv/compaction", {"revision": str(revision), "physical": True})


def _etcd(url: str, body: dict[str, object]) -> dict[str, dict[str, object]]:
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310 - our own etcd
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        plain: dict[str, dict[str, object]] = json.loads(answer.read())
        return plain


async def _away_at_the_start(scene: Stage) -> None:
    """Both started without an API server: alive, not ready with the reason; ready by themselves once it is there."""
    replicas = scene.replicas
    restarts = [replica.pod.restarts for replica in replicas]
    scene.plane.kill_one("kube-apiserver")
    known = {replica.pod.name: len(replica.said()) for replica in replicas}
    for replica in replicas:
        replica.kill()

    async def say_why() -> bool:
        for replica in replicas:
            status, body = await replica.ask("/readyz")
            lines = replica.said()[known[replica.pod.name] :].splitlines()
            said = [line for line in lines if "check=readyz ok=False" in line]
            # To the log and not to strangers.
            if status != 503 or "cannot be" in body or not said or "cannot be asked" not in said[-1]:
                raise Waiting(f"{status}: {body}; {said}")
        return True

    await scene.until("they are not ready and their logs say why", say_why, 30)
    for replica in replicas:
        require((await replica.ask("/livez"))[0] == 200, "without an API server a replica is not alive")
        status, body = await ask(scene, EXTERNAL, "", None, port=replica.port, trusts=False)
        require(status in {401, 403, 503}, f"without an API server a stranger gets {status}: {body[:300]}")
    await asyncio.to_thread(scene.plane.start_apiserver)

    async def ready() -> bool:
        answers = [(await replica.ask("/readyz"))[0] for replica in replicas]
        if answers != [200, 200] or len(scene.ready_replicas) != 2:
            raise Waiting(f"{answers}")
        return True

    await scene.until("they become ready by themselves", ready, 60)
    more = [replica.pod.restarts - before for replica, before in zip(replicas, restarts, strict=True)]
    require(more == [1, 1], f"they were restarted {more} times")
    await scene.until("APIServices Available", scene.available, 60)
    await expect_values(scene, [6], external_path(NAMESPACE), SELECTOR)
    scene.say(
        "both killed, and started without an API server: alive, not ready and why; ready by themselves afterwards"
    )


async def _token_ended(scene: Stage) -> None:
    """The account is deleted and made anew: tokens of the old one are worth nothing, as if they had ended."""
    account = next(each for each in read_objects(MANIFEST) if each["kind"] == "ServiceAccount")
    for replica in scene.replicas:
        replica.renews = False
    await scene.delete(path_of(account))
    await apply(scene.kubectl, scene.client, [account])
    await asyncio.sleep(TOKEN_CACHE_SECONDS)
    for replica in scene.replicas:
        await replica.api.drop()
    begun = time.monotonic()
    await scene.until("each says that its token is not accepted", lambda: _all_said(scene, "401"), 30)
    for replica in scene.replicas:
        require((await replica.ask("/livez"))[0] == 200, "with an ended token a replica is not alive")
        replica.renews = True
        await replica.renew()
    await scene.until("the new token is used", lambda: _answers(scene), 60)
    await _pod_is_found(scene, "after-the-token")
    scene.say(
        f"a token that ended: said so, and the new one was in use {time.monotonic() - begun:.0f} s later, no restart"
    )


async def _all_said(scene: Stage, words: str) -> bool:
    silent = [each.pod.name for each in scene.replicas if words not in each.said()]
    if silent:
        raise Waiting(f"{silent} did not say {words!r}")
    return True


async def _answers(scene: Stage) -> bool:
    """Somebody of whom nothing is known is asked about."""
    for replica in scene.replicas:
        who = {"X-Remote-User": f"somebody-{time.monotonic()}"}
        status, body = await ask(scene, EXTERNAL, "front-proxy", who, port=replica.port)
        if status != 403:
            raise Waiting(f"{status}: {body[:300]}")
    return True


async def _pod_is_found(scene: Stage, name: str) -> None:
    """One more pod with the same labels; each replica answers for it. Then it is taken away again."""
    await scene.create(manifests.lone_pod(name, NAMESPACE, {"app": NAME}))
    path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/{name}/{METRIC}"

    async def found() -> bool:
        for replica in scene.replicas:
            status, body = await ask(scene, path, "front-proxy", AS_ADMIN, port=replica.port)
            if status != 200:
                raise Waiting(f"{replica.pod.name}: {status}: {body[:300]}")
        return True

    try:
        await scene.until(f"both replicas know the pod {name}", found, 60)
    finally:
        await scene.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}", gone=True)
    await expect_values(scene, [6], external_path(NAMESPACE), SELECTOR, 60)
