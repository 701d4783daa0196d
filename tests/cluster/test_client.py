"""Requests to an API server: credentials, deadlines, limits, errors of our own."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from aiohttp import web

from inflight.cluster import ApiError, Client, ClusterConfig, ConfigError, UnreachableError
from inflight.cluster import client as client_module
from inflight.cluster.config import Material


async def test_an_object_is_read_with_our_token(server: Any, client: Client) -> None:
    server.give("GET", "/api/v1/nodes", {"items": []})
    assert await client.get("/api/v1/nodes", {"limit": "5"}) == {"items": []}
    assert server.requests == [("GET", "/api/v1/nodes", {"limit": "5"})]
    assert server.authorizations == ["Bearer our-token"]


async def test_a_failure_is_the_status_of_the_server(server: Any, client: Client) -> None:
    server.give("GET", "/x", server.status(403, "Forbidden", "you may not"), status=403)
    with pytest.raises(ApiError, match=r"GET /x: you may not \(403\)") as caught:
        await client.get("/x")
    assert (caught.value.code, caught.value.status.reason) == (403, "Forbidden")


async def test_what_is_no_status_keeps_its_code(server: Any, client: Client) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>bad gateway</html>")

    server.answers["GET", "/x"] = page
    with pytest.raises(ApiError) as caught:
        await client.get("/x")
    assert caught.value.code == 502


async def test_who_speaks_no_json_is_no_api_server(server: Any, client: Client) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    server.answers["GET", "/x"] = page
    with pytest.raises(UnreachableError, match="no JSON"):
        await client.get("/x")


async def test_too_many_requests_is_waited_for(server: Any, client: Client) -> None:
    async def busy(_: web.Request) -> web.Response:
        server.give("GET", "/x", {"fine": True})
        return web.json_response(
            server.status(429, "TooManyRequests", "later"), status=429, headers={"Retry-After": "0"}
        )

    server.answers["GET", "/x"] = busy
    assert await client.get("/x") == {"fine": True}


async def test_a_server_that_stays_busy_is_told(server: Any, client: Client) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.json_response(
            server.status(429, "TooManyRequests", "later"), status=429, headers={"Retry-After": "0"}
        )

    server.answers["GET", "/x"] = busy
    with pytest.raises(ApiError, match="later"):
        await client.get("/x")
    assert len(server.requests) == client_module.MAX_RETRIES + 1


async def test_a_silent_server_has_a_deadline(server: Any, client: Client) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    server.answers["GET", "/x"] = silent
    with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
        await client.request("GET", "/x", timeout_seconds=0.05)


async def test_an_endless_answer_is_cut_off(server: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    server.give("GET", "/x", {"long": "x" * 2000})
    with pytest.raises(UnreachableError, match="more than 1000 bytes"):
        await client.get("/x")


async def test_a_server_that_is_not_there_is_named(authority: trustme.CA) -> None:
    config = ClusterConfig(server="https://127.0.0.1:1", source="test", ca=Material(authority.cert_pem.bytes()))
    async with Client(config) as client:
        with pytest.raises(UnreachableError, match=r"https://127\.0\.0\.1:1 cannot be asked"):
            await client.get("/x")


async def test_a_server_of_another_authority_gets_nothing(server: Any, config: ClusterConfig) -> None:
    stranger = msgspec.structs.replace(config, ca=Material(trustme.CA().cert_pem.bytes()))
    async with Client(stranger) as client:
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await client.get("/x")
    assert server.requests == []


async def test_a_client_certificate_is_shown(server: Any, config: ClusterConfig, authority: trustme.CA) -> None:
    pair = authority.issue_cert(common_name="us", organization_name="ours")
    seen = []

    async def look(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("peercert"))
        return web.json_response({})

    server.answers["GET", "/x"] = look
    ours = msgspec.structs.replace(
        config,
        client_certificate=Material(pair.cert_chain_pems[0].bytes()),
        client_key=Material(pair.private_key_pem.bytes()),
    )
    async with Client(ours) as client:
        await client.get("/x")
    assert (("commonName", "us"),) in seen[0]["subject"]


@pytest.mark.parametrize(
    "change",
    [
        {"ca": Material(b"nonsense")},
        {"ca": Material(file=Path("/nowhere/ca.pem"))},
        {"client_certificate": Material(b"nonsense"), "client_key": Material(b"nonsense")},
        {"token": Material(file=Path(os.devnull))},
        {"token": Material(b"two\nlines")},
    ],
)
async def test_files_that_cannot_be_used_are_told_at_the_start(
    config: ClusterConfig, change: dict[str, Material]
) -> None:
    with pytest.raises(ConfigError):
        async with Client(msgspec.structs.replace(config, **change)):
            pass


async def test_a_renewed_token_is_used(
    server: Any, config: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "REREAD_SECONDS", 0.0)
    file = tmp_path / "token"
    file.write_bytes(b"first\n")
    server.give("GET", "/x", {})
    async with Client(msgspec.structs.replace(config, token=Material(file=file))) as client:
        await client.get("/x")
        file.write_bytes(b"second\n")
        await client.get("/x")
        file.unlink()
        await client.get("/x")
    assert server.authorizations == ["Bearer first", "Bearer second", "Bearer second"]


@pytest.mark.parametrize(("repeatable", "asked"), [(True, 2), (False, 1)])
async def test_a_connection_that_was_closed_meanwhile_is_no_failure_of_a_review(
    server: Any, client: Client, repeatable: bool, asked: int
) -> None:
    async def close(request: web.Request) -> web.Response:
        server.give("POST", "/x", {"fine": True})
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.answers["POST", "/x"] = close
    if repeatable:
        assert await client.create("/x", {}, repeatable=True) == {"fine": True}
    else:
        with pytest.raises(UnreachableError):
            await client.create("/x", {})
    assert len(server.requests) == asked


class Guarded:
    """Lets in who has the token that counts now."""

    def __init__(self, server: Any, token: str) -> None:
        self._server = server
        self.token = token
        server.answers["GET", "/x"] = self._answer
        server.answers["POST", "/x"] = self._answer

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return web.json_response(self._server.status(401, "Unauthorized", "Unauthorized"), status=401)
        return web.Response(text='{"fine":true}\n', content_type="application/json")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_that_ended_is_read_again_at_once(
    server: Any, config: ClusterConfig, tmp_path: Path, method: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"first")
    guarded = Guarded(server, "first")
    async with Client(msgspec.structs.replace(config, token=Material(file=file))) as client:
        await client.request(method, "/x", body={})
        guarded.token = "second"
        file.write_bytes(b"second")
        await client.request(method, "/x", body={})
    assert server.authorizations == ["Bearer first", "Bearer first", "Bearer second"]


async def test_a_watch_reads_the_token_again_at_once(server: Any, config: ClusterConfig, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"first")
    Guarded(server, "second")
    async with Client(msgspec.structs.replace(config, token=Material(file=file))) as client:
        with pytest.raises(ApiError, match=r"\(401\)"):
            async with client.lines("/x", {}, 5.0):
                pass
        file.write_bytes(b"second")
        async with client.lines("/x", {}, 5.0) as lines:
            assert [line async for line in lines] == [b'{"fine":true}']
        Guarded(server, "third")
        file.write_bytes(b"third")
        async with client.lines("/x", {}, 5.0) as lines:
            assert [line async for line in lines] == [b'{"fine":true}']
    assert server.authorizations == [f"Bearer {token}" for token in ("first", "first", "second", "second", "third")]


@pytest.mark.parametrize("content", [b"first", b"", b"two\nlines", None])
async def test_a_refused_token_without_a_newer_one_is_refused(
    server: Any, config: ClusterConfig, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"first")
    Guarded(server, "second")
    async with Client(msgspec.structs.replace(config, token=Material(file=file))) as client:
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        with pytest.raises(ApiError, match=r"\(401\)"):
            await client.get("/x")
    assert server.authorizations == ["Bearer first"]


async def test_a_token_that_is_in_no_file_is_not_tried_again(server: Any, client: Client) -> None:
    Guarded(server, "another")
    with pytest.raises(ApiError, match=r"\(401\)"):
        await client.get("/x")
    assert len(server.requests) == 1


async def test_watches_do_not_take_the_connections_of_requests(server: Any, client: Client) -> None:
    release = asyncio.Event()
    watching = 0

    async def watch(request: web.Request) -> web.StreamResponse:
        nonlocal watching
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"{}\n")
        watching += 1
        await release.wait()
        return stream

    async def follow() -> int:
        async with client.lines("/watch", {}, 20.0) as lines:
            return len([line async for line in lines])

    server.answers["GET", "/watch"] = watch
    server.give("GET", "/x", {"fine": True})
    many = client_module.MAX_CONNECTIONS + 4
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow()) for _ in range(many)]
        async with asyncio.timeout(10):
            while watching < many:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
        assert await client.get("/x") == {"fine": True}
        release.set()
    assert [task.result() for task in tasks] == [1] * many
