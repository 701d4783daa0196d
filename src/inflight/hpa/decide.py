"""One sync of the HorizontalPodAutoscaler controller as a pure function.

The order of the steps, their branches and their texts are those of Kubernetes
pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler): read the scale, remember the first count, take one
of four branches, combine the metrics, stabilise, limit, write, report.
"""

from inflight.hpa.calculator import Situation
from inflight.hpa.controller import Controller, Rules, rules_of
from inflight.hpa.decision import Decision
from inflight.hpa.limits import Past, limit_behavior, limit_legacy, store_scale_event
from inflight.hpa.memory import Memory, Recommendation
from inflight.hpa.metrics import MetricOutcome, Question, evaluate
from inflight.hpa.numbers import to_int32
from inflight.hpa.observation import FailedAnswer, Observation
from inflight.hpa.pods import select_pods
from inflight.hpa.status import ABLE_TO_SCALE, SCALED_TO_ZERO, SCALING_ACTIVE, SCALING_LIMITED, StatusDraft
from inflight.hpa.texts import (
    ABOVE_MAX,
    ALL_BELOW_TARGET,
    BAD_SELECTOR,
    BELOW_MIN,
    DID_NOT_GO_TO_ZERO,
    DISABLED,
    FOUND_METRIC,
    GOT_SCALE,
    MESSAGES,
    NO_SCALE,
    NO_SELECTOR,
    SCALE_NOT_WRITTEN,
    SELECTOR_REQUIRED,
    UNABLE_TO_COMPUTE,
    WENT_TO_ZERO,
    WROTE_SCALE,
    ambiguous_selector,
)
from inflight.hpa.trace import Combination, Limits, Reason, Stabilization, Trace
from inflight.hpa.windows import NANOSECONDS, stabilize_behavior, stabilize_legacy
from inflight.objects import (
    HorizontalPodAutoscaler,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    Pod,
    SelectorError,
)

DEFAULT_SCALE_UP = HPAScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
DEFAULT_SCALE_DOWN = HPAScalingRules(
    select_policy="Max", policies=(HPAScalingPolicy(type="Percent", value=100, period_seconds=15),)
)
UPSTREAM_DEFAULTS = Controller()
NO_ANSWER = FailedAnswer("the observation holds no answer for this metric")
_OUTSIDE = frozenset({"Object", "External"})


def decide(
    spec: HorizontalPodAutoscaler,
    observation: Observation,
    memory: Memory,
    now_ns: int,
    controller: Controller = UPSTREAM_DEFAULTS,
    *,
    with_trace: bool = True,
) -> Decision:
    """What the controller does with `spec` in a sync at `now_ns` (nanoseconds since 1970) and what it remembers of it.

    `spec` has its defaults and is valid; its status is not read: what the last sync left is in `memory`. Without a
    trace the decision is the same, and its trace says only how the sync began and ended, not the steps between. Raises
    ReleaseError for a release or a gate that does not exist, nothing else.
    """
    return _Sync(spec, observation, memory, now_ns, controller=controller, with_trace=with_trace).run()


class _Sync:
    """The life of one sync. Each step reads what the earlier ones left; nothing outside is changed."""

    def __init__(
        self,
        spec: HorizontalPodAutoscaler,
        observation: Observation,
        memory: Memory,
        now_ns: int,
        *,
        controller: Controller,
        with_trace: bool,
    ) -> None:
        self.hpa = spec
        self.with_trace = with_trace
        self.spec = spec.spec
        self.observation = observation
        self.controller = controller
        self.rules: Rules = rules_of(controller)
        self.now_ns = int(now_ns)
        """A `Time` would go into trace and memory as text."""
        self.current = observation.replicas
        self.minimum = 1 if self.spec.min_replicas is None else self.spec.min_replicas
        self.maximum = self.spec.max_replicas
        self.recommendations = memory.recommendations
        self.scale_ups = memory.scale_ups
        self.scale_downs = memory.scale_downs
        self.status = StatusDraft(memory.status, now_ns)
        self.events: list[str] = []
        self.outcomes: list[MetricOutcome] = []
        self.combination: Combination | None = None
        self.stabilization: Stabilization | None = None
        self.limits: Limits | None = None
        self.down_tolerance, self.up_tolerance = self._tolerances()
        self.has_outside_metric = any(metric.type in _OUTSIDE for metric in self.spec.metrics)
        self.went_to_zero = self.rules.scale_to_zero and self.status.is_true(SCALED_TO_ZERO)

    def run(self) -> Decision:
        get_error = self.observation.scale_get_error
        if get_error is not None:
            self.events.append(f"Warning FailedGetScale: {get_error}")
            self.status.set(ABLE_TO_SCALE, "False", "FailedGetScale", NO_SCALE + get_error)
            return self._end(Reason.FAILED_GET_SCALE, Reason.FAILED_GET_SCALE, self.status.desired_replicas)
        self.status.set(ABLE_TO_SCALE, "True", "SucceededGetScale", GOT_SCALE)
        if not self.recommendations:
            # A new or restarted controller takes the present count for its first recommendation.
            self.recommendations = (Recommendation(self.current, self.now_ns),)
        if self.current == 0 and self._is_disabled():
            self.status.set(SCALING_ACTIVE, "False", "ScalingDisabled", DISABLED)
            if self.rules.remembers_zero and not self.rules.scale_to_zero:
                self.status.remove(SCALED_TO_ZERO)
            return self._keep(Reason.SCALING_DISABLED)
        if self.current != 0 and self.current > self.maximum:
            return self._rescale(Reason.ABOVE_MAX_REPLICAS, self.maximum, ABOVE_MAX)
        if self._is_below_minimum():
            return self._rescale(Reason.BELOW_MIN_REPLICAS, self.minimum, BELOW_MIN)
        return self._compute()

    def _is_disabled(self) -> bool:
        if self.rules.remembers_zero:
            return not self.went_to_zero or (self.minimum == 0 and not self.has_outside_metric)
        return self.minimum != 0

    def _is_below_minimum(self) -> bool:
        return self.current != 0 and self.current < self.minimum

    def _tolerances(self) -> tuple[float, float]:
        down = up = self.rules.tolerance
        behavior = self.spec.behavior
        if behavior is not None and self.rules.configurable_tolerance:
            if behavior.scale_down is not None and behavior.scale_down.tolerance is not None:
                down = behavior.scale_down.tolerance.as_float()
            if behavior.scale_up is not None and behavior.scale_up.tolerance is not None:
                up = behavior.scale_up.tolerance.as_float()
        return down, up

    def _compute(self) -> Decision:
        pods = self._selected_pods()
        if pods is None:
            return self._give_up()
        self._evaluate_metrics(pods)
        combination = self.combination = self._combine()
        if combination.verdict is not Reason.VALID_METRIC_FOUND:
            return self._give_up()
        raw = max(combination.proposal, 0)
        reason = ""
        if raw > self.current:
            reason = f"{self._winner_name()} above target"
        elif raw < self.current:
            reason = ALL_BELOW_TARGET
        desired = self._normalize(raw)
        if self.current == 0 and self.minimum != 0 and self.went_to_zero and desired < self.minimum:
            desired = self.minimum
            reason = reason or BELOW_MIN
        if desired == self.current:
            return self._keep(Reason.COMPUTED)
        return self._rescale(Reason.COMPUTED, desired, reason)

    def _selected_pods(self) -> list[Pod] | None:
        """The target's pods, or None where its selector forbids to compute (conditions and events say why).

        Where nothing looks at them the list is empty: many a sync only divides a sum by status.replicas.
        """
        text = self.observation.selector
        problem = condition_text = ""
        verdict, event = Reason.INVALID_SELECTOR, "InvalidSelector"
        pods: list[Pod] = []
        if not text:
            problem, condition_text, event = SELECTOR_REQUIRED, NO_SELECTOR, "SelectorRequired"
        else:
            hpas = self.observation.selecting_hpas
            seen = self.observation.pods if len(hpas) > 1 or any(map(_looks_at_pods, self.spec.metrics)) else ()
            try:
                pods = select_pods(seen, self.hpa.metadata.namespace or "default", text)
            except SelectorError as error:
                problem = BAD_SELECTOR + error.upstream
            if pods and len(hpas) > 1:
                verdict, event = Reason.AMBIGUOUS_SELECTOR, "AmbiguousSelector"
                named = hpas[:2] if self.rules.names_two_hpas else hpas
                problem = ambiguous_selector(text, named, self.rules.ambiguous_by_example)
        if not problem:
            return pods
        self.events.append(f"Warning {event}: {problem}")
        self.status.set(SCALING_ACTIVE, "False", str(verdict), condition_text or problem)
        self.combination = Combination(verdict=verdict, proposal=-1, winner=None, error=problem)
        return None

    def _evaluate_metrics(self, pods: list[Pod]) -> None:
        situation = Situation(pods, self.now_ns, self.rules, self.down_tolerance, self.up_tolerance)
        question = Question(
            situation, self.hpa.metadata.namespace or "default", self.current, self.observation.status_replicas
        )
        answers = self.observation.answers
        for index, metric in enumerate(self.spec.metrics):
            answer = answers[index] if index < len(answers) else NO_ANSWER
            outcome = evaluate(metric, answer, question)
            if outcome.reason:
                self.events.append(f"Warning {outcome.reason}: {outcome.trace.error}")
            self.outcomes.append(outcome)

    def _combine(self) -> Combination:
        """The highest valid proposal. With a failed metric among them, a lower count than now is not acted on."""
        replicas = 0
        winner = first_failure = None
        invalid = 0
        for index, outcome in enumerate(self.outcomes):
            if outcome.reason:
                invalid += 1
                first_failure = first_failure or outcome
                continue
            proposal = outcome.trace.calculation.replicas
            if replicas == 0 or proposal > replicas:
                replicas, winner = proposal, index
        error = ""
        if not self.outcomes:
            # The API server fills in a metric where there is none, so upstream never comes here.
            error = "the HPA names no metric"
            self.status.set(SCALING_ACTIVE, "False", "InvalidMetricSourceType", UNABLE_TO_COMPUTE + error)
            return Combination(Reason.INVALID_METRICS, -1, None, 0, error)
        if first_failure is not None:
            count = f"{invalid} invalid out of {len(self.outcomes)}"
            error = f"invalid metrics ({count}), first error is: {first_failure.wrapped}"
            if winner is None or replicas < self.current:
                message = UNABLE_TO_COMPUTE + first_failure.trace.error
                self.status.set(SCALING_ACTIVE, "False", first_failure.reason, message)
                return Combination(Reason.INVALID_METRICS, -1, winner, invalid, error)
        name = "" if winner is None else self.outcomes[winner].trace.name
        self.status.set(SCALING_ACTIVE, "True", "ValidMetricFound", FOUND_METRIC + name)
        return Combination(Reason.VALID_METRIC_FOUND, replicas, winner, invalid, error)

    def _winner_name(self) -> str:
        assert self.combination is not None
        winner = self.combination.winner
        return "" if winner is None else self.outcomes[winner].trace.name

    def _normalize(self, raw: int) -> int:
        """Stabilisation, then policies and bounds."""
        behavior = self.spec.behavior
        now_ns, saturate = self.now_ns, self.rules.saturate
        if behavior is None:
            window_ns = self.rules.downscale_stabilization_ns
            step, self.recommendations = stabilize_legacy(
                self.recommendations, raw, window_ns, now_ns, with_entries=self.with_trace
            )
            limits = limit_legacy(self.current, step.stabilized, (self.minimum, self.maximum), saturate=saturate)
        else:
            up, down = behavior.scale_up or DEFAULT_SCALE_UP, behavior.scale_down or DEFAULT_SCALE_DOWN
            down_seconds = down.stabilization_window_seconds
            if down_seconds is None:
                down_seconds = to_int32(self.rules.downscale_stabilization_ns / NANOSECONDS, saturate)
            up_ns = (up.stabilization_window_seconds or 0) * NANOSECONDS
            step, self.recommendations = stabilize_behavior(
                self.recommendations,
                self.current,
                raw,
                up_ns=up_ns,
                down_ns=down_seconds * NANOSECONDS,
                now_ns=now_ns,
                with_entries=self.with_trace,
            )
            rules = up if step.stabilized > self.current else down
            past = Past(self.scale_ups, self.scale_downs, now_ns)
            limits = limit_behavior(
                self.current, step.stabilized, (self.minimum, self.maximum), rules, past, saturate=saturate
            )
        self.stabilization, self.limits = step, limits
        self.status.set(ABLE_TO_SCALE, "True", str(step.reason), MESSAGES[step.reason])
        self.status.set(
            SCALING_LIMITED, "True" if limits.bound else "False", str(limits.reason), MESSAGES[limits.reason]
        )
        return limits.limited

    def _rescale(self, branch: Reason, desired: int, reason: str) -> Decision:
        update_error = self.observation.scale_update_error
        if update_error is not None:
            self.events.append(f"Warning FailedRescale: New size: {desired}; reason: {reason}; error: {update_error}")
            self.status.set(ABLE_TO_SCALE, "False", "FailedUpdateScale", SCALE_NOT_WRITTEN + update_error)
            return self._end(
                branch, Reason.FAILED_UPDATE_SCALE, self.status.desired_replicas, wanted=desired, reason=reason
            )
        self.status.set(ABLE_TO_SCALE, "True", "SucceededRescale", f"{WROTE_SCALE}{desired}")
        self.events.append(f"Normal SuccessfulRescale: New size: {desired}; reason: {reason}")
        self._store_event(desired)
        if self.rules.scale_to_zero:
            if self.current > 0 and desired == 0 and self.minimum == 0 and self.has_outside_metric:
                self.status.set(SCALED_TO_ZERO, "True", "ScaledToZero", WENT_TO_ZERO)
            else:
                self.status.set(SCALED_TO_ZERO, "False", "NotScaledToZero", DID_NOT_GO_TO_ZERO)
        elif self.rules.remembers_zero:
            self.status.remove(SCALED_TO_ZERO)
        return self._end(branch, Reason.RESCALED, desired, wanted=desired, reason=reason)

    def _store_event(self, desired: int) -> None:
        behavior = self.spec.behavior
        if behavior is None:
            return
        if desired > self.current:
            rules = behavior.scale_up or DEFAULT_SCALE_UP
            self.scale_ups = store_scale_event(self.scale_ups, desired - self.current, rules, self.now_ns)
        else:
            rules = behavior.scale_down or DEFAULT_SCALE_DOWN
            self.scale_downs = store_scale_event(self.scale_downs, self.current - desired, rules, self.now_ns)

    def _keep(self, branch: Reason) -> Decision:
        return self._end(branch, Reason.UNCHANGED, self.current)

    def _give_up(self) -> Decision:
        """Nothing may be computed: nothing is scaled or remembered, the desired count of the status stays."""
        assert self.combination is not None
        last_words = f"Warning FailedComputeMetricsReplicas: {self.combination.error}"
        return self._end(Reason.COMPUTED, self.combination.verdict, self.status.desired_replicas, last_words=last_words)

    def _end(
        self,
        branch: Reason,
        outcome: Reason,
        desired: int,
        *,
        wanted: int | None = None,
        reason: str = "",
        last_words: str = "",
    ) -> Decision:
        """Writes the status; `last_words` is the event that comes after that."""
        rescaled = outcome is Reason.RESCALED
        metrics = tuple([each.status for each in self.outcomes])
        if outcome is Reason.FAILED_GET_SCALE:
            status = self.status.conditions_only()
        else:
            status = self.status.complete(self.current, desired, metrics, rescaled, self._generation())
        write_error = self.observation.status_update_error
        if write_error is not None and self.status.differs(status):
            self.events.append(f"Warning FailedUpdateStatus: {write_error}")
            status = self.status.before
        if last_words:
            self.events.append(last_words)
        memory = Memory(
            recommendations=self.recommendations, scale_ups=self.scale_ups, scale_downs=self.scale_downs, status=status
        )
        return Decision(
            desired_replicas=status.desired_replicas,
            replicas=desired if rescaled else self.current,
            rescaled=rescaled,
            reason=reason,
            conditions=status.conditions,
            events=tuple(self.events),
            current_metrics=status.current_metrics,
            trace=self._trace(branch, outcome, self.current if wanted is None else wanted),
            memory=memory,
        )

    def _generation(self) -> int | None:
        """status.observedGeneration: from 1.37 on the generation that was looked at."""
        return self.hpa.metadata.generation if self.rules.observes_generation else None

    def _trace(self, branch: Reason, outcome: Reason, final: int) -> Trace:
        stabilization, limits = self.stabilization, self.limits
        bound = []
        if stabilization is not None and stabilization.held:
            bound.append(Reason.STABILIZED)
        if limits is not None and limits.bound:
            by_rate = limits.reason in {Reason.SCALE_UP_LIMIT, Reason.SCALE_DOWN_LIMIT}
            bound.append(Reason.POLICY_LIMITED if by_rate else Reason.REPLICA_LIMIT)
        elif branch in {Reason.ABOVE_MAX_REPLICAS, Reason.BELOW_MIN_REPLICAS}:
            bound.append(Reason.REPLICA_LIMIT)
        if limits is not None and final != limits.limited:
            bound.append(Reason.REPLICA_LIMIT)
        return Trace(
            kubernetes=self.controller.kubernetes,
            now_ns=self.now_ns,
            branch=branch,
            outcome=outcome,
            current_replicas=self.current,
            status_replicas=self.observation.status_replicas,
            min_replicas=self.minimum,
            max_replicas=self.maximum,
            scale_down_tolerance=self.down_tolerance,
            scale_up_tolerance=self.up_tolerance,
            desired_replicas=final,
            bound_by=tuple(bound),
            metrics=tuple([each.trace for each in self.outcomes]) if self.with_trace else (),
            combination=self.combination if self.with_trace else None,
            stabilization=stabilization if self.with_trace else None,
            limits=limits if self.with_trace else None,
        )


def _looks_at_pods(metric: MetricSpec) -> bool:
    """Whether a metric is computed from the pods: all but averages of one sum over status.replicas."""
    if metric.type == "External":
        return metric.external is None or metric.external.target.average_value is None
    if metric.type == "Object":
        return metric.object is None or metric.object.target.type != "AverageValue"
    return True
