# ruff: noqa: ASYNC240 - scripts of the conformance suite, not a package.
"""deploy/install.yaml as it is: what it starts, under whose rights, with which certificate; applied again, rotated, and
with a replica lost.

That the objects are accepted, that Pod Security admission lets the pods in and that two replicas get Ready, the stage
has seen before.
"""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import isolation
import manifests
from container import PORT_FLAG, Replica
from control_plane import INFLIGHT_GROUPS, INFLIGHT_USER
from kubectl import apply, merge, read_objects
from stage import APISERVICES, MANIFEST, SECRET, CheckError, Stage, Waiting

from inflight.cluster import Client
from parts.polling import Polling

NAME = "inflight.inflight-system.svc"
GROUP = "/apis/external.metrics.k8s.io/v1beta1"
ROTATION_SECONDS = 10.0
"""docs/certificates.md says a fraction of a second; the aggregator looks again after up to some seconds."""
MAY = (
    ("list", "autoscaling", "horizontalpodautoscalers", "", ""),
    ("watch", "", "pods", "", ""),
    ("get", "apps", "deployments/scale", "inference", "any"),
    ("get", "example.com", "whatever/scale", "inference", "any"),
    ("patch", "apiregistration.k8s.io", "apiservices", "", "v1beta2.custom.metrics.k8s.io"),
    ("update", "", "secrets", manifests.SYSTEM, "inflight-serving"),
    ("create", "authentication.k8s.io", "tokenreviews", "", ""),
    ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
    ("get", "", "configmaps", "kube-system", "extension-apiserver-authentication"),
)
MAY_NOT = (
    ("get", "", "secrets", manifests.SYSTEM, "another"),
    ("list", "", "secrets", manifests.SYSTEM, ""),
    ("create", "", "secrets", manifests.SYSTEM, ""),
    ("delete", "", "secrets", manifests.SYSTEM, "inflight-serving"),
    ("list", "", "secrets", manifests.INFERENCE, ""),
    ("get", "", "configmaps", manifests.INFERENCE, "any"),
    ("update", "apps", "deployments/scale", "inference", "any"),
    ("patch", "autoscaling", "horizontalpodautoscalers", "inference", "any"),
    ("delete", "", "pods", "inference", "any"),
    ("create", "", "pods/exec", "inference", "any"),
    ("get", "", "pods/log", "inference", "any"),
    ("list", "", "nodes", "", ""),
    ("list", "apps", "deployments", "", ""),
    ("patch", "apiregistration.k8s.io", "apiservices", "", "v1beta1.metrics.k8s.io"),
    ("create", "apiregistration.k8s.io", "apiservices", "", ""),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", ""),
    ("impersonate", "", "users", "", "admin"),
    ("*", "*", "*", "", ""),
)
"""Verb, group, resource, namespace, name."""


async def install(scene: Stage) -> None:
    await _as_the_manifest_says(scene)
    await _one_certificate(scene)
    await _rights(scene)
    await _applied_again(scene)
    await _somebody_takes_the_bundle(scene)
    await _rotated(scene)
    await _one_replica_less(scene)


async def _as_the_manifest_says(scene: Stage) -> None:
    deployment = next(each for each in read_objects(MANIFEST) if each["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    wanted = [str(each) for each in container["args"]]
    exact = 0
    for replica in scene.replicas:
        command = Path(f"/proc/{replica.pid}/cmdline").read_text().split("\0")[:-1]
        arguments = command[command.index("serve") :]
        if isolation.kind() == "kubeconfig" and arguments[-2] == "--kubeconfig":
            arguments = arguments[:-2]
        exact += arguments == wanted
        at = arguments.index(PORT_FLAG) + 1
        if arguments[:at] + arguments[at + 1 :] != wanted[:at] + wanted[at + 1 :]:
            raise CheckError(f"Inflight runs with {arguments}, the manifest has {wanted}")
        if isolation.kind() == "namespace":
            _check_isolation(replica)
    if not exact:
        scene.not_run.append(f"Inflight on port {scene.replicas[0].wants_port} as in the manifest: it is taken here")
    if isolation.kind() == "kubeconfig":
        scene.not_run.append(f"Inflight with exactly the container's arguments: it ran {isolation.sentence()}")
    if any(each.pod.restarts for each in scene.replicas):
        raise CheckError("Inflight has been restarted")
    scene.say(f"{exact} of 2 replicas with exactly the container's arguments, the other with another port;")
    scene.say(f"  {isolation.sentence()}")


def _check_isolation(replica: Replica) -> None:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{replica.pid}/status").read_text().splitlines() if ":" in line
    )
    if int(status["CapEff"], 16) or int(status["CapPrm"], 16):
        raise CheckError(f"a replica has capabilities: {status['CapEff'].strip()}")
    mounts = [line.split() for line in Path(f"/proc/{replica.pid}/mounts").read_text().splitlines()]
    root = next(each for each in mounts if each[1] == "/")
    if "ro" not in root[3].split(","):
        raise CheckError(f"a replica's file system can be written to: {root}")
    inside = int(Path(f"/proc/{replica.pid}/uid_map").read_text().split()[0])
    user = replica.pod.plain["spec"]["securityContext"]["runAsUser"]
    if inside != user:
        raise CheckError(f"a replica runs as {inside}, not as {user}")


async def _one_certificate(scene: Stage) -> None:
    """The same for both, by the name that the aggregator asks for, known by every caBundle, and Inflight's own work."""
    served = {await leaf(replica.port) for replica in scene.replicas}
    if len(served) != 1:
        raise CheckError("the replicas serve different certificates")
    for group, version in manifests.API_SERVICES:
        plain = await scene.client.get(f"{APISERVICES}/{version}.{group}")
        if plain["spec"].get("insecureSkipTLSVerify"):
            raise CheckError(f"{version}.{group}: insecureSkipTLSVerify is set")
        bundle = base64.b64decode(plain["spec"]["caBundle"]).decode()
        for replica in scene.replicas:
            await _handshake(replica.port, bundle)
        writers = [
            each["manager"] for each in plain["metadata"]["managedFields"] if "f:caBundle" in str(each["fieldsV1"])
        ]
        if any("kubectl" in writer or "conformance" in writer for writer in writers) or not writers:
            raise CheckError(f"{version}.{group}: caBundle was written by {writers}")
    scene.say("both replicas serve one certificate, which every caBundle knows; Inflight wrote it")


async def leaf(port: int) -> bytes:
    """The certificate that is served there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    try:
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return found
    finally:
        writer.close()


async def _handshake(port: int, bundle: str) -> None:
    """As strictly as can be. Raises CheckError."""
    context = ssl.create_default_context(cadata=bundle)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    except ssl.SSLError as error:
        raise CheckError(f"who trusts caBundle does not trust port {port} as {NAME}: {error}") from error
    writer.close()


async def _rights(scene: Stage) -> None:
    for table, wanted in ((MAY, True), (MAY_NOT, False)):
        for right in table:
            if await may(scene.client, right) != wanted:
                raise CheckError(f"{INFLIGHT_USER} {'may not' if wanted else 'may'}: {right}")
    scene.say(f"its account may do {len(MAY)} things that it needs and none of {len(MAY_NOT)} that it does not")


async def may(client: Client, right: tuple[str, str, str, str, str]) -> bool:
    verb, group, resource, namespace, name = right
    resource, _, subresource = resource.partition("/")
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": INFLIGHT_USER,
            "groups": [*INFLIGHT_GROUPS, "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "namespace": namespace,
                "name": name,
            },
        },
    }
    answer = await client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


async def _applied_again(scene: Stage) -> None:
    before = await _written(scene)
    # Once, so that what follows is the second time.
    await apply(scene.kubectl, scene.client, scene.manifest_with_network())
    async with Polling(lambda: scene.client.get(GROUP)) as polling:
        await apply(scene.kubectl, scene.client, scene.manifest_with_network())
        await asyncio.sleep(1)
    if polling.errors:
        raise CheckError(f"applying the manifest again broke {len(polling.errors)} answers: {polling.errors[0]}")
    if await _written(scene) != before:
        raise CheckError("applying the manifest again changed the certificate or a caBundle")
    scene.say(f"applied again: Secret and caBundle as before, {len(polling.values)} answers meanwhile, none bad")


async def _written(scene: Stage) -> tuple[object, ...]:
    """What Inflight wrote."""
    secret = await scene.client.get(SECRET)
    services = [await scene.client.get(f"{APISERVICES}/{version}.{group}") for group, version in manifests.API_SERVICES]
    return secret.get("data"), *(each["spec"].get("caBundle") for each in services)


async def _somebody_takes_the_bundle(scene: Stage) -> None:
    before = await _written(scene)
    path = f"{APISERVICES}/v1beta1.custom.metrics.k8s.io"
    await merge(scene.client, path, {"spec": {"caBundle": None}})

    async def back() -> bool:
        return "caBundle" in (await scene.client.get(path))["spec"] and await _written(scene) == before

    await scene.until("a caBundle that was taken away is back", back, seconds=20)
    scene.say("a caBundle that somebody takes away is written again")


async def _rotated(scene: Stage) -> None:
    """As docs/certificates.md says: by taking the Secret's data away."""
    old = {await leaf(replica.port) for replica in scene.replicas}
    before = await _written(scene)
    async with Polling(lambda: scene.client.get(GROUP)) as polling:
        await merge(scene.client, SECRET, {"data": None})

        async def renewed() -> bool:
            now = await _written(scene)
            served = {await leaf(replica.port) for replica in scene.replicas}
            if served & old or len(served) != 1 or len({*now[1:], before[1]}) != 2:
                raise Waiting(f"{len(served)} certificates, {len(served & old)} of them old")
            return True

        await scene.until("both replicas serve a new certificate, and every caBundle knows it", renewed, seconds=30)
        await scene.until("APIServices Available", scene.available)
        await asyncio.sleep(1)
    await _one_certificate(scene)
    outage = polling.longest_outage_seconds
    if outage > ROTATION_SECONDS:
        raise CheckError(f"rotating the certificate left the API without an answer for {outage:.1f} s")
    scene.say(f"rotated by taking the Secret's data away: a new certificate and authority everywhere; {polling}")


async def _one_replica_less(scene: Stage) -> None:
    """Deleted, it leaves as a kubelet lets it and nobody notices; killed, the other one answers."""
    (first, second), served = scene.replicas, await leaf(scene.replicas[0].port)
    async with Polling(lambda: scene.client.get(GROUP)) as polling:
        await scene.delete(first.pod.path)

        async def replaced() -> bool:
            names = [each.pod.name for each in scene.ready_replicas]
            if len(names) != 2 or first.pod.name in names:
                raise Waiting(f"Ready: {names}")
            return True

        await scene.until("the deleted replica is replaced", replaced, seconds=60)
    if polling.errors:
        raise CheckError(f"deleting a replica broke {len(polling.errors)} answers: {polling.errors[0]}")
    if {await leaf(each.port) for each in scene.replicas} != {served}:
        raise CheckError("the new replica made a certificate of its own")
    left = len(polling.values)
    async with Polling(lambda: scene.client.get(GROUP)) as polling:
        second.kill()

        async def restarted() -> bool:
            return second.pod.restarts == 1 and len(scene.ready_replicas) == 2

        await scene.until("the killed replica is started again", restarted, seconds=60)
    outage = polling.longest_outage_seconds
    if outage > 2:
        raise CheckError(f"with one replica killed there was no answer for {outage:.1f} s: {polling.errors[0]}")
    scene.say(f"a replica deleted and replaced: {left} answers, none bad; one killed: {polling}")
