"""Each fault spoils the page in its own way, the API goes on, and the switch is for this machine."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from inflight.lab.emulator.admin import is_loopback, is_own_host
from inflight.lab.emulator.faults import MODES, Fault, Faults, parse_fault

Start = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stale", Fault("stale")),
        ("error", Fault("error", 500)),
        ("error:503", Fault("error", 503)),
        ("slow", Fault("slow", 5)),
        ("slow:0.25", Fault("slow", 0.25)),
        ("nan", Fault("nan")),
    ],
)
def test_a_fault_is_written_as_mode_and_number(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no fault ''; there are stale, error, slow"),
        ("slw", "there is no fault 'slw'"),
        ("stale:3", "'stale' takes no number"),
        ("slow:", "seconds of wall time, up to 3600, not ''"),
        ("slow:-1", "not '-1'"),
        ("slow:nan", "not 'nan'"),
        ("slow:4000", "not '4000'"),
        ("error:200", "status, 400 to 599, not '200'"),
        ("error:404.5", "not '404.5'"),
    ],
)
def test_a_fault_that_is_none_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        parse_fault(text)


async def spoiled(fault: str, then: bytes, now: bytes) -> Any:
    faults = Faults()
    faults.set(parse_fault(fault), then)
    return await faults.answer(make_mocked_request("GET", "/metrics"), now)


PAGE = b'# TYPE vllm:a gauge\nvllm:a{x="1 2"} 1.0\nvllm:b 2e+06\nprocess_x 3.0\n'


async def test_a_stale_page_is_that_of_the_beginning() -> None:
    assert (await spoiled("stale", PAGE, b"new\n")).body == PAGE


async def test_nan_takes_the_place_of_the_engines_values() -> None:
    body = (await spoiled("nan", b"", PAGE)).body
    assert body == b'# TYPE vllm:a gauge\nvllm:a{x="1 2"} NaN\nvllm:b NaN\nprocess_x 3.0\n'


async def test_a_truncated_page_ends_inside_a_line(emulated: Start) -> None:
    async with emulated() as running:
        whole = running.server.page()
        body = (await spoiled("truncated", b"", whole)).body
        assert whole.startswith(body)
        assert 0.3 < len(body) / len(whole) < 0.7
        assert b" " not in body.rpartition(b"\n")[2]


async def scrape(url: str, patience_seconds: float = 20) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(patience_seconds)) as session,
        session.get(f"{url}/metrics") as response,
    ):
        return response.status, await response.read()


async def test_faults_are_put_on_and_taken_off_while_the_server_runs(emulated: Start) -> None:
    async with emulated() as running, aiohttp.ClientSession() as session:
        admin = f"{running.url}/admin/faults"
        async with session.post(admin, json={"metrics": "error:503"}) as response:
            assert (await response.json())["metrics"] == "error:503"
        assert (await scrape(running.url))[0] == 503
        async with session.get(admin) as response:
            assert await response.json() == {"metrics": "error:503", "modes": list(MODES)}
        async with session.post(f"{running.api}/completions", json={"prompt": "go", "max_tokens": 2}) as response:
            assert response.status == 200
        async with session.post(admin, json={"metrics": None}) as response:
            assert (await response.json())["metrics"] is None
        assert (await scrape(running.url))[0] == 200
        async with session.post(admin, json={"metrics": "nan"}) as response:
            assert response.status == 200
        assert b"NaN" in (await scrape(running.url))[1]
        async with session.delete(admin) as response:
            assert response.status == 200
        assert b"NaN" not in (await scrape(running.url))[1]


async def test_a_stale_page_does_not_move_with_the_engine(emulated: Start) -> None:
    async with emulated() as running, aiohttp.ClientSession() as session:
        running.server.faults.set(parse_fault("stale"), running.server.page())
        _, before = await scrape(running.url)
        async with session.post(f"{running.api}/completions", json={"prompt": "go", "max_tokens": 5}) as response:
            assert response.status == 200
        assert (await scrape(running.url))[1] == before
        assert running.server.page() != before


async def test_a_slow_page_comes_and_a_hanging_one_does_not(emulated: Start) -> None:
    async with emulated() as running:
        running.server.faults.set(parse_fault("slow:0.3"), b"")
        with pytest.raises(TimeoutError):
            await scrape(running.url, patience_seconds=0.1)
        assert (await scrape(running.url))[0] == 200
        running.server.faults.set(parse_fault("hang"), b"")
        with pytest.raises(TimeoutError):
            await scrape(running.url, patience_seconds=0.3)


async def test_a_reset_connection(emulated: Start) -> None:
    async with emulated() as running:
        running.server.faults.set(parse_fault("reset"), b"")
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await scrape(running.url)
        running.server.faults.set(None, b"")
        assert (await scrape(running.url))[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"metrics": 5}', b'{"metrics": "slw"}', b'{"page": "stale"}', b"\xff"]
)
async def test_a_wrong_order_changes_nothing(emulated: Start, body: bytes) -> None:
    async with emulated() as running, aiohttp.ClientSession() as session:
        running.server.faults.set(parse_fault("nan"), b"")
        headers = {"Content-Type": "application/json"}
        async with session.post(f"{running.url}/admin/faults", data=body, headers=headers) as response:
            assert response.status == 400
            assert '{"metrics": "slow:2.5"}' in (await response.json())["error"]["message"]
        assert running.server.faults.current == Fault("nan")


@pytest.mark.parametrize(
    ("address", "ours"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("::ffff:10.0.0.1", False), ("fe80::1", False), ("", False), ("unix", False)],
)  # fmt: skip
def test_who_is_on_this_machine(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


async def test_the_switch_is_for_this_machine_unless_told_otherwise(
    emulated: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inflight.lab.emulator.admin.is_loopback", lambda _: False)
    async with emulated() as running, emulated(remote_admin=True) as opened, aiohttp.ClientSession() as session:
        for method in ("GET", "POST", "DELETE"):
            async with session.request(method, f"{running.url}/admin/faults", json={"metrics": "nan"}) as response:
                assert response.status == 403
                assert "--remote-admin" in (await response.json())["error"]["message"]
        assert running.server.faults.current is None
        async with session.post(f"{opened.url}/admin/faults", json={"metrics": "nan"}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1:8000", True), ("127.0.0.1", True), ("localhost:8000", True), ("LOCALHOST", True), ("[::1]:8000", True),
     ("[::1]", True), ("10.0.0.5:80", True), ("evil.example:8000", False), ("localhost.evil.example", False),
     ("127.0.0.1.evil.example:8000", False), ("", False), (":8000", False)],
)  # fmt: skip
def test_a_host_is_an_address_or_localhost(host: str, ours: bool) -> None:
    assert is_own_host(host) is ours


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_a_web_page_can_send_unasked_is_refused(emulated: Start, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Origin": "https://evil.example"}
    async with emulated() as running, aiohttp.ClientSession() as session:
        admin = f"{running.url}/admin/faults"
        async with session.post(admin, data=b'{"metrics": "nan"}', headers=headers) as response:
            assert response.status == 415
            assert "application/json" in (await response.json())["error"]["message"]
        assert running.server.faults.current is None


async def test_a_name_that_was_rebound_to_this_machine_is_refused(emulated: Start) -> None:
    headers = {"Host": "evil.example:8000"}
    async with emulated() as running, emulated(remote_admin=True) as opened, aiohttp.ClientSession() as session:
        for method in ("GET", "POST", "DELETE"):
            order = {"json": {"metrics": "nan"}} if method == "POST" else {}
            url = f"{running.url}/admin/faults"
            async with session.request(method, url, headers=headers, **order) as response:
                assert response.status == 421
        assert running.server.faults.current is None
        url = f"{opened.url}/admin/faults"
        async with session.post(url, json={"metrics": "nan"}, headers=headers) as response:
            assert response.status == 200
