"""What a person sees who has kubectl: values, the columns of an HPA, its conditions, the groups and their resources."""

import json
import re

import manifests
from kubectl import Kubectl
from load import Load
from stage import CheckError, NotRun, Stage, Waiting

NAMESPACE = "seen-by-kubectl"
NAME = "vllm"
TYPO = "inflight_request"
EXTERNAL = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/inflight_requests"
CUSTOM = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/*/inflight_requests"
OBJECT = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/deployments.apps/{NAME}/inflight_requests"


async def as_a_person(scene: Stage) -> None:
    kubectl = scene.kubectl
    if kubectl is None:
        raise NotRun("kubectl is missing (https://kubernetes.io/docs/tasks/tools/), and so is Go to build it")
    labels = {"app": NAME}
    metrics = (
        manifests.external_metric("inflight_requests", 30, labels),
        manifests.pods_metric("inflight_requests", 30),
        manifests.object_metric("inflight_requests", 30, NAME),
    )
    await scene.create(
        manifests.namespace(NAMESPACE),
        manifests.deployment(NAME, 1, NAMESPACE),
        manifests.autoscaler(NAME, *metrics, most=2, namespace=NAMESPACE),
    )
    async with Load(scene.kubelet, NAME, NAMESPACE) as load:
        load.hold(12)
        await scene.until("kubectl get hpa shows the value of each metric", lambda: _columns(kubectl))
        await _raw(kubectl)
        await _described(scene, kubectl)
    await _groups(kubectl)
    await scene.delete(f"/api/v1/namespaces/{NAMESPACE}")
    scene.say("kubectl: values, TARGETS, conditions, api-resources, api-versions and version read right")


async def _columns(kubectl: Kubectl) -> bool:
    out = await kubectl("get", "hpa", NAME, "-n", NAMESPACE)
    found = re.findall(r"(\S+)/30", out)
    # kubectl shows two and counts the rest.
    if found != ["12", "12"] or "+ 1 more" not in out or "unknown" in out:
        raise Waiting(out)
    return True


async def _raw(kubectl: Kubectl) -> None:
    for path in (EXTERNAL, CUSTOM):
        items = json.loads(await kubectl("get", "--raw", f"{path}?labelSelector=app%3D{NAME}"))["items"]
        if [each["value"] for each in items] != ["12"]:
            raise CheckError(f"kubectl get --raw {path}: {items}")
    items = json.loads(await kubectl("get", "--raw", OBJECT))["items"]
    described = items[0]["describedObject"]
    if items[0]["value"] != "12" or (described["kind"], described["name"]) != ("Deployment", NAME):
        raise CheckError(f"kubectl get --raw {OBJECT}: {items}")
    code, _, err = await kubectl.run("get", "--raw", EXTERNAL.replace("inflight_requests", TYPO))
    if code == 0 or "inflight_requests" not in err or "NotFound" not in err:
        raise CheckError(f"a name that does not exist: exit code {code}, {err}")


async def _described(scene: Stage, kubectl: Kubectl) -> None:
    out = await kubectl("describe", "hpa", NAME, "-n", NAMESPACE)
    if not re.search(r"ScalingActive\s+True\s+ValidMetricFound", out):
        raise CheckError(f"kubectl describe hpa: {out}")
    if len(re.findall(r"\b12(?: \(avg\))? / 30\b", out)) != 3:
        raise CheckError(f"kubectl describe hpa does not show three metrics at 12 of 30: {out}")
    metric = manifests.external_metric(TYPO, 30, {"app": NAME})
    await scene.create(manifests.deployment("typo", 1, NAMESPACE))
    await scene.create(manifests.autoscaler("typo", metric, most=2, namespace=NAMESPACE))

    async def says_so() -> bool:
        out = await kubectl("describe", "hpa", "typo", "-n", NAMESPACE)
        found = re.search(r"ScalingActive\s+False\s+FailedGetExternalMetric\s+(.*)", out)
        if not found or f"could not find the metric {TYPO}" not in found[1] or "inflight_requests" not in found[1]:
            raise Waiting(out)
        if not re.search(r"Warning\s+FailedGetExternalMetric", out):
            raise Waiting(f"no event: {out}")
        return True

    await scene.until("kubectl describe hpa says what is wrong with a misspelt name, and which is nearest", says_so)


async def _groups(kubectl: Kubectl) -> None:
    versions = (await kubectl("api-versions")).split()
    for group, version in manifests.API_SERVICES:
        if f"{group}/{version}" not in versions:
            raise CheckError(f"kubectl api-versions does not list {group}/{version}: {versions}")
    rows = (await kubectl("api-resources", "--no-headers", "--api-group", "external.metrics.k8s.io")).splitlines()
    names = {row.split()[0] for row in rows}
    if not {"inflight_requests", "inflight_requests_waiting", "vllm_requests_running"} <= names:
        raise CheckError(f"kubectl api-resources lists {sorted(names)}")
    if any(row.split()[-2:] != ["true", "ExternalMetricValueList"] for row in rows):
        raise CheckError(f"kubectl api-resources: not namespaced, or of another kind: {rows}")
    # All groups at once: with an answer that it cannot read kubectl ends with an error here.
    rows = (await kubectl("api-resources", "--no-headers", "-o", "name")).splitlines()
    if slashed := [row for row in rows if "/" in row]:
        raise CheckError(f"kubectl api-resources lists names with a slash: {slashed}")
    if "inflight_requests.external.metrics.k8s.io" not in rows:
        raise CheckError("kubectl api-resources does not list inflight_requests among all")
    version = json.loads(await kubectl("version", "-o", "json"))["serverVersion"]
    if not re.fullmatch(r"\d+", version["major"]) or not re.fullmatch(r"\d+\+?", version["minor"]):
        raise CheckError(f"kubectl version: {version}")
    rows = (await kubectl("get", "apiservices", "--no-headers")).splitlines()
    served = [row.split()[:3] for row in rows if "inflight-system/inflight" in row]
    if len(served) != 3 or any(row[2] != "True" for row in served):
        raise CheckError(f"kubectl get apiservices: {served}")
