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

from inflight.cluster.client import MAX_ANSWER_BYTES, Client
from inflight.cluster.errors import MAX_MESSAGE, ApiError, ClusterError, LeftOutError, TooDeepError, UnreachableError
from inflight.cluster.listing import MAX_OBJECTS, Listing
from inflight.cluster.wire import BEGINNING_BYTES, Event, Failure, Head, Key, LongLine, begin_event, read

WATCH_SECONDS = (300, 600)
"""The server ends a watch somewhere between, so that many watchers do not come back at once."""
GRACE_SECONDS = 30.0
"""After the end that was asked for; who is still silent then is cut off."""
BACKOFF_SECONDS = (0.2, 30.0)
BACKOFF_JITTER = 0.5
IDLE_SECONDS = 2.0
"""A watch that has been open for so long is whole, also where nothing happens."""
STUCK_WATCHES = 3
"""After so many that broke off at the same place nothing from there on can be read: a list gives another place."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _ExpiredError(Exception):
    """The version to resume from is not known any more."""


class Reflector(Generic[T]):
    """Of one path; `objects` is the copy. `decode` picks what is kept of an object; what it gives None for is not kept.

    `decode` gets the object as `item_type`, read from JSON (by default as plain values). An object that is not of this
    type, that has more than `item_bytes`, or for which `decode` raises, stays as it was, and `failed` is told
    (LeftOutError).
    """

    def __init__(
        self,
        client: Client,
        path: str,
        decode: Callable[[Any], T | None],
        changed: Callable[[Mapping[Key, T]], None] = lambda _: None,
        *,
        item_type: type[Any] = dict,
        item_bytes: int = MAX_ANSWER_BYTES,
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
        self._item_bytes = item_bytes
        self._changed = changed
        self._params = dict(params or {})
        self._failed = failed or self._log_failure
        self._recovered = recovered
        self._backoff_seconds = backoff_seconds
        self._random = random_source if random_source is not None else random.Random()
        self._version = ""
        self._was_good = False
        """The watch before the present wait."""
        self._is_open_in_vain = False
        """The watch was accepted, and nothing has come of it yet."""
        self._watches_in_vain = 0
        """In a row: they broke off so."""
        self._has_gap = False
        """Something came in this watch that could not be read, and it is not known what of the copy is old now."""
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
                self._was_good = self._is_open_in_vain = False
                if not self._version:
                    await self._list()
                await self._watch(wait)
            except _ExpiredError:
                self._version = ""
            except ClusterError as error:
                if isinstance(error, ApiError) and error.code == 410:
                    self._version = ""
                self.failures_in_a_row += 1
                self._watches_in_vain += self._is_open_in_vain
                if self._watches_in_vain >= STUCK_WATCHES:
                    self._version = ""
                if self.broken_since is None:
                    self.broken_since = asyncio.get_running_loop().time()
                self._failed(error)
            if self._was_good:
                wait = self._backoff_seconds[0]
            await asyncio.sleep(wait * (1 + BACKOFF_JITTER * self._random.random()))
            wait = wait if self._was_good else min(2 * wait, self._backoff_seconds[1])

    async def _list(self) -> None:
        listing = Listing(self._client, self._path, self._params, self._keep, self._left_out)
        found, self._version = await listing.read()
        is_news = not self.synced.is_set() or found != self.objects
        self.objects = found
        self.synced.set()
        self._be_current()
        if is_news:
            self._changed(self.objects)

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
            self._is_open_in_vain = True
            if not self._watches_in_vain:
                self._accepted()
            # One that breaks off at once, again and again, is no watch.
            idle = loop.call_later(IDLE_SECONDS, self._be_current)
            begun, got_something = now(), False
            try:
                async for line in lines:
                    self._take(line)
                    self._be_current()
                    got_something = True
                self._was_good = got_something
            finally:
                idle.cancel()
                lasted = now() - begun
                self._was_good |= lasted > self._backoff_seconds[1] or (got_something and lasted > wait)
                if self._has_gap:
                    self._version, self._has_gap = "", False
        if not got_something and lasted < IDLE_SECONDS:
            raise UnreachableError(f"GET {self._path}: the watch ended at once, and nothing had come of it")

    def _be_current(self) -> None:
        self.broken_since = None
        self._watches_in_vain, self._is_open_in_vain = 0, False
        self._accepted()

    def _accepted(self) -> None:
        if self.failures_in_a_row:
            self.failures_in_a_row = 0
            self._recovered()

    def _take(self, line: bytes | LongLine) -> None:
        if isinstance(line, LongLine):
            self._pass_over(line.beginning, "is too large to be read")
            return
        try:
            self._take_event(line)
        except TooDeepError:
            self._pass_over(line[:BEGINNING_BYTES], "nests too deeply to be read")

    def _take_event(self, line: bytes) -> None:
        what = f"the watch of {self._path}"
        event = read(line, Event, what)
        if event.type == "ERROR":
            failure = read(event.object, Failure, what)
            if failure.code == 410:
                raise _ExpiredError
            raise UnreachableError(f"{what} ended: {failure.message[:MAX_MESSAGE]}")
        if event.type == "BOOKMARK":
            self._version = _version(read(event.object, Head, what), what)
            return
        if event.type not in {"ADDED", "MODIFIED", "DELETED"}:
            raise UnreachableError(f"{what}: an event of the unknown type {event.type[:40]!r}")
        key, head = self._identity(event.object, what)
        now = None if event.type == "DELETED" else self._kept(key, event.object)
        self._version = _version(head, what)
        self._set(key, now)

    def _pass_over(self, beginning: bytes, why: str) -> None:
        """An event that cannot be read. What came of it is known again from the next list, if it is not known now."""
        kind, head = begin_event(beginning)
        key = head.key
        sentence = f"the watch of {self._path}: {_name(key)} {why}; it is left out, or stays as it was"
        self._failed(LeftOutError(sentence, *key))
        if kind == "DELETED" and head.metadata.name:
            self._set(key, None)
        self._version = head.metadata.resource_version or self._version
        self._has_gap |= not (kind and head.metadata.name and head.metadata.resource_version)

    def _set(self, key: Key, now: T | None) -> None:
        """What is kept of an object from now on; None for nothing."""
        before = self.objects.get(key)
        if now is None:
            self.objects.pop(key, None)
        elif now == before:
            # Status updates and heartbeats: nothing of what is kept has changed.
            return
        elif before is None and len(self.objects) >= MAX_OBJECTS:
            sentence = f"the watch of {self._path}: there are more than {MAX_OBJECTS} objects; the others are left out"
            self._failed(UnreachableError(sentence))
            return
        else:
            self.objects[key] = now
        if now is not None or before is not None:
            self._changed(self.objects)

    def _keep(self, item: msgspec.Raw, what: str) -> tuple[Key, T | None]:
        key, _ = self._identity(item, what)
        return key, self._kept(key, item)

    def _identity(self, item: msgspec.Raw, what: str) -> tuple[Key, Head]:
        head = read(item, Head, what)
        namespace, name = head.key
        if not name:
            raise UnreachableError(f"{what}: an object without a name")
        # Objects come by namespace: thousands of keys then share one text.
        self._namespace = self._namespace if namespace == self._namespace else namespace
        return (self._namespace, name), head

    def _kept(self, key: Key, item: msgspec.Raw) -> T | None:
        size = memoryview(item).nbytes
        if size > self._item_bytes:
            why = f"it has {size} bytes, and at most {self._item_bytes} are read"
        else:
            try:
                return self._decode(self._item.decode(item))
            except Exception as error:  # noqa: BLE001 - one object, however strange, must not hold up the others
                why = str(error)[:MAX_MESSAGE]
        sentence = f"{self._path}: {_name(key)} cannot be read, and stays as it was: {why}"
        return self._left_out(key, LeftOutError(sentence, *key))

    def _left_out(self, key: Key, error: LeftOutError) -> T | None:
        """What stays of it."""
        self._failed(error)
        return self.objects.get(key)

    def _log_failure(self, error: ClusterError) -> None:
        _log.warning("event=watch_failed path=%s why=%r", self._path, str(error))


def _name(key: Key) -> str:
    return f"the object {'/'.join(part for part in key if part)[:300]}" if key[1] else "an object"


def _version(head: Head, what: str) -> str:
    if not head.metadata.resource_version:
        raise UnreachableError(f"{what}: an object without a resourceVersion")
    return head.metadata.resource_version
