"""What the HPAs of a cluster want followed, within bounds.

Most bounds are a namespace's own: who may write HPAs in one must not be able to crowd out those of another.
"""

from collections.abc import Iterable, Mapping

import msgspec

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.problems import Problem
from inflight.discovery.workloads import WorkloadKey, WorkloadRef

MAX_NAMESPACES = 500
MAX_AUTOSCALERS = 1_000
"""Of one namespace, as are the next."""
MAX_WORKLOADS = 500


class NamedWorkload(msgspec.Struct, frozen=True):
    """A workload and the HPAs that ask for its pods."""

    ref: WorkloadRef
    askers: tuple[str, ...]


class Wanted(msgspec.Struct, frozen=True):
    by_namespace: Mapping[str, tuple[Autoscaler, ...]] = {}
    """Sorted by name, as are the HPAs of each."""
    workloads: Mapping[WorkloadKey, NamedWorkload] = {}
    problems: tuple[Problem, ...] = ()
    """Of what is left out."""

    @property
    def count(self) -> int:
        return sum(len(autoscalers) for autoscalers in self.by_namespace.values())


def wanted_by(autoscalers: Mapping[tuple[str, str], Autoscaler]) -> Wanted:
    """Of HPAs by namespace and name; where there are more than are followed, the first by name."""
    problems = []
    grouped: dict[str, list[Autoscaler]] = {}
    for key in sorted(autoscalers):
        grouped.setdefault(key[0], []).append(autoscalers[key])
    if len(grouped) > MAX_NAMESPACES:
        problems.append(too_many("namespaces with HPAs", len(grouped), MAX_NAMESPACES))
    by_namespace: dict[str, tuple[Autoscaler, ...]] = {}
    workloads: dict[WorkloadKey, NamedWorkload] = {}
    for name in list(grouped)[:MAX_NAMESPACES]:
        found = grouped[name]
        if len(found) > MAX_AUTOSCALERS:
            problems.append(too_many("HPAs", len(found), MAX_AUTOSCALERS, name))
        by_namespace[name] = tuple(found[:MAX_AUTOSCALERS])
        named = _workloads(by_namespace[name])
        if len(named) > MAX_WORKLOADS:
            problems.append(too_many("workloads", len(named), MAX_WORKLOADS, name))
        workloads.update((each.ref.key, each) for each in named[:MAX_WORKLOADS])
    return Wanted(by_namespace, workloads, tuple(problems))


def _workloads(autoscalers: Iterable[Autoscaler]) -> list[NamedWorkload]:
    """Each once, in the order in which it is named."""
    found: dict[WorkloadKey, tuple[WorkloadRef, dict[str, None]]] = {}
    for autoscaler in autoscalers:
        for ask in autoscaler.asks:
            if ask.workload is not None:
                found.setdefault(ask.workload.key, (ask.workload, {}))[1].setdefault(autoscaler.name)
    return [NamedWorkload(ref, tuple(askers)) for ref, askers in found.values()]


def too_many(what: str, count: int, most: int, namespace: str = "") -> Problem:
    where, object_ = (f" in namespace {namespace}", f"Namespace/{namespace}") if namespace else ("", "Cluster")
    sentence = f"there are {count} {what}{where}, and at most {most} are followed: the first by name"
    return Problem("too_many", namespace, f"{object_}/{what.replace(' ', '-')}", sentence)
