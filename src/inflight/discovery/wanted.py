"""What the HPAs of a cluster want followed, within bounds."""

from collections.abc import Mapping

import msgspec

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.problems import Problem
from inflight.discovery.workloads import WorkloadKey, WorkloadRef

MAX_NAMESPACES = 500
MAX_AUTOSCALERS = 10_000


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
    """By namespace and name; beyond the bounds the first by name count."""
    problems = []
    grouped: dict[str, list[Autoscaler]] = {}
    for key in sorted(autoscalers)[:MAX_AUTOSCALERS]:
        grouped.setdefault(key[0], []).append(autoscalers[key])
    if len(autoscalers) > MAX_AUTOSCALERS:
        problems.append(too_many("HPAs", len(autoscalers), MAX_AUTOSCALERS))
    if len(grouped) > MAX_NAMESPACES:
        problems.append(too_many("namespaces", len(grouped), MAX_NAMESPACES))
    by_namespace = {name: tuple(grouped[name]) for name in list(grouped)[:MAX_NAMESPACES]}
    refs: dict[WorkloadKey, tuple[WorkloadRef, dict[str, None]]] = {}
    for each in by_namespace.values():
        for autoscaler in each:
            for ask in autoscaler.asks:
                if ask.workload is not None:
                    refs.setdefault(ask.workload.key, (ask.workload, {}))[1].setdefault(autoscaler.name)
    workloads = {key: NamedWorkload(ref, tuple(askers)) for key, (ref, askers) in refs.items()}
    return Wanted(by_namespace, workloads, tuple(problems))


def too_many(what: str, count: int, most: int) -> Problem:
    sentence = f"there are {count} {what}, and at most {most} are followed: the first by name; give --namespace"
    return Problem("too_many", "", f"Cluster/{what}", sentence)
