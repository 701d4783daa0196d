"""How much of a fleet is known, as a value: what an answer rests on, and what the floor is told."""

from collections.abc import Sequence

import msgspec

from inflight.guard.knowledge import PodKnowledge
from inflight.guard.reason import format_time

_NAMED = 3
_NAME_LENGTH = 63
_PROBLEM_LENGTH = 60


class Coverage(msgspec.Struct, frozen=True):
    """Who was expected, who was seen, of whom something is assumed."""

    pods: int
    """That there are, of whatever kind and state."""
    expected: int
    """Nothing complete can be said without these."""
    seen: int
    """Of the expected."""
    estimated: int
    """Of the unseen those that an estimate holds; the others have just become Ready."""
    unseen_since: float | None
    """Unix seconds of the last value of the pod that has been unseen the longest; None where none has reported."""
    let_go: int
    """Expected once and unseen for so long that they are no longer waited for."""
    sentence: str
    """What is missing, for people; empty while nothing is."""

    @property
    def complete(self) -> bool:
        """No pods at all are completely known; pods of which none is expected are not."""
        return self.seen == self.expected and (self.expected > 0 or self.pods == 0)


def cover(
    pods: int, seen: int, unseen: Sequence[PodKnowledge], assumed: Sequence[PodKnowledge], let_go: int = 0
) -> Coverage:
    """The coverage of `pods` pods of which `seen` expected ones are seen."""
    if not unseen:
        sentence = "" if seen or not pods else _nobody(pods)
        return Coverage(pods, seen, seen, 0, None, let_go, sentence)
    times = [pod.received_at for pod in unseen if pod.received_at is not None]
    since = min(times) if times else None
    expected = seen + len(unseen)
    told = f"{len(unseen)} of {expected} {_pods(expected)} unseen"
    if since is not None:
        told += f" since {format_time(since)}"
    told += f": {_names(unseen)}"
    if seen and assumed:
        part = "" if len(assumed) == len(unseen) else f"{len(assumed)} "
        told += f", {part}estimated at the mean of the others"
    return Coverage(pods, expected, seen, len(assumed), since, let_go, told)


def _nobody(pods: int) -> str:
    return f"none of {pods} {_pods(pods)} is Ready or has reported yet" if pods > 1 else "the only pod is not Ready yet"


def _pods(count: int) -> str:
    return "pod" if count == 1 else "pods"


def _names(unseen: Sequence[PodKnowledge]) -> str:
    """The first few, each with its problem, and how many more."""
    named = []
    for pod in unseen[:_NAMED]:
        problem = f" ({pod.problem[:_PROBLEM_LENGTH]})" if pod.problem else ""
        named.append(pod.name[:_NAME_LENGTH] + problem)
    more = len(unseen) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
