"""What is read of objects, lists and events before anybody's own type: identity, version, the place to go on from.

Of what is too large or nests too deeply to be read, the first bytes still say which object it is and where to go on: an
API server writes kind, version and metadata first, and in metadata names and versions before all that users fill
without a bound. Source: k8s.io/apimachinery 0.37 pkg/apis/meta/v1/types.go (`ObjectMeta`, `ListMeta`, `List`), whose
fields encoding/json writes in the order of their declaration.
"""

import re
from typing import TypeVar

import msgspec

from inflight.cluster.errors import TooDeepError, UnreachableError

BEGINNING_BYTES = 16 << 10
"""Kept of what is passed over. Names and versions are below 1 KiB, the place to go on from is about as long."""

Key = tuple[str, str]
"""Namespace ("" where there is none) and name."""
D = TypeVar("D", bound=msgspec.Struct)

_TEXT = rb'"(?:[^"\\]|\\.)*"'
_MEMBER = re.compile(rb"\s*(" + _TEXT + rb")\s*:\s*(" + _TEXT + rb")\s*,?")
_METADATA = re.compile(rb'\s*"metadata"\s*:\s*\{')
_OBJECT = re.compile(rb'\s*"object"\s*:\s*\{')
_FIRST_ITEM = re.compile(rb'[^"{}]*(?:"[^"\\]*"[^"{}]*)*\}\s*,\s*"items"\s*:\s*\[\s*\{')


class ObjectMetadata(msgspec.Struct, frozen=True, rename="camel"):
    namespace: str | None = None
    name: str = ""
    resource_version: str = ""


class Head(msgspec.Struct, frozen=True):
    """What every object begins with."""

    metadata: ObjectMetadata

    @property
    def key(self) -> Key:
        return (self.metadata.namespace or "", self.metadata.name)

    @classmethod
    def none(cls) -> "Head":
        """Of an object of which nothing is told."""
        return cls(ObjectMetadata())


class ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(name="continue", default=None)


class Page(msgspec.Struct, frozen=True):
    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class Failure(msgspec.Struct, frozen=True):
    """The Status in an event of the type ERROR."""

    code: int = 0
    message: str = ""


class LongLine(msgspec.Struct, frozen=True):
    """A line of a watch that is too long to be kept."""

    beginning: bytes


def read(content: bytes | msgspec.Raw, wanted: type[D], what: str) -> D:
    """Raises TooDeepError, and UnreachableError for what no API server gives."""
    try:
        return msgspec.json.decode(content, type=wanted)
    except RecursionError as error:
        raise TooDeepError(f"{what}: an object in it nests too deeply to be read", bytes(content)) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UnreachableError(f"{what}: the answer is not what an API server gives: {error}") from error


def begin_event(beginning: bytes) -> tuple[str, Head]:
    """Type and identity of an event by its first bytes; "" for each part that they do not tell."""
    outside, at = _texts(beginning, _after_brace(beginning))
    found = _OBJECT.match(beginning, at)
    return outside.get("type", ""), _head(beginning, found.end()) if found is not None else Head.none()


def begin_page(beginning: bytes) -> tuple[ListMetadata, Head] | None:
    """Of a page of one object: where the list goes on, and the object's identity. None where that is not told."""
    _, at = _texts(beginning, _after_brace(beginning))
    metadata = _METADATA.match(beginning, at)
    if metadata is None:
        return None
    texts, at = _texts(beginning, metadata.end())
    item = _FIRST_ITEM.match(beginning, at)
    if item is None:
        return None
    told = ListMetadata(texts.get("resourceVersion", ""), texts.get("continue") or None)
    return told, _head(beginning, item.end())


def _head(beginning: bytes, at: int) -> Head:
    """Of the object whose brace was opened before `at`."""
    _, at = _texts(beginning, at)
    metadata = _METADATA.match(beginning, at)
    texts, _ = _texts(beginning, metadata.end()) if metadata is not None else ({}, at)
    told = ObjectMetadata(texts.get("namespace"), texts.get("name", ""), texts.get("resourceVersion", ""))
    return Head(told)


def _after_brace(beginning: bytes) -> int:
    return beginning.find(b"{") + 1


def _texts(beginning: bytes, at: int) -> tuple[dict[str, str], int]:
    """The members that are texts, up to the first that is none, and where that one stands."""
    found: dict[str, str] = {}
    while (member := _MEMBER.match(beginning, at)) is not None:
        try:
            key, value = (msgspec.json.decode(part, type=str) for part in member.groups())
        except (msgspec.DecodeError, UnicodeError):
            break
        found[key] = value
        at = member.end()
    return found, at
