"""Which pods of a namespace are wanted: selectors, and who wants them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.pods import PodRecord
from inflight.discovery.workloads import WorkloadKey, WorkloadRef
from inflight.objects import Selector
from inflight.objects.selectors import Requirement

SHOWN_NAMES = 3
MAX_COMPARISONS = 600_000
"""Of pods with requirements in one namespace, each time it is computed: two dozen selectors without an equality,
by five thousand pods. It holds the event loop for about as long as twenty thousand pods do that are wanted once each:
a third of a second.
"""
COMPARISONS_PER_MATCH = 4
"""What is done with a pod that a selector matches takes longer than to find it."""
VALUES_PER_COMPARISON = 16
MAX_INDEXED_KEYS = 32
"""Labels by whose values pods are looked up; people use two or three of them in a namespace."""

_EQUALITY = frozenset({"=", "=="})


class KnownWorkload(msgspec.Struct, frozen=True):
    """What the scale of a workload said."""

    selector: Selector
    uid: str = ""
    may_be_empty: bool = False
    """It is meant to have no pods, or that is not known yet."""


class Selection(msgspec.Struct, frozen=True):
    """Pods of one selector. Without a workload it is that of External metrics."""

    selector: Selector
    workload: WorkloadRef | None
    askers: tuple[str, ...]
    """Names of the HPAs."""

    @property
    def is_everything(self) -> bool:
        return self.workload is None and self.selector.is_empty

    def __str__(self) -> str:
        who = names_of(self.askers)
        if self.workload is not None:
            return f"the selector {self.selector} of {self.workload} (asked for by {who})"
        if self.selector.is_empty:
            return f"the External metric without a selector of {who}"
        return f"the selector {self.selector} of the External metric of {who}"


def selections_of(
    autoscalers: Iterable[Autoscaler], workloads: Mapping[WorkloadKey, KnownWorkload]
) -> tuple[Selection, ...]:
    """Those of one namespace; a workload whose selector is not known yet has none. The same one is there once."""
    found: dict[tuple[WorkloadKey | None, Selector], tuple[WorkloadRef | None, dict[str, None]]] = {}
    for autoscaler in autoscalers:
        for ask in autoscaler.asks:
            if ask.problem:
                continue
            selector: Selector | None = ask.selector
            key = None
            if ask.workload is not None:
                key = ask.workload.key
                known = workloads.get(key)
                selector = known.selector if known is not None else None
            if selector is not None:
                _, askers = found.setdefault((key, selector), (ask.workload, {}))
                askers.setdefault(autoscaler.name)
    return tuple(Selection(selector, ref, tuple(askers)) for (_, selector), (ref, askers) in found.items())


class PodIndex:
    """Pods of a namespace, found by one of their labels: four hundred selectors then do not look at each pod."""

    def __init__(self, pods: Iterable[PodRecord]) -> None:
        self._pods = [pod for pod in pods if not pod.too_many_labels]
        self._by_label: dict[str, dict[str, list[PodRecord]]] = {}

    def matching(self, selector: Selector) -> list[PodRecord]:
        """The pods that a selector matches."""
        if selector.nothing:
            return []
        found, rest = self._candidates(selector)
        for requirement in rest:
            found = [pod for pod in found if requirement.matches(pod.labels)]
        return found

    def match(self, selections: Sequence[Selection], most: int) -> tuple[list[tuple[Selection, list[PodRecord]]], int]:
        """Each with its pods, and how many are left out: the costliest, where all take more comparisons than `most`."""
        keys = Counter(chain.from_iterable(_equalities(each.selector) for each in selections))
        for key, _ in keys.most_common(MAX_INDEXED_KEYS):
            self._with_label(key)
        costs = [self._cost(each.selector) for each in selections]
        followed, spent = set(), 0
        for number in sorted(range(len(costs)), key=costs.__getitem__):
            spent += costs[number]
            if spent > most:
                break
            followed.add(number)
        matched = [(each, self.matching(each.selector)) for n, each in enumerate(selections) if n in followed]
        return matched, len(selections) - len(matched)

    def _cost(self, selector: Selector) -> int:
        """Comparisons, at most; a pod that matches has its cost too."""
        found, rest = self._candidates(selector)
        return len(found) * (
            COMPARISONS_PER_MATCH + sum(1 + len(each.values) // VALUES_PER_COMPARISON for each in rest)
        )

    def _candidates(self, selector: Selector) -> tuple[list[PodRecord], tuple[Requirement, ...]]:
        """Pods that fulfil a requirement of the selector, as few as can be looked up, and the other requirements."""
        found, rest = self._pods, selector.requirements
        for number, requirement in enumerate(selector.requirements):
            if requirement.operator in _EQUALITY and (by_value := self._with_label(requirement.key)) is not None:
                fulfil = by_value.get(requirement.values[0], [])
                if rest is selector.requirements or len(fulfil) < len(found):
                    found, rest = fulfil, (*selector.requirements[:number], *selector.requirements[number + 1 :])
        return found, rest

    def _with_label(self, key: str) -> dict[str, list[PodRecord]] | None:
        """None where other labels have taken all the room."""
        by_value = self._by_label.get(key)
        if by_value is None and len(self._by_label) < MAX_INDEXED_KEYS:
            by_value = self._by_label[key] = {}
            for pod in self._pods:
                if key in pod.labels:
                    by_value.setdefault(pod.labels[key], []).append(pod)
        return by_value


def _equalities(selector: Selector) -> Iterator[str]:
    """Keys whose value a selector names."""
    return (each.key for each in selector.requirements if each.operator in _EQUALITY)


def names_of(names: Iterable[str], kind: str = "HPA") -> str:
    """`HPA a, b, c and 2 more`."""
    names = tuple(names)
    shown = ", ".join(names[:SHOWN_NAMES])
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{kind} {shown}{more}"
