"""The same recorded syncs under several releases: which decisions an upgrade of the cluster would change.

Each record is decided anew under each release with the memory that it had: the question is what this sync would have
done, not how the whole story would have gone on.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from inflight.hpa.controller import Controller
from inflight.hpa.decision import Decision
from inflight.hpa.memory import Memory
from inflight.hpa.record import Record, outcome_of
from inflight.objects import ReleaseError, find_release, to_plain

_FIELDS = ("replicas", "desired_replicas", "rescaled", "reason", "conditions", "events", "current_metrics")
_COUNTS = frozenset({"replicas", "desired_replicas", "rescaled"})


class ReleaseDecision(msgspec.Struct, frozen=True):
    """What one release decides."""

    kubernetes: str
    judged: bool
    """Whether the engine was compared with this release's original."""
    without_gates: tuple[str, ...]
    """Recorded gates that this release does not have or has locked."""
    decision: Decision


class Comparison(msgspec.Struct, frozen=True):
    """One record under all releases asked for."""

    releases: tuple[ReleaseDecision, ...]
    differs: tuple[str, ...]
    """Fields of the outcome in which the releases differ; empty where all agree."""

    @property
    def kind(self) -> Literal["", "count", "texts"]:
        """`count`: another number of replicas; `texts`: only what is reported differs."""
        if not self.differs:
            return ""
        return "count" if _COUNTS & set(self.differs) else "texts"

    def groups(self) -> list[tuple[ReleaseDecision, ...]]:
        """Releases that agree in all fields, in the order asked for."""
        groups: dict[str, list[ReleaseDecision]] = {}
        for each in self.releases:
            groups.setdefault(repr(_compared(each.decision)), []).append(each)
        return [tuple(group) for group in groups.values()]


def compare_releases(record: Record, memory: Memory, releases: Sequence[str]) -> Comparison:
    """`record` decided under each of `releases`. Raises ReleaseError for a release that does not exist."""
    decided = tuple(_decide(record, memory, release) for release in releases)
    outcomes = [_compared(each.decision) for each in decided]
    differs = tuple(field for field in _FIELDS if any(each[field] != outcomes[0][field] for each in outcomes))
    return Comparison(decided, differs)


def _compared(decision: Decision) -> dict[str, object]:
    plain = to_plain(outcome_of(decision))
    return {field: plain.get(field) for field in _FIELDS}


def _decide(record: Record, memory: Memory, release: str) -> ReleaseDecision:
    find_release(release)
    gates, left_out = {}, []
    for gate, wanted in record.controller.feature_gates.items():
        try:
            find_release(release, {gate: wanted})
            gates[gate] = wanted
        except ReleaseError:
            left_out.append(gate)
    controller: Controller = msgspec.structs.replace(record.controller, kubernetes=release, feature_gates=gates)
    decision = msgspec.structs.replace(record, controller=controller).decide(memory)
    return ReleaseDecision(release, controller.judged, tuple(left_out), decision)
