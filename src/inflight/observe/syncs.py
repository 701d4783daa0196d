"""When the controller syncs, and what it saw then: learnt from the status that it writes.

A look just before a sync sees what the controller will see. Afterwards the status tells what it saw: where the two
agree, the look stands for the sync. Where a value moved in between, the later look or the value in the status is
taken; where nothing fits, the sync is not known, and a memory that is put together from looks begins anew.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from inflight.cluster import Client, ClusterError, Reflector
from inflight.hpa import Decision, ExternalAnswer, MetricAnswer, ObjectAnswer, Observation, Record
from inflight.hpa.record import Outcome, make_record
from inflight.objects import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    MetricStatus,
    decode_hpa,
)

Status = HorizontalPodAutoscalerStatus


class StatusWatch:
    """Follows the HPA's status. `written_ns` is when the last change of it arrived here."""

    def __init__(self, client: Client, namespace: str, name: str, time_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns
        self._key = (namespace, name)
        self.status: Status | None = None
        self.written_ns: int | None = None
        self.changed = asyncio.Event()
        self.problem = ""
        self._reflector: Reflector[HorizontalPodAutoscaler] = Reflector(
            client,
            f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
            decode=decode_hpa,
            changed=self._take,
            params={"fieldSelector": f"metadata.name={name}"},
            failed=self._fail,
            recovered=self._recover,
        )

    async def run(self) -> None:
        """Until cancelled. A watch that is refused is tried again, less and less often: looks do without it."""
        await self._reflector.run()

    def _take(self, objects: Mapping[tuple[str, str], HorizontalPodAutoscaler]) -> None:
        hpa = objects.get(self._key)
        if hpa is None:
            return
        if self.status is not None and hpa.status != self.status:
            self.written_ns = self._time_ns()
            self.changed.set()
        self.status = hpa.status

    def _fail(self, error: ClusterError) -> None:
        self.problem = f"the HPA cannot be watched, so looks are not timed to its syncs: {error}"

    def _recover(self) -> None:
        self.problem = ""


def as_synced(
    record: Record, decision: Decision, status: Status, later: Observation | None, at_ns: int
) -> Record | None:
    """The record of the sync that left `status`, by a look before it and perhaps one after; None where nothing fits.

    `decision` is that of `record`.
    """
    answers = answers_seen(record, decision, status, later)
    if answers is None:
        return None
    observation = msgspec.structs.replace(record.observation, answers=answers)
    rescaled = status.last_scale_time != record.hpa.status.last_scale_time
    outcome = Outcome(
        replicas=status.desired_replicas if rescaled else observation.replicas,
        desired_replicas=status.desired_replicas,
        rescaled=rescaled,
        conditions=status.conditions,
        current_metrics=status.current_metrics,
    )
    return make_record(record.hpa, observation, None, at_ns, record.controller, decision=outcome)


def answers_seen(
    record: Record, decision: Decision, status: Status, later: Observation | None
) -> tuple[MetricAnswer, ...] | None:
    """For each metric the first of the answers before, after, and by the status that gives the status's own value."""
    seen = record.observation
    if len(decision.current_metrics) != len(status.current_metrics):
        return None
    wanted = status.current_metrics
    chosen = list(seen.answers)
    pods = seen if later is None else msgspec.structs.replace(seen, answers=later.answers)
    after = _current(record, pods.answers)
    for index, value in enumerate(wanted):
        if decision.current_metrics[index] == value:
            continue
        if later is not None and index < len(after) and after[index] == value:
            chosen[index] = later.answers[index]
            continue
        told = _told(value, seen)
        if told is None:
            return None
        chosen[index] = told
    return tuple(chosen) if _current(record, tuple(chosen)) == wanted else None


def _current(record: Record, answers: tuple[MetricAnswer, ...]) -> tuple[MetricStatus, ...]:
    observation = msgspec.structs.replace(record.observation, answers=answers)
    return msgspec.structs.replace(record, observation=observation).decide().current_metrics


def _told(value: MetricStatus, seen: Observation) -> MetricAnswer | None:
    """The answer that a status's value came from, for metrics of one number.

    An average over replicas is rounded up: the total is the largest that gives it, up to a thousandth per replica off.
    """
    source = value.external or value.object
    if source is None:
        return None
    current = source.current
    if current.value is not None:
        total = current.value.milli_value()
    elif current.average_value is not None and seen.status_replicas > 0:
        total = current.average_value.milli_value() * seen.status_replicas
    else:
        return None
    return ObjectAnswer(total) if value.object is not None else ExternalAnswer((total,))
