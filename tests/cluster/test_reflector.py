"""A copy of a collection through lists that come in pages and watches that break in every way."""

import asyncio
import itertools
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from inflight.cluster import ApiError, Client, ClusterError, Reflector
from inflight.cluster import client as client_module
from inflight.cluster import listing as listing_module
from inflight.cluster import reflector as reflector_module
from inflight.cluster.errors import LeftOutError
from inflight.cluster.wire import BEGINNING_BYTES, LongLine

PATH = "/api/v1/pods"


def pod(name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata}


def event(kind: str, plain: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": plain}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Collection:
    """Lists and watches as a test lays them out, one after another; the last watch stays open."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[dict[str, str]] = []
        server.answers["GET", PATH] = self.answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        if "watch" not in query:
            page = self.lists.pop(0)
            return page if isinstance(page, web.Response) else web.json_response(page)
        script = self.watches.pop(0) if self.watches else [asyncio.Event()]
        if isinstance(script, web.Response):
            return script
        stream = web.StreamResponse()
        await stream.prepare(request)
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, bytes):
                await stream.write(step)
            elif step == "cut":
                assert request.transport is not None
                request.transport.abort()
            else:
                await stream.write(json.dumps(step).encode() + b"\n")
        return stream

    def listed(self, version: int, *pods: dict[str, Any], more: str = "") -> None:
        self.lists.append({"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(pods)})

    @property
    def times_listed(self) -> int:
        return sum("watch" not in query for query in self.asked)

    @property
    def versions_watched(self) -> list[str]:
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


class Copy:
    def __init__(self, client: Client) -> None:
        self.states: list[dict[tuple[str, str], Any]] = []
        self.failures: list[ClusterError] = []
        self.recoveries = 0
        self.reflector: Reflector[dict[str, str]] = Reflector(
            client,
            PATH,
            decode=self.decode,
            changed=lambda objects: self.states.append(dict(objects)),
            failed=self.failures.append,
            recovered=self.recover,
            backoff_seconds=(0.001, 0.01),
            random_source=random.Random(1),
        )

    def decode(self, plain: dict[str, Any]) -> dict[str, str] | None:
        labels: dict[str, str] = plain["metadata"].get("labels") or {}
        if "broken" in labels:
            raise ValueError("it is broken")
        return None if "ignored" in labels else labels

    def recover(self) -> None:
        self.recoveries += 1

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.reflector.objects}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.002)


@pytest.fixture
def collection(server: Any) -> Collection:
    return Collection(server)


@pytest.fixture
def copy(client: Client) -> Copy:
    return Copy(client)


@asynccontextmanager
async def running(copy: Copy) -> AsyncIterator[None]:
    task = asyncio.create_task(copy.reflector.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_pages_make_one_list_that_appears_at_once(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("a", 1), more="next")
    collection.listed(7, pod("b", 2))
    async with running(copy):
        await copy.reflector.synced.wait()
        assert copy.names == {"a", "b"}
        assert len(copy.states) == 1
        assert collection.asked[1]["continue"] == "next"
        await copy.until(lambda: collection.versions_watched == ["7"])


async def test_events_change_the_copy(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("a", 1), pod("b", 2))
    events = [
        event("ADDED", pod("c", 8)),
        event("MODIFIED", pod("a", 9, colour="red")),
        event("DELETED", pod("b", 10)),
    ]
    collection.watches.append([*events, asyncio.Event()])
    async with running(copy):
        await copy.until(lambda: copy.names == {"a", "c"})
        assert copy.reflector.objects["ns", "a"] == {"colour": "red"}


async def test_events_that_come_twice_or_in_pieces_do_no_harm(collection: Collection, copy: Copy) -> None:
    collection.listed(7)
    added = json.dumps(event("ADDED", pod("ä", 8))).encode() + b"\n"
    script = [added[:25], added[25:], added, event("DELETED", pod("x", 9)), event("DELETED", pod("x", 9))]
    collection.watches.append([*script, event("ADDED", pod("b", 10)), asyncio.Event()])
    async with running(copy):
        await copy.until(lambda: copy.names == {"ä", "b"})
    assert copy.failures == []


async def test_a_watch_resumes_where_the_last_one_ended(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("old", 99))
    collection.watches += [[event("ADDED", pod("a", 8))], [bookmark(20)], []]
    async with running(copy):
        await copy.until(lambda: len(collection.versions_watched) >= 4)
    # Of the list, not of an object in it; of an event; of a bookmark.
    assert collection.versions_watched[:4] == ["7", "8", "20", "20"]
    assert collection.times_listed == 1


async def test_a_cut_connection_is_resumed_and_told(collection: Collection, copy: Copy) -> None:
    collection.listed(7)
    collection.watches += [[event("ADDED", pod("a", 8)), "cut"], [event("ADDED", pod("b", 9)), asyncio.Event()]]
    async with running(copy):
        await copy.until(lambda: copy.names == {"a", "b"})
    assert len(copy.failures) == 1
    assert collection.times_listed == 1


@pytest.mark.parametrize("manner", ["event", "code"])
async def test_a_version_that_is_gone_means_a_new_list(collection: Collection, copy: Copy, manner: str) -> None:
    collection.listed(7, pod("a", 1))
    code = web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
    collection.watches.append([EXPIRED] if manner == "event" else code)
    collection.listed(50, pod("b", 40))
    async with running(copy):
        await copy.until(lambda: copy.names == {"b"})
        await copy.until(lambda: collection.versions_watched[-1] == "50")
    # What was known stood until the new list was whole.
    assert [{name for _, name in state} for state in copy.states] == [{"a"}, {"b"}]


async def test_an_expired_page_starts_the_list_over(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("a", 1), more="next")
    collection.lists.append(web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410))
    collection.listed(8, pod("b", 2))
    async with running(copy):
        await copy.until(lambda: copy.names == {"b"})
    assert "continue" not in collection.asked[2]


async def test_a_server_that_fails_at_first_is_waited_for(collection: Collection, copy: Copy) -> None:
    collection.lists += [web.json_response({"kind": "Status", "code": 503}, status=503) for _ in range(3)]
    collection.listed(7, pod("a", 1))
    async with running(copy):
        await copy.until(lambda: copy.names == {"a"})
    assert len(copy.failures) == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        b"not json\n",
        b"[]\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":{"metadata":{}}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n',
        b'{"type":"MOVED","object":{"metadata":{"name":"a","resourceVersion":"9"}}}\n',
        b'{"type":"ERROR","object":{"code":500,"message":"etcd"}}\n',
    ],
)
async def test_nonsense_ends_the_watch_and_nothing_else(collection: Collection, copy: Copy, nonsense: bytes) -> None:
    collection.listed(7, pod("a", 1))
    collection.watches += [[nonsense], [event("ADDED", pod("b", 9)), asyncio.Event()]]
    async with running(copy):
        await copy.until(lambda: "b" in copy.names)
    assert len(copy.failures) == 1


async def test_an_event_that_changes_nothing_kept_is_no_news(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("a", 1, colour="red"))
    same = [event("MODIFIED", pod("a", version, colour="red")) for version in (8, 9, 10)]
    gone = event("DELETED", pod("never-seen", 11))
    collection.watches.append([*same, gone, event("MODIFIED", pod("a", 12, colour="blue"))])
    async with running(copy):
        await copy.until(lambda: len(collection.versions_watched) == 2)
    assert copy.states == [{("ns", "a"): {"colour": "red"}}, {("ns", "a"): {"colour": "blue"}}]
    assert collection.versions_watched[1] == "12"


async def test_the_same_list_again_is_no_news_but_the_first_is_even_when_empty(
    collection: Collection, copy: Copy
) -> None:
    collection.listed(7)
    collection.watches.append([EXPIRED])
    collection.listed(8)
    async with running(copy):
        await copy.until(lambda: collection.times_listed == 2)
    assert copy.states == [{}]


async def test_what_decode_gives_none_for_is_not_kept(collection: Collection, copy: Copy) -> None:
    collection.listed(7, pod("a", 1, ignored="yes"), pod("b", 2))
    collection.watches.append([event("MODIFIED", pod("b", 8, ignored="yes")), event("ADDED", pod("c", 9))])
    async with running(copy):
        await copy.until(lambda: "c" in copy.names)
    assert copy.names == {"c"}
    assert [{name for _, name in state} for state in copy.states] == [{"b"}, set(), {"c"}]


async def test_an_object_that_cannot_be_read_stays_as_it_was_and_holds_up_no_other(
    collection: Collection, copy: Copy
) -> None:
    collection.listed(7, pod("a", 1, colour="red"), pod("x", 2, broken="yes"))
    collection.watches.append([event("MODIFIED", pod("a", 8, broken="yes")), event("ADDED", pod("b", 9))])
    async with running(copy):
        await copy.until(lambda: "b" in copy.names)
    assert copy.reflector.objects == {("ns", "a"): {"colour": "red"}, ("ns", "b"): {}}
    assert [str(error) for error in copy.failures] == [
        f"{PATH}: the object ns/x cannot be read, and stays as it was: it is broken",
        f"{PATH}: the object ns/a cannot be read, and stays as it was: it is broken",
    ]


async def test_an_object_that_is_larger_than_asked_for_stays_as_it_was(collection: Collection, client: Client) -> None:
    failures: list[ClusterError] = []
    small: Reflector[str] = Reflector(
        client, PATH, lambda item: item["metadata"]["name"], item_bytes=2000, failed=failures.append
    )
    collection.listed(7, pod("a", 1), pod("b", 2, text="x" * 3000))
    task = asyncio.create_task(small.run())
    await small.synced.wait()
    task.cancel()
    assert small.objects == {("ns", "a"): "a"}
    assert "ns/b cannot be read, and stays as it was: it has 3" in str(failures[0])
    assert "at most 2000 are read" in str(failures[0])


async def test_an_object_of_another_type_is_told(collection: Collection, client: Client) -> None:
    class Labels(msgspec.Struct):
        labels: dict[str, str]

    class Wanted(msgspec.Struct):
        metadata: Labels

    failures: list[ClusterError] = []
    typed: Reflector[dict[str, str]] = Reflector(
        client, PATH, lambda item: item.metadata.labels, item_type=Wanted, failed=failures.append
    )
    wrong = {"metadata": {"name": "b", "namespace": "ns", "resourceVersion": "2", "labels": "none"}}
    collection.listed(7, pod("a", 1, colour="red"), wrong)
    task = asyncio.create_task(typed.run())
    await typed.synced.wait()
    task.cancel()
    assert typed.objects == {("ns", "a"): {"colour": "red"}}
    assert len(failures) == 1
    assert "ns/b cannot be read" in str(failures[0])


async def test_more_objects_than_are_kept_are_left_out_and_told(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "MAX_OBJECTS", 2)
    collection.listed(7, pod("a", 1), pod("b", 2))
    events = [event("ADDED", pod("c", 8)), event("MODIFIED", pod("a", 9, colour="red"))]
    collection.watches.append([*events, asyncio.Event()])
    async with running(copy):
        await copy.until(lambda: copy.reflector.objects.get(("ns", "a")) == {"colour": "red"})
    assert copy.names == {"a", "b"}
    assert "more than 2 objects" in str(copy.failures[0])


async def test_a_right_that_is_taken_away_and_given_back(collection: Collection, copy: Copy) -> None:
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "you may not"}
    collection.listed(7, pod("a", 1))
    collection.watches += [web.json_response(forbidden, status=403) for _ in range(3)]
    async with running(copy):
        await copy.until(lambda: copy.recoveries == 1)
        assert copy.names == {"a"}
    assert [error.code for error in copy.failures if isinstance(error, ApiError)] == [403, 403, 403]
    assert copy.reflector.failures_in_a_row == 0
    assert collection.times_listed == 1


async def test_good_watches_that_break_off_do_not_add_up_to_a_long_wait(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backoff is (1 ms, 10 ms) here; a watch that went on for longer than was waited for it begins it anew."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float, *rest: Any) -> None:
        if asyncio.current_task() is running_task:
            waits.append(seconds)
        await sleep(seconds, *rest)

    monkeypatch.setattr(reflector_module.asyncio, "sleep", counted)
    collection.listed(7)
    going_on = [asyncio.Event() for _ in range(6)]
    for number, each in enumerate(going_on):
        collection.watches.append([event("ADDED", pod(f"p{number}", 8 + number)), each, "cut"])
    running_task = asyncio.create_task(copy.reflector.run())
    try:
        for number, each in enumerate(going_on):
            await copy.until(lambda number=number: f"p{number}" in copy.names)  # type: ignore[misc]
            await sleep(0.05)
            each.set()
        await copy.until(lambda: len(collection.versions_watched) == 7)
    finally:
        running_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running_task
    assert len(waits) == 6
    assert max(waits) <= 0.001 * 1.5


async def test_an_object_too_large_for_a_watch_is_left_out_and_what_follows_is_taken(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE_BYTES", 5000)
    collection.listed(7, pod("huge", 1))
    huge = json.dumps(event("MODIFIED", pod("huge", 8, text="x" * 200_000))).encode() + b"\n"
    collection.watches += [[huge, event("ADDED", pod("a", 9))], [asyncio.Event()]]
    async with running(copy):
        await copy.until(lambda: copy.names == {"huge", "a"})
        await copy.until(lambda: len(collection.versions_watched) == 2)
        assert collection.versions_watched[1] == "9"
    assert copy.reflector.objects["ns", "huge"] == {}
    assert [type(failure) for failure in copy.failures] == [LeftOutError]


def too_deep(kind: str, name: str, version: int) -> bytes:
    """An event of an object with fields that nest deeply, as whoever updates it may write into `managedFields`."""
    metadata = {"name": name, "namespace": "ns", "resourceVersion": str(version), "managedFields": "HERE"}
    text = json.dumps(event(kind, {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}))
    return text.replace('"HERE"', '{"f:x":' * 5000 + "1" + "}" * 5000).encode() + b"\n"


@pytest.mark.parametrize("manner", ["long", "deep"])
@pytest.mark.parametrize("has_later_version", [True, False])
async def test_an_event_that_cannot_be_read_is_passed_over_and_says_of_what_it_is(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch, manner: str, has_later_version: bool
) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE_BYTES", 5000 if manner == "long" else 1 << 20)

    def hostile(kind: str, name: str, version: int) -> bytes:
        if manner == "deep":
            return too_deep(kind, name, version)
        return json.dumps(event(kind, pod(name, version, text="x" * 9000))).encode() + b"\n"

    collection.listed(7, pod("huge", 1, colour="red"), pod("gone", 2))
    events: list[Any] = [hostile("MODIFIED", "huge", 8), hostile("ADDED", "new", 9), hostile("DELETED", "gone", 10)]
    collection.watches += [[*events, *([bookmark(11)] if has_later_version else [])], [asyncio.Event()]]
    async with running(copy):
        await copy.until(lambda: len(collection.versions_watched) == 2)
    # Resumed after it: its version stands in its beginning.
    assert collection.versions_watched[1] == ("11" if has_later_version else "10")
    assert collection.times_listed == 1
    assert copy.reflector.objects == {("ns", "huge"): {"colour": "red"}}
    why = "is too large" if manner == "long" else "nests too deeply"
    assert [str(failure) for failure in copy.failures] == [
        f"the watch of {PATH}: the object ns/{name} {why} to be read; it is left out, or stays as it was"
        for name in ("huge", "new", "gone")
    ]
    assert {type(failure) for failure in copy.failures} == {LeftOutError}


@pytest.mark.parametrize(
    "beginning", [b"", b'{"type":"DELETED","object":{"spec":{},"metadata":{"name":"gone"', b"[[[["]
)
async def test_an_event_of_which_nothing_is_known_means_a_new_list_when_the_watch_has_ended(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE_BYTES", 5000)
    collection.listed(7, pod("gone", 1))
    collection.watches += [[beginning + b"x" * 9000 + b"\n", event("ADDED", pod("a", 9))], [asyncio.Event()]]
    collection.listed(20, pod("a", 9))
    async with running(copy):
        await copy.until(lambda: len(collection.versions_watched) == 2)
    assert collection.versions_watched[1] == "20"
    assert copy.names == {"a"}
    assert [{name for _, name in state} for state in copy.states] == [{"gone"}, {"gone", "a"}, {"a"}]


async def test_a_place_from_which_nothing_can_be_read_is_left_by_a_list(collection: Collection, copy: Copy) -> None:
    collection.listed(7)
    collection.watches += [[b"nonsense\n"]] * 3
    collection.listed(20, pod("a", 1))
    async with running(copy):
        await copy.until(lambda: collection.versions_watched == ["7", "7", "7", "20"])
    assert copy.names == {"a"}


@pytest.mark.parametrize("script", [[], ["cut"]])
async def test_watches_that_end_at_once_again_and_again_are_failures(
    collection: Collection, copy: Copy, script: list[Any]
) -> None:
    """In good order too: a proxy that gives up may say so politely."""
    collection.listed(7)
    collection.watches += [script] * 3
    collection.lists += [web.json_response({"code": 500}, status=500) for _ in range(50)]
    async with running(copy):
        await copy.until(lambda: len(copy.failures) >= 3)
        assert copy.reflector.failures_in_a_row >= 3
        assert copy.recoveries == 0
        assert copy.reflector.broken_since is not None


async def test_how_long_the_copy_may_be_old(collection: Collection, copy: Copy) -> None:
    collection.listed(7)
    broken, going_on = asyncio.Event(), asyncio.Event()
    collection.watches += [[event("ADDED", pod("a", 8)), broken, "cut"]]
    collection.watches += [web.json_response({"code": 403}, status=403) for _ in range(3)]
    collection.watches += [[going_on, event("ADDED", pod("b", 9)), asyncio.Event()]]
    async with running(copy):
        await copy.until(lambda: "a" in copy.names)
        assert copy.reflector.broken_since is None
        before = asyncio.get_running_loop().time()
        broken.set()
        await copy.until(lambda: len(copy.failures) == 4)
        since = copy.reflector.broken_since
        assert since is not None
        assert since >= before
        # Open again is not yet whole: what happened meanwhile is still to come.
        await copy.until(lambda: len(collection.versions_watched) == 5)
        assert copy.reflector.broken_since == since
        going_on.set()
        await copy.until(lambda: "b" in copy.names)
        assert copy.reflector.broken_since is None


async def test_a_list_without_an_end_is_given_up(
    collection: Collection, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_module, "LIST_SECONDS", 0.1)
    places = itertools.count()

    async def endless(_: web.Request) -> web.StreamResponse:
        place = str(next(places))
        return web.json_response({"metadata": {"resourceVersion": "7", "continue": place}, "items": []})

    collection.server.answers["GET", PATH] = endless
    async with running(copy):
        await copy.until(lambda: bool(copy.failures))
    assert "did not end within 0.1 s" in str(copy.failures[0])


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda each: each.replace(b"\n", b"")), max_size=8),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    rest=st.binary(max_size=12).map(lambda each: each.replace(b"\n", b"")),
)
def test_lines_come_whole_however_the_stream_is_cut(lines: list[bytes], cuts: list[int], rest: bytes) -> None:
    """Of one that is too long, its beginning; what no line end follows is no line."""
    stream = b"".join(line + b"\n" for line in lines) + rest
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})

    async def parts() -> AsyncIterator[bytes]:
        for begin, end in pairwise(edges):
            yield stream[begin:end]

    async def read() -> list[bytes | LongLine]:
        return [line async for line in client_module._split_lines(parts())]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_module, "MAX_LINE_BYTES", 8)
        patch.setattr(client_module, "BEGINNING_BYTES", 5)
        found = asyncio.run(read())
    assert found == [line if len(line) <= 8 else LongLine(line[:5]) for line in lines if len(line) > 8 or line.strip()]


async def test_of_a_line_without_an_end_only_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_LINE_BYTES", 1 << 20)
    part = b"x" * (1 << 16)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(640):
            yield part
        yield b"\n{}\n"

    tracemalloc.start()
    try:
        found = [line async for line in client_module._split_lines(parts())]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [LongLine(part[:BEGINNING_BYTES]), b"{}"]
    # Of 40 MiB; a line that is still short enough is held twice for a moment.
    assert most < 4 << 20
