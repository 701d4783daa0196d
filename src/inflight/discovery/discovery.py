"""Finds in a cluster which pods to scrape, and goes on finding: watches in, lists of targets out.

HPAs say which pods are wanted, scales and metrics by which selectors, and the pods of those namespaces where they are.
What the cluster said is kept until it says something else: a break, or a right that is taken away, changes nothing
about what is scraped.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from inflight.cluster import Client
from inflight.discovery.autoscalers import Autoscaler, WireAutoscaler, to_autoscaler
from inflight.discovery.followed_scales import FollowedScales
from inflight.discovery.pages import PageFinder
from inflight.discovery.pods import PodRecord, Sharing, WirePod, to_record
from inflight.discovery.problems import Problem, ProblemKind, ProblemLog
from inflight.discovery.scales import READ_SECONDS, SHORTEST_SECONDS, ScaleReader
from inflight.discovery.targets import Facts, Resolution, resolve
from inflight.discovery.wanted import Wanted, too_many, wanted_by
from inflight.discovery.watches import FollowedCollection, autoscalers_of, pods_of
from inflight.discovery.workloads import Workload
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
"""Of the time that putting together took: it may have a tenth of a core."""
SHOWN_SENTENCES = 3

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


class _Namespace:
    """A namespace with HPAs of ours: its pods are watched."""

    def __init__(self, pods: FollowedCollection[PodRecord], task: asyncio.Task[None]) -> None:
        self.pods = pods
        self.task = task
        self.autoscalers: tuple[Autoscaler, ...] = ()
        self.resolution = Resolution()
        self.is_dirty = True
        self.is_faulty = False


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
        self._namespaces: dict[str, _Namespace] = {}
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

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps pods from being followed now."""
        return self._problems.current

    def why_unwatched(self, namespace: str) -> str:
        """Why pods of a namespace are not scraped, all or some: a few sentences, those that concern most pods first;
        "" where nothing is known.
        """
        found = [problem for problem in self._problems.current if problem.namespace in {"", namespace}]
        sentences = [problem.sentence for problem in found if problem.kind not in {"overlap", "foreign_owner"}]
        if not sentences:
            return self._why_not_followed(namespace)
        more = len(sentences) - SHOWN_SENTENCES
        return "; ".join([*sentences[:SHOWN_SENTENCES], *([f"and {more} more, which the log has"] if more > 0 else [])])

    def _why_not_followed(self, namespace: str) -> str:
        if not self._is_ready:
            return self.problem
        if self._only and namespace not in self._only:
            return f"only the namespaces {', '.join(self._only[:10])} are followed"
        return "" if namespace in self._namespaces else "no HPA in it asks for a metric of Inflight"

    def workload(self, namespace: str, resource: str, name: str) -> Workload | str:
        """A workload that an HPA names, by its resource as in paths (`deployments.apps`); or a sentence why not."""
        found = self._scales.find(namespace, resource, name)
        if found is not None:
            return found
        what = printable(f"{resource[:100]} {name[:100]}")
        if not self._is_ready:
            return f"the pods of {what} are not known yet: {self.problem}"
        if self._only and namespace not in self._only:
            return f"the pods of {what} are not known: only the namespaces {', '.join(self._only[:10])} are followed"
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
                await self._wake.wait()
                await asyncio.sleep(pause)
                self._wake.clear()
                begun = loop.time()
                self._refresh(group)
                # Who writes more objects than can be followed slows down what is found, not what is answered.
                pause = max(self._times.debounce_seconds, REST_FACTOR * (loop.time() - begun))

    def _follow_on(self, group: asyncio.TaskGroup) -> None:
        """What the run before this one followed, if there was one: its tasks have ended with it."""
        for namespace in self._namespaces.values():
            namespace.task = group.create_task(namespace.pods.run())
            namespace.is_dirty = True
        self._scales.follow_on(group)
        if self._wanted is not None:
            self._mark_autoscalers()

    def _refresh(self, group: asyncio.TaskGroup) -> None:
        """Puts together what has changed since the last time."""
        is_news = False
        if self._are_autoscalers_new and any(collection.is_synced for collection in self._autoscalers):
            self._are_autoscalers_new = False
            is_news = self._follow(group)
        for name, namespace in self._namespaces.items():
            if namespace.is_dirty:
                namespace.is_dirty = False
                is_news |= self._resolve(name, namespace)
        if is_news:
            self._tell()
        self._problems.update(self._all_problems())
        if not self._is_ready and not self._not_ready():
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
            self._namespaces.pop(name).task.cancel()
        for name, autoscalers in wanted.by_namespace.items():
            namespace = self._namespaces.get(name)
            if namespace is None:
                pods = self._watch_pods(name)
                namespace = self._namespaces[name] = _Namespace(pods, group.create_task(pods.run()))
            if autoscalers != namespace.autoscalers:
                others = set(autoscalers) - set(namespace.autoscalers)
                self._scales.read_soon(ask.workload.key for each in others for ask in each.asks if ask.workload)
                namespace.autoscalers = autoscalers
                namespace.is_dirty = True
        return bool(gone) or is_first

    def _resolve(self, name: str, namespace: _Namespace) -> bool:
        """Whether the targets of the namespace are others now."""
        pods = namespace.pods.objects.values() if namespace.pods.is_synced else None
        facts = Facts(name, namespace.autoscalers, self._scales.known(name), pods)
        before = namespace.resolution
        try:
            namespace.resolution = resolve(facts, self._finder, before.remembered)
        except Exception:  # noqa: BLE001 - a fault of ours that one object brings to light must not stop the others
            if not namespace.is_faulty:
                _log.exception("event=discovery_fault namespace=%s", name)
            namespace.is_faulty = True
            return False
        namespace.is_faulty = False
        self._scales.note_pods(name, namespace.resolution.without_pods)
        return namespace.resolution.targets != before.targets

    def _tell(self) -> None:
        targets = [target for name in sorted(self._namespaces) for target in self._namespaces[name].resolution.targets]
        self._too_many_targets = []
        if len(targets) > MAX_TARGETS:
            self._too_many_targets = [too_many("pods to scrape", len(targets), MAX_TARGETS)]
            del targets[MAX_TARGETS:]
        if targets != self._targets:
            self.changed(list(targets))
            self._targets = targets

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
        """What has not been looked at yet. Of several namespaces those that are refused hold up no other."""
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

    def _watch_pods(self, namespace: str) -> FollowedCollection[PodRecord]:
        return FollowedCollection(
            self._client,
            pods_of(namespace, namespace if self._only else ""),
            lambda pod: to_record(pod, self._sharing),
            WirePod,
            changed=lambda: self._mark(namespace),
            random_source=self._random,
            backoff_seconds=self._times.backoff_seconds,
        )

    def _mark_autoscalers(self) -> None:
        self._are_autoscalers_new = True
        self._wake.set()

    def _mark(self, name: str) -> None:
        namespace = self._namespaces.get(name)
        if namespace is not None:
            namespace.is_dirty = True
        self._wake.set()


def _not_synced(collections: list[FollowedCollection[Autoscaler]] | list[FollowedCollection[PodRecord]]) -> str:
    """A sentence; "" once each is synced or refused, and not all are refused."""
    waiting = [collection for collection in collections if not collection.is_synced and not collection.is_refused]
    if not waiting and collections and not any(collection.is_synced for collection in collections):
        waiting = [*collections]
    return waiting[0].why_not_synced() if waiting else ""
