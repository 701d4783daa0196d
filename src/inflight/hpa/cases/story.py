"""Plays a story: one sync a step, the memory handed from one to the next."""

from collections.abc import Iterator, Mapping
from typing import Any

from inflight.hpa.cases.lines import (
    LAST_MOMENT,
    CaseError,
    Step,
    StoryLine,
    read_answers,
    read_controller,
    read_moment,
    read_pods,
)
from inflight.hpa.controller import NEWEST_JUDGED, to_nanoseconds
from inflight.hpa.decide import decide
from inflight.hpa.decision import Decision
from inflight.hpa.memory import Memory
from inflight.hpa.observation import FailedAnswer, MetricAnswer, Observation
from inflight.hpa.record import Record, make_record
from inflight.objects import (
    HorizontalPodAutoscaler,
    LabelSelector,
    MetricSpec,
    ObjectError,
    ReleaseError,
    SelectorError,
    decode_hpa,
    find_release,
    set_defaults,
    to_plain,
    validate,
)

_FIRST_RELEASE_AT_ONCE = 37
"""From 1.37 on the first sync comes at once, before it one period after the start."""


def play_story(line: StoryLine, architecture: str = "amd64") -> list[dict[str, Any]]:
    """What each sync left, as the format writes it. Raises CaseError."""
    return [_entry(decision) for decision in story_decisions(line, architecture)]


def story_decisions(line: StoryLine, architecture: str = "amd64") -> list[Decision]:
    """The decision of each step. Raises CaseError."""
    if not line.steps:
        raise CaseError("the case has no steps")
    player = StoryPlayer(line, architecture)
    return [player.play(step or Step()) for step in line.steps]


class StoryPlayer:
    """A story as it goes on: the target's count, the controller's memory and the time of the next sync."""

    def __init__(self, line: StoryLine, architecture: str = "amd64") -> None:
        """Raises CaseError where the case cannot be played at all."""
        self.controller = read_controller(line, architecture)
        self.hpa, minor = _admit(line)
        self._period_ns = to_nanoseconds(self.controller.sync_period_seconds)
        if self._period_ns <= 0:
            raise CaseError("controller.syncPeriodSeconds must be above 0")
        self.now_ns = int(read_moment(line.start, "start"))
        if minor < _FIRST_RELEASE_AT_ONCE:
            self.now_ns += self._period_ns
        self._keys = [metric_keys(metric) for metric in self.hpa.spec.metrics]
        self._selector = line.scale.selector or ""
        self.memory = Memory(status=self.hpa.status)
        self.replicas = line.scale.replicas

    def play(self, step: Step) -> Decision:
        """One sync; then the time of the next one has come. Raises CaseError."""
        decision = decide(self.hpa, self.see(step), self.memory, self.now_ns, self.controller)
        self.go_on(decision)
        return decision

    def see(self, step: Step) -> Observation:
        """What the sync that is due sees of the cluster. Raises CaseError."""
        if self.now_ns > LAST_MOMENT:
            raise CaseError(f"the story goes on after {LAST_MOMENT}")
        if step.scale is not None and step.scale.replicas is not None:
            self.replicas = step.scale.replicas
        answers = read_answers(step.metrics, self.now_ns)
        errors = step.scale_errors
        return Observation(
            replicas=self.replicas,
            status_replicas=self.replicas if step.status_replicas is None else step.status_replicas,
            selector=self._selector,
            pods=read_pods(step.pods),
            answers=tuple(_find(answers, *each) for each in self._keys),
            scale_get_error=errors.get if errors else None,
            scale_update_error=errors.update if errors else None,
        )

    def go_on(self, decision: Decision) -> None:
        """The target and the memory as the decision leaves them, and the next period."""
        self.memory, self.replicas = decision.memory, decision.replicas
        self.now_ns += self._period_ns


def story_records(line: StoryLine, architecture: str = "amd64") -> Iterator[Record]:
    """A record of each step's sync. Raises CaseError, at the latest at the step that cannot be played."""
    if not line.steps:
        raise CaseError("the case has no steps")
    player = StoryPlayer(line, architecture)
    for step in line.steps:
        seen, memory, now_ns = player.see(step or Step()), player.memory, player.now_ns
        decision = decide(player.hpa, seen, memory, now_ns, player.controller)
        yield make_record(player.hpa, seen, memory, now_ns, player.controller, decision=decision)
        player.go_on(decision)


def _admit(line: StoryLine) -> tuple[HorizontalPodAutoscaler, int]:
    """The HPA as the API server stores it, and the minor release. Raises CaseError where it is refused."""
    kubernetes, gates = NEWEST_JUDGED if line.kubernetes is None else line.kubernetes, line.feature_gates
    try:
        release = find_release(kubernetes, gates)
        hpa = set_defaults(decode_hpa(line.hpa), kubernetes, gates)
        refusals = validate(hpa, kubernetes, gates)
    except (ObjectError, ReleaseError) as error:
        raise CaseError(str(error)) from error
    if refusals:
        raise CaseError("; ".join(str(each) for each in refusals))
    return hpa, release.minor


def metric_keys(metric: MetricSpec) -> tuple[str, str]:
    """The key of a metric's answer, and the suffix of its selector (empty without one)."""
    match metric.type:
        case "Resource" if metric.resource is not None:
            return f"resource/{metric.resource.name}", ""
        case "ContainerResource" if metric.container_resource is not None:
            source = metric.container_resource
            return f"containerResource/{source.name}/{source.container}", ""
        case "Pods" if metric.pods is not None:
            return f"pods/{metric.pods.metric.name}", _suffix(metric.pods.metric.selector)
        case "Object" if metric.object is not None:
            return f"object/{metric.object.metric.name}", _suffix(metric.object.metric.selector)
        case "External" if metric.external is not None:
            return f"external/{metric.external.metric.name}", _suffix(metric.external.metric.selector)
    return "", ""


def _suffix(selector: LabelSelector | None) -> str:
    if selector is None:
        return ""
    try:
        text = str(selector.to_selector())
    except SelectorError:
        # The sync itself says what is wrong with it, and asks nothing.
        return ""
    return f"?{text}" if text else ""


def _find(answers: Mapping[str, MetricAnswer], key: str, suffix: str) -> MetricAnswer:
    answer = answers.get(key + suffix) if suffix else None
    if answer is None:
        answer = answers.get(key)
    return FailedAnswer(f"no answer for {key}") if answer is None else answer


def _entry(decision: Decision) -> dict[str, Any]:
    entry: dict[str, Any] = to_plain(
        {"conditions": decision.conditions, "currentMetrics": decision.current_metrics, "events": decision.events}
    )
    for condition in entry["conditions"]:
        # What Go writes although it is empty.
        condition.setdefault("type", "")
        condition.setdefault("status", "")
    return {"replicas": decision.replicas, "desiredReplicas": decision.desired_replicas, **entry}
