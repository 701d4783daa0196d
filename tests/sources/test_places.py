"""Where a pod's page is looked for, in which order, and what is said where it is not found."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from inflight.sources import Target
from inflight.sources.attempt import MAX_PLACES, candidate_urls
from inflight.sources.places import OF_THE_SERVER, Places
from inflight.sources.scrape import REASONS, Failure, FailureReason

from .conftest import CATALOGUE

REFUSED = Failure("refused", "connection refused")
NOT_FOUND = Failure("status", "HTTP 404")
SIDECAR = Failure("content", "no known engine's page")
HANGS = Failure("timeout", "no page within 5 s")


def urls(*places: str) -> list[URL]:
    return [URL(f"http://10.0.0.5{place}") for place in places]


def target(url: str, *alternatives: str, engine: str | None = None) -> Target:
    return Target("n", "p", {}, url, engine=engine, alternatives=alternatives)


def walk(places: Places, met: Callable[[URL], Failure]) -> tuple[list[str], Failure]:
    """One walk in which no place has the page: what was asked, and what is said at the end."""
    asked = []
    while True:
        places.begin()
        asked.append(str(places.url).removeprefix("http://10.0.0.5"))
        told = places.not_here(met(places.url))
        if told is not None:
            return asked, told


def test_the_url_comes_first_then_the_alternatives_and_none_twice() -> None:
    found = candidate_urls(target("http://a:1/m", "http://a:2/m", "http://a:1/m", "http://a:3/x"), CATALOGUE)
    assert [str(url) for url in found] == ["http://a:1/m", "http://a:2/m", "http://a:3/x"]


def test_a_place_without_a_path_stands_for_each_path_of_the_catalogue() -> None:
    paths = list(CATALOGUE.paths())
    assert len(paths) > 1
    found = candidate_urls(target("http://a:1", "http://a:2/x", "http://a:1/metrics"), CATALOGUE)
    assert [str(url) for url in found] == [*(f"http://a:1{path}" for path in paths), "http://a:2/x"]
    one = candidate_urls(target("http://a:1", "http://a:2", engine="trtllm_serve"), CATALOGUE)
    assert [url.path for url in one] == ["/prometheus/metrics"] * 2


def test_the_places_of_one_pod_are_bounded() -> None:
    many = candidate_urls(target("http://a:1/m", *(f"http://a:{port}/m" for port in range(2, 1000))), CATALOGUE)
    assert len(many) == MAX_PLACES


def test_a_walk_without_success_is_one_failure_that_says_what_was_met_where() -> None:
    places = Places(urls(":8080/metrics", ":8000/metrics"))
    places.begin()
    assert places.not_here(SIDECAR) is None
    assert places.under_way
    told = places.not_here(REFUSED)
    assert told == Failure("content", "no known engine's page at :8080, connection refused at :8000")
    assert not places.under_way
    assert places.searching
    assert str(places.url).endswith(":8080/metrics"), "the next walk begins with the first"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ((":8000/metrics", ":8000/v1/metrics"), "HTTP 404 at /metrics and /v1/metrics"),
        ((":1/a", ":2/b", ":3/b"), "HTTP 404 at :1/a, :2/b and :3/b"),
        ((":1/m?token=secret", ":2/m"), "HTTP 404 at :1 and :2"),
        (tuple(f":{port}/m" for port in range(1, 9)), "HTTP 404 at :1, :2, :3, :4 and 4 more"),
    ],
)
def test_places_are_named_by_what_tells_them_apart(where: tuple[str, ...], words: str) -> None:
    assert walk(Places(urls(*where)), lambda _: NOT_FOUND)[1].text == words


def test_other_hosts_are_named() -> None:
    places = Places([URL("http://10.0.0.5:1/m"), URL("http://[fd00::1]:1/m")])
    assert places.not_here(HANGS) is None
    told = places.not_here(HANGS)
    assert told is not None
    assert told.text == "no page within 5 s at 10.0.0.5:1 and [fd00::1]:1"


def test_a_sentence_stays_short_and_printable_whatever_was_met() -> None:
    places = Places(urls(*(f":{port}/{'x' * 500}{port}" for port in range(1, 33))))
    _, told = walk(places, lambda url: Failure("content", f"\x1b{url.port} " + "y" * 5000))
    assert len(told.text) < 700
    assert told.text.isprintable()
    assert told.text.endswith("and 28 other failures")


def test_where_nobody_listens_the_other_paths_are_not_tried() -> None:
    places = Places(urls(":8000/metrics", ":8000/v1/metrics", ":8080/metrics"))
    asked, told = walk(places, lambda _: REFUSED)
    assert asked == [":8000/metrics", ":8080/metrics"]
    assert told == Failure("refused", "connection refused at :8000/metrics, :8000/v1/metrics and :8080/metrics")
    assert walk(places, lambda _: HANGS)[0] == [":8000/metrics", ":8000/v1/metrics", ":8080/metrics"]


def test_a_place_that_was_found_is_kept_while_it_fails() -> None:
    places = Places(urls(":1/m", ":2/m"))
    assert places.not_here(REFUSED) is None
    places.found()
    for failure in (REFUSED, HANGS, NOT_FOUND):
        places.begin()
        assert places.not_here(failure) == failure
        assert places.url.port == 2
        assert not places.under_way


def test_a_single_place_is_never_searched() -> None:
    places = Places(urls(":1/m"))
    assert not places.searching
    assert places.not_here(SIDECAR) == SIDECAR
    places.forget()
    assert not places.searching
    assert not places.under_way


def test_after_a_restart_the_walk_begins_anew_and_the_reason_is_that_of_the_last_place() -> None:
    places = Places(urls(":1/m", ":2/m"))
    assert places.not_here(SIDECAR) is None
    places.found()
    places.forget()
    asked, told = walk(places, lambda url: SIDECAR if url.port == 1 else REFUSED)
    assert asked == [":1/m", ":2/m"]
    assert told.reason == "refused"


@pytest.mark.parametrize("outcome", ["found", "failed"])
def test_what_was_under_way_at_a_restart_settles_nothing(outcome: str) -> None:
    places = Places(urls(":1/m", ":2/m", ":3/m"))
    assert places.not_here(SIDECAR) is None
    places.forget()
    if outcome == "found":
        places.found()
    else:
        assert places.not_here(REFUSED) is None
    assert places.searching
    assert places.under_way
    asked, told = walk(places, lambda _: REFUSED)
    assert asked == [":1/m", ":2/m", ":3/m"]
    assert told.text == "connection refused at :1, :2 and :3"


KEYS = st.tuples(st.integers(1, 3), st.sampled_from("ab"))
"""Port and path of a place."""


@settings(max_examples=200)
@given(st.lists(KEYS, min_size=1, max_size=6, unique=True), st.data())
def test_whatever_happens_first_the_first_place_in_order_that_shows_the_page_is_found(
    keys: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Outcomes come and go; from some moment on they stay. A server is refused as a whole or not at all."""
    places = Places(urls(*(f":{port}/{path}" for port, path in keys)))
    last = {key: data.draw(st.sampled_from([*_in_the_end(keys, data), None]), label=f"{key}") for key in keys}
    expected = next((key for key in keys if last[key] is None), None)
    restart_at = data.draw(st.integers(0, 12))
    for step in range(restart_at):
        if step == restart_at - 1:
            places.forget()
        places.begin()
        reason: FailureReason | None = data.draw(st.sampled_from([*REASONS, None]))
        _ask(places, reason)
    places.begin()
    places.forget()
    _ask(places, data.draw(st.sampled_from([*REASONS, None])))
    if len(keys) == 1:
        return
    for _ in range(len(keys)):
        places.begin()
        _ask(places, last[_key(places)])
    if expected is not None:
        assert _key(places) == expected
        assert not places.searching
    else:
        assert places.searching


def _in_the_end(keys: list[tuple[int, str]], data: st.DataObject) -> list[FailureReason]:
    """Failures of one path; of a whole server they would have to be the same at its other paths."""
    reasons = [reason for reason in REASONS if reason not in OF_THE_SERVER]
    alone = len({port for port, _ in keys}) == len(keys)
    return data.draw(st.lists(st.sampled_from(list(REASONS) if alone else reasons), min_size=1, max_size=3))


def _key(places: Places) -> tuple[int, str]:
    return places.url.port or 0, places.url.path[1:]


def _ask(places: Places, reason: FailureReason | None) -> None:
    if reason is None:
        places.found()
    else:
        places.not_here(Failure(reason, reason))
