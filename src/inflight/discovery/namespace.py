"""One namespace whose pods are followed because its HPAs ask for them: what is known of it, and what no sum of it may
leave out.

Everything here is asked from memory, some hundred times a second, so what a question needs is made once for each
resolution and kept.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.pages import PageFinder
from inflight.discovery.pods import PodRecord
from inflight.discovery.problems import Problem
from inflight.discovery.selections import KnownWorkload
from inflight.discovery.targets import Facts, Resolution, resolve
from inflight.discovery.unread import UnreadPods, unread_news, unread_sentence
from inflight.discovery.watches import FollowedCollection
from inflight.discovery.workloads import WorkloadKey
from inflight.objects import Selector
from inflight.sources import Target

MAX_NEWS = 200
"""Pods that changed since the last resolution and are looked at one by one for a question."""

_log = logging.getLogger(__name__)


class FollowedNamespace:
    """`now` and `current_seconds` in seconds that only grow: for so long a list of pods counts without a watch."""

    def __init__(
        self,
        name: str,
        pods: FollowedCollection[PodRecord],
        finder: PageFinder,
        now: Callable[[], float],
        current_seconds: float,
    ) -> None:
        self.name = name
        self.pods = pods
        self.task: asyncio.Task[None] | None = None
        self.autoscalers: tuple[Autoscaler, ...] = ()
        self.resolution = Resolution()
        self.is_dirty = True
        self.took_seconds = 0.0
        """The last resolution."""
        self.rests_until = float("-inf")
        self._finder = finder
        self._now = now
        self._current_seconds = current_seconds
        self._is_faulty = False
        self._is_resolved = False
        self._is_told = True
        self._followed: dict[str, Target] = {}
        self._unread: UnreadPods | None = None
        self._decoded: set[str] = set()
        self._news: set[str] = set()

    def note_decoded(self, record: PodRecord) -> None:
        """The API server has shown this pod; what is kept of it changes when the watch or the list is done with it."""
        if self.pods.objects.get((record.namespace, record.name)) != record:
            self._decoded.add(record.name)

    def note_changed(self) -> None:
        """The pods are others now, among them some that were shown since the last time."""
        self.is_dirty = True
        self._news |= self._decoded
        self._decoded = set()

    def resolve(self, workloads: Mapping[WorkloadKey, KnownWorkload]) -> bool:
        """Whether the targets are others now; then they are to be told of with `note_told`."""
        self.is_dirty = False
        is_synced, before = self.pods.is_synced, self.resolution
        facts = Facts(self.name, self.autoscalers, workloads, self.pods.objects.values() if is_synced else None)
        try:
            self.resolution = resolve(facts, self._finder, before.remembered)
        except Exception:  # noqa: BLE001 - a fault of ours that one object brings to light must not stop the others
            if not self._is_faulty:
                _log.exception("event=discovery_fault namespace=%s", self.name)
            self._is_faulty = True
            return False
        self._is_faulty, self._is_resolved = False, is_synced
        self._news, self._unread = set(), None
        if self.resolution.targets != before.targets:
            self._is_told = False
        return not self._is_told

    def note_told(self, targets: Sequence[Target]) -> None:
        """These are scraped from now on; fewer than there are where there are too many."""
        if not self._is_told or len(targets) != len(self._followed):
            self._is_told, self._unread = True, None
            self._followed = {target.name: target for target in targets}

    def why_not_known(self) -> str:
        """Why nothing can be said yet of all pods together; "" once they are known."""
        if not self.pods.is_synced:
            return self.pods.why_not_synced()
        if not self._is_resolved and not self._is_faulty:
            return f"the pods of namespace {self.name} that were found are being put together"
        return ""

    def why_not_current(self) -> str:
        """Why what is known may be old by now; "" while it is not, and for some seconds after that."""
        since = self.pods.unknown_since
        if since is None or self._now() - since <= self._current_seconds:
            return ""
        seconds = self._now() - since
        why = f": {self.pods.problem.sentence}" if self.pods.problem is not None else ""
        return f"which pods namespace {self.name} has is not known any more, for {seconds:.0f} s now{why}"

    def why_incomplete(self, selector: Selector, bounds: Iterable[Problem]) -> str:
        """What a sum over these pods would lack; "" where every pod that should be in it is read.

        `bounds` are those that are reached, here or in the whole cluster.
        """
        if self._is_faulty:
            return f"a fault of ours keeps the pods of namespace {self.name} from being put together: the log has it"
        if not self._is_told or len(self._news) > MAX_NEWS:
            return f"the pods of namespace {self.name} have just changed, and are being put together"
        if self._unread is None:
            self._unread = UnreadPods(self.pods.objects.values(), self._followed, self._finder)
        unread = self._unread.matching(selector)
        if self._news:
            unread = [each for each in unread if each.pod.name not in self._news]
            news = (self.pods.objects.get((self.name, name)) for name in self._news)
            starting = self.resolution.remembered.starting
            changed = [pod for pod in news if pod is not None]
            unread += unread_news(changed, self._followed, starting, self._finder, selector)
        return unread_sentence(unread, self._why_not_asked(selector, bounds)) if unread else ""

    def _why_not_asked(self, selector: Selector, bounds: Iterable[Problem]) -> str:
        reached = next((problem.sentence for problem in bounds), "")
        if reached:
            return reached
        followed = {selection.selector for selection in self.resolution.selections}
        asked = {ask.selector for autoscaler in self.autoscalers for ask in autoscaler.asks if ask.workload is None}
        if selector in followed or selector in asked:
            return "they have just been found"
        return "no HPA of the namespace asks for this selector"

    def first_of(self, problems: Iterable[Problem], selector: Selector) -> list[Problem]:
        """The problems of pods, workloads and selectors that are asked about before the others, else as they come."""
        about = {f"Namespace/{self.name}"}
        for pod in self.pods.objects.values():
            if selector.matches(pod.labels):
                about |= {pod.manager, f"Pod/{pod.name}", pod.kind}
        for selection in self.resolution.selections:
            if selection.selector == selector:
                about |= {f"HorizontalPodAutoscaler/{name}" for name in selection.askers}
                about |= {selection.workload.label} if selection.workload is not None else set()
        return sorted(problems, key=lambda problem: problem.object not in about)
