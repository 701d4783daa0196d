"""Each right of deploy/install.yaml taken away and given back: what is said, how to grant it, that the rest goes on.

The API server looks at rights when a request begins, so that running watches go on: connections are broken, as a
restart of the API server or the end of a watch would do sooner or later. Everything that is watched changes now and
then meanwhile, since Inflight waits longer each time for a watch that breaks off before it has told anything.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import manifests
from container import Replica
from control_plane import INFLIGHT_USER
from engine import Play
from kubectl import Plain, apply, merge, path_of, read_objects
from load import Load
from manifests import autoscaler, deployment, external_metric, object_metric, pods_metric
from stage import APISERVICES, MANIFEST, SECRET, Stage, Waiting, all_at_once

from inflight.cluster import ClusterError
from parts.asking import (
    expect_active,
    expect_condition,
    expect_refusal,
    expect_values,
    external_path,
    object_path,
    pods_path,
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
WHO_MAY = "who asks and what they may"
TURN_SECONDS = 0.5
Logs = dict[str, int]
TOLD_SECONDS = 40.0
"""Watches that are refused are tried again after up to 30 s."""
CURRENT_SECONDS = 15.0
"""So long a list of pods is believed that nobody may renew."""
CATCHING_UP_SECONDS = 1.0
"""Where a list was read anew the next answer may be that it is being put together."""


class Rules:
    """Of the ClusterRole `inflight`, from which each check takes its own away while others take theirs."""

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self._role = _object("ClusterRole", "inflight")
        self._taken: set[str] = set()

    async def take(self, resource: str) -> None:
        require(any(resource in rule["resources"] for rule in self._role["rules"]), f"there is no rule for {resource}")
        self._taken.add(resource)
        await self._write()

    async def give_back(self, resource: str) -> None:
        self._taken.discard(resource)
        await self._write()

    async def _write(self) -> None:
        rules = [rule for rule in self._role["rules"] if not self._taken & set(rule["resources"])]
        await merge(self._scene.client, path_of(self._role), {"rules": rules})


async def rights(scene: Stage) -> None:
    scene.kubelet.plays[NAME] = Play(arguments=SLOW)
    restarts = {each.pod.name: each.pod.restarts for each in scene.replicas}
    rules = Rules(scene)
    await scene.create(
        manifests.namespace(NAMESPACE),
        *_pods_here(),
        deployment(NAME, 2, NAMESPACE),
        autoscaler(NAME, external_metric(METRIC, 30, {"app": NAME}), most=4, namespace=NAMESPACE),
    )
    async with Load(scene.kubelet, NAME, NAMESPACE) as load, _traffic(scene):
        load.hold(6)
        await expect_values(scene, [6], external_path(NAMESPACE), SELECTOR)
        await _each_replica_says(scene, 6, NAMESPACE)
        await all_at_once(_pods(scene, rules), _one_by_one(scene, rules))
    require({each.pod.name: each.pod.restarts for each in scene.replicas} == restarts, "Inflight was restarted")
    await scene.delete(f"/api/v1/namespaces/{NAMESPACE}")


def _pods_here() -> tuple[manifests.Placed, ...]:
    """The right to the pods of this one namespace, so that it goes on while the others' are not to be had."""
    version = "rbac.authorization.k8s.io/v1"
    metadata = {"name": "pods-here", "namespace": NAMESPACE}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    role = {"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": [rule]}
    account = {"kind": "ServiceAccount", "name": "inflight", "namespace": manifests.SYSTEM}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods-here"}
    binding = {
        "apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": [account],
    }  # fmt: skip
    path = f"{manifests.RBAC}/namespaces/{NAMESPACE}"
    return (f"{path}/roles", role), (f"{path}/rolebindings", binding)


async def _one_by_one(scene: Stage, rules: Rules) -> None:
    checks: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
        ("horizontalpodautoscalers", lambda: _autoscalers(scene, rules)),
        ("*/scale", lambda: _scales(scene, rules)),
        ("the Secret", lambda: _secret(scene)),
        ("the APIServices", lambda: _bundles(scene)),
        ("the authorities of the cluster", lambda: _authorities(scene)),
        (WHO_MAY, lambda: _reviews(scene)),
    )
    for what, part in checks:
        async with Polling(lambda: values(scene, external_path(NAMESPACE), SELECTOR)) as polling:
            await part()
        # Of the last one the question is itself whether somebody may be answered.
        if what != WHO_MAY:
            other = [error for error in polling.errors if "being put together" not in error]
            require(not other, f"without {what} answers failed: {other[:1]}")
            outage = polling.longest_outage_seconds
            require(outage < CATCHING_UP_SECONDS, f"without {what} there was no answer for {outage:.1f} s")
            require(set(map(str, polling.values)) == {"[6.0]"}, f"without {what} other values came: {polling.values}")
        await expect_active(scene, NAMESPACE, NAME)


async def _autoscalers(scene: Stage, rules: Rules) -> None:
    """Known ones are followed on; a new one is found when the right is back."""
    new = "found-later"
    await _without_rule(scene, rules, "horizontalpodautoscalers", lambda logs: _said(
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


async def _pods(scene: Stage, rules: Rules) -> None:
    """Pods that are known are read on, and sums of them said for a while, until nobody knows any more whether they are
    all. A namespace whose pods were never listed is told of at once.
    """
    known, other = "pods-not-current", "pods-not-listed"
    scene.kubelet.plays |= {known: Play(arguments=SLOW), other: Play(arguments=SLOW)}
    await scene.create(
        manifests.namespace(known),
        deployment(known, 2, known),
        autoscaler(
            known, external_metric(METRIC, 30, {"app": known}), pods_metric(METRIC, 30), most=4, namespace=known
        ),
    )
    sentence = (
        "which pods namespace pods-not-current has is not known any more",
        "kubectl create clusterrole",
        ACCOUNT,
    )

    async def seen(logs: Logs) -> None:
        begun = time.monotonic()
        await _said(scene, logs, "kind=pods_forbidden", "--verb=list,watch", "--resource=pods", ACCOUNT)
        await scene.create(
            manifests.namespace(other),
            deployment(other, 1, other),
            autoscaler(other, external_metric(METRIC, 30, {"app": other}), most=2, namespace=other),
        )
        await expect_condition(scene, other, other, "may not be watched", "kubectl create clusterrole", ACCOUNT)
        for path, selector in ((external_path(known), f"app={known}"), (object_path(known, known), "")):
            await expect_refusal(scene, 503, path, selector, *sentence)
        require(
            time.monotonic() - begun > CURRENT_SECONDS - 2, "a list of pods was not believed for as long as it is said"
        )
        await expect_condition(scene, known, known, "is not known any more")
        await expect_values(scene, [2, 2], pods_path(known), f"app={known}")
        require(await scene.deployment_replicas(known, known) == 2, "scaled because nobody knows which pods there are")

    async with Load(scene.kubelet, known, known) as load:
        load.hold(4)
        await expect_values(scene, [4], external_path(known), f"app={known}")
        await _each_replica_says(scene, 4, known)
        async with Polling(lambda: values(scene, external_path(known), f"app={known}")) as polling:
            await _without_rule(scene, rules, "pods", seen)
        low = [each for each in polling.values if each != [4]]
        require(not low, f"without pods other values came: {low[:3]}")
        await expect_values(scene, [4], external_path(known), f"app={known}", TOLD_SECONDS)
        await expect_active(scene, known, known)
    await expect_values(scene, [0], external_path(other), f"app={other}", TOLD_SECONDS)
    for namespace in (known, other):
        await scene.delete(f"/api/v1/namespaces/{namespace}")
    scene.say(
        "without pods: said at once in the log; after 15 s no sum, with the command in the HPA's condition; known pods"
    )
    scene.say("  are read on, and a Pods metric is answered; given back, all is found")


async def _each_replica_says(scene: Stage, value: int, namespace: str) -> None:
    """An answer through the Service is one replica's; the other may have looked for the pods' pages a moment later."""
    path = f"{external_path(namespace)}?labelSelector=app%3D{namespace}"

    async def says(replica: Replica) -> bool:
        status, body = await ask(scene, path, "front-proxy", AS_ADMIN, port=replica.port)
        if status != 200 or f'"value":"{value}"' not in body:
            raise Waiting(f"{status}: {body}")
        return True

    for replica in scene.replicas:
        await scene.until(f"{replica.pod.name} says {value}", partial(says, replica), TOLD_SECONDS)


async def _scales(scene: Stage, rules: Rules) -> None:
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
    await _without_rule(scene, rules, "*/scale", seen)
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


async def _without_rule(scene: Stage, rules: Rules, resource: str, seen: Callable[[Logs], Awaitable[None]]) -> None:
    """The ClusterRole without the rule for it, while `seen` looks."""
    logs = _logs(scene)
    await rules.take(resource)
    try:
        await _drop(scene)
        await seen(logs)
    finally:
        await rules.give_back(resource)


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
