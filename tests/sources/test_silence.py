"""What it means for a pod's work that there is no page: told apart by what each of its places answered."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from inflight.signals.reader import PageReader
from inflight.sources import Collector, Target
from inflight.sources.pod import Readers, WatchedPod
from inflight.sources.scrape import Failure

from .conftest import CATALOGUE, PodServer, collecting, page, until

Serve = Callable[..., Awaitable[PodServer]]
REFUSED = Failure("refused", "connection refused")
NOT_FOUND = Failure("status", "HTTP 404", "no_engine")
SIDECAR = Failure("content", "no known engine's page")
HUNG = Failure("timeout", "no page within 5 s")


def watched(places: int = 1) -> WatchedPod:
    urls = [f"http://127.0.0.1:{port}/metrics" for port in range(1, places + 1)]
    target = Target("default", "pod", {}, urls[0], alternatives=tuple(urls[1:]), ready=True, kind="Deployment/llm")
    return WatchedPod(target, Readers(CATALOGUE), 30.0)


def silence(pod: WatchedPod) -> str:
    return pod.sample("in_flight", 0.0).silence


def test_what_was_not_tried_yet_is_no_silence_and_who_the_pod_is_goes_along() -> None:
    sample = watched().sample("in_flight", 0.0)
    assert (sample.silence, sample.ready, sample.kind) == ("", True, "Deployment/llm")


@pytest.mark.parametrize(
    ("met", "means"),
    [
        ([REFUSED], "refused"),
        ([REFUSED, REFUSED], "refused"),
        ([NOT_FOUND, SIDECAR], "no_engine"),
        ([REFUSED, SIDECAR], "no_engine"),
        ([SIDECAR, HUNG], "unreadable"),
        ([HUNG, REFUSED], "unreadable"),
        ([Failure("status", "HTTP 500")], "unreadable"),
        ([Failure("unauthorized", "HTTP 401")], "unreadable"),
        ([Failure("too_large", "the page has more than 4 bytes")], "unreadable"),
        ([Failure("redirect", "HTTP 302")], "unreadable"),
    ],
)
def test_a_walk_through_all_places_means_what_hides_most(met: list[Failure], means: str) -> None:
    pod = watched(len(met))
    for failure in met:
        pod.failed(failure)
    assert pod.failure is not None
    assert silence(pod) == means


def test_a_walk_that_goes_on_means_what_it_has_met_so_far() -> None:
    pod = watched(3)
    assert silence(pod) == ""
    pod.failed(REFUSED)
    assert silence(pod) == "refused"
    pod.failed(HUNG)
    assert (pod.failure, silence(pod)) == (None, "unreadable")


def test_a_page_of_no_known_engine_is_no_engine_and_an_engines_page_no_silence() -> None:
    pod = watched()
    pod.series.add(PageReader(CATALOGUE).read(b"go_goroutines 4\n"), 0.0)
    pod.succeeded()
    assert silence(pod) == "no_engine"
    pod.series.add(PageReader(CATALOGUE).read(page(running=5)), 1.0)
    pod.succeeded()
    assert silence(pod) == ""


async def test_servers_that_have_no_page_are_told_from_those_that_hide_one(serve: Serve) -> None:
    async def status(code: int, body: bytes = b"") -> PodServer:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=code, body=body)

        return await serve(answer)

    servers = {
        "missing": await status(404),
        "html": await status(200, b"<html>hello</html>"),
        "broken": await status(500),
        "closed to us": await status(403),
        "cut off": await status(200, b"vllm:num_requests_running 1"),
    }
    targets = [server.target(name) for name, server in servers.items()]

    def means(c: Collector) -> dict[str, str]:
        return {sample.name: sample.silence for sample in c.samples("in_flight")}

    async with collecting(targets) as c:
        await until(lambda: all(means(c).values()))
        assert means(c) == {
            "missing": "no_engine",
            "html": "no_engine",
            "broken": "unreadable",
            "closed to us": "unreadable",
            "cut off": "unreadable",
        }
