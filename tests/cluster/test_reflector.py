"""A copy of a collection through lists that come in pages and watches that break in every way."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from aiohttp import web

from inflight.cluster import ApiError, Client, ClusterError, Reflector
from inflight.cluster import reflector as reflector_module

from .following import EXPIRED, PATH, Collection, Copy, bookmark, event, pod, running


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
