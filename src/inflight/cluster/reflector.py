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

from inflight.cluster.client import Client, decode_plain
from inflight.cluster.errors import ApiError, ClusterError, UnreachableError

PAGE_LIMIT = 500
WATCH_SECONDS = (300, 600)
"""The server ends a watch somewhere between, so that many watchers do not come back at once."""
GRACE_SECONDS = 30.0
"""After the end that was asked for; who is still silent then is cut off."""
BACKOFF_SECONDS = (0.2, 30.0)
BACKOFF_JITTER = 0.5
MAX_OBJECTS = 100_000

Key = tuple[str, str]
"""Namespace ("" where there is none) and name."""
T = TypeVar("T")

_log = logging.getLogger(__name__)


class _ExpiredError(Exception):
    """The version to resume from is not known any more."""


class Reflector(Generic[T]):
    """Of one path; `objects` is the copy. `decode` picks what is kept of an object."""

    def __init__(
        self,
        client: Client,
        path: str,
        decode: Callable[[Mapping[str, Any]], T],
        changed: Callable[[Mapping[Key, T]], None] = lambda _: None,
        *,
        params: Mapping[str, str] | None = None,
        failed: Callable[[ClusterError], None] | None = None,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
        random_source: random.Random | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._decode = decode
        self._changed = changed
        self._params = dict(params or {})
        self._failed = failed or self._log_failure
        self._backoff_seconds = backoff_seconds
        self._random = random_source if random_source is not None else random.Random()
        self._version = ""
        self.objects: dict[Key, T] = {}
        self.synced = asyncio.Event()
        """Set once the first list is whole."""
        self.lists = 0
        self.watches = 0

    async def run(self) -> None:
        """Until cancelled. Failures are told to `failed` and waited out, longer each time, until something arrives."""
        wait = self._backoff_seconds[0]
        while True:
            try:
                if not self._version:
                    await self._list()
                got_something = await self._watch()
            except _ExpiredError:
                self._version = ""
                got_something = False
            except ClusterError as error:
                if isinstance(error, ApiError) and error.code == 410:
                    self._version = ""
                self._failed(error)
                got_something = False
            if got_something:
                wait = self._backoff_seconds[0]
            await asyncio.sleep(wait * (1 + BACKOFF_JITTER * self._random.random()))
            wait = wait if got_something else min(2 * wait, self._backoff_seconds[1])

    async def _list(self) -> None:
        found: dict[Key, T] = {}
        params = {**self._params, "limit": str(PAGE_LIMIT)}
        while True:
            page = await self._client.get(self._path, params)
            what = f"GET {self._path}"
            metadata = _mapping(_mapping(page, what).get("metadata"), what)
            for item in page.get("items") or ():
                found[_key(item, what)] = self._decode(item)
            if len(found) > MAX_OBJECTS:
                raise UnreachableError(f"{what}: the list has more than {MAX_OBJECTS} objects")
            if not metadata.get("continue"):
                break
            params["continue"] = str(metadata["continue"])
        self.lists += 1
        self._version = str(metadata.get("resourceVersion") or "")
        self.objects = found
        self.synced.set()
        self._changed(self.objects)

    async def _watch(self) -> bool:
        """Until the server ends it; whether an event came, or it lasted: then the connection is a good one."""
        seconds = self._random.randint(*WATCH_SECONDS)
        params = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        self.watches += 1
        begun = asyncio.get_running_loop().time()
        got_something = False
        async with self._client.lines(self._path, params, seconds + GRACE_SECONDS) as lines:
            async for line in lines:
                self._take(line)
                got_something = True
        return got_something or asyncio.get_running_loop().time() - begun > self._backoff_seconds[1]

    def _take(self, line: bytes) -> None:
        what = f"the watch of {self._path}"
        event = _mapping(decode_plain(line, what), what)
        kind, plain = event.get("type"), _mapping(event.get("object"), what)
        if kind == "ERROR":
            if plain.get("code") == 410:
                raise _ExpiredError
            raise UnreachableError(f"{what} ended: {plain.get('message')}")
        if kind == "BOOKMARK":
            self._version = _version(plain, what)
            return
        key = _key(plain, what)
        if kind == "DELETED":
            self.objects.pop(key, None)
        elif kind in {"ADDED", "MODIFIED"}:
            self.objects[key] = self._decode(plain)
        else:
            raise UnreachableError(f"{what}: an event of the unknown type {kind!r}")
        self._version = _version(plain, what)
        self._changed(self.objects)

    def _log_failure(self, error: ClusterError) -> None:
        _log.warning("event=watch_failed path=%s why=%r", self._path, str(error))


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnreachableError(f"{what}: the answer is not what an API server gives")
    return value


def _key(plain: object, what: str) -> Key:
    metadata = _mapping(_mapping(plain, what).get("metadata"), what)
    namespace, name = metadata.get("namespace") or "", metadata.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str):
        raise UnreachableError(f"{what}: an object without a name")
    return namespace, name


def _version(plain: Mapping[str, Any], what: str) -> str:
    version = _mapping(plain.get("metadata"), what).get("resourceVersion")
    if not isinstance(version, str) or not version:
        raise UnreachableError(f"{what}: an object without a resourceVersion")
    return version
