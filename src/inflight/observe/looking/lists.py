"""Reads collections in pages, within bounds."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from inflight.cluster import Client, UnreachableError
from inflight.objects import ObjectError
from inflight.objects.wire import decode

PAGE_LIMIT = 500
MAX_OBJECTS = 20_000
MAX_PAGE_BYTES = 64 << 20

T = TypeVar("T")


class _ListMetadata(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, frozen=True):
    metadata: _ListMetadata = _ListMetadata()
    items: tuple[msgspec.Raw, ...] = ()


async def read_list(client: Client, path: str, wanted: type[T], params: Mapping[str, str] | None = None) -> list[T]:
    """All objects of a collection, each as `wanted`. Raises ClusterError."""
    found: list[T] = []
    sent = {**(params or {}), "limit": str(PAGE_LIMIT)}
    what = f"GET {path}"
    while True:
        try:
            content = await client.request("GET", path, params=sent)
            page = msgspec.json.decode(content, type=_Page)
            found += [decode(bytes(item), wanted, "object", MAX_PAGE_BYTES) for item in page.items]
        except (msgspec.DecodeError, UnicodeError, RecursionError, ObjectError) as error:
            raise UnreachableError(f"{what}: the answer is not what an API server gives: {error}") from error
        if len(found) > MAX_OBJECTS:
            raise UnreachableError(f"{what}: the list has more than {MAX_OBJECTS} objects")
        if not page.metadata.continue_:
            return found
        sent["continue"] = page.metadata.continue_
