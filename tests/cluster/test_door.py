"""The metrics API with the cluster at its door, over real TLS: certificates of every kind, headers, tokens, rights."""

import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
import trustme

from inflight.cluster import Attributes, Authenticator, Authorizer, Client, TokenReviewer, Trust, parse_trust
from inflight.cluster.access import PATH as ACCESS
from inflight.cluster.tokens import PATH as TOKENS
from inflight.serve import RunningServer, start_server
from inflight.serve.api.uri import split_target
from inflight.serve.door import ClusterDoor, attributes_of, take_authorities
from inflight.signals.series import PodSample
from inflight.sources import WallClock

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/inflight_requests"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns"
AS_ALICE = {"X-Remote-User": "alice", "X-Remote-Group": "dev", "X-Remote-Uid": "42", "X-Remote-Extra-Scope": "a"}


class OnePod:
    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]:
        now = WallClock().now()
        return [PodSample("ns", "a", {}, 5.0, now - 1, "", reported_before=True, alive=True)]


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
    async with start_server(OnePod(), WallClock(), door=door) as running:
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


async def test_nobody_is_asked_about_as_anonymous(house: House, server: Any) -> None:
    server.give("POST", ACCESS, {"status": {"allowed": False, "reason": "no RBAC policy matched"}})
    status, body = await house.get(EXTERNAL, headers=AS_ALICE)
    assert status == 403
    assert 'User \\"system:anonymous\\" cannot list resource \\"inflight_requests\\"' in body
    assert "no RBAC policy matched" in body
    assert server.bodies[0]["spec"]["groups"] == ["system:unauthenticated"]


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
    return attributes_of(method, *split_target(target))


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (f"{CUSTOM}/pods/*/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "*"}),
        (f"{CUSTOM}/pods/a/m?labelSelector=x", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (f"{CUSTOM}/pods//m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "*"}),
        (f"{CUSTOM}/%70ods/a/m", {"verb": "get", "resource": "pods", "subresource": "m", "name": "a"}),
        (
            f"{CUSTOM}/deployments.apps/a/m",
            {"verb": "get", "resource": "deployments.apps", "subresource": "m", "name": "a"},
        ),
        (f"{CUSTOM}/metrics/m", {"verb": "get", "resource": "metrics", "name": "m"}),
    ],
)
def test_a_custom_metric_is_a_subresource_of_its_object(target: str, wanted: dict[str, str]) -> None:
    assert attributes(target) == Attributes(group="custom.metrics.k8s.io", version="v1beta2", namespace="ns", **wanted)


def test_other_questions_ask_for_what_upstream_asks() -> None:
    external = {"group": "external.metrics.k8s.io", "version": "v1beta1", "resource": "inflight_requests"}
    assert attributes(EXTERNAL) == Attributes("list", namespace="ns", **external)
    assert attributes(f"{EXTERNAL}?watch=true") == Attributes("watch", namespace="ns", **external)
    assert attributes(EXTERNAL, "DELETE") == Attributes("delete", namespace="ns", **external)
    node = "/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m"
    assert attributes(node).namespace == ""
    assert (attributes(node).resource, attributes(node).name) == ("nodes", "n")
    for path in ("/", "/apis", "/metrics", "/nothing", "/apis/custom.metrics.k8s.io/v1beta1", "/healthz/"):
        assert attributes(path) == Attributes("get", path=path)
    assert attributes("/metrics", "POST") == Attributes("create", path="/metrics")
