"""What is remembered of a pod whose target changes while it is watched."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inflight.guard import Answer, Question, Unknown, answer
from inflight.sources import Collector

from .conftest import PodServer, collecting, one, page, until

Serve = Callable[..., Awaitable[PodServer]]
PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
DEAD = "http://127.0.0.1:1/metrics"
SUM = Question("inflight_requests", "in_flight", per_pod=False)


def total(collector: Collector) -> Answer | Unknown:
    return answer(SUM, collector.samples("in_flight"), collector.stats.newest_page_at or 0)


@pytest.mark.parametrize("change", [{"url": DEAD}, {"engine": "tgi"}], ids=["url", "engine"])
async def test_a_typing_error_in_a_target_makes_the_sum_unknown_and_not_smaller(
    serve: Serve, change: dict[str, str]
) -> None:
    a, b = await serve(page(running=24)), await serve(page(running=24))
    async with collecting([a.target("a"), b.target("b")]) as c:
        await until(lambda: isinstance(said := total(c), Answer) and said.value == 48)
        c.set_targets([a.target("a"), b.target("b", **change)])
        sample = c.samples("in_flight")[1]
        assert (sample.value, sample.received_at, sample.reported_before) == (None, None, True)
        for _ in range(2):
            said = total(c)
            assert isinstance(said, Unknown), said
            assert said.code == "pods_unseen"
            assert "1 of 2 pods" in said.reason
            attempts = c.stats.scrapes
            await until(lambda: c.stats.scrapes > attempts + 4)  # noqa: B023 - waited for in this round
        c.set_targets([a.target("a"), b.target("b")])
        await until(lambda: isinstance(said := total(c), Answer) and said.value == 48)


async def test_what_was_reported_outlives_several_changes_and_no_successor(serve: Serve) -> None:
    server = await serve(page(running=5))
    async with collecting([server.target(uid="1")]) as c:
        await until(lambda: one(c).value == 5)
        for url in (DEAD, f"{DEAD}/x", DEAD):
            c.set_targets([server.target(uid="1", url=url)])
        assert one(c).reported_before
        c.set_targets([server.target(uid="2", url=DEAD)])
        assert not one(c).reported_before


async def test_rates_do_not_reach_over_a_change_of_place(serve: Serve) -> None:
    old, new = await serve(page(tokens=10)), await serve(page(tokens=1_000_000))
    async with collecting([old.target()]) as c:
        await until(lambda: one(c, "generation_tokens_rate").value == 0)
        c.set_targets([old.target(url=new.url)])
        sample = one(c, "generation_tokens_rate")
        assert (sample.value, sample.missing, sample.reported_before) == (None, "no page was received yet", True)
        await until(lambda: one(c, "generation_tokens_rate").value is not None)
        assert one(c, "generation_tokens_rate").value == 0
        assert c.stats.restarts == 0
