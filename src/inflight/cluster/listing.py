"""A whole list, in pages that are as large as can be taken.

A page that is too large is asked for again with fewer objects. One object that alone cannot be taken is passed over: an
API server writes where the list goes on before the objects. Whoever may write objects in one namespace then holds up
nobody who lists those of all.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from inflight.cluster.client import MAX_ANSWER_BYTES, Client
from inflight.cluster.errors import LeftOutError, UnreachableError, UnreadableError
from inflight.cluster.wire import Head, Key, ListMetadata, Page, begin_page, read

PAGE_LIMIT = 500
"""Objects of a page; less where a page is too large."""
LIST_SECONDS = 300.0
"""A list that takes longer is given up: the place where it goes on is known for about as long (etcd is compacted every
five minutes; k8s.io/apiserver pkg/storage/etcd3/compact.go).
"""
MAX_PAGES = 10_000
MAX_OBJECTS = 100_000
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=1"
"""Served for every kind: https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches"""

T = TypeVar("T")


class Listing(Generic[T]):
    """`keep` makes of an object what is kept of it, or None; `left_out` is told of each that is passed over, and gives
    what is to stay of it.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        params: dict[str, str],
        keep: Callable[[msgspec.Raw, str], tuple[Key, T | None]],
        left_out: Callable[[Key, LeftOutError], T | None],
    ) -> None:
        self._client = client
        self._path = path
        self._params = params
        self._keep = keep
        self._left_out = left_out
        self._what = f"GET {path}"
        self._limit = PAGE_LIMIT
        self._found: dict[Key, T] = {}

    async def read(self) -> tuple[dict[Key, T], str]:
        """All objects, and the version to watch from. Raises ClusterError."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return self._found, await self._read_all()
        except TimeoutError as error:
            raise UnreachableError(f"{self._what}: the list did not end within {LIST_SECONDS:g} s") from error

    async def _read_all(self) -> str:
        place = ""
        for _ in range(MAX_PAGES):
            metadata = await self._take_page(place)
            if len(self._found) > MAX_OBJECTS:
                raise UnreachableError(f"{self._what}: the list has more than {MAX_OBJECTS} objects")
            if not metadata.continue_:
                return metadata.resource_version
            if metadata.continue_ == place:
                raise UnreachableError(f"{self._what}: the list goes on where it already was, so it would never end")
            place = metadata.continue_
        raise UnreachableError(f"{self._what}: the list did not end within {MAX_PAGES} pages")

    async def _take_page(self, place: str) -> ListMetadata:
        while True:
            params = {**self._params, "limit": str(self._limit), **({"continue": place} if place else {})}
            try:
                content = await self._client.request("GET", self._path, params=params)
                page = read(content, Page, self._what)
            except UnreadableError as error:
                if self._limit == 1:
                    return await self._pass_over(error, params)
                self._limit //= 2
                continue
            for item in page.items or ():
                self._set(*self._keep(item, self._what))
            self._grow(len(content))
            return page.metadata

    def _grow(self, size: int) -> None:
        """After large objects back to large pages, of about half of what may be."""
        room = self._limit * MAX_ANSWER_BYTES // (2 * max(size, 1))
        self._limit = min(PAGE_LIMIT, 2 * self._limit, max(self._limit, room))

    async def _pass_over(self, error: UnreadableError, params: dict[str, str]) -> ListMetadata:
        """The page of this one object: where the list goes on after it."""
        told = begin_page(error.beginning)
        if told is None:
            try:
                content = await self._client.request("GET", self._path, params=params, accept=METADATA_ONLY)
                page = read(content, Page, self._what)
            except UnreadableError as again:
                raise UnreachableError(f"{error}; one object is so, and cannot be passed over: {again}") from again
            heads = [read(item, Head, self._what) for item in page.items or ()]
            told = page.metadata, heads[0] if len(heads) == 1 else Head.none()
        metadata, head = told
        why = LeftOutError(f"{error}; it is left out, or stays as it was", *head.key)
        self._set(head.key, self._left_out(head.key, why))
        return metadata

    def _set(self, key: Key, kept: T | None) -> None:
        if kept is not None:
            self._found[key] = kept
