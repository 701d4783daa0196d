"""The HPA's status while a sync writes it: conditions keep their place and the time of their last change of status."""

from inflight.objects import (
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricStatus,
    Time,
)

ABLE_TO_SCALE = "AbleToScale"
SCALING_ACTIVE = "ScalingActive"
SCALING_LIMITED = "ScalingLimited"
SCALED_TO_ZERO = "ScaledToZero"


class StatusDraft:
    """Starts as what the last sync left. Every setting counts, also one that a later step of the sync overwrites."""

    def __init__(self, status: HorizontalPodAutoscalerStatus, now_ns: int) -> None:
        self.before = status
        """What the last sync left."""
        self._now = Time(now_ns)
        self._conditions = list(status.conditions)

    @property
    def desired_replicas(self) -> int:
        return self.before.desired_replicas

    def differs(self, after: HorizontalPodAutoscalerStatus) -> bool:
        """Whether there is anything to write."""
        return after is not self.before and after != self.before

    def is_true(self, kind: str) -> bool:
        """Whether the first condition of that type is True."""
        for condition in self._conditions:
            if condition.type == kind:
                return condition.status == "True"
        return False

    def set(self, kind: str, status: str, reason: str, message: str) -> None:
        for index, condition in enumerate(self._conditions):
            if condition.type == kind:
                if condition.status == status and condition.reason == reason and condition.message == message:
                    return
                since = condition.last_transition_time if condition.status == status else self._now
                self._conditions[index] = HorizontalPodAutoscalerCondition(
                    type=kind,
                    status=status,
                    last_transition_time=since,
                    reason=reason,
                    message=message,
                    observed_generation=condition.observed_generation,
                )
                return
        self._conditions.append(
            HorizontalPodAutoscalerCondition(
                type=kind, status=status, last_transition_time=self._now, reason=reason, message=message
            )
        )

    def remove(self, kind: str) -> None:
        self._conditions = [condition for condition in self._conditions if condition.type != kind]

    def conditions_only(self) -> HorizontalPodAutoscalerStatus:
        """The status after a sync that could not even read the scale."""
        before = self.before
        return HorizontalPodAutoscalerStatus(
            observed_generation=before.observed_generation,
            last_scale_time=before.last_scale_time,
            current_replicas=before.current_replicas,
            desired_replicas=before.desired_replicas,
            current_metrics=before.current_metrics,
            conditions=tuple(self._conditions),
        )

    def complete(
        self, current: int, desired: int, metrics: tuple[MetricStatus, ...], rescaled: bool, generation: int | None
    ) -> HorizontalPodAutoscalerStatus:
        """The status after a sync. What equals the old entry keeps its text (upstream then writes nothing)."""
        before = self.before
        after = HorizontalPodAutoscalerStatus(
            observed_generation=generation,
            last_scale_time=self._now if rescaled else before.last_scale_time,
            current_replicas=current,
            desired_replicas=desired,
            current_metrics=metrics,
            conditions=tuple(self._conditions),
        )
        return before if after == before else after
