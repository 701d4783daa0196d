"""Counters that stand still: of a pod that is idle, and of one that hangs full of requests."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from inflight.guard import Answer, Question, Unknown, answer

from .conftest import PodServer, collecting, page, until

Serve = Callable[..., Awaitable[PodServer]]


def busy_page(running: int, served: int) -> bytes:
    """A vllm page of a server that has served so many requests, each in 2 s with its first token after 0.05 s."""
    labels = 'engine="0",model_name="m"'
    distributions: dict[str, float] = {}
    for name, seconds in (("time_to_first_token", 0.05), ("e2e_request_latency", 2.0), ("request_inference_time", 2.0)):
        base = f"vllm:{name}_seconds"
        for edge in ("0.1", "5.0", "+Inf"):
            distributions[f'{base}_bucket{{{labels},le="{edge}"}}'] = served if seconds <= float(edge) else 0
        distributions[f"{base}_count{{{labels}}}"] = served
        distributions[f"{base}_sum{{{labels}}}"] = seconds * served
    finished = {f'vllm:request_success_total{{{labels},finished_reason="stop"}}': served}
    return page(running=running, **finished, **distributions)


async def test_a_pod_that_hangs_with_work_inside_makes_the_fleet_unknown_and_an_idle_one_does_not(serve: Serve) -> None:
    served = {"a": 100, "b": 100}
    waiting = {"a": 186, "b": 20}
    hangs = False

    def answering(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def respond(_: web.Request) -> web.Response:
            served[name] += 0 if hangs and name == "a" else 5
            return web.Response(body=busy_page(waiting[name], served[name]))

        return respond

    pods = [(await serve(answering(name))).target(name) for name in served]
    questions = [
        Question("inflight_demand_requests", "demand_concurrency", per_pod=False),
        Question("inflight_ttft_seconds_p95", "ttft_p95", per_pod=False, across="max"),
    ]

    def answers() -> list[Answer | Unknown]:
        return [answer(q, c.samples(q.signal), c.stats.newest_page_at or 0) for q in questions]

    async with collecting(pods, speed=10, window_seconds=3.0) as c:
        await until(lambda: all(isinstance(said, Answer) and said.seen == 2 for said in answers()))
        hangs = True
        await until(lambda: all(c.samples(q.signal)[0].value is None for q in questions), "its last values pass")
        for said in answers():
            assert isinstance(said, Unknown), said
            assert said.code == "pods_unseen"
            assert "1 of 2 pods without a usable value: a (" in said.reason
        waiting["a"] = 0
        await until(lambda: all(isinstance(said, Answer) for said in answers()), "idle pages fill the window")
        assert [said.seen for said in answers() if isinstance(said, Answer)] == [1, 1]
