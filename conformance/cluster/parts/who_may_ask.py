"""Who gets what from Inflight when the cluster decides: through the aggregator, and on our own port past it."""

import json
import ssl
from typing import Any

import aiohttp
import manifests
from stage import CheckError, Stage, Waiting

NAMESPACE = "asked-about"
"""Nobody is there."""
EXTERNAL = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/inflight_requests"
AS_ADMIN = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
HPA_CONTROLLER = "horizontal-pod-autoscaler"


async def who_may_ask(scene: Stage) -> None:
    await scene.create(manifests.namespace(NAMESPACE))
    await _strangers(scene)
    await _proxies(scene)
    await _certificates_and_tokens(scene)


async def _strangers(scene: Stage) -> None:
    """Without credentials nothing but health; with bad ones nothing at all."""
    for path in ("/healthz", "/livez", "/readyz"):
        await expect(scene, 200, path)
    # Kubernetes lets its own /version be seen by anybody (ClusterRole system:public-info-viewer); ours is not.
    for path in ("/", "/apis", "/metrics", "/version", EXTERNAL, "/nothing"):
        await expect(scene, 403, path)
        await expect(scene, 403, path, headers=AS_ADMIN)
        await expect(scene, 401, path, headers={"Authorization": "Bearer nonsense"})
    scene.say("strangers get health and nothing else")


async def _proxies(scene: Stage) -> None:
    """Only the front proxy's own certificate makes its headers count."""
    # 404: let in, and no pod is there yet.
    await expect(scene, 404, EXTERNAL, pair="front-proxy", headers=AS_ADMIN)
    await expect(scene, 200, "/metrics", pair="front-proxy", headers=AS_ADMIN)
    await expect(scene, 403, EXTERNAL, pair="front-proxy", headers={"X-Remote-User": "nobody"})
    await expect(scene, 401, EXTERNAL, pair="front-proxy")
    await expect(scene, 401, EXTERNAL, pair="stranger-proxy", headers=AS_ADMIN)
    await expect(scene, 403, EXTERNAL, pair="false-proxy", headers=AS_ADMIN)
    scene.say("X-Remote headers count on the front proxy's connection alone")


async def _certificates_and_tokens(scene: Stage) -> None:
    await expect(scene, 404, EXTERNAL, pair="admin")
    sentence = await expect(scene, 403, EXTERNAL, pair="nobody")
    if 'User "nobody" cannot list resource "inflight_requests"' not in json.loads(sentence)["message"]:
        raise CheckError(f"the denial does not say who may not do what: {sentence}")
    path = f"/api/v1/namespaces/kube-system/serviceaccounts/{HPA_CONTROLLER}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await scene.client.create(path, request))["status"]["token"]
    await expect(scene, 404, EXTERNAL, headers={"Authorization": f"Bearer {token}"})
    await expect(scene, 403, "/metrics", headers={"Authorization": f"Bearer {token}"})
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reads-load"},
        "rules": [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["inflight_requests"], "verbs": ["list"]}],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "nobody-reads-load"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-load"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }
    await scene.create(
        (f"{manifests.RBAC}/clusterroles", role),
        (f"{manifests.RBAC}/namespaces/{NAMESPACE}/rolebindings", binding),
    )
    await scene.until("a right that is given counts", lambda: _gets(scene, 404, EXTERNAL, "nobody"), seconds=20)
    await expect(scene, 403, EXTERNAL.replace("inflight_requests", "requests_waiting"), pair="nobody")
    await expect(scene, 403, EXTERNAL.replace(NAMESPACE, "default"), pair="nobody")
    scene.say("certificates and tokens of the cluster see what RBAC lets them see")


async def _gets(scene: Stage, wanted: int, path: str, pair: str, headers: dict[str, str] | None = None) -> bool:
    status, body = await ask(scene, path, pair, headers)
    if status != wanted:
        raise Waiting(f"{status}: {body[:300]}")
    return True


async def expect(scene: Stage, wanted: int, path: str, *, pair: str = "", headers: dict[str, str] | None = None) -> str:
    """The body. Raises CheckError where another code comes."""
    status, body = await ask(scene, path, pair, headers)
    if status != wanted:
        who = f"{pair or 'no certificate'}, {sorted(headers or ())}"
        raise CheckError(f"GET {path} with {who}: {wanted} expected, {status} came: {body[:300]}")
    return body


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def ask(
    scene: Stage, path: str, pair: str, headers: dict[str, str] | None, *, port: int = 0, trusts: bool = True
) -> tuple[int, str]:
    """Past the aggregator, straight to Inflight: through its Service, or to one replica's port.

    `trusts` that its certificate is known; false where it cannot be yet.
    """
    folder = scene.plane.folder
    context = ssl.create_default_context(cadata=await scene.serving_ca()) if trusts else unverified()
    if pair:
        context.load_cert_chain(folder / f"{pair}.pem", folder / f"{pair}.key")
    url: Any = f"https://localhost:{port or scene.plane.inflight_port}{path}"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.get(url, headers=headers) as answer,
    ):
        return answer.status, await answer.text()
