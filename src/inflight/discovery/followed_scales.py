"""The scales of all workloads that HPAs name, each followed for as long as one names it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from inflight.discovery.problems import Problem
from inflight.discovery.scales import FollowedScale, ScaleReader
from inflight.discovery.selections import KnownWorkload
from inflight.discovery.wanted import NamedWorkload
from inflight.discovery.workloads import Workload, WorkloadKey
from inflight.signals.foreign import printable


class FollowedScales:
    """`changed` is called with the namespace of a workload of which something else is known now."""

    def __init__(self, reader: ScaleReader, changed: Callable[[str], None]) -> None:
        self._reader = reader
        self._changed = changed
        self._scales: dict[WorkloadKey, FollowedScale] = {}
        self._tasks: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._by_namespace: dict[str, list[FollowedScale]] = {}

    def __len__(self) -> int:
        return len(self._scales)

    def follow(self, wanted: Mapping[WorkloadKey, NamedWorkload], group: asyncio.TaskGroup) -> None:
        """These and no others."""
        for key in [key for key in self._scales if key not in wanted]:
            del self._scales[key]
            self._tasks.pop(key).cancel()
        for key, named in wanted.items():
            scale = self._scales.get(key)
            if scale is None:
                scale = self._scales[key] = FollowedScale(self._reader, named.ref, self._changed)
                self._tasks[key] = group.create_task(scale.run())
            scale.askers = named.askers
        self._by_namespace = {}
        for scale in self._scales.values():
            self._by_namespace.setdefault(scale.workload.namespace, []).append(scale)

    def follow_on(self, group: asyncio.TaskGroup) -> None:
        """Those that are followed, where the tasks that followed them have ended with another group."""
        for key, scale in self._scales.items():
            self._tasks[key] = group.create_task(scale.run())

    def read_soon(self, keys: Iterable[WorkloadKey]) -> None:
        """Of those that are followed."""
        for key in keys:
            if key in self._scales:
                self._scales[key].read_soon()

    def known(self, namespace: str) -> dict[WorkloadKey, KnownWorkload]:
        """What is known of the workloads of a namespace."""
        scales = self._by_namespace.get(namespace, ())
        return {scale.workload.key: scale.known for scale in scales if scale.known is not None}

    def note_pods(self, namespace: str, without_pods: frozenset[WorkloadKey]) -> None:
        """What the selectors that are known match now."""
        for scale in self._by_namespace.get(namespace, ()):
            scale.note_pods(scale.workload.key not in without_pods)

    def problems(self) -> list[Problem]:
        return [scale.problem for scale in self._scales.values() if scale.problem is not None]

    def why_not_read(self) -> str:
        """A sentence until each has been tried once, or another of its group had no answer; "" from then on."""
        is_silent = self._reader.is_silent
        unread = [each for each in self._scales.values() if not (each.was_read or is_silent(each.workload.group))]
        if not unread:
            return ""
        more = f" and of {len(unread) - 1} more workloads" if len(unread) > 1 else ""
        return f"the selector of {unread[0].workload}{more} has not been read yet"

    def find(self, namespace: str, resource: str, name: str) -> Workload | str | None:
        """By its resource as in paths; a sentence where it is named but not known, None where nobody names it."""
        for scale in self._by_namespace.get(namespace, ()):
            if scale.workload.name == name and _goes_by(scale, resource):
                return _answer(scale)
        return None


def _goes_by(scale: FollowedScale, resource: str) -> bool:
    if scale.resource is not None:
        return scale.resource.goes_by(resource)
    # The kind has not been looked up yet: as plurals mostly are.
    plural, _, group = resource.partition(".")
    kind = scale.workload.kind.lower()
    return group == scale.workload.group and plural in {f"{kind}s", f"{kind}es"}


def _answer(scale: FollowedScale) -> Workload | str:
    ref, known = scale.workload, scale.known
    if known is not None and not scale.is_missing:
        return Workload(ref.api_version, ref.kind, ref.namespace, ref.name, known.selector)
    if scale.problem is not None:
        return scale.problem.sentence
    return printable(f"the selector of {ref} has not been read yet")
