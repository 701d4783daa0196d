"""A copy of a collection, kept true by a list and a watch.

The list comes in pages; the watch resumes at the version of the list or of the last event or bookmark, never at an
object's own of a list. A version that the server no longer knows (410, as a code or inside the stream) starts over with
a list. What was known stays until a new list is whole, so that a break never looks like a deletion.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from inflight.cluster.client import Client
from inflight.cluster.errors import ApiError, ClusterError, TooLargeError, UnreachableError

PAGE_LIMIT = 500
"""Objects of a page; less where a page is too large."""
LIST_SECONDS = 300.0
"""A list that takes longer, or never ends, is given up: etcd forgets its version about then."""
WATCH_SECONDS = (300, 600)
"""The server ends a watch somewhere between, so that many watchers do not come back at once."""
GRACE_SECONDS = 30.0
"""After the end that was asked for; who is still silent then is cut off."""
BACKOFF_SECONDS = (0.2, 30.0)
BACKOFF_JITTER = 0.5
MAX_OBJECTS = 100_000
IDLE_SECONDS = 2.0
"""A watch that has been open for so long is whole, also where nothing happens."""

Key = tuple[str, str]
"""Namespace ("" where there is none) and name."""
T = TypeVar("T")
D = TypeVar("D", bound=msgspec.Struct)

_log = logging.getLogger(__name__)


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    namespace: str | None = None
    name: str = ""
    resource_version: str = ""


class _Head(msgspec.Struct, frozen=True):
    """What every object begins with."""

    metadata: _Metadata


class _ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(name="continue", default=None)


class _Page(msgspec.Struct, frozen=True):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Failure(msgspec.Struct, frozen=True):
    """The Status in an event of the type ERROR."""

    code: int = 0
    message: str = ""


class LeftOutError(ClusterError):
    """An object of the collection is not kept as it is now; the collection itself is followed as before."""


class _ExpiredError(Exception):
    """The version to resume from is not known any more."""


class Reflector(Generic[T]):
    """Of one path; `objects` is the copy. `decode` picks what is kept of an object; what it gives None for is not kept.

    `decode` gets the object as `item_type`, read from JSON (by default as plain values). An object that is not of this
    type, or for which `decode` raises, stays as it was, and `failed` is told (LeftOutError).
    """

    def __init__(
        self,
        client: Client,
        path: str,
        decode: Callable[[Any], T | None],
        changed: Callable[[Mapping[Key, T]], None] = lambda _: None,
        *,
        item_type: type[Any] = dict,
        params: Mapping[str, str] | None = None,
        failed: Callable[[ClusterError], None] | None = None,
        recovered: Callable[[], None] = lambda: None,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
        random_source: random.Random | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._decode = decode
        self._item = msgspec.json.Decoder(item_type)
        self._changed = changed
        self._params = dict(params or {})
        self._failed = failed or self._log_failure
        self._recovered = recovered
        self._backoff_seconds = backoff_seconds
        self._random = random_source if random_source is not None else random.Random()
        self._version = ""
        self._was_good = False
        """The watch before the present wait."""
        self._is_open = False
        self._breaks_inside = False
        """Watches are accepted, and broke off before anything came of them."""
        self._namespace = ""
        self.objects: dict[Key, T] = {}
        self.synced = asyncio.Event()
        """Set once the first list is whole."""
        self.failures_in_a_row = 0
        """Lists and watches that were refused or broke since the last that was accepted and brought something."""
        self.broken_since: float | None = None
        """The loop's time from which on the copy may no longer be true; None while it is."""

    async def run(self) -> None:
        """Until cancelled. Failures are told to `failed` and waited out, longer each time, until something arrives;
        `recovered` is told of the first list or watch that is accepted after them.
        """
        wait = self._backoff_seconds[0]
        task = asyncio.current_task()
        # A deadline that ends in the same instant as a cancellation can swallow it; the count remains.
        while task is None or not task.cancelling():
            try:
                self._was_good = self._is_open = False
                if not self._version:
                    await self._list()
                await self._watch(wait)
            except _ExpiredError:
                self._version = ""
            except ClusterError as error:
                if isinstance(error, ApiError) and error.code == 410:
                    self._version = ""
                self.failures_in_a_row += 1
                self._breaks_inside = self._is_open
                if self.broken_since is None:
                    self.broken_since = asyncio.get_running_loop().time()
                self._failed(error)
            if self._was_good:
                wait = self._backoff_seconds[0]
            await asyncio.sleep(wait * (1 + BACKOFF_JITTER * self._random.random()))
            wait = wait if self._was_good else min(2 * wait, self._backoff_seconds[1])

    async def _list(self) -> None:
        what = f"GET {self._path}"
        try:
            async with asyncio.timeout(LIST_SECONDS):
                found, version = await self._pages(what)
        except TimeoutError as error:
            raise UnreachableError(f"{what}: the list did not end within {LIST_SECONDS:g} s") from error
        self._version = version
        is_news = not self.synced.is_set() or found != self.objects
        self.objects = found
        self.synced.set()
        self._be_current()
        if is_news:
            self._changed(self.objects)

    async def _pages(self, what: str) -> tuple[dict[Key, T], str]:
        """All objects, and the version to watch from."""
        found: dict[Key, T] = {}
        limit, params = PAGE_LIMIT, dict(self._params)
        while True:
            params["limit"] = str(limit)
            try:
                content = await self._client.request("GET", self._path, params=params)
            except TooLargeError:
                if limit == 1:
                    raise
                limit //= 2
                continue
            page = _read(content, _Page, what)
            for item in page.items or ():
                key, _ = self._identity(item, what)
                kept = self._kept(key, item)
                if kept is not None:
                    found[key] = kept
            if len(found) > MAX_OBJECTS:
                raise UnreachableError(f"{what}: the list has more than {MAX_OBJECTS} objects")
            if not page.metadata.continue_:
                return found, page.metadata.resource_version
            params["continue"] = page.metadata.continue_

    async def _watch(self, wait: float) -> None:
        """Until the server ends it or it breaks off. If events came, or it lasted, the connection was a good one: what
        was waited for before it does not count any more. One that breaks off sooner than it was waited for is not.
        """
        seconds = self._random.randint(*WATCH_SECONDS)
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        loop = asyncio.get_running_loop()
        now = loop.time
        async with self._client.lines(self._path, params, seconds + GRACE_SECONDS) as lines:
            self._is_open = True
            if not self._breaks_inside:
                self._accepted()
            # One that breaks off at once, again and again, is no watch.
            idle = loop.call_later(IDLE_SECONDS, self._be_current)
            begun, got_something = now(), False
            try:
                async for line in lines:
                    if line is None:
                        self._failed(
                            LeftOutError(f"{self._path}: an object of a watch is too large, and stays as it was")
                        )
                    else:
                        self._take(line)
                    self._be_current()
                    got_something = True
                self._was_good = got_something
            finally:
                idle.cancel()
                lasted = now() - begun
                self._was_good |= lasted > self._backoff_seconds[1] or (got_something and lasted > wait)

    def _be_current(self) -> None:
        self.broken_since = None
        self._breaks_inside = False
        self._accepted()

    def _accepted(self) -> None:
        if self.failures_in_a_row:
            self.failures_in_a_row = 0
            self._recovered()

    def _take(self, line: bytes) -> None:
        what = f"the watch of {self._path}"
        event = _read(line, _Event, what)
        if event.type == "ERROR":
            failure = _read(event.object, _Failure, what)
            if failure.code == 410:
                raise _ExpiredError
            raise UnreachableError(f"{what} ended: {failure.message}")
        if event.type == "BOOKMARK":
            self._version = _version(_read(event.object, _Head, what), what)
            return
        if event.type not in {"ADDED", "MODIFIED", "DELETED"}:
            raise UnreachableError(f"{what}: an event of the unknown type {event.type[:40]!r}")
        key, version = self._identity(event.object, what)
        before = self.objects.get(key)
        now = None if event.type == "DELETED" else self._kept(key, event.object)
        self._version = _version(version, what)
        if now is None:
            self.objects.pop(key, None)
        elif now == before:
            # Status updates and heartbeats: nothing of what is kept has changed.
            return
        elif before is None and len(self.objects) >= MAX_OBJECTS:
            self._failed(
                UnreachableError(f"{what}: there are more than {MAX_OBJECTS} objects; the others are left out")
            )
            return
        else:
            self.objects[key] = now
        if now is not None or before is not None:
            self._changed(self.objects)

    def _identity(self, item: msgspec.Raw, what: str) -> tuple[Key, _Head]:
        head = _read(item, _Head, what)
        if not head.metadata.name:
            raise UnreachableError(f"{what}: an object without a name")
        namespace = head.metadata.namespace or ""
        # Objects come by namespace: thousands of keys then share one text.
        self._namespace = self._namespace if namespace == self._namespace else namespace
        return (self._namespace, head.metadata.name), head

    def _kept(self, key: Key, item: msgspec.Raw) -> T | None:
        try:
            return self._decode(self._item.decode(item))
        except Exception as error:  # noqa: BLE001 - one object, however strange, must not hold up the others
            where = f"{self._path}: the object {'/'.join(part for part in key if part)[:300]} cannot be read"
            self._failed(LeftOutError(f"{where}, and stays as it was: {error}"))
            return self.objects.get(key)

    def _log_failure(self, error: ClusterError) -> None:
        _log.warning("event=watch_failed path=%s why=%r", self._path, str(error))


def _read(content: bytes | msgspec.Raw, wanted: type[D], what: str) -> D:
    try:
        return msgspec.json.decode(content, type=wanted)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreachableError(f"{what}: the answer is not what an API server gives: {error}") from error


def _version(head: _Head, what: str) -> str:
    if not head.metadata.resource_version:
        raise UnreachableError(f"{what}: an object without a resourceVersion")
    return head.metadata.resource_version
