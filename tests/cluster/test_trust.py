"""Whom the cluster lets vouch for callers, as its ConfigMap says, and what becomes of it when that changes."""

import asyncio
import json
import ssl
from typing import Any

import pytest
import trustme
from aiohttp import web

from inflight.cluster import Client, ConfigError, Trust, TrustWatcher, parse_trust
from inflight.cluster.credentials import read_chain
from inflight.cluster.trust import NAME, NAMESPACE, PATH


def data_of(cluster: trustme.CA, proxy: trustme.CA, **changes: str) -> dict[str, str]:
    data = {
        "client-ca-file": cluster.cert_pem.bytes().decode(),
        "requestheader-client-ca-file": proxy.cert_pem.bytes().decode(),
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
    return {**data, **{key.replace("_", "-"): value for key, value in changes.items()}}


@pytest.fixture(scope="module")
def authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


def test_all_of_the_config_map_is_read(authorities: tuple[trustme.CA, trustme.CA]) -> None:
    trust = parse_trust(data_of(*authorities))
    assert len(trust.client_anchors) == len(trust.proxy_anchors) == 1
    assert not trust.client_anchors & trust.proxy_anchors
    assert trust.allowed_names == ("front-proxy-client",)
    assert (trust.username_headers, trust.uid_headers) == (("X-Remote-User",), ("X-Remote-Uid",))
    assert (trust.group_headers, trust.extra_prefixes) == (("X-Remote-Group",), ("X-Remote-Extra-",))


def test_comments_around_certificates_do_no_harm(authorities: tuple[trustme.CA, trustme.CA]) -> None:
    pem = authorities[0].cert_pem.bytes().decode()
    trust = parse_trust(data_of(*authorities, client_ca_file=f"# von Jörg\n{pem}"))
    assert trust.client_anchors == parse_trust(data_of(*authorities)).client_anchors
    ssl.create_default_context(cadata=trust.ca_pem)


def test_a_cluster_without_a_front_proxy_trusts_none(authorities: tuple[trustme.CA, trustme.CA]) -> None:
    trust = parse_trust({"client-ca-file": authorities[0].cert_pem.bytes().decode()})
    assert trust.proxy_anchors == frozenset()
    assert parse_trust({}) == Trust()


@pytest.mark.parametrize(
    "changes",
    [
        {"client_ca_file": "nonsense"},
        {"requestheader_client_ca_file": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        {"requestheader_allowed_names": "front-proxy-client"},
        {"requestheader_username_headers": "[5]"},
    ],
)
def test_what_cannot_be_read_is_named(authorities: tuple[trustme.CA, trustme.CA], changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes)).replace("_", "-")):
        parse_trust(data_of(*authorities, **changes))


def of_an_unknown_kind(authority: trustme.CA) -> str:
    """Its public key is of an algorithm that nobody knows."""
    elliptic = bytes.fromhex("06072a8648ce3d0201")
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    assert elliptic in der
    return ssl.DER_cert_to_PEM_cert(der.replace(elliptic, elliptic[:-1] + b"\x7f"))


def test_an_authority_whose_key_is_of_an_unknown_kind_is_left_out(authorities: tuple[trustme.CA, trustme.CA]) -> None:
    both = of_an_unknown_kind(trustme.CA()) + authorities[0].cert_pem.bytes().decode()
    assert parse_trust(data_of(*authorities, client_ca_file=both)) == parse_trust(data_of(*authorities))
    with pytest.raises(ConfigError, match=r"client-ca-file .* no certificate whose key can be used"):
        parse_trust(data_of(*authorities, client_ca_file=of_an_unknown_kind(trustme.CA())))


def of_an_unknown_version(authority: trustme.CA) -> bytes:
    version = bytes.fromhex("a003020102")
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    assert version in der
    return der.replace(version, version[:-1] + b"\x07", 1)


def test_a_certificate_of_an_unknown_version_is_refused_with_a_sentence(
    authorities: tuple[trustme.CA, trustme.CA],
) -> None:
    pem = ssl.DER_cert_to_PEM_cert(of_an_unknown_version(trustme.CA()))
    with pytest.raises(ConfigError, match="client-ca-file of the ConfigMap"):
        parse_trust(data_of(*authorities, client_ca_file=pem))


class Handshake:
    """A connection over which these were shown and verified, the leaf first."""

    def __init__(self, *chain: bytes) -> None:
        self._chain = chain

    def getpeercert(self, binary_form: bool) -> bytes:
        assert binary_form
        return self._chain[0]

    def get_verified_chain(self) -> list[bytes]:
        return list(self._chain)


def test_a_chain_that_cannot_be_read_proves_nothing() -> None:
    ours = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    odd_key = ssl.PEM_cert_to_DER_cert(of_an_unknown_kind(trustme.CA()))
    odd_version = of_an_unknown_version(trustme.CA())
    known, is_unverified = read_chain(Handshake(ours, ours))
    assert known is not None
    assert not is_unverified
    for chain in [(ours, odd_key), (odd_version, ours), (ours, b"nonsense"), (ours,) * 11]:
        assert read_chain(Handshake(*chain)) == (None, True)


class Published:
    """The ConfigMap on the fake server; `publish` is one event of the watch."""

    def __init__(self, server: Any) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._server = server
        self._version = 1

    def start_with(self, data: dict[str, str]) -> None:
        self._data = data
        self._server.answers["GET", PATH] = self._answer

    def publish(self, data: dict[str, str]) -> None:
        self._version += 1
        self._events.put_nowait({"type": "MODIFIED", "object": self._object(data)})

    def _object(self, data: dict[str, str]) -> dict[str, Any]:
        metadata = {"name": NAME, "namespace": NAMESPACE, "resourceVersion": str(self._version)}
        return {"metadata": metadata, "data": data}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.query["fieldSelector"] == f"metadata.name={NAME}"
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [self._object(self._data)]})
        stream = web.StreamResponse()
        await stream.prepare(request)
        while True:
            await stream.write(json.dumps(await self._events.get()).encode() + b"\n")


async def test_a_change_is_taken_and_nonsense_is_not(
    server: Any, client: Client, authorities: tuple[trustme.CA, trustme.CA]
) -> None:
    published = Published(server)
    published.start_with(data_of(*authorities))
    taken: list[Trust] = []
    watcher = TrustWatcher(client, taken.append)
    assert watcher.problem
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(10):
            while len(taken) < 1:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
            assert watcher.problem == ""
            published.publish(data_of(*authorities, client_ca_file="nonsense"))
            published.publish(data_of(*authorities, client_ca_file=of_an_unknown_kind(trustme.CA())))
            published.publish({**data_of(*authorities), "client-ca-file": 5})  # type: ignore[dict-item]
            published.publish(data_of(*authorities, requestheader_allowed_names='["other"]'))
            while len(taken) < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
    assert watcher.trust.allowed_names == ("other",)
    assert watcher.trust.client_anchors == taken[0].client_anchors


async def test_a_role_that_is_missing_is_named(server: Any, client: Client) -> None:
    server.give("GET", PATH, server.status(403, "Forbidden", "may not list configmaps"), status=403)
    watcher = TrustWatcher(client)
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(10):
            while "may not list" not in watcher.problem:  # noqa: ASYNC110 - a sentence sets no event
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
    assert "extension-apiserver-authentication-reader" in watcher.problem
    assert watcher.trust == Trust()
