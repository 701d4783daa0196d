"""Each right of deploy/install.yaml taken away and given back: what is said, how to grant it, that the rest goes on.

The API server looks at rights when a request begins, so that running watches go on: connections are broken, as a
restart of the API server or the end of a watch would do sooner or later. Everything that is watched changes now and
then meanwhile, since Inflight waits longer each time for a watch that breaks off before it has told anything.
"""

import asyncio
import contextlib
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import manifests
from control_plane import INFLIGHT_USER
from engine import Play
from kubectl import Plain, apply, merge, path_of, read_objects
from load import Load
from manifests import autoscaler, deployment, external_metric, object_metric
from stage import APISERVICES, MANIFEST, SECRET, Stage, Waiting

from inflight.cluster import ClusterError
from parts.asking import (
    expect_active,
    expect_condition,
    expect_values,
    external_path,
    object_path,
    require,
    values,
)
from parts.polling import Polling
from parts.shapes import SLOW
from parts.who_may_ask import AS_ADMIN, EXTERNAL, ask

METRIC = "inflight_requests"
NAME = NAMESPACE = "without-rights"
SELECTOR = f"app={NAME}"
ACCOUNT = "inflight-system:inflight"
TURN_SECONDS = 0.5
Logs = dict[str, int]
TOLD_SECONDS = 40.0
"""Watches that are refused are tried again after up to 30 s."""


async def rights(scene: Stage) -> None:
    scene.kubelet.plays[NAME] = Play(arguments=SLOW)
    restarts = {each.pod.name: each.pod.restarts for each in scene.replicas}
    await scene.create(
        manifests.namespace(NAMESPACE),
        deployment(NAME, 2, NAMESPACE),
        autoscaler(NAME, external_metric(METRIC, 30, {"app": NAME}), most=4, namespace=NAMESPACE),
    )
    async with Load(scene.kubelet, NAME, NAMESPACE) as load, _traffic(scene):
        load.hold(6)
        await expect_values(scene, [6], external_path(NAMESPACE), SELECTOR)
        for what, part in (
            ("horizontalpodautoscalers", _autoscalers),
            ("pods", _pods),
            ("*/scale", _scales),
            ("the Secret", _secret),
            ("the APIServices", _bundles),
            ("the authorities of the cluster", _authorities),
            ("who asks and what they may", _reviews),
        ):
            async with Polling(lambda: values(scene, external_path(NAMESPACE), SELECTOR)) as polling:
                await part(scene)
            # Of the last one the question is itself whether somebody may be answered.
            if part is not _reviews:
                require(not polling.errors, f"without {what} answers failed: {polling.errors[:1]}")
                require(
                    set(map(str, polling.values)) == {"[6.0]"}, f"without {what} other values came: {polling.values}"
                )
            await expect_active(scene, NAMESPACE, NAME)
    require({each.pod.name: each.pod.restarts for each in scene.replicas} == restarts, "Inflight was restarted")
    await scene.delete(f"/api/v1/namespaces/{NAMESPACE}")


async def _autoscalers(scene: Stage) -> None:
    """Known ones are followed on; a new one is found when the right is back."""
    new = "found-later"
    await _without_rule(scene, "horizontalpodautoscalers", lambda logs: _said(
        scene, logs, "kind=autoscalers_forbidden", "horizontalpodautoscalers.autoscaling", "--verb=list,watch", ACCOUNT
    ))  # fmt: skip
    await scene.create(
        deployment(new, 1, NAMESPACE),
        autoscaler(new, external_metric(METRIC, 30, {"app": new}), most=2, namespace=NAMESPACE),
    )
    scene.kubelet.plays[new] = Play(arguments=SLOW)
    await expect_values(scene, [0], external_path(NAMESPACE), f"app={new}", TOLD_SECONDS)
    await scene.delete(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{new}")
    await scene.delete(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{new}")
    scene.say("without horizontalpodautoscalers: said, with the command; known ones are followed on")


async def _pods(scene: Stage) -> None:
    """Pods that are known are read on. A namespace whose pods were never listed is told of in the HPA's condition."""
    other = "pods-not-listed"

    async def seen(logs: Logs) -> None:
        await _said(scene, logs, "kind=pods_forbidden", "--verb=list,watch", "--resource=pods", ACCOUNT)
        await scene.create(
            manifests.namespace(other),
            deployment(other, 1, other),
            autoscaler(other, external_metric(METRIC, 30, {"app": other}), most=2, namespace=other),
        )
        await expect_condition(scene, other, other, "may not be watched", "kubectl create clusterrole", ACCOUNT)

    scene.kubelet.plays[other] = Play(arguments=SLOW)
    await _without_rule(scene, "pods", seen)
    await expect_values(scene, [0], external_path(other), f"app={other}", TOLD_SECONDS)
    await scene.delete(f"/api/v1/namespaces/{other}")
    scene.say("without pods: said in the log and in the HPA's condition, with the command; known pods are read on")


async def _scales(scene: Stage) -> None:
    new = "scale-not-read"

    async def seen(_: Logs) -> None:
        await scene.create(
            deployment(new, 1, NAMESPACE),
            autoscaler(new, object_metric(METRIC, 30, new), most=2, namespace=NAMESPACE),
        )
        await expect_condition(
            scene, NAMESPACE, new, "may not be read", "--verb=get --resource=deployments.apps/scale", ACCOUNT
        )

    scene.kubelet.plays[new] = Play(arguments=SLOW)
    await _without_rule(scene, "*/scale", seen)
    await expect_values(scene, [0], object_path(NAMESPACE, new), "", 90)
    await scene.delete(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{new}")
    await scene.delete(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{new}")
    scene.say("without */scale: said in the HPA's condition, with the command; found when it is back")


async def _secret(scene: Stage) -> None:
    role = _object("Role", "inflight")
    await _without(
        scene, role, lambda logs: _said(scene, logs, "inflight-serving", "--verb=get,list,watch,update", "403")
    )
    scene.say("without the Secret: said, with the command; the certificate is served on")


async def _bundles(scene: Stage) -> None:
    """Of the version that the HPA does not ask, so that the others are not touched."""
    path = f"{APISERVICES}/v1beta1.custom.metrics.k8s.io"

    async def seen(logs: Logs) -> None:
        await merge(scene.client, path, {"spec": {"caBundle": None}})
        await _said(scene, logs, "v1beta1.custom.metrics.k8s.io", "--verb=get,list,watch,patch")

    async def back() -> bool:
        return "caBundle" in (await scene.client.get(path))["spec"]

    await _without(scene, _object("ClusterRole", "inflight-apiservices"), seen)
    await scene.until("the caBundle is back", back, TOLD_SECONDS)
    await scene.until("APIServices Available", scene.available, TOLD_SECONDS)
    scene.say("without the APIServices: said, with the command; with them the caBundle is back")


async def _authorities(scene: Stage) -> None:
    binding = _object("RoleBinding", "inflight-auth-reader")
    await _without(
        scene, binding, lambda logs: _said(scene, logs, "extension-apiserver-authentication", "rolebinding", "403")
    )
    scene.say("without the cluster's authorities: said, with the command; those that are known count on")


async def _reviews(scene: Stage) -> None:
    """Nobody new is let in, and the answer names the role."""
    binding = _object("ClusterRoleBinding", "inflight-auth-delegator")
    who = {"X-Remote-User": "somebody"}

    async def seen(_: Logs) -> None:
        async def refused() -> bool:
            status, body = await ask(scene, EXTERNAL, "front-proxy", who)
            if status != 503 or "system:auth-delegator" not in body or INFLIGHT_USER not in body:
                raise Waiting(f"{status}: {body[:300]}")
            return True

        await scene.until("the sentence names the role that is missing", refused, TOLD_SECONDS)
        status, body = await ask(scene, "/readyz", "", None)
        require(status == 200, "without the right to ask about callers it is not ready")
        status, body = await ask(scene, "/metrics", "front-proxy", AS_ADMIN)
        require(status == 200, f"system:masters is not let in: {status}: {body[:300]}")

    async def back() -> bool:
        status, body = await ask(scene, EXTERNAL, "front-proxy", who)
        if status != 403:
            raise Waiting(f"{status}: {body[:300]}")
        return True

    await _without(scene, binding, seen)
    await scene.until("the right is back", back, TOLD_SECONDS)
    scene.say("without the right to ask about callers: 503 with the role to bind; given back, as before")


async def _without_rule(scene: Stage, resource: str, seen: Callable[[Logs], Awaitable[None]]) -> None:
    """The ClusterRole without the rule for it, while `seen` looks."""
    role = _object("ClusterRole", "inflight")
    less = copy.deepcopy(role)
    less["rules"] = [rule for rule in role["rules"] if resource not in rule["resources"]]
    require(len(less["rules"]) == len(role["rules"]) - 1, f"there is no rule for {resource}")
    logs = _logs(scene)
    await merge(scene.client, path_of(role), {"rules": less["rules"]})
    try:
        await _drop(scene)
        await seen(logs)
    finally:
        await merge(scene.client, path_of(role), {"rules": role["rules"]})


async def _without(scene: Stage, plain: Plain, seen: Callable[[Logs], Awaitable[None]]) -> None:
    """The object away, while `seen` looks."""
    logs = _logs(scene)
    await scene.delete(path_of(plain))
    try:
        await _drop(scene)
        await seen(logs)
    finally:
        await apply(scene.kubectl, scene.client, [plain])


@contextlib.asynccontextmanager
async def _traffic(scene: Stage) -> AsyncIterator[None]:
    """An annotation that changes, on one object of each watch."""
    paths = [
        SECRET,
        *(f"{APISERVICES}/{version}.{group}" for group, version in manifests.API_SERVICES),
        "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{NAME}",
    ]

    async def change() -> None:
        for number in itertools.count():
            for path in paths:
                with contextlib.suppress(ClusterError):
                    await merge(scene.client, path, {"metadata": {"annotations": {"conformance/turn": str(number)}}})
            await asyncio.sleep(TURN_SECONDS)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _drop(scene: Stage) -> None:
    # What the API server's authorizer has heard of it takes a moment.
    await asyncio.sleep(0.5)
    for replica in scene.replicas:
        await replica.api.drop()


def _logs(scene: Stage) -> Logs:
    """How long each replica's log is now."""
    return {replica.pod.name: len(replica.said()) for replica in scene.replicas}


async def _said(scene: Stage, since: Logs, *words: str) -> None:
    """Each replica, in one line."""

    async def there() -> bool:
        for replica in scene.replicas:
            lines = replica.said()[since[replica.pod.name] :].splitlines()
            if not any(all(word in line for word in words) for line in lines):
                raise Waiting(f"{replica.pod.name}: " + " | ".join(lines[-3:]))
        return True

    await scene.until(f"each replica says {words}", there, TOLD_SECONDS)


def _object(kind: str, name: str) -> Plain:
    return next(each for each in read_objects(MANIFEST) if (each["kind"], each["metadata"]["name"]) == (kind, name))
