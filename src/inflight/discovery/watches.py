"""A collection of the cluster that is followed by a watch, with the sentence of what keeps it from being followed."""

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from inflight.cluster import ApiError, Client, ClusterError, Reflector
from inflight.cluster.client import MAX_ANSWER_BYTES
from inflight.cluster.errors import LeftOutError
from inflight.cluster.reflector import BACKOFF_SECONDS
from inflight.cluster.wire import Key
from inflight.discovery.autoscalers import MAX_BYTES
from inflight.discovery.grants import how_to_grant
from inflight.discovery.problems import Problem, ProblemKind
from inflight.signals.foreign import printable

T = TypeVar("T")

MAX_TOLD_NAMESPACES = 500
MAX_TOLD_OBJECTS = 5
"""Of a namespace, of all that were left out in the life of the process."""

_log = logging.getLogger(__name__)


class Collection(msgspec.Struct, frozen=True):
    """What is watched, in the words of paths and of people."""

    namespace: str
    """"" for the whole cluster."""
    prefix: str
    """Of the path: `/api/v1`."""
    plural: str
    resource: str
    """As kubectl names it: `horizontalpodautoscalers.autoscaling`."""
    words: str
    """`the pods`."""
    forbidden: ProblemKind
    unknown: ProblemKind
    params: Mapping[str, str] = {}
    object_bytes: int = MAX_ANSWER_BYTES
    """Of one object's JSON; larger ones are left out."""
    grant_in: str = ""
    """The namespace whose rights are enough; "" where the right is wanted for all."""

    @property
    def path(self) -> str:
        return f"{self.prefix}/namespaces/{self.namespace}/{self.plural}" if self.namespace else self._of_all

    @property
    def _of_all(self) -> str:
        return f"{self.prefix}/{self.plural}"

    def __str__(self) -> str:
        return f"{self.words} of namespace {self.namespace}" if self.namespace else f"{self.words} of all namespaces"


def autoscalers_of(namespace: str) -> Collection:
    return Collection(
        namespace,
        "/apis/autoscaling/v2",
        "horizontalpodautoscalers",
        "horizontalpodautoscalers.autoscaling",
        "the HPAs",
        "autoscalers_forbidden",
        "autoscalers_unknown",
        object_bytes=MAX_BYTES,
        grant_in=namespace,
    )


def pods_of(namespace: str, grant_in: str) -> Collection:
    """Those that have not ended: the pods of finished Jobs never reach us."""
    return Collection(
        namespace,
        "/api/v1",
        "pods",
        "pods",
        "the pods",
        "pods_forbidden",
        "pods_unknown",
        params={"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
        grant_in=grant_in,
    )


class FollowedCollection(Generic[T]):
    """Watched until cancelled. `changed` is called when the objects, or the problem, have changed."""

    def __init__(
        self,
        client: Client,
        collection: Collection,
        decode: Callable[[Any], T | None],
        item_type: type[Any],
        *,
        changed: Callable[[], None],
        random_source: random.Random,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
    ) -> None:
        self.collection = collection
        self.problem: Problem | None = None
        self._changed = changed
        self._told_of: dict[str, set[str]] = {}
        """Objects that were left out, by namespace."""
        self._reflector: Reflector[T] = Reflector(
            client,
            collection.path,
            decode,
            lambda _: changed(),
            item_type=item_type,
            item_bytes=collection.object_bytes,
            params=collection.params,
            failed=self._fail,
            recovered=self._recover,
            backoff_seconds=backoff_seconds,
            random_source=random_source,
        )

    @property
    def objects(self) -> Mapping[Key, T]:
        return self._reflector.objects

    @property
    def is_synced(self) -> bool:
        return self._reflector.synced.is_set()

    @property
    def is_refused(self) -> bool:
        return self.problem is not None and self.problem.kind == self.collection.forbidden

    @property
    def unknown_since(self) -> float | None:
        """The loop's time in seconds from which on `objects` may be others by now; None while they are watched."""
        return self._reflector.broken_since

    async def run(self) -> None:
        await self._reflector.run()

    def why_not_synced(self) -> str:
        """A sentence; "" once it is."""
        if self.is_synced:
            return ""
        return self.problem.sentence if self.problem is not None else f"{self.collection} have not been listed yet"

    def _fail(self, error: ClusterError) -> None:
        collection = self.collection
        if isinstance(error, LeftOutError):
            self._tell_of(error)
            return
        kept = "; what was known stays in use" if self.is_synced else ""
        if isinstance(error, ApiError) and error.code == 403:
            grant = how_to_grant("list,watch", collection.resource, str(error), collection.grant_in)
            # The commands first: conditions of an HPA are cut at some length.
            sentence = f"{collection} may not be watched{kept}. Grant it: {grant}. The API server says: {error}"
            problem = self._problem(collection.forbidden, sentence)
        elif self.is_synced and self._reflector.failures_in_a_row < 2 and not isinstance(error, ApiError):
            # A watch that broke off is nothing to speak of until the next attempt fails too.
            return
        else:
            problem = self._problem(collection.unknown, f"{collection} cannot be watched: {error}{kept}")
        if problem != self.problem:
            self.problem = problem
            self._changed()

    def _tell_of(self, error: LeftOutError) -> None:
        """Once of each object: one that cannot be read comes again with each of its changes. A few of a namespace, so
        that one where many are so hides no other.
        """
        if error.namespace not in self._told_of and len(self._told_of) >= MAX_TOLD_NAMESPACES:
            return
        told = self._told_of.setdefault(error.namespace, set())
        if error.name in told or len(told) >= MAX_TOLD_OBJECTS:
            return
        told.add(error.name)
        more = " more=not_logged_of_this_namespace" if len(told) == MAX_TOLD_OBJECTS else ""
        namespace, why = printable(error.namespace[:63]), printable(str(error))
        _log.warning("event=object_left_out namespace=%s%s why=%r", namespace, more, why)

    def _recover(self) -> None:
        if self.problem is not None:
            self.problem = None
            self._changed()

    def _problem(self, kind: ProblemKind, sentence: str) -> Problem:
        name = self.collection.namespace or "all"
        return Problem(kind, self.collection.namespace, f"Namespace/{name}", printable(sentence))
