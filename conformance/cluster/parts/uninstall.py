"""Taken away in the order of docs/install.md: nothing is left, HPAs stay where they are, namespaces can be deleted."""

import asyncio

import manifests
from kubectl import path_of, read_objects
from manifests import autoscaler, deployment, pods_metric
from stage import APISERVICES, MANIFEST, Stage, Waiting

from inflight.cluster import ApiError
from parts.asking import expect_condition, require

NAME = NAMESPACE = "left-alone"


async def uninstall(scene: Stage) -> None:
    await scene.create(
        manifests.namespace(NAMESPACE),
        deployment(NAME, 2, NAMESPACE),
        autoscaler(NAME, pods_metric("inflight_requests", 30), most=3, namespace=NAMESPACE),
    )
    for group, version in manifests.API_SERVICES:
        await scene.delete(f"{APISERVICES}/{version}.{group}")
    if scene.kubectl is not None:
        await scene.kubectl("delete", "-f", str(MANIFEST), "--ignore-not-found", "--wait=false")
    else:
        for plain in reversed(read_objects(MANIFEST)):
            await scene.delete(path_of(plain), gone=True)

    async def nothing_left() -> bool:
        for plain in read_objects(MANIFEST):
            try:
                await scene.client.get(path_of(plain))
            except ApiError as error:
                require(error.code == 404, str(error))
            else:
                raise Waiting(f"{plain['kind']} {plain['metadata']['name']}")
        return True

    await scene.until("every object of the manifest is gone", nothing_left, 60)
    roles = await scene.client.get(f"{manifests.RBAC}/clusterroles")
    left = [each["metadata"]["name"] for each in roles["items"] if "inflight" in each["metadata"]["name"]]
    require(not left, f"ClusterRoles are left: {left}")
    require(not scene.replicas, "a replica is still running")
    await expect_condition(scene, NAMESPACE, NAME, "unable to fetch metrics from custom metrics API")
    await asyncio.sleep(3)
    require(await scene.deployment_replicas(NAME, NAMESPACE) == 2, "an HPA scaled after its metrics had gone")
    await scene.delete(f"/api/v1/namespaces/{NAMESPACE}")

    async def gone() -> bool:
        names = [each["metadata"]["name"] for each in (await scene.client.get("/api/v1/namespaces"))["items"]]
        if NAMESPACE in names:
            raise Waiting((await scene.client.get(f"/api/v1/namespaces/{NAMESPACE}"))["status"])
        return True

    await scene.until("a namespace can be deleted", gone, 30)
    scene.say("uninstalled: no object is left, the HPA stays where it is and says why, namespaces can be deleted")
