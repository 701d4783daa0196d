"""Which pods of a namespace are wanted: selectors, and who wants them."""

from collections.abc import Iterable, Mapping

import msgspec

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.pods import PodRecord
from inflight.discovery.workloads import WorkloadKey, WorkloadRef
from inflight.objects import Selector

SHOWN_NAMES = 3


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


def matching(selector: Selector, pods: Iterable[PodRecord]) -> list[PodRecord]:
    """The pods that match. Equality, which nearly every selector is made of, is tested first."""
    others = []
    found = [pod for pod in pods if not pod.too_many_labels] if not selector.nothing else []
    for requirement in selector.requirements:
        if requirement.operator in {"=", "=="}:
            key, value = requirement.key, requirement.values[0]
            found = [pod for pod in found if pod.labels.get(key) == value]
        else:
            others.append(requirement)
    for requirement in others:
        found = [pod for pod in found if requirement.matches(pod.labels)]
    return found


def names_of(names: Iterable[str], kind: str = "HPA") -> str:
    """`HPA a, b, c and 2 more`."""
    names = tuple(names)
    shown = ", ".join(names[:SHOWN_NAMES])
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{kind} {shown}{more}"
