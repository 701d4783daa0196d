"""Lists and watches that are too large, too deep, without an end or without any use."""

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from inflight.cluster import client as client_module
from inflight.cluster import listing as listing_module
from inflight.cluster.errors import LeftOutError
from inflight.cluster.wire import BEGINNING_BYTES, LongLine

from .following import PATH, Collection, Copy, bookmark, event, pod, running


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
