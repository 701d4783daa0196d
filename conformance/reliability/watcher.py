"""One replica of Inflight in the harness: what has reached it of each pod, and beside that, what of it was true.

What is remembered of a pod is what the sources remember; the second half (`true_value`, `true_at`) no guard ever sees.
"""

import math

from inflight.guard.knowledge import FRESH_SECONDS, LARGEST_VALUE, PodKnowledge, Receipt, receive
from reliability.faults import ASLEEP, REFUSED, Sight
from reliability.plant import Plant, PlantPod

NEVER = -math.inf


class Record:
    """What one replica remembers of one pod (its uid)."""

    __slots__ = (
        "asleep", "page_at", "page_value", "problem", "receipt", "refused", "reported", "served", "sight",
        "standing_since", "true_at", "true_value", "value",
    )  # fmt: skip

    def __init__(self) -> None:
        self.value: float | None = None
        self.receipt: Receipt | None = None
        self.reported = False
        self.problem = ""
        self.refused = self.asleep = False
        self.standing_since: float | None = None
        self.page_at: float | None = None
        self.page_value = 0.0
        self.served = 0.0
        self.sight = Sight(None)
        self.true_value = 0.0
        self.true_at = NEVER

    def take(self, sight: Sight, at: float) -> None:
        self.sight = sight
        value = sight.value
        self.problem = sight.problem
        self.refused = sight.problem == REFUSED
        if self.refused:
            self.true_at = NEVER  # what it said is true no more: its engine has ended
        if value is None:
            return
        if sight.true:
            self.true_value, self.true_at = value, at
        if not 0 <= value <= LARGEST_VALUE:
            self.problem = f"says {value:g}"
            return
        self.asleep = sight.problem == ASLEEP
        if self.asleep:
            return  # not a report: it says nothing of what the pod would hold
        if self.page_at is None or sight.served != self.served or not value or value != self.page_value:
            self.standing_since = None
        elif self.standing_since is None:
            self.standing_since = self.page_at
        self.page_at, self.page_value, self.served = at, value, sight.served
        self.value = value
        self.receipt = receive(self.receipt, sight.page_time, at)
        self.reported = True


class Watcher:
    """The pods' records and what their kinds have reported."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.records: dict[str, Record] = {}
        self.kinds: set[str] = set()

    def restart(self, *, forgets_kinds: bool) -> None:
        """A new process: only what kinds have reported is kept, and not even that always."""
        for uid, old in list(self.records.items()):
            fresh = Record()
            # The harness goes on knowing what is true; a sample that the new process never got is none of ours.
            fresh.sight = old.sight
            self.records[uid] = fresh
        if forgets_kinds:
            self.kinds.clear()

    def take(self, pod: PlantPod, sight: Sight, at: float) -> None:
        record = self.records.get(pod.uid)
        if record is None:
            record = self.records[pod.uid] = Record()
        record.take(sight, at)
        if record.reported:
            self.kinds.add(pod.role)

    def knowledge(self, plant: Plant, at: float) -> list[PodKnowledge]:
        """What is known of each pod that there is."""
        found = []
        for pod in plant.pods:
            record = self.records.get(pod.uid) or Record()
            found.append(
                PodKnowledge(
                    name=pod.name,
                    value=record.value,
                    received_at=None if record.receipt is None else record.receipt.at,
                    reported=record.reported,
                    ready=pod.is_ready(at),
                    ready_since=pod.ready_at if pod.is_ready(at) else None,
                    been_ready=pod.been_ready or pod.is_ready(at),
                    terminating=pod.deleted_at is not None,
                    kind_reports=True if pod.role in self.kinds else None,
                    refused=record.refused,
                    asleep=record.asleep,
                    problem=record.problem,
                    standing_since=record.standing_since,
                )
            )
        return found

    def true_samples(self, plant: Plant, at: float) -> dict[str, float]:
        """By uid: samples that were delivered, are true and younger than 15 s. The judge's knowledge, not a guard's."""
        return {
            pod.uid: record.true_value
            for pod in plant.pods
            if (record := self.records.get(pod.uid)) is not None and at - record.true_at < FRESH_SECONDS
        }
