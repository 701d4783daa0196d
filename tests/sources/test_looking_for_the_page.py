"""Pods whose page may be at several places: found, remembered, looked for anew, one request at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.guard import Answer, Question, Unknown, answer
from inflight.signals import PageReading
from inflight.signals.reader import PageReader
from inflight.sources import Target
from inflight.sources.pod import Readers, WatchedPod
from inflight.sources.scrape import REASONS, Failure
from inflight.sources.scraper import Scraped, Scraper
from inflight.sources.stats import Counters
from inflight.sources.watch import Watch

from .conftest import CATALOGUE, EPOCH, PodServer, Talk, collecting, one, page, until

Serve = Callable[..., Awaitable[PodServer]]
PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
DEAD = "http://127.0.0.1:1/metrics"
SIDECAR_PAGE = b"envoy_server_live 1\nenvoy_server_uptime 77\n"


def spread(*servers: PodServer, **more: Any) -> Target:
    """One pod, whose page may be at each of the servers."""
    target: Target = servers[0].target(alternatives=tuple(server.url for server in servers[1:]), **more)
    return target


async def test_behind_a_sidecars_page_the_engines_is_found_and_stays(serve: Serve) -> None:
    sidecar, engine = await serve(SIDECAR_PAGE), await serve(page(running=5))
    async with collecting([spread(sidecar, engine)]) as c:
        await until(lambda: one(c).value == 5)
        assert (one(c).failure, one(c).missing) == ("", "")
        await until(lambda: len(engine.requests) > 5)
        assert len(sidecar.requests) == 1
        assert c.stats.unrecognized_pages == 1
        assert sum(c.stats.failures.values()) == 0
        assert c.stats.restarts == 0


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def redirect(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})


async def forbid(_: web.Request) -> web.Response:
    return web.Response(status=403)


@pytest.mark.parametrize(
    "answer",
    [hang, redirect, forbid, b"<html></html>", b'{"a": 1}', b"\x00" * 100, b"", page()[:-20], SIDECAR_PAGE],
    ids=["hangs", "redirects", "forbids", "html", "json", "binary", "empty", "cut off", "sidecar"],
)
async def test_whatever_the_first_place_answers_the_next_is_tried(serve: Serve, answer: Any) -> None:
    first, second = await serve(answer), await serve(page(running=5))
    async with collecting([spread(first, second)], timeout_seconds=0.2) as c:
        await until(lambda: one(c).value == 5)
        assert len(first.requests) == 1


async def test_whatever_happens_to_the_first_connection_the_next_place_is_tried(
    serve: Serve, talk: Callable[[Talk], Awaitable[str]]
) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.7\r\n")

    engine = await serve(page(running=5))
    secure = f"https://127.0.0.1:{engine.port}/metrics"
    wrong = [await talk(close), await talk(babble), secure, DEAD, "http://no-such-host.invalid/metrics"]
    async with collecting([engine.target(url=wrong[0], alternatives=(*wrong[1:], engine.url))]) as c:
        await until(lambda: one(c).value == 5)
        failures = c.stats.failures
        assert [failures[reason] for reason in ("closed", "protocol", "tls", "refused", "name")] == [1] * 5
        assert c.pods()[0].failures_in_a_row == 0


async def test_a_pod_without_the_page_anywhere_says_what_is_where_and_does_not_look_read(serve: Serve) -> None:
    sidecar = await serve(SIDECAR_PAGE)
    async with collecting([sidecar.target(alternatives=(DEAD,))]) as c:
        await until(lambda: one(c).failure)
        sentence = f"no known engine's page at :{sidecar.port}, connection refused at :1"
        sample, status = one(c), c.pods()[0]
        assert (sample.value, sample.received_at, sample.reported_before) == (None, None, False)
        assert (sample.failure, sample.missing) == (status.failing, "no page was received yet")
        assert sample.failure == sentence
        assert (status.received_at, status.engine) == (None, None)
        assert c.stats.answering == 0
        await until(lambda: c.pods()[0].failures_in_a_row == 3)
        stats = c.stats
        assert stats.unrecognized_pages == stats.failures["refused"] == 3
        assert stats.scrapes == 6


async def test_an_unrecognised_page_at_the_only_place_says_why_there_is_no_value(serve: Serve) -> None:
    sidecar = await serve(SIDECAR_PAGE)
    async with collecting([sidecar.target()]) as c:
        await until(lambda: len(sidecar.requests) > 3)
        sample = one(c)
        assert sample.failure == ""
        assert sample.received_at is not None
        assert sample.missing == "no known engine's page (names begin with envoy_)"


async def test_a_pod_that_loads_is_found_when_it_listens(serve: Serve) -> None:
    sidecar, engine = await serve(SIDECAR_PAGE), await serve(page(running=5))
    await engine.stop()
    async with collecting([spread(sidecar, engine)]) as c:
        await until(lambda: c.pods()[0].failures_in_a_row >= 2)
        await engine.start()
        await until(lambda: one(c).value == 5)
        assert c.pods()[0].failures_in_a_row == 0


async def test_a_place_that_was_found_is_not_left_while_it_fails(serve: Serve) -> None:
    engine, other = await serve(page(running=5)), await serve(page(running=9))
    async with collecting([spread(engine, other)]) as c:
        await until(lambda: one(c).value == 5)
        await engine.stop()
        await until(lambda: c.pods()[0].failures_in_a_row >= 3)
        assert one(c).failure == "connection refused"
        assert other.requests == []


async def test_after_a_restart_the_page_is_looked_for_anew_and_what_it_reported_is_not_forgotten(serve: Serve) -> None:
    old, new = await serve(page(running=5)), await serve(page(running=9))
    async with collecting([spread(old, new, uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        old.answer = SIDECAR_PAGE
        await new.stop()
        c.set_targets([spread(old, new, uid="1", restarts=1)])
        assert one(c).value == 5
        await until(lambda: "connection refused" in one(c).failure)
        assert one(c).reported_before
        await new.start()
        await until(lambda: one(c).value == 9)
        count = len(old.requests)
        c.set_targets([spread(old, new, uid="1", restarts=1)])
        await until(lambda: len(new.requests) > 5)
        assert len(old.requests) == count, "the same number of restarts is no news"


async def test_where_the_engine_restarts_at_its_place_its_value_ends_with_the_refusal_there(serve: Serve) -> None:
    sidecar, engine, other = await serve(SIDECAR_PAGE), await serve(page(running=5)), await serve(page(running=2))
    question = Question("inflight_requests", "in_flight", per_pod=False)
    async with collecting([spread(sidecar, engine, uid="1"), other.target("other")]) as c:
        await until(lambda: all(sample.value is not None for sample in c.samples("in_flight")))
        await engine.stop()
        c.set_targets([spread(sidecar, engine, uid="1", restarts=1), other.target("other")])
        await until(lambda: c.samples("in_flight")[0].value is None)
        said = answer(question, c.samples("in_flight"), c.stats.newest_page_at or 0)
        assert isinstance(said, Unknown)
        assert said.code == "pods_unseen"
        await engine.start()
        await until(lambda: isinstance(answer(question, c.samples("in_flight"), c.stats.newest_page_at or 0), Answer))


async def test_a_sidecar_that_restarts_takes_no_value_away(serve: Serve) -> None:
    sidecar, engine = await serve(SIDECAR_PAGE), await serve(page(running=5))
    async with collecting([spread(sidecar, engine, uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        for restarts in (1, 2, 3):
            before = len(sidecar.requests)
            c.set_targets([spread(sidecar, engine, uid="1", restarts=restarts)])
            await until(lambda: len(sidecar.requests) > before)  # noqa: B023 - waited for in this round
            seen = len(engine.requests)
            await until(lambda: len(engine.requests) > seen + 1)  # noqa: B023
            assert (one(c).value, one(c).failure) == (5, "")
        assert c.stats.restarts == 0


async def test_fewer_restarts_than_before_are_no_restart(serve: Serve) -> None:
    sidecar, engine = await serve(SIDECAR_PAGE), await serve(page(running=5))
    async with collecting([spread(sidecar, engine, restarts=2)]) as c:
        await until(lambda: one(c).value == 5)
        for restarts in (0, 2):
            c.set_targets([spread(sidecar, engine, restarts=restarts)])
        seen = len(engine.requests)
        await until(lambda: len(engine.requests) > seen + 3)
        assert len(sidecar.requests) == 1


async def test_other_alternatives_are_another_place_and_what_was_reported_is_remembered(serve: Serve) -> None:
    engine = await serve(page(running=5))
    async with collecting([engine.target(uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        c.set_targets([engine.target(uid="1", url=DEAD, alternatives=(f"{DEAD}/x",))])
        assert (one(c).value, one(c).reported_before) == (None, True)
        c.set_targets([engine.target(uid="2", url=DEAD, alternatives=(engine.url,))])
        assert not one(c).reported_before
        await until(lambda: one(c).value == 5)


async def test_a_page_read_as_a_given_engine_needs_a_signal_to_be_the_one(serve: Serve) -> None:
    sidecar, engine = await serve(SIDECAR_PAGE), await serve(page(running=5))
    async with collecting([spread(sidecar, engine, engine="vllm")]) as c:
        await until(lambda: one(c).value == 5)
        assert len(sidecar.requests) == 1


async def test_places_that_were_tried_do_not_stretch_the_interval(serve: Serve) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.1)
        return web.Response(status=404)

    first, second = await serve(slow), await serve(slow)
    async with collecting([spread(first, second)], interval_seconds=None) as c:
        await until(lambda: c.pods()[0].failures_in_a_row >= 3)
        assert c.pods()[0].interval_seconds == 1.0


# --- without a network: the same watch, with scripted outcomes and a clock that nobody waits for ---------------------


class QuickClock:
    """Whoever sleeps finds the time passed."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)
        await asyncio.sleep(0)


class ScriptedScraper(Scraper):
    """Answers for each place as `outcome` says; notes what was asked when."""

    def __init__(self, clock: QuickClock, outcome: Callable[[int], tuple[PageReading | Failure, float]]) -> None:
        self._quick = clock
        self._outcome = outcome
        self._in_flight = 0
        self.asked: list[tuple[float, int]] = []

    async def scrape(self, pod: WatchedPod) -> Scraped:
        assert self._in_flight == 0, "two requests at once for one pod"
        self._in_flight += 1
        port = pod.url.port or 0
        self.asked.append((self._quick.now(), port))
        outcome, seconds = self._outcome(port)
        await self._quick.sleep(seconds)
        self._in_flight -= 1
        return Scraped(outcome, self._quick.now(), seconds, in_all_seconds=seconds)


ENGINE = PageReader(CATALOGUE).read(page())
UNKNOWN = PageReader(CATALOGUE).read(SIDECAR_PAGE)


Outcome = Callable[[int], tuple[PageReading | Failure, float]]
"""What a place (its port) answers, and after how many seconds."""


async def watched(
    places: int, outcome: Outcome, clock: QuickClock, attempts: int | None = None
) -> tuple[WatchedPod, list[tuple[float, int]]]:
    """A pod whose page may be at ports 1, 2, ..., watched for so many attempts, or until the page was found."""
    urls = [f"http://10.0.0.5:{port}/metrics" for port in range(1, places + 1)]
    target = Target("n", "p", {}, urls[0], alternatives=tuple(urls[1:]))
    pod = WatchedPod(target, Readers(CATALOGUE), 30.0)
    scraper = ScriptedScraper(clock, outcome)
    async with asyncio.TaskGroup() as group:
        watch = Watch(scraper, None, clock, Counters(), group)
        watch.follow([pod])
        while pod.places.searching if attempts is None else len(scraper.asked) < attempts:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        watch.follow([])
    return pod, scraper.asked


OUTCOMES = st.sampled_from([*(Failure(reason, reason) for reason in REASONS), UNKNOWN])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(OUTCOMES | st.just(ENGINE), max_size=3), OUTCOMES | st.just(ENGINE)), min_size=2, max_size=5
    ),
    st.sampled_from([0.0, 0.01, 5.0]),
)
def test_one_place_at_a_time_in_order_until_the_first_that_shows_the_page(
    script: list[tuple[list[PageReading | Failure], PageReading | Failure]], seconds: float
) -> None:
    """Each place has a few outcomes of its own, and then one that stays."""
    left = {port: list(first) for port, (first, _) in enumerate(script, 1)}
    given: list[tuple[int, PageReading | Failure]] = []

    def outcome(port: int) -> tuple[PageReading | Failure, float]:
        said = left[port].pop(0) if left[port] else script[port - 1][1]
        given.append((port, said))
        return said, seconds

    attempts = 6 * len(script)
    pod, asked = asyncio.run(watched(len(script), outcome, QuickClock(), attempts))
    found = next((at for at, (_, said) in enumerate(given) if said is ENGINE), None)
    searched = [port for _, port in asked[: len(given) if found is None else found + 1]]
    assert searched == [1 + at % len(script) for at in range(len(searched))]
    if found is None:
        assert all(said is not ENGINE for _, said in script)
        assert pod.series.received_at is None
        assert pod.failures_in_a_row >= 5
    else:
        assert {port for _, port in asked[found:]} == {given[found][0]}
        assert pod.series.received_at is not None
        assert not pod.places.searching


@pytest.mark.parametrize("seconds", [0.001, 5.0], ids=["places that fail at once", "places that hang"])
@pytest.mark.parametrize("places", [2, 3, 5])
def test_a_pod_that_begins_to_answer_is_found_within_seconds_however_long_it_did_not(
    places: int, seconds: float
) -> None:
    clock = QuickClock()
    answers_from = EPOCH + 600

    def outcome(port: int) -> tuple[PageReading | Failure, float]:
        if clock.now() < answers_from:
            return Failure("timeout", "no page"), seconds
        return (ENGINE, 0.001) if port == places else (UNKNOWN, 0.001)

    pod, _ = asyncio.run(watched(places, outcome, clock))
    assert pod.series.received_at is not None
    # The attempt that was under way, the longest wait, and the walk to the last place.
    assert pod.series.received_at <= answers_from + seconds + 5.0 + 0.6


def test_three_places_take_one_back_off_and_not_three() -> None:
    _, asked = asyncio.run(watched(3, lambda _: (UNKNOWN, 0.001), QuickClock(), 30))
    walks = [asked[at : at + 3] for at in range(0, 30, 3)]
    assert all(walk[-1][0] - walk[0][0] < 0.5 for walk in walks)
    waits = [later[0][0] - earlier[0][0] for earlier, later in pairwise(walks)]
    assert waits[0] < 1.5
    assert all(3.7 < wait < 5.6 for wait in waits[3:]), waits
