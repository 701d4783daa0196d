"""Pods that come, fail, restart, are replaced and go, seen through what the collector says of them."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext

import pytest
import trustme
from aiohttp import web

from inflight.guard import Answer, Question, Unknown, answer
from inflight.signals import Gauge, PageReading
from inflight.signals.series import PodSeries
from inflight.sources import Collector, Target, WallClock
from inflight.sources.clock import ScaledClock
from inflight.sources.pod import WatchedPod
from inflight.sources.scraper import BIG_PAGE_BYTES, Scraped, Scraper

from .conftest import CATALOGUE, EPOCH, PodServer, collecting, one, page, until

Serve = Callable[..., Awaitable[PodServer]]
PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
DEAD = "http://127.0.0.1:1/metrics"


async def test_values_arrive_with_time_and_labels(serve: Serve) -> None:
    server = await serve(page(running=3, waiting=4))
    async with collecting([server.target("a")]) as c:
        sample = await until(lambda: one(c, "in_flight").value is not None and one(c, "in_flight"))
        assert (sample.namespace, sample.name, sample.labels) == ("default", "a", {"app": "llm"})
        assert sample.value == 7
        assert sample.received_at is not None
        assert EPOCH <= sample.received_at < EPOCH + 1000
        assert (sample.missing, sample.reported_before, sample.alive, sample.failure) == ("", True, True, "")


async def test_a_sample_says_how_its_engine_combines_pods(serve: Serve) -> None:
    picker = await serve((PAGES / "gaie-epp-1.x.txt").read_bytes())
    server = await serve(page(running=3))
    async with collecting([picker.target("picker"), server.target("server")]) as c:
        await until(lambda: all(sample.value is not None for sample in c.samples("in_flight")))
        assert {sample.name: sample.across for sample in c.samples("in_flight")} == {"picker": "max", "server": "sum"}


async def test_a_cancellation_that_was_swallowed_under_way_still_ends_the_watch(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrape = Scraper.scrape
    entered = asyncio.Event()

    async def swallowing(self: Scraper, pod: WatchedPod) -> Scraped:
        entered.set()
        with suppress(asyncio.CancelledError):  # as a deadline of the HTTP client can, that ends in the same instant
            await asyncio.sleep(60)
        return await scrape(self, pod)

    monkeypatch.setattr(Scraper, "scrape", swallowing)
    collector = Collector(CATALOGUE, WallClock())
    collector.set_targets([(await serve()).target()])
    running = asyncio.create_task(collector.run())
    await entered.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done == {running}


async def test_before_the_first_page_a_pod_is_there_without_a_value(serve: Serve) -> None:
    collector = Collector(CATALOGUE, WallClock())
    collector.set_targets([(await serve()).target()])
    sample = one(collector)
    assert (sample.value, sample.received_at, sample.reported_before) == (None, None, False)
    assert sample.missing == "no page was received yet"


async def test_a_target_of_an_unheard_of_engine_changes_nothing() -> None:
    collector = Collector(CATALOGUE, WallClock())
    collector.set_targets([Target("a", "x", {}, DEAD)])
    with pytest.raises(ValueError, match="no engine 'vlm' in the catalogue"):
        collector.set_targets([Target("a", "y", {}, DEAD), Target("a", "z", {}, DEAD, engine="vlm")])
    assert [sample.name for sample in collector.samples("running")] == ["x"]


async def test_samples_of_one_namespace_in_the_order_of_the_targets() -> None:
    collector = Collector(CATALOGUE, WallClock())
    places = [("a", "z"), ("b", "y"), ("a", "x")]
    collector.set_targets(Target(namespace, name, {}, DEAD) for namespace, name in places)
    assert [(s.namespace, s.name) for s in collector.samples("running")] == places
    assert [s.name for s in collector.samples("running", "a")] == ["z", "x"]
    assert collector.samples("running", "nowhere") == []


async def test_rates_come_from_pages_of_different_times(serve: Serve) -> None:
    clock = ScaledClock(20, EPOCH)

    async def counting(_: web.Request) -> web.Response:
        return web.Response(body=page(tokens=round(50 * (clock.now() - EPOCH), 3)))

    server = await serve(counting)
    collector = Collector(CATALOGUE, clock, 1.0, 5.0)
    collector.set_targets([server.target()])
    running = asyncio.create_task(collector.run())
    await until(lambda: (collector.stats.newest_page_at or 0) > EPOCH + 6)
    sample = one(collector, "generation_tokens_rate")
    assert sample.value == pytest.approx(50, rel=0.25)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_pod_that_becomes_ready_is_found(serve: Serve) -> None:
    server = await serve(page(running=5))
    await server.stop()
    async with collecting([server.target()]) as c:
        await until(lambda: c.pods()[0].failures_in_a_row >= 2)
        sample = one(c)
        assert (sample.value, sample.reported_before, sample.failure) == (None, False, "connection refused")
        await server.start()
        await until(lambda: one(c).value == 5)
        assert c.pods()[0].failures_in_a_row == 0


async def test_a_server_that_goes_away_is_gone_at_once_and_its_sum_unknown(serve: Serve) -> None:
    server, other = await serve(page(running=5)), await serve(page(running=2))
    question = Question("inflight_requests", "in_flight", per_pod=False)
    async with collecting([server.target("a"), other.target("b")]) as c:
        await until(lambda: all(s.value is not None for s in c.samples("in_flight")))
        said = answer(question, c.samples("in_flight"), c.stats.newest_page_at or 0)
        assert isinstance(said, Answer)
        assert said.value == 7
        await server.stop()
        await until(lambda: c.samples("in_flight")[0].value is None)
        gone = c.samples("in_flight")[0]
        assert (gone.missing, gone.reported_before) == ("connection refused", True)
        unknown = answer(question, c.samples("in_flight"), c.stats.newest_page_at or 0)
        assert isinstance(unknown, Unknown)
        assert "a (connection refused)" in unknown.reason
        await server.start()
        await until(lambda: c.samples("in_flight")[0].value == 5)


async def test_a_value_that_was_ended_does_not_come_back_with_another_failure(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target()], timeout_seconds=0.1) as c:
        await until(lambda: one(c).value == 5)
        await server.stop()
        await until(lambda: one(c).value is None)

        async def hang(_: web.Request) -> web.Response:
            await asyncio.sleep(60)
            return web.Response()

        server.answer = hang
        await server.start()
        await until(lambda: "no page within" in one(c).failure)
        assert one(c).value is None


async def test_a_failing_pod_keeps_its_last_value_with_its_time(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target()]) as c:
        before = await until(lambda: one(c).value == 5 and one(c))

        async def broken(_: web.Request) -> web.Response:
            return web.Response(status=500)

        server.answer = broken
        await until(lambda: c.stats.failures["status"] >= 2)
        sample = one(c)
        assert (sample.value, sample.failure) == (5, "HTTP 500")
        assert sample.received_at is not None
        assert sample.received_at - before.received_at < 5
        assert c.stats.answering == 0


async def test_a_restart_in_place_is_noticed_and_the_pod_has_still_reported(serve: Serve) -> None:
    server = await serve(page(tokens=1_000_000))
    async with collecting([server.target()]) as c:
        await until(lambda: one(c, "generation_tokens_rate").value == 0)
        server.answer = page(tokens=10)
        await until(lambda: c.stats.restarts == 1)
        await until(lambda: one(c, "generation_tokens_rate").value == 0)
        assert one(c, "generation_tokens_rate").reported_before
        assert c.pods()[0].restarts == 1


async def test_a_pod_replaced_under_its_name_has_not_reported(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target(uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        c.set_targets([server.target(uid="2", url=DEAD)])
        sample = one(c)
        assert (sample.value, sample.reported_before, sample.received_at) == (None, False, None)
        c.set_targets([server.target(uid="3")])
        await until(lambda: one(c).value == 5)


async def test_other_labels_of_the_same_pod_change_nothing_else(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target(uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        c.set_targets([Target("default", "pod", {"app": "other"}, server.url, uid="1", terminating=True)])
        sample = one(c)
        assert (sample.value, sample.labels, sample.alive) == (5, {"app": "other"}, False)


async def test_a_draining_pod_is_read_while_it_answers(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target(uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        c.set_targets([server.target(uid="1", terminating=True)])
        server.answer = page(running=2)
        await until(lambda: one(c).value == 2)
        await server.stop()
        await until(lambda: one(c).value is None)
        assert not one(c).alive


async def test_a_removed_pod_is_no_longer_scraped_nor_answered_for(serve: Serve) -> None:
    kept, removed = await serve(), await serve()
    async with collecting([kept.target("a"), removed.target("b")]) as c:
        await until(lambda: len(removed.requests) > 0)
        c.set_targets([kept.target("a")])
        count = len(removed.requests)
        seen = len(kept.requests)
        await until(lambda: len(kept.requests) > seen + 5)
        assert len(removed.requests) <= count + 1
        assert [s.name for s in c.samples("running")] == ["a"]
        c.set_targets([])
        assert c.samples("running") == []


async def test_a_hanging_pod_holds_up_no_other(serve: Serve) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    good = await serve()
    hanging = await serve(hang)
    targets = [hanging.target(f"hang-{n}") for n in range(30)] + [good.target("good")]
    async with collecting(targets, timeout_seconds=30.0) as c:
        await until(lambda: len(hanging.requests) == 30)
        seen = len(good.requests)
        await until(lambda: len(good.requests) > seen + 5)
        assert c.samples("running")[-1].value == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>not here</html>", "HTML"),
        (b'[{"numActiveRequests": 3}]', "JSON"),
        (page()[:-20], "cut off"),
        (b"\x00\x01\x02" * 1000, "NUL"),
    ],
    ids=["empty", "html", "json", "cut off", "binary"],
)
async def test_what_is_no_page_is_a_reason(serve: Serve, body: bytes, words: str) -> None:
    server = await serve(body)
    async with collecting([server.target()]) as c:
        await until(lambda: c.stats.failures["content"])
        assert words in one(c).failure
        server.answer = page(running=9)
        await until(lambda: one(c).value == 9)


async def test_a_page_of_no_known_engine_is_counted_and_named(serve: Serve) -> None:
    server = await serve(b"node_load1 0.5\n")
    async with collecting([server.target()]) as c:
        await until(lambda: c.stats.unrecognized_pages)
        assert "no known engine" in one(c).missing
        assert not one(c).reported_before


async def test_a_page_of_another_engine_begins_anew(serve: Serve) -> None:
    server = await serve(page(running=5, tokens=100))
    async with collecting([server.target()]) as c:
        await until(lambda: one(c).value == 5)
        server.answer = (PAGES / "tgi-3.3.txt").read_bytes()
        await until(lambda: one(c).value == 22)
        assert c.pods()[0].engine == "tgi"
        assert c.stats.restarts == 1


@pytest.mark.parametrize("lie", [-5, 1e300, float("nan"), float("inf")])
async def test_a_lie_is_not_a_value_and_the_other_signals_go_on(serve: Serve, lie: float) -> None:
    server = await serve(page(running=5, waiting=1))
    async with collecting([server.target()]) as c:
        await until(lambda: one(c).value == 5)
        server.answer = page(running=lie, waiting=2)
        await until(lambda: one(c, "waiting").value == 2)
        sample = one(c, "running")
        assert sample.value is None
        assert sample.missing
        assert sample.reported_before
        verdict = answer(Question("m", "running", per_pod=False), [sample], sample.received_at or 0)
        assert isinstance(verdict, Unknown)


async def test_a_counter_that_goes_back_each_time_gives_no_rate(serve: Serve) -> None:
    count = 1e6

    async def falling(_: web.Request) -> web.Response:
        nonlocal count
        count -= 1
        return web.Response(body=page(running=1, tokens=count))

    server = await serve(falling)
    async with collecting([server.target()]) as c:
        await until(lambda: c.stats.restarts > 5)
        assert one(c, "generation_tokens_rate").value is None
        assert one(c, "running").value == 1


async def test_a_big_page_is_read_beside_the_loop(serve: Serve) -> None:
    rows = b"".join(b'http_requests_total{path="/%d"} 1\n' % number for number in range(12_000))
    assert len(rows) > BIG_PAGE_BYTES
    server = await serve(rows + page(running=5))
    async with collecting([server.target()], speed=5) as c:
        await until(lambda: one(c).value == 5, seconds=20)
        assert any(thread.name.startswith("inflight-page") for thread in threading.enumerate())


async def test_a_page_above_the_limit_is_refused(serve: Serve) -> None:
    server = await serve(page() + b"# " + b"x" * 10_000 + b"\n")
    async with collecting([server.target()], max_page_bytes=9_000) as c:
        await until(lambda: c.stats.failures["too_large"])
        assert one(c).failure == "the page has more than 9000 bytes"


async def test_a_token_is_sent_and_a_new_one_taken_up(serve: Serve, tmp_path: Path) -> None:
    async def guarded(request: web.Request) -> web.Response:
        allowed = request.headers.get("Authorization") == "Bearer right"
        return web.Response(body=page(running=4)) if allowed else web.Response(status=401)

    token = tmp_path / "token"
    server = await serve(guarded)
    async with collecting([server.target(bearer_token_file=str(token))]) as c:
        await until(lambda: c.stats.failures["credentials"])
        assert one(c).failure == f"the token file {token} cannot be read: No such file or directory"
        assert server.requests == []
        token.write_text("wrong")
        await until(lambda: c.stats.failures["unauthorized"])
        assert "401" in one(c).failure
        token.write_text("right")
        await until(lambda: one(c).value == 4)


async def test_tls_is_refused_until_the_ca_is_right(
    serve: Serve, server_tls: SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    server = await serve(page(running=4), server_tls)
    async with collecting([server.target(ca_file=str(ca))]) as c:
        await until(lambda: c.stats.failures["tls"])
        assert "certificate is not accepted" in one(c).failure
        assert one(c).value is None
        authority.cert_pem.write_to_path(ca)
        await until(lambda: one(c).value == 4)


async def test_tls_without_a_check_where_that_is_asked_for(serve: Serve, server_tls: SSLContext) -> None:
    server = await serve(page(running=4), server_tls)
    async with collecting([server.target(insecure_skip_tls_verify=True)]) as c:
        await until(lambda: one(c).value == 4)


async def test_a_url_without_a_path_is_looked_for_where_the_engine_has_its_page(serve: Serve) -> None:
    async def at_other_path(request: web.Request) -> web.Response:
        if request.path != "/prometheus/metrics":
            return web.Response(status=404)
        return web.Response(body=(PAGES / "trtllm-serve-1.x.txt").read_bytes())

    server = await serve(at_other_path)
    for engine in ("trtllm_serve", None):
        server.requests.clear()
        async with collecting([server.target(url=f"http://127.0.0.1:{server.port}", engine=engine)]) as c:
            await until(lambda: one(c).value == 43)
        assert server.requests[0].path == ("/metrics" if engine is None else "/prometheus/metrics")


async def test_a_slow_page_stretches_the_interval_of_that_pod_only(serve: Serve) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.06)
        return web.Response(body=page())

    slow_server = await serve(slow)
    async with collecting([slow_server.target("slow")], interval_seconds=None, speed=20) as c:
        await until(lambda: c.pods()[0].interval_seconds == 5.0)
    async with collecting([slow_server.target("slow")], interval_seconds=0.5, speed=5) as c:
        await until(lambda: c.stats.scrapes > 4)
        assert c.pods()[0].interval_seconds == 0.5


class StandingClock:
    """Stands still, and notes until when everyone wants to sleep."""

    def __init__(self) -> None:
        self.wakes: list[float] = []

    def now(self) -> float:
        return EPOCH

    async def sleep(self, seconds: float) -> None:
        self.wakes.append(seconds)
        await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("interval", [None, 1.0, 30.0])
async def test_first_scrapes_of_many_pods_are_spread_over_a_second(interval: float | None) -> None:
    clock = StandingClock()
    collector = Collector(CATALOGUE, clock, interval)
    collector.set_targets(Target("default", f"pod-{number}", {}, DEAD) for number in range(1000))
    running = asyncio.create_task(collector.run())
    await until(lambda: len(clock.wakes) == 1000)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for tenth in range(10):
        # 100 expected, standard deviation 9.5.
        assert 60 < sum(int(wake * 10) == tenth for wake in clock.wakes) < 140


async def test_cancelling_leaves_no_connection_behind(serve: Serve) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    good, hanging = await serve(), await serve(hang)
    targets = [good.target(f"good-{n}") for n in range(5)] + [hanging.target(f"hang-{n}") for n in range(5)]
    async with collecting(targets, timeout_seconds=30.0) as c:
        await until(lambda: len(hanging.requests) == 5 and c.stats.answering == 5)
    await until(lambda: all(t.is_closing() for t in good.connections | hanging.connections if t is not None))
    collector = Collector(CATALOGUE, WallClock())
    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.05)
    running.cancel()
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)


async def test_one_connection_for_a_pod_however_often_it_fails(serve: Serve) -> None:
    async def sometimes(_: web.Request) -> web.Response:
        return web.Response(status=500 if len(server.requests) % 2 else 200, body=page())

    server = await serve(sometimes)
    descriptors = len(os.listdir("/proc/self/fd"))
    async with collecting([server.target()]) as c:
        await until(lambda: c.stats.scrapes > 30)
        # Ours, the server's, and one on each side that is just being closed.
        assert len(os.listdir("/proc/self/fd")) - descriptors <= 12


async def test_a_fault_of_ours_that_one_pod_brings_to_light_stops_no_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await serve(page(running=666)), await serve(page(running=1))
    add = PodSeries.add

    def fail(series: PodSeries, reading: PageReading, received_at: float) -> bool:
        found = reading.signals["running"]
        if isinstance(found, Gauge) and found.value == 666:
            raise ZeroDivisionError
        return add(series, reading, received_at)

    monkeypatch.setattr(PodSeries, "add", fail)
    async with collecting([bad.target("bad"), good.target("good")]) as c:
        await until(lambda: c.stats.failures["internal"] >= 2 and c.samples("running")[1].value == 1)
        assert "a fault of the scraper" in c.samples("running")[0].failure
    assert "ZeroDivisionError" in caplog.text


async def test_a_collector_runs_once_at_a_time(serve: Serve) -> None:
    async with collecting([(await serve()).target()]) as c:
        await until(lambda: c.stats.scrapes)
        with pytest.raises(RuntimeError, match="running already"):
            await c.run()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_intervals_that_make_no_sense_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="the interval of scrapes must be at least"):
        Collector(CATALOGUE, WallClock(), seconds)
    with pytest.raises(ValueError, match="the timeout of scrapes must be at least"):
        Collector(CATALOGUE, WallClock(), 1.0, seconds)


async def test_the_books_add_up(serve: Serve) -> None:
    server = await serve()
    async with collecting([server.target("a"), Target("default", "b", {}, DEAD)]) as c:
        await until(lambda: c.stats.scrapes > 10)
        stats = c.stats
        assert (stats.targets, stats.answering) == (2, 1)
        assert stats.failures["refused"] == sum(stats.failures.values()) > 0
        pages = stats.scrapes - stats.failures["refused"]
        assert stats.bytes_received == pages * len(page())
        assert stats.last_finished_at is not None
        assert stats.oldest_page_at == stats.newest_page_at
        assert stats.scrape_seconds > 0
