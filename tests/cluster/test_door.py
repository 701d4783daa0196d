"""The metrics API with the cluster at its door, over real TLS: certificates of every kind, headers, tokens, rights."""

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest
import trustme

from inflight import __version__
from inflight.cluster import Attributes, Authenticator, Authorizer, Client, TokenReviewer, Trust, parse_trust
from inflight.cluster.access import PATH as ACCESS
from inflight.cluster.tokens import PATH as TOKENS
from inflight.objects import Selector, parse_selector
from inflight.serve import RunningServer, start_server
from inflight.serve.api.asked import Asked, read_target
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.door import ClusterDoor, attributes_of, take_authorities
from inflight.signals.series import PodSample
from inflight.sources import WallClock

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/inflight_requests"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns"
AS_ALICE = {"X-Remote-User": "alice", "X-Remote-Group": "dev", "X-Remote-Uid": "42", "X-Remote-Extra-Scope": "a"}


class OnePod:
    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]:
        now = WallClock().now()
        return [PodSample("ns", "a", {"app": "web"}, 5.0, now - 1, "", reported_before=True, alive=True)]


class Web(msgspec.Struct, frozen=True):
    api_version: str = "apps/v1"
    kind: str = "Deployment"
    namespace: str = "ns"
    name: str = "web"
    selector: Selector = parse_selector("app=web")


class OneDeployment:
    def workload(self, namespace: str, resource: str, name: str) -> Web | str:
        return Web() if (namespace, resource, name) == ("ns", "deployments.apps", "web") else "nobody names it"

    def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
        return ""

    def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
        return ""


class Held:
    """A trust that a test may change."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust


class House:
    """The server under test with the authorities of its cluster, and a client of it."""

    def __init__(self, cluster: trustme.CA, proxy: trustme.CA) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.held = Held(trust_of(cluster, proxy))
        self.telemetry = Telemetry()
        self.server: RunningServer

    async def get(
        self,
        path: str,
        *,
        signed_by: trustme.CA | None = None,
        name: str = "",
        headers: dict[str, str] | None = None,
        method: str = "GET",
    ) -> tuple[int, str]:
        assert self.server.ca_pem is not None
        context = ssl.create_default_context(cadata=self.server.ca_pem.decode())
        if signed_by is not None:
            signed_by.issue_cert(common_name=name, organization_name="dev").configure_cert(context)
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, self.server.url + path, headers=headers) as answer,
        ):
            return answer.status, await answer.text()


def trust_of(cluster: trustme.CA, proxy: trustme.CA) -> Trust:
    return parse_trust(
        {
            "client-ca-file": cluster.cert_pem.bytes().decode(),
            "requestheader-client-ca-file": proxy.cert_pem.bytes().decode(),
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        }
    )


@pytest.fixture(scope="module")
def authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


@pytest.fixture
async def house(server: Any, client: Client, authorities: tuple[trustme.CA, trustme.CA]) -> AsyncIterator[House]:
    house = House(*authorities)
    server.give("POST", ACCESS, {"status": {"allowed": True}})
    door = ClusterDoor(Authenticator(TokenReviewer(client)), Authorizer(client), house.held)
    async with start_server(
        OnePod(), WallClock(), door=door, workloads=OneDeployment(), telemetry=house.telemetry
    ) as running:
        take_authorities(running.context, house.held.trust)
        house.server = running
        yield house


async def test_there_is_no_token_beside_the_door(house: House) -> None:
    assert house.server.token == ""


async def test_the_front_proxy_is_answered_for_whom_it_speaks(house: House, server: Any) -> None:
    status, body = await house.get(EXTERNAL, signed_by=house.proxy, name="front-proxy-client", headers=AS_ALICE)
    assert (status, '"value":"5"' in body) == (200, True)
    spec = server.bodies[0]["spec"]
    assert spec["user"] == "alice"
    assert spec["groups"] == ["dev", "system:authenticated"]
    assert (spec["uid"], spec["extra"]) == ("42", {"scope": ["a"]})


async def test_a_cluster_certificate_with_the_proxys_name_speaks_for_itself_alone(house: House, server: Any) -> None:
    await house.get(EXTERNAL, signed_by=house.cluster, name="front-proxy-client", headers=AS_ALICE)
    assert server.bodies[0]["spec"]["user"] == "front-proxy-client"
    assert server.bodies[0]["spec"]["groups"] == ["dev", "system:authenticated"]


async def test_another_name_of_the_proxys_authority_is_nobody(house: House, server: Any) -> None:
    status, _ = await house.get(EXTERNAL, signed_by=house.proxy, name="somebody-else", headers=AS_ALICE)
    assert status == 401
    assert server.requests == []


async def test_a_certificate_of_a_strange_authority_ends_the_handshake(house: House, server: Any) -> None:
    with pytest.raises(aiohttp.ClientError):
        await house.get(EXTERNAL, signed_by=trustme.CA(), name="front-proxy-client", headers=AS_ALICE)
    assert server.requests == []


async def test_an_intermediate_that_the_client_sends_leads_to_the_authority(house: House, server: Any) -> None:
    status, _ = await house.get(EXTERNAL, signed_by=house.cluster.create_child_ca(), name="bob")
    assert status == 200
    assert server.bodies[0]["spec"]["user"] == "bob"


async def test_a_rotated_authority_counts_and_the_old_one_no_longer(house: House, server: Any) -> None:
    fresh = trustme.CA()
    house.held.trust = trust_of(fresh, house.proxy)
    take_authorities(house.server.context, house.held.trust)
    assert (await house.get(EXTERNAL, signed_by=fresh, name="bob"))[0] == 200
    assert (await house.get(EXTERNAL, signed_by=house.cluster, name="bob"))[0] == 401


async def test_a_workloads_metric_is_asked_about_as_its_subresource_and_then_answered(
    house: House, server: Any
) -> None:
    path = f"{CUSTOM}/deployments.apps/web/inflight_requests"
    status, body = await house.get(path, signed_by=house.proxy, name="front-proxy-client", headers=AS_ALICE)
    assert (status, '"value":"5"' in body, '"name":"web"' in body) == (200, True, True)
    assert server.bodies[0]["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "custom.metrics.k8s.io",
        "version": "v1beta2",
        "resource": "deployments.apps",
        "subresource": "inflight_requests",
        "namespace": "ns",
        "name": "web",
    }


async def test_who_may_not_read_a_workloads_metric_does_not_learn_whether_it_exists(house: House, server: Any) -> None:
    server.give("POST", ACCESS, {"status": {"allowed": False}})
    answers = [
        await house.get(f"{CUSTOM}/deployments.apps/{name}/inflight_requests", signed_by=house.cluster, name="bob")
        for name in ("web", "wax")
    ]
    assert [status for status, _ in answers] == [403, 403]
    assert answers[0][1] == answers[1][1].replace("wax", "web")
    assert 'resource \\"deployments.apps/inflight_requests\\"' in answers[0][1]


async def test_nobody_is_asked_about_as_anonymous(house: House, server: Any) -> None:
    server.give("POST", ACCESS, {"status": {"allowed": False, "reason": "no RBAC policy matched"}})
    status, body = await house.get(EXTERNAL, headers=AS_ALICE)
    assert status == 403
    assert 'User \\"system:anonymous\\" cannot list resource \\"inflight_requests\\"' in body
    assert "no RBAC policy matched" in body
    assert server.bodies[0]["spec"]["groups"] == ["system:unauthenticated"]


@pytest.mark.parametrize(
    "path", ["/version", "/metrics", "/apis", "/apis/custom.metrics.k8s.io/v1beta1", "/", "/openapi/v2"]
)
async def test_a_stranger_reads_health_and_nothing_else_whatever_the_cluster_grants(
    house: House, server: Any, path: str
) -> None:
    """Kubernetes binds `/version` to strangers; here the cluster is not even asked."""
    server.give("POST", ACCESS, {"status": {"allowed": True, "reason": "system:public-info-viewer"}})
    status, body = await house.get(path)
    assert status == 403
    assert f'User \\"system:anonymous\\" cannot get path \\"{path}\\"' in body
    assert __version__ not in body
    assert server.requests == []
    assert (await house.get(path, signed_by=house.cluster, name="bob"))[0] == (404 if path == "/openapi/v2" else 200)


async def test_a_stranger_for_whom_the_front_proxy_speaks_is_one_too(house: House, server: Any) -> None:
    headers = {"X-Remote-User": "system:anonymous", "X-Remote-Group": "system:unauthenticated"}
    status, _ = await house.get("/version", signed_by=house.proxy, name="front-proxy-client", headers=headers)
    assert (status, server.requests) == (403, [])


async def test_whether_strangers_may_read_a_metric_is_the_clusters_to_say(house: House, server: Any) -> None:
    assert (await house.get(EXTERNAL))[0] == 200
    assert server.bodies[0]["spec"]["user"] == "system:anonymous"


async def test_a_stranger_does_not_learn_why_the_cluster_says_nothing(house: House, server: Any) -> None:
    server.give("POST", ACCESS, server.status(403, "Forbidden", "cannot create subjectaccessreviews"), status=403)
    status, body = await house.get(EXTERNAL)
    assert status == 503
    assert "see the log" in body
    assert "subjectaccessreviews" not in body


async def test_each_refusal_has_its_cause(house: House, server: Any) -> None:
    def causes() -> dict[str, int]:
        return {cause: n for cause, n in house.telemetry.door_refusals.items() if n}

    await house.get("/version")
    assert causes() == {"no_credentials": 1}
    server.give("POST", ACCESS, {"status": {"allowed": False}})
    await house.get(EXTERNAL)
    assert causes() == {"no_credentials": 2}
    await house.get(EXTERNAL, signed_by=house.cluster, name="bob")
    assert causes() == {"no_credentials": 2, "forbidden": 1}
    server.give("POST", TOKENS, {"status": {"authenticated": False}})
    await house.get(EXTERNAL, headers={"Authorization": "Bearer bad"})
    await house.get(EXTERNAL, signed_by=house.proxy, name="somebody-else")
    assert causes() == {"no_credentials": 2, "forbidden": 1, "bad_token": 1, "bad_certificate": 1}
    server.give("POST", ACCESS, server.status(403, "Forbidden", "cannot create"), status=403)
    await house.get(EXTERNAL, signed_by=house.cluster, name="carol")
    server.give("POST", TOKENS, server.status(401, "Unauthorized", "Unauthorized"), status=401)
    await house.get(EXTERNAL, headers={"Authorization": "Bearer other"})
    assert causes()["missing_grant"] == 2
    server.give("POST", ACCESS, server.status(500, "InternalError", "etcd is away"), status=500)
    await house.get(EXTERNAL, signed_by=house.cluster, name="dave")
    server.give("POST", TOKENS, {"nonsense": True})
    await house.get(EXTERNAL, headers={"Authorization": "Bearer third"})
    assert causes()["cluster_unreachable"] == 2
    await house.get("/livez", headers={"Authorization": "Bearer bad"})
    assert sum(causes().values()) == 9


def test_what_strangers_send_writes_a_line_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither may a flood of different sentences fill the log, nor keep it silent."""
    now = 0.0
    monkeypatch.setattr("inflight.serve.door.time.monotonic", lambda: now)
    door = ClusterDoor(None, None, None)  # type: ignore[arg-type]
    for tenth in range(300):
        now = tenth / 10
        door._say("bad_certificate", f"not accepted: the certificate of 'stranger {tenth}'" + "x" * 5_000)
        door._say("bad_token", "not accepted: a token that the cluster does not know")
    assert len([line for line in caplog.messages if "cause=bad_certificate" in line]) == 30
    assert len([line for line in caplog.messages if "cause=bad_token" in line]) == 3
    assert max(map(len, caplog.messages)) < 1_200


async def test_a_bad_token_is_unauthorized_and_a_good_one_is_not(house: House, server: Any) -> None:
    server.give("POST", TOKENS, {"status": {"authenticated": False}})
    assert (await house.get(EXTERNAL, headers={"Authorization": "Bearer bad"}))[0] == 401
    server.give("POST", TOKENS, {"status": {"authenticated": True, "user": {"username": "bob"}}})
    assert (await house.get(EXTERNAL, headers={"Authorization": "Bearer good"}))[0] == 200


async def test_health_asks_the_cluster_nothing(house: House, server: Any) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert await house.get(path, headers={"Authorization": "Bearer bad"}) == (200, "ok")
    assert server.requests == []


async def test_a_cluster_that_is_away_lets_nobody_in(house: House, server: Any) -> None:
    del server.answers["POST", ACCESS]
    status, body = await house.get(EXTERNAL, signed_by=house.cluster, name="bob")
    assert status == 503
    assert "what 'bob' may do" in body
    status, body = await house.get(EXTERNAL, headers={"Authorization": "Bearer secret-one"})
    assert status == 503
    assert "secret-one" not in body
    assert (await house.get("/readyz"))[0] == 200


async def test_a_role_that_is_missing_is_named_to_who_is_known(house: House, server: Any) -> None:
    server.give("POST", ACCESS, server.status(403, "Forbidden", "cannot create subjectaccessreviews"), status=403)
    status, body = await house.get(EXTERNAL, signed_by=house.cluster, name="bob")
    assert status == 503
    assert "system:auth-delegator" in body


def attributes(target: str, method: str = "GET") -> Attributes:
    asked = read_target(target)
    assert isinstance(asked, Asked)
    return attributes_of(method, asked)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (f"{CUSTOM}/pods/*/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "*"}),
        (f"{CUSTOM}/pods/a/m?labelSelector=x", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (f"{CUSTOM}/pods//m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "*"}),
        (f"{CUSTOM}/PODS/a/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (f"{CUSTOM}/pod//m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "*"}),
        (f"{CUSTOM}/Pod./a/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (f"{CUSTOM}/%70ods/a/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (
            f"{CUSTOM}/deployments.apps/a/m",
            {"verb": "get", "resource": "deployments.apps", "subresource": "m", "name": "a"},
        ),
        (
            f"{CUSTOM}/Deployments.apps/a/m",
            {"verb": "get", "resource": "deployments.apps", "subresource": "m", "name": "a"},
        ),
        (
            f"{CUSTOM}/statefulsets.apps/a/vllm%3Anum_requests_running?metricLabelSelector=x",
            {
                "verb": "get",
                "resource": "statefulsets.apps",
                "subresource": "vllm:num_requests_running",
                "name": "a",
            },
        ),
        (
            f"{CUSTOM}/leaderworkersets.leaderworkerset.x-k8s.io//m",
            {"verb": "get", "resource": "leaderworkersets.leaderworkerset.x-k8s.io", "subresource": "m", "name": "*"},
        ),
        (f"{CUSTOM}/metrics/m", {"verb": "get", "resource": "metrics", "name": "m"}),
    ],
)
def test_a_custom_metric_is_a_subresource_of_its_object(target: str, wanted: dict[str, str]) -> None:
    assert attributes(target) == Attributes(group="custom.metrics.k8s.io", version="v1beta2", namespace="ns", **wanted)


def test_other_questions_ask_for_what_upstream_asks() -> None:
    external = {"group": "external.metrics.k8s.io", "version": "v1beta1", "resource": "inflight_requests"}
    assert attributes(EXTERNAL) == Attributes("list", namespace="ns", **external)
    for watching in ("true", "1", "True", "yes", ""):
        assert attributes(f"{EXTERNAL}?watch={watching}") == Attributes("watch", namespace="ns", **external)
    for watching in ("false", "0", "FALSE"):
        assert attributes(f"{EXTERNAL}?watch={watching}") == Attributes("list", namespace="ns", **external)
    assert attributes(EXTERNAL, "DELETE") == Attributes("delete", namespace="ns", **external)
    node = "/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m"
    assert attributes(node).namespace == ""
    assert (attributes(node).resource, attributes(node).name) == ("nodes", "n")
    for path in ("/", "/apis", "/metrics", "/nothing", "/apis/custom.metrics.k8s.io/v1beta1", "/healthz/"):
        assert attributes(path) == Attributes("get", path=path)
    assert attributes("/metrics", "POST") == Attributes("create", path="/metrics")
