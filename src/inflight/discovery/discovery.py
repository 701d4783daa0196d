"""Finds in a cluster which pods to scrape, and goes on finding: watches in, lists of targets out.

HPAs say which pods are wanted, scales and metrics by which selectors, and the pods of those namespaces where they are.
What the cluster said is kept until it says something else: a break, or a right that is taken away, changes nothing
about what is scraped.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import msgspec

from inflight.cluster import Client
from inflight.discovery.autoscalers import Autoscaler, WireAutoscaler, to_autoscaler
from inflight.discovery.followed_scales import FollowedScales
from inflight.discovery.namespace import FollowedNamespace
from inflight.discovery.pages import PageFinder
from inflight.discovery.pods import PodRecord, Sharing, WirePod, to_record
from inflight.discovery.problems import Problem, ProblemKind, ProblemLog
from inflight.discovery.scales import READ_SECONDS, SHORTEST_SECONDS, ScaleReader
from inflight.discovery.wanted import Wanted, too_many, wanted_by
from inflight.discovery.watches import FollowedCollection, autoscalers_of, pods_of
from inflight.discovery.workloads import Workload
from inflight.objects import NOTHING, Selector
from inflight.objects.selectors import select
from inflight.signals import Catalogue
from inflight.signals.foreign import printable
from inflight.sources import Target
from inflight.sources.targets import MAX_TARGETS

BACKOFF_SECONDS = (0.2, 10.0)
"""Of watches that fail. Shorter than usual at the end: after an API server's restart new pods are waited for, and a
refused watch costs it little.
"""
DEBOUNCE_SECONDS = 0.1
"""Changes come in bursts; the targets are put together at most ten times a second."""
REST_FACTOR = 9.0
"""Of the time that putting a namespace together took: each may have a tenth of a core."""
TELL_SECONDS = 0.05
"""So long what was found may wait for other namespaces before it is scraped."""
CURRENT_SECONDS = 15.0
"""For so long a list of pods counts whose watch is broken: as long as a value of a pod does."""
SHOWN_SENTENCES = 3

_NOT_CHOSEN = "it is none of the namespaces that this Inflight follows (--namespace)"

_log = logging.getLogger(__name__)


class DiscoveryStats(msgspec.Struct, frozen=True):
    """What is followed now."""

    autoscalers: int
    """HPAs that ask for a metric of ours."""
    workloads: int
    """Whose scales are read."""
    pods: int
    """Kept in memory: of the namespaces of those HPAs."""
    problems: Mapping[ProblemKind, int]
    """By kind; every kind is there."""


class Times(msgspec.Struct, frozen=True):
    """In seconds."""

    debounce_seconds: float = DEBOUNCE_SECONDS
    scale_seconds: float = READ_SECONDS
    shortest_scale_seconds: float = SHORTEST_SECONDS
    backoff_seconds: tuple[float, float] = BACKOFF_SECONDS
    current_seconds: float = CURRENT_SECONDS


class Discovery:
    """`changed` gets the targets whenever they are others; `namespaces` limits what is looked at, empty means all."""

    def __init__(
        self,
        client: Client,
        catalogue: Catalogue,
        *,
        namespaces: tuple[str, ...] = (),
        changed: Callable[[list[Target]], None] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
        random_source: random.Random | None = None,
        times: Times | None = None,
    ) -> None:
        self.changed = changed
        self._client = client
        self._now = now
        self._only = tuple(dict.fromkeys(namespaces))
        self._times = times if times is not None else Times()
        self._random = random_source if random_source is not None else random.Random()
        self._finder = PageFinder(catalogue)
        self._sharing = Sharing()
        reader = ScaleReader(
            client,
            now,
            self._random,
            read_seconds=self._times.scale_seconds,
            shortest_seconds=self._times.shortest_scale_seconds,
            is_limited=bool(self._only),
        )
        self._scales = FollowedScales(reader, self._mark)
        self._autoscalers = [self._watch_autoscalers(name) for name in self._only or ("",)]
        self._namespaces: dict[str, FollowedNamespace] = {}
        self._wanted: Wanted | None = None
        self._targets: list[Target] | None = None
        self._too_many_targets: list[Problem] = []
        self._problems = ProblemLog(now)
        self._wake = asyncio.Event()
        self._are_autoscalers_new = False
        self._is_ready = False

    @property
    def problem(self) -> str:
        """A sentence until everything has been looked at once; "" from then on."""
        return "" if self._is_ready else self._not_ready() or "the pods that were found are being put together"

    @property
    def stats(self) -> DiscoveryStats:
        pods = sum(len(namespace.pods.objects) for namespace in self._namespaces.values())
        autoscalers = self._wanted.count if self._wanted is not None else 0
        return DiscoveryStats(autoscalers, len(self._scales), pods, self._problems.counts)

    @property
    def watches(self) -> int:
        """How many there are now, each of which keeps a connection open."""
        return len(self._autoscalers) + len(self._namespaces)

    def warming_up(self, namespace: str) -> str:
        """Why nothing can be said yet of the pods of a namespace, in a sentence that names no other; "" from the moment
        at which they are known, and where nobody asks for them.
        """
        if self._only and namespace not in self._only:
            return ""
        autoscalers = self._autoscalers[self._only.index(namespace) if self._only else 0]
        if not autoscalers.is_synced:
            return autoscalers.why_not_synced()
        followed = self._namespaces.get(namespace)
        if followed is not None:
            return followed.why_not_known()
        return "the HPAs are being looked at" if self._are_autoscalers_new else ""

    def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
        """What a sum over the pods that match all `selectors` would lack; "" where they are all read, or there is none.

        A sum that lacks a pod looks like load that went away, so nobody may be given one. It lacks one also where
        nobody knows any more which pods there are.
        """
        followed = self._namespaces.get(namespace)
        if followed is None:
            return ""
        return followed.why_not_current() or followed.why_incomplete(_all_of(selectors), self._bounds(namespace))

    def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
        """Why pods of a namespace are not scraped, all or some: a few sentences, those about the pods that `selectors`
        match first; "" where nothing is known.
        """
        found = [problem for problem in self._of(namespace) if problem.kind not in {"overlap", "foreign_owner"}]
        if not found:
            return self._why_not_followed(namespace)
        more = len(found) - SHOWN_SENTENCES
        if more > 0 and namespace in self._namespaces:
            found = self._namespaces[namespace].first_of(found, _all_of(selectors))
        sentences = [problem.sentence for problem in found[:SHOWN_SENTENCES]]
        return "; ".join([*sentences, *([f"and {more} more, which the log has"] if more > 0 else [])])

    def _of(self, namespace: str) -> Iterator[Problem]:
        return (problem for problem in self._problems.current if problem.namespace in {"", namespace})

    def _bounds(self, namespace: str) -> Iterator[Problem]:
        """Those that are reached."""
        return (problem for problem in self._of(namespace) if problem.kind == "too_many")

    def _why_not_followed(self, namespace: str) -> str:
        if self._only and namespace not in self._only:
            return _NOT_CHOSEN
        if namespace in self._namespaces:
            return ""
        return self.warming_up(namespace) or "no HPA in it asks for a metric of Inflight"

    def workload(self, namespace: str, resource: str, name: str) -> Workload | str:
        """A workload that an HPA names, by its resource as in paths (`deployments.apps`); or a sentence why not."""
        found = self._scales.find(namespace, resource, name)
        if found is not None:
            return found
        what = printable(f"{resource[:100]} {name[:100]}")
        if self._only and namespace not in self._only:
            return f"the pods of {what} are not known: {_NOT_CHOSEN}"
        unknown = self.warming_up(namespace)
        if unknown:
            return f"the pods of {what} are not known yet: {unknown}"
        return (
            f"the pods of {what} are not known: no HPA in namespace {printable(namespace[:63])} asks for their metrics,"
            " as its scale target with a Pods metric or as the described object of an Object metric"
        )

    async def run(self) -> None:
        """Until cancelled. May be run again where a fault of ours has ended it: what is known stays, and is followed
        on.
        """
        async with asyncio.TaskGroup() as group:
            self._follow_on(group)
            for collection in self._autoscalers:
                group.create_task(collection.run())
            loop, pause = asyncio.get_running_loop(), self._times.debounce_seconds
            while True:
                await self._until_wanted()
                await asyncio.sleep(pause)
                self._wake.clear()
                begun = loop.time()
                await self._refresh(group)
                # However many namespaces change all the time, half a core is left to what is answered.
                pause = max(self._times.debounce_seconds, loop.time() - begun)

    async def _until_wanted(self) -> None:
        """Something has changed, or a namespace that has is rested."""
        resting = [namespace.rests_until for namespace in self._namespaces.values() if namespace.is_dirty]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(resting) - self._now()) if resting else None):
                await self._wake.wait()

    def _follow_on(self, group: asyncio.TaskGroup) -> None:
        """What the run before this one followed, if there was one: its tasks have ended with it."""
        for namespace in self._namespaces.values():
            namespace.task = group.create_task(namespace.pods.run())
            namespace.is_dirty = True
        self._scales.follow_on(group)
        if self._wanted is not None:
            self._mark_autoscalers()

    async def _refresh(self, group: asyncio.TaskGroup) -> None:
        """Puts together what has changed since the last time. Who writes objects without end makes the own namespace
        slow: it comes last, and rests.
        """
        is_news = False
        if self._are_autoscalers_new and any(collection.is_synced for collection in self._autoscalers):
            self._are_autoscalers_new = False
            is_news = self._follow(group)
        # Asked before: what is said while others are put together is put together the next time.
        is_all_said = not self._not_ready()
        now = self._now()
        due = [each for each in self._namespaces.values() if each.is_dirty and each.rests_until <= now]
        for namespace in sorted(due, key=lambda namespace: namespace.took_seconds):
            if is_news and max(namespace.took_seconds, self._now() - now) > TELL_SECONDS:
                self._tell()
                is_news, now = False, self._now()
            is_news |= self._resolve(namespace)
            await asyncio.sleep(0)
        if is_news:
            self._tell()
        self._problems.update(self._all_problems())
        if not self._is_ready and is_all_said:
            self._is_ready = True
            _log.info("event=discovery_synced autoscalers=%d pods=%d", self.stats.autoscalers, self.stats.pods)

    def _follow(self, group: asyncio.TaskGroup) -> bool:
        """Starts and ends what the HPAs want; whether that alone may change the targets."""
        objects = {key: each for collection in self._autoscalers for key, each in collection.objects.items()}
        is_first, self._wanted = self._wanted is None, wanted_by(objects)
        wanted = self._wanted
        self._scales.follow(wanted.workloads, group)
        gone = [name for name in self._namespaces if name not in wanted.by_namespace]
        for name in gone:
            task = self._namespaces.pop(name).task
            if task is not None:
                task.cancel()
        for name, autoscalers in wanted.by_namespace.items():
            namespace = self._namespaces.get(name)
            if namespace is None:
                namespace = self._namespaces[name] = self._new_namespace(name)
                namespace.task = group.create_task(namespace.pods.run())
            if autoscalers != namespace.autoscalers:
                others = set(autoscalers) - set(namespace.autoscalers)
                self._scales.read_soon(ask.workload.key for each in others for ask in each.asks if ask.workload)
                namespace.autoscalers = autoscalers
                namespace.is_dirty = True
        return bool(gone) or is_first

    def _resolve(self, namespace: FollowedNamespace) -> bool:
        """Whether there are targets to tell of."""
        begun = self._now()
        is_news = namespace.resolve(self._scales.known(namespace.name))
        self._scales.note_pods(namespace.name, namespace.resolution.without_pods)
        namespace.took_seconds = self._now() - begun
        namespace.rests_until = self._now() + REST_FACTOR * namespace.took_seconds
        return is_news

    def _tell(self) -> None:
        in_order = [self._namespaces[name] for name in sorted(self._namespaces)]
        targets = list(chain.from_iterable(namespace.resolution.targets for namespace in in_order))
        self._too_many_targets = []
        if len(targets) > MAX_TARGETS:
            self._too_many_targets = [too_many("pods to scrape", len(targets), MAX_TARGETS)]
            del targets[MAX_TARGETS:]
        if targets != self._targets:
            self.changed(list(targets))
            self._targets = targets
        room = MAX_TARGETS
        for namespace in in_order:
            told = namespace.resolution.targets[: max(0, room)]
            namespace.note_told(told)
            room -= len(told)

    def _all_problems(self) -> Iterator[Problem]:
        for collection in self._autoscalers:
            if collection.problem is not None:
                yield collection.problem
        yield from self._wanted.problems if self._wanted is not None else ()
        yield from self._too_many_targets
        for namespace in self._namespaces.values():
            if namespace.pods.problem is not None:
                yield namespace.pods.problem
        yield from self._scales.problems()
        for namespace in self._namespaces.values():
            yield from namespace.resolution.problems

    def _not_ready(self) -> str:
        """What has not been looked at yet."""
        return (
            _not_synced(self._autoscalers)
            or ("the HPAs are being looked at" if self._wanted is None or self._are_autoscalers_new else "")
            or _not_synced([namespace.pods for namespace in self._namespaces.values()])
            or self._scales.why_not_read()
        )

    def _watch_autoscalers(self, namespace: str) -> FollowedCollection[Autoscaler]:
        return FollowedCollection(
            self._client,
            autoscalers_of(namespace),
            to_autoscaler,
            WireAutoscaler,
            changed=self._mark_autoscalers,
            random_source=self._random,
            backoff_seconds=self._times.backoff_seconds,
        )

    def _new_namespace(self, name: str) -> FollowedNamespace:
        def decode(pod: WirePod) -> PodRecord:
            record = to_record(pod, self._sharing)
            namespace.note_decoded(record)
            return record

        def changed() -> None:
            namespace.note_changed()
            self._wake.set()

        pods = FollowedCollection(
            self._client,
            pods_of(name, name if self._only else ""),
            decode,
            WirePod,
            changed=changed,
            random_source=self._random,
            backoff_seconds=self._times.backoff_seconds,
        )
        namespace = FollowedNamespace(name, pods, self._finder, self._now, self._times.current_seconds)
        return namespace

    def _mark_autoscalers(self) -> None:
        self._are_autoscalers_new = True
        self._wake.set()

    def _mark(self, name: str) -> None:
        namespace = self._namespaces.get(name)
        if namespace is not None:
            namespace.is_dirty = True
        self._wake.set()


def _all_of(selectors: Iterable[Selector]) -> Selector:
    """What matches all of them."""
    wanted = tuple(selectors)
    if len(wanted) == 1:
        return wanted[0]
    if any(selector.nothing for selector in wanted):
        return NOTHING
    return select(chain.from_iterable(selector.requirements for selector in wanted))


def _not_synced(collections: Sequence[FollowedCollection[Any]]) -> str:
    """A sentence; "" once each is synced or has failed once, and not all have failed. One that fails holds up what is
    said of its own namespace, and no other.
    """
    waiting = [collection for collection in collections if not collection.is_synced and collection.problem is None]
    if not waiting and collections and not any(collection.is_synced for collection in collections):
        waiting = [*collections]
    return waiting[0].why_not_synced() if waiting else ""
