"""A decision as a value: what the sync did, what it reports, what it remembers, and how it came about."""

import msgspec

from inflight.hpa.memory import Memory
from inflight.hpa.summary import summarize
from inflight.hpa.trace import Reason, Trace
from inflight.objects import HorizontalPodAutoscalerCondition, MetricStatus


class Decision(msgspec.Struct, frozen=True):
    """The outcome of one sync."""

    desired_replicas: int
    """status.desiredReplicas after the sync."""
    replicas: int
    """spec.replicas of the target after the sync."""
    rescaled: bool
    """Whether the target's count was written."""
    reason: str
    """The reason of a rescale in the controller's words; empty when it did not want one."""
    conditions: tuple[HorizontalPodAutoscalerCondition, ...]
    events: tuple[str, ...]
    """`Type Reason: message`, in order, before client-go merges repeats."""
    current_metrics: tuple[MetricStatus, ...]
    trace: Trace
    memory: Memory
    """What the next decision is to be given."""

    @property
    def outcome(self) -> Reason:
        return self.trace.outcome

    def summary(self) -> str:
        """The decision in one sentence."""
        return summarize(self.trace)
