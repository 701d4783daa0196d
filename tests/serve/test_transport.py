"""The server on a socket: TLS, limits of time and size, many clients at once, the drain."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from inflight.serve import connections
from inflight.serve.server import RunningServer, ServeError, start_server

EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is shown out for its body is waited for by the drain; not for long here."""
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.05)


@pytest.fixture
async def server(pods: Any, clock: Any, telemetry: Any) -> AsyncIterator[RunningServer]:
    pods.add("a", in_flight=3)
    async with start_server(pods, clock, telemetry=telemetry) as running:
        yield running


def trusting(server: RunningServer) -> ssl.SSLContext:
    assert server.ca_pem is not None
    return ssl.create_default_context(cadata=server.ca_pem.decode())


async def connect(server: RunningServer, context: ssl.SSLContext | None = None) -> Any:
    return await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=context or trusting(server), server_hostname="localhost"
    )


def request(server: RunningServer, path: str = EXTERNAL, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {server.token}", *headers, "", ""]
    return "\r\n".join(lines).encode()


async def read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), headers, body


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except (ConnectionResetError, ssl.SSLError):
            return b""


async def test_a_client_library_gets_its_value_over_one_kept_connection(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    connector = aiohttp.TCPConnector(ssl=trusting(server), limit=1)
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
        for _ in range(3):
            async with session.get(EXTERNAL) as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == "application/json"
                assert response.headers["Cache-Control"] == "no-cache, private"
                assert (await response.json())["items"][0]["value"] == "3"
        page = await (await session.get("/metrics")).text()
    assert "inflight_api_connections 1\n" in page
    assert 'inflight_api_requests_total{api="external",code="200"} 3\n' in page
    assert 'inflight_api_request_duration_seconds_count{api="external"} 3\n' in page


async def test_a_plain_request_is_no_way_in(server: RunningServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server))
    assert b"HTTP/1.1 200" not in await closed(reader)
    writer.close()


async def test_old_tls_is_refused(server: RunningServer) -> None:
    context = trusting(server)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await connect(server, context)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3.7\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 4_200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 9_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X-Long: " + b"a" * 4_000 + b"\r\n") * 5 + b"\r\n", 431),
    ],
)
async def test_what_is_no_request_gets_a_status_and_the_door(server: RunningServer, head: bytes, code: int) -> None:
    reader, writer = await connect(server)
    writer.write(head)
    status, _, body = await read_response(reader)
    document = json.loads(body)
    assert (status, document["kind"], document["code"]) == (code, "Status", code)
    assert document["message"]
    assert await closed(reader) == b""
    writer.close()


async def test_a_target_with_a_host_is_for_proxies(server: RunningServer) -> None:
    reader, writer = await connect(server)
    writer.write(b"GET http://x/apis HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_response(reader))[0] == 400
    writer.close()


@pytest.mark.parametrize(
    "extra",
    [
        ("Content-Length: 5",),
        ("Transfer-Encoding: chunked",),
        ("Upgrade: websocket", "Connection: Upgrade"),
    ],
)
async def test_bodies_and_upgrades_are_refused(server: RunningServer, extra: tuple[str, ...]) -> None:
    reader, writer = await connect(server)
    writer.write(request(server, EXTERNAL, *extra))
    status, headers, _ = await read_response(reader)
    assert status == 400
    assert headers["connection"] == "close"
    writer.close()


async def test_names_with_pipes_and_colons_travel_as_they_are(server: RunningServer) -> None:
    reader, writer = await connect(server)
    for name in ("prometheus.googleapis.com|vllm:num_requests_running|gauge", "vllm:num_requests_running"):
        writer.write(request(server, EXTERNAL.replace("inflight_requests", name)))
        status, _, body = await read_response(reader)
        assert status == 503
        assert f": {name}: " in json.loads(body)["message"]
    writer.close()


async def test_a_request_may_come_in_pieces_and_several_at_once(server: RunningServer) -> None:
    reader, writer = await connect(server)
    whole = request(server)
    for index in range(0, len(whole), 7):
        writer.write(whole[index : index + 7])
        await writer.drain()
        await asyncio.sleep(0)
    assert (await read_response(reader))[0] == 200
    writer.write(request(server) + request(server, "/version") + request(server, "/none"))
    assert [(await read_response(reader))[0] for _ in range(3)] == [200, 200, 404]
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_client_that_never_finishes_its_request_is_shown_out(
    pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    async with start_server(pods, clock, telemetry=telemetry) as server:
        reader, writer = await connect(server)
        slow = asyncio.create_task(_drip(writer, sent))
        assert await closed(reader) == b""
        slow.cancel()
        assert telemetry.refused_connections == {"slow": 1}
        writer.close()


async def test_a_client_that_does_not_read_its_answers_is_shown_out(
    pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.4)
    async with start_server(pods, clock, telemetry=telemetry) as server:
        _, writer = await connect(server)
        writer.transport.pause_reading()
        many = request(server, "/apis/custom.metrics.k8s.io/v1beta1") * 20
        async with asyncio.timeout(20):
            while not telemetry.refused_connections:
                if not writer.is_closing():
                    writer.write(many)
                await asyncio.sleep(0.02)
        assert telemetry.refused_connections == {"slow": 1}
        writer.transport.abort()


async def test_a_client_that_goes_away_before_its_answer_is_no_defect(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        _, writer = await connect(server)
        writer.write(request(server, "/metrics") * 20)
        await writer.drain()
        writer.transport.abort()
    reader, writer = await connect(server)
    writer.write(request(server, "/version"))
    assert (await read_response(reader))[0] == 200
    writer.close()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_health_check_may_ask_for_the_head_only(server: RunningServer) -> None:
    reader, writer = await connect(server)
    writer.write(b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert (await read_response(reader))[::2] == (200, b"ok")
    writer.close()


async def test_a_kept_connection_may_idle_longer_than_a_request_may_take(
    pods: Any, clock: Any, telemetry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.1)
    async with start_server(pods, clock, telemetry=telemetry) as server:
        reader, writer = await connect(server)
        for _ in range(2):
            writer.write(request(server, "/version"))
            assert (await read_response(reader))[0] == 200
            await asyncio.sleep(0.25)
        assert telemetry.refused_connections == {}
        writer.close()
    assert connections.KEEP_ALIVE_SECONDS > 120


@pytest.mark.parametrize(("credentials", "code"), [((), 403), (("Authorization: Bearer wrong",), 401)])
async def test_who_is_not_let_in_is_shown_out_after_the_answer(
    server: RunningServer, credentials: tuple[str, ...], code: int
) -> None:
    reader, writer = await connect(server)
    writer.write("\r\n".join([f"GET {EXTERNAL} HTTP/1.1", "Host: x", *credentials, "", ""]).encode())
    status, headers, _ = await read_response(reader)
    assert (status, headers["connection"]) == (code, "close")
    assert await closed(reader) == b""
    writer.close()


async def test_who_was_let_in_may_make_a_mistake(server: RunningServer) -> None:
    """A front proxy carries the requests of many over one connection."""
    reader, writer = await connect(server)
    for credentials, code in ((server.token, 200), ("wrong", 401), (server.token, 200)):
        writer.write(f"GET /version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {credentials}\r\n\r\n".encode())
        assert (await read_response(reader))[0] == code
    writer.close()


async def test_many_clients_at_once_each_get_their_own_answer(server: RunningServer, pods: Any) -> None:
    for number in range(20):
        pods.add(f"p{number}", labels={"n": str(number)}, namespace=f"ns{number}", in_flight=number)

    async def ask(session: aiohttp.ClientSession, number: int) -> str:
        async with session.get(
            f"/apis/external.metrics.k8s.io/v1beta1/namespaces/ns{number}/inflight_requests"
        ) as response:
            text: str = (await response.json())["items"][0]["value"]
            return text

    headers = {"Authorization": f"Bearer {server.token}"}
    connector = aiohttp.TCPConnector(ssl=trusting(server), limit=20)
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as session:
        answers = await asyncio.gather(*(ask(session, number % 20) for number in range(200)))
    assert answers == [str(number % 20) for number in range(200)]


async def test_the_drain_ends_idle_connections_and_takes_no_new_ones(pods: Any, clock: Any) -> None:
    async with start_server(pods, clock) as server:
        reader, writer = await connect(server)
        writer.write(request(server, "/version"))
        assert (await read_response(reader))[0] == 200
    assert await closed(reader) == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_defect_is_an_internal_error_without_its_details(
    pods: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(signal: str, namespace: str | None = None) -> Any:
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(pods, "samples", broken)
    async with start_server(pods, clock) as server:
        reader, writer = await connect(server)
        writer.write(request(server))
        status, _, body = await read_response(reader)
        writer.close()
    assert status == 500
    assert json.loads(body)["reason"] == "InternalError"
    assert b"secret" not in body
    assert "the secret detail" in caplog.text
    assert server.token not in caplog.text


async def test_the_token_is_in_no_text_of_the_running_server(server: RunningServer) -> None:
    assert server.token not in repr(server)
    assert len(server.token) >= 32


async def test_two_servers_have_two_tokens(pods: Any, clock: Any) -> None:
    async with start_server(pods, clock) as one, start_server(pods, clock) as other:
        assert one.token != other.token
        assert one.port != other.port


async def test_a_port_in_use_is_a_sentence(pods: Any, clock: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} of 127.0.0.1 is in use"):
            async with start_server(pods, clock, port=port):
                pass


async def test_an_address_of_another_machine_is_a_sentence(pods: Any, clock: Any) -> None:
    with pytest.raises(ServeError, match=r"192\.0\.2\.1 is no address of this machine"):
        async with start_server(pods, clock, address="192.0.2.1"):
            pass


async def _drip(writer: asyncio.StreamWriter, sent: bytes) -> None:
    """A request without an end, where it has a beginning."""
    writer.write(sent)
    while sent.endswith(b" "):
        await asyncio.sleep(0.05)
        writer.write(b"x")
