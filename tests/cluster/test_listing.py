"""Whole lists out of pages, whatever is in them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.cluster import UnreachableError
from inflight.cluster import listing as listing_module
from inflight.cluster.client import JSON
from inflight.cluster.errors import LeftOutError, TooLargeError
from inflight.cluster.listing import METADATA_ONLY, Listing
from inflight.cluster.wire import BEGINNING_BYTES, Head, Key

PATH = "/api/v1/pods"
MOST = 2000
"""Bytes of a page that are taken."""


class Pages:
    """An API server as far as lists go: pages by number, in the order of keys that Go gives them, or another."""

    def __init__(self, objects: list[Any], *, metadata_last: bool = False, serves_metadata: bool = True) -> None:
        self.objects = objects
        self.metadata_last = metadata_last
        self.serves_metadata = serves_metadata
        self.asked: list[Mapping[str, str]] = []
        self.sent = 0

    async def request(self, method: str, path: str, *, params: Mapping[str, str], accept: str = JSON) -> bytes:
        assert (method, path) == ("GET", PATH)
        self.asked.append(params)
        begin, limit = int(params.get("continue", "0")), int(params["limit"])
        items = self.objects[begin : begin + limit]
        if accept == METADATA_ONLY and self.serves_metadata:
            items = [{"metadata": item["metadata"]} for item in items]
        more = {"continue": str(begin + limit), "remainingItemCount": 9} if begin + limit < len(self.objects) else {}
        page = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "77", **more}, "items": items}
        if self.metadata_last:
            page = dict(sorted(page.items()))
        content = json.dumps(page).replace('"DEEP"', '{"a":' * 3000 + "1" + "}" * 3000).encode()
        self.sent += min(len(content), MOST)
        if len(content) > MOST and "DEEP" not in str(items):
            raise TooLargeError(f"GET {path}: the answer has more than {MOST} bytes", content[:BEGINNING_BYTES])
        return content


def thing(name: str, size: int = 0, spec: Any = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "5", "generation": 3, "labels": {}}
    return {"metadata": metadata, "spec": spec if spec is not None else "x" * size}


class Reading:
    def __init__(self, pages: Pages, before: Mapping[Key, str] | None = None) -> None:
        self.before = before or {}
        self.left_out: list[LeftOutError] = []
        self.listing: Listing[str] = Listing(pages, PATH, {"fieldSelector": "x"}, self._keep, self._leave)  # type: ignore[arg-type]

    def _keep(self, item: msgspec.Raw, what: str) -> tuple[Key, str | None]:
        key = msgspec.json.decode(item, type=Head).key
        return key, None if key[1].startswith("not-ours") else f"new {key[1]}"

    def _leave(self, key: Key, error: LeftOutError) -> str | None:
        self.left_out.append(error)
        return self.before.get(key)

    async def read(self) -> dict[Key, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing_module, "MAX_ANSWER_BYTES", MOST)
            found, version = await self.listing.read()
        assert version == "77"
        return found


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40) | st.integers(0, 3 * MOST), max_size=60),
    metadata_last=st.booleans(),
)
def test_every_object_is_kept_or_told_of_whatever_their_sizes(sizes: list[int], metadata_last: bool) -> None:
    objects = [thing(f"p{number}", size) for number, size in enumerate(sizes)]
    pages = Pages(objects, metadata_last=metadata_last)
    reading = Reading(pages)
    found = asyncio.run(reading.read())
    # Alone in a page with its envelope of about 250 bytes.
    alone = [f"p{number}" for number, size in enumerate(sizes) if size > MOST]
    fits = [f"p{number}" for number, size in enumerate(sizes) if size < MOST - 400]
    left_out = {error.name for error in reading.left_out}
    assert left_out | {name for _, name in found} == {f"p{number}" for number in range(len(sizes))}
    assert left_out.isdisjoint(name for _, name in found)
    assert set(alone) <= left_out
    assert set(fits).isdisjoint(left_out)
    # A page for each object, and the halvings before it, at the most.
    assert len(pages.asked) <= 12 + 3 * len(sizes)
    assert all(asked["fieldSelector"] == "x" for asked in pages.asked)


@pytest.mark.parametrize("metadata_last", [False, True])
async def test_an_object_that_is_too_large_by_itself_holds_up_no_other(metadata_last: bool) -> None:
    objects = [thing("a"), thing("huge", 5000), thing("known", 5000), thing("b"), thing("last", 9000)]
    pages = Pages(objects, metadata_last=metadata_last)
    reading = Reading(pages, {("ns", "known"): "as it was"})
    found = await reading.read()
    assert found == {("ns", "a"): "new a", ("ns", "b"): "new b", ("ns", "known"): "as it was"}
    assert [(error.namespace, error.name) for error in reading.left_out] == [
        ("ns", "huge"),
        ("ns", "known"),
        ("ns", "last"),
    ]
    assert str(reading.left_out[0]) == (
        f"GET {PATH}: the answer has more than {MOST} bytes; it is left out, or stays as it was"
    )


async def test_an_object_that_nests_too_deeply_holds_up_no_other() -> None:
    reading = Reading(Pages([thing("a"), thing("deep", spec="DEEP"), thing("b")]))
    assert await reading.read() == {("ns", "a"): "new a", ("ns", "b"): "new b"}
    assert [error.name for error in reading.left_out] == ["deep"]


async def test_pages_grow_again_after_large_objects() -> None:
    objects = [*(thing(f"large{number}", 1500) for number in range(5)), *(thing(f"s{number}") for number in range(400))]
    pages = Pages(objects)
    assert len(await Reading(pages).read()) == 405
    limits = [int(asked["limit"]) for asked in pages.asked]
    assert min(limits) == 1
    assert limits[-1] > 1
    # Never more than twice what the same objects take in pages that fit just so.
    assert pages.sent < 2.5 * 405 * 150 + 10 * MOST


async def test_what_cannot_be_passed_over_is_told_with_its_path() -> None:
    pages = Pages([thing("a"), thing("huge", 5000), thing("b")], metadata_last=True, serves_metadata=False)
    with pytest.raises(UnreachableError, match=r"GET /api/v1/pods: .* one object is so, and cannot be passed over"):
        await Reading(pages).read()


async def test_a_list_that_goes_on_where_it_was_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Round(Pages):
        async def request(self, *_: Any, **__: Any) -> bytes:
            return b'{"metadata":{"continue":"again"},"items":[]}'

    with pytest.raises(UnreachableError, match="would never end"):
        await Reading(Round([])).read()


async def test_pages_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "MAX_PAGES", 3)
    monkeypatch.setattr(listing_module, "PAGE_LIMIT", 1)
    with pytest.raises(UnreachableError, match="did not end within 3 pages"):
        await Reading(Pages([thing(f"not-ours-{number}") for number in range(9)])).read()
