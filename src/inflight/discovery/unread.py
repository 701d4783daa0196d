"""Pods that nobody reads although they should be in a sum: what a sum over a selector would lack, and why.

A question may select pods that no HPA asks for (an HPA that was created a moment ago, a selector that somebody typed),
or pods that cannot be read as they are. Their work would be missing without a trace, so the sum is not said. Pods that
show no page of an engine (`no_port`) or are taken out by their owner (`not_scraped`) belong to no sum.
"""

from collections.abc import Iterable, Mapping

import msgspec

from inflight.discovery.pages import PageFinder, Refusal
from inflight.discovery.pods import PodRecord
from inflight.discovery.selections import PodIndex
from inflight.objects import Selector
from inflight.sources import Target

MAX_REMEMBERED = 256
"""Selectors whose pods are kept from question to question."""
SHOWN_PODS = 3
SHOWN_NAME = 80
SHOWN_WHY = 160


class Unread(msgspec.Struct, frozen=True):
    pod: PodRecord
    why: str
    """Why it cannot be read; "" where it could be."""


class UnreadPods:
    """Of one namespace, as of one moment."""

    def __init__(self, pods: Iterable[PodRecord], followed: Mapping[str, Target], finder: PageFinder) -> None:
        found = [unread for pod in pods if not _is_followed(pod, followed) and (unread := _judge(pod, finder))]
        self._by_name = {unread.pod.name: unread for unread in found}
        self._index = PodIndex(unread.pod for unread in found)
        self._unlabelled = [unread for unread in found if unread.pod.too_many_labels]
        self._known: dict[Selector, list[Unread]] = {}

    def matching(self, selector: Selector) -> list[Unread]:
        """Those that a selector matches; of a pod whose labels are not kept nobody knows that it does not."""
        if not self._by_name or selector.nothing:
            return []
        known = self._known.get(selector)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            matching = [self._by_name[pod.name] for pod in self._index.matching(selector)]
            known = self._known[selector] = matching + self._unlabelled
        return known


def unread_news(
    pods: Iterable[PodRecord],
    followed: Mapping[str, Target],
    starting: frozenset[tuple[str, str]],
    finder: PageFinder,
    selector: Selector,
) -> list[Unread]:
    """Of pods that changed a moment ago those that `selector` matches and that are not read under these labels yet.

    One that was seen to start has no work yet.
    """
    found = []
    for pod in pods:
        if (pod.name, pod.uid) in starting or not (pod.too_many_labels or selector.matches(pod.labels)):
            continue
        if _is_followed(pod, followed) and selector.matches(followed[pod.name].labels):
            continue
        unread = _judge(pod, finder)
        if unread is not None:
            found.append(unread)
    return found


def unread_sentence(unread: list[Unread], why_not_asked: str) -> str:
    """`why_not_asked` is why those are not read that could be."""
    readable = [each for each in unread if not each.why]
    broken = [each for each in unread if each.why]
    parts = []
    if readable:
        parts.append(f"{_count(readable)} not read: {_names(readable)}: {why_not_asked}")
    if broken:
        parts.append(f"{_count(broken)} Ready and cannot be read: {_names(broken)}: {broken[0].why[:SHOWN_WHY]}")
    return "; ".join(parts)


def _is_followed(pod: PodRecord, followed: Mapping[str, Target]) -> bool:
    target = followed.get(pod.name)
    return target is not None and target.uid == pod.uid


def _judge(pod: PodRecord, finder: PageFinder) -> Unread | None:
    """None for a pod without which a sum is whole."""
    if pod.terminating or not pod.is_running:
        return None
    pages = finder.find(pod.annotations, pod.ports)
    if isinstance(pages, Refusal) and pages.kind != "bad_annotation":
        return None
    why = ""
    if isinstance(pages, Refusal):
        why = pages.why
    elif pod.bad_address:
        why = "its address is none that a pod can have"
    elif pod.too_many_labels:
        why = f"it has {pod.too_many_labels} labels, more than are read"
    # As everywhere: who is not sent work is not waited for.
    return Unread(pod, why) if not why or pod.ready else None


def _count(unread: list[Unread]) -> str:
    return f"{len(unread)} pod{' that matches is' if len(unread) == 1 else 's that match are'}"


def _names(unread: list[Unread]) -> str:
    names = sorted(each.pod.name[:SHOWN_NAME] for each in unread)
    more = f" and {len(names) - SHOWN_PODS} more" if len(names) > SHOWN_PODS else ""
    return ", ".join(names[:SHOWN_PODS]) + more
