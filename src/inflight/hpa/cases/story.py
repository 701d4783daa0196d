"""Plays a story: one sync a step, the memory handed from one to the next."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from inflight.hpa.cases.keys import find_answer, metric_keys
from inflight.hpa.cases.lines import (
    LAST_MOMENT,
    MAX_SECONDS,
    YEAR_2000,
    CaseError,
    OtherHpa,
    ScaleErrors,
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
from inflight.hpa.observation import Observation
from inflight.hpa.pods import select_pods
from inflight.hpa.record import Record, make_record
from inflight.hpa.trace import Reason
from inflight.objects import (
    HorizontalPodAutoscaler,
    ObjectError,
    Pod,
    Release,
    ReleaseError,
    SelectorError,
    decode_hpa,
    find_release,
    parse_selector,
    set_defaults,
    to_plain,
    validate,
)

_FIRST_RELEASE_AT_ONCE = 37
"""From 1.37 on the first sync comes at once, before it one period after the start."""
_MARGIN_NS = 10_000_000
"""What lies between an edit and the syncs before and after it, and between the syncs of two HPAs: their order must be
certain."""
_CONFLICTING_WRITES = 5
"""So often client-go writes the scale before it gives up on a conflict."""
_CONFLICT = "the object has been modified"


def play_story(line: StoryLine, architecture: str = "amd64") -> tuple[list[dict[str, Any]], list[Decision]]:
    """What each sync left, as the format writes it, and the decision behind it. Raises CaseError."""
    player = StoryPlayer(line, architecture)
    entries, decisions = [], []
    for step in steps_of(line):
        decision = player.play(step)
        decisions.append(decision)
        entries.append(_entry(decision, player.replicas))
    return entries, decisions


def story_records(line: StoryLine, architecture: str = "amd64") -> Iterator[Record]:
    """A record of each step's sync. Raises CaseError, at the latest at the step that cannot be played."""
    player = StoryPlayer(line, architecture)
    for step in steps_of(line):
        seen, memory, now_ns = player.see(step), player.memory, player.now_ns
        decision = decide(player.hpa, seen, memory, now_ns, player.controller)
        yield make_record(player.hpa, seen, memory, now_ns, player.controller, decision=decision)
        player.go_on(decision)


def steps_of(line: StoryLine) -> list[Step]:
    """Raises CaseError where there are none."""
    if not line.steps:
        raise CaseError("the case has no steps")
    return [step or Step() for step in line.steps]


class StoryPlayer:
    """A story as it goes on: the HPA, the target's count, the controller's memory and the time."""

    def __init__(self, line: StoryLine, architecture: str = "amd64") -> None:
        """Raises CaseError where the case cannot be played at all."""
        self.controller = read_controller(line, architecture)
        self.hpa, self._release = _admit(line)
        self._period_ns = to_nanoseconds(self.controller.sync_period_seconds)
        if self._period_ns <= 0:
            raise CaseError("controller.syncPeriodSeconds must be above 0")
        self._starts_at_once = self._release.minor >= _FIRST_RELEASE_AT_ONCE
        start_ns = int(read_moment(line.start, "start"))
        if any(step is not None and step.other_hpas for step in line.steps):
            self._check_others(line, start_ns)
        self.due_ns = start_ns if self._starts_at_once else start_ns + self._period_ns
        """When the next sync comes by itself."""
        self._played = 0
        self._selector = line.scale.selector or ""
        self._overwritten: int | None = None
        self.now_ns = start_ns
        """Of the last sync."""
        self.memory = Memory(status=self.hpa.status)
        self.replicas = line.scale.replicas

    def play(self, step: Step) -> Decision:
        """One sync. Raises CaseError."""
        seen = self.see(step)
        decision = decide(self.hpa, seen, self.memory, self.now_ns, self.controller)
        self.go_on(decision)
        return decision

    def see(self, step: Step) -> Observation:
        """Lets happen what comes before the sync of the step, and says what the sync sees. Raises CaseError."""
        self._move_on(step)
        if self.now_ns > LAST_MOMENT:
            raise CaseError(f"the story goes on after {LAST_MOMENT}")
        if step.scale is not None and step.scale.replicas is not None:
            self.replicas = step.scale.replicas
        answers = read_answers(step.metrics, self.now_ns)
        pods = read_pods(step.pods)
        errors = step.scale_errors or ScaleErrors()
        update_error, self._overwritten = errors.update, None
        if errors.conflicts:
            update_error = None
            if errors.conflicts >= _CONFLICTING_WRITES:
                update_error = _CONFLICT if errors.update is None else errors.update
                self._overwritten = errors.replicas
        keys = [metric_keys(metric) for metric in self.hpa.spec.metrics]
        return Observation(
            replicas=self.replicas,
            status_replicas=self.replicas if step.status_replicas is None else step.status_replicas,
            selector=self._selector,
            pods=pods,
            answers=tuple(find_answer(answers, *each) for each in keys),
            scale_get_error=errors.get,
            scale_update_error=update_error,
            status_update_error=step.status_error,
            selecting_hpas=self._selecting(step.other_hpas, pods) if step.other_hpas else (),
        )

    def go_on(self, decision: Decision) -> None:
        """The target and the memory as the decision leaves them."""
        self.memory, self.replicas = decision.memory, decision.replicas
        if self._overwritten is not None and decision.outcome is Reason.FAILED_UPDATE_SCALE:
            self.replicas = self._overwritten

    def _move_on(self, step: Step) -> None:
        """To the moment of the step's sync, past a restart or an edit before it."""
        first = self._played == 0
        self._played += 1
        late = step.late_seconds or 0.0
        if not 0 <= late <= MAX_SECONDS:
            raise CaseError(f"lateSeconds: {late} is no wait")
        if first and step.hpa is not None:
            raise CaseError("hpa: nobody has seen the HPA before the first step")
        if step.restart and not first:
            if step.hpa is not None:
                self._replace(step.hpa)
            self.memory = self.memory.after_restart()
            if not self._starts_at_once:
                self.due_ns += self._period_ns
        elif step.hpa is not None:
            edited_ns = self._edited_at(step.edited_after_seconds)
            if self._replace(step.hpa) and self._release.enabled("HPAGeneration"):
                if late:
                    raise CaseError("lateSeconds: a sync that an edit brings about is not late")
                # The sync that was due before the edit still comes.
                self.now_ns = edited_ns
                return
        self.now_ns = self.due_ns + to_nanoseconds(late)
        self.due_ns = self.now_ns + self._period_ns

    def _edited_at(self, after_seconds: float | None) -> int:
        """The moment of an edit between the last sync and the next. Raises CaseError."""
        if after_seconds is None:
            edited_ns = self.now_ns + (self.due_ns - self.now_ns) // 2
        elif abs(after_seconds) < MAX_SECONDS:
            edited_ns = self.now_ns + to_nanoseconds(after_seconds)
        else:
            raise CaseError(f"editedAfterSeconds: {after_seconds} is no wait")
        if edited_ns < self.now_ns + _MARGIN_NS or edited_ns > self.due_ns - _MARGIN_NS:
            raise CaseError("editedAfterSeconds: the edit has to come 10 ms after the last sync and before the next")
        return edited_ns

    def _replace(self, written: dict[str, Any]) -> bool:
        """Takes an edited HPA's spec as the API server stores it; whether it is another one. Raises CaseError."""
        old, controller = self.hpa, self.controller
        spec = written.get("spec")
        if spec is None:
            raise CaseError("hpa: it has no spec")
        try:
            edited = decode_hpa({"spec": spec})
            edited = msgspec.structs.replace(edited, metadata=old.metadata, status=old.status)
            edited = set_defaults(edited, controller.kubernetes, controller.feature_gates, old)
            refusals = validate(edited, controller.kubernetes, controller.feature_gates, old)
        except ObjectError as error:
            raise CaseError(str(error)) from error
        if refusals:
            raise CaseError("; ".join(str(each) for each in refusals))
        changed = edited.spec != old.spec
        generation = old.metadata.generation + (changed and self._release.enabled("HPAGeneration"))
        metadata = msgspec.structs.replace(old.metadata, generation=generation)
        self.hpa = msgspec.structs.replace(old, metadata=metadata, spec=edited.spec)
        return changed

    def _check_others(self, line: StoryLine, start_ns: int) -> None:
        """Refuses what would leave open whether the controller knows another HPA at a sync. Raises CaseError."""
        if self._period_ns < 4 * _MARGIN_NS or start_ns - self._period_ns < YEAR_2000:
            raise CaseError(
                "with otherHpas the story starts a sync period after 2000 or later, and the period is 40 ms or more"
            )
        for step in steps_of(line):
            if step.late_seconds or step.restart or step.hpa is not None:
                raise CaseError("with otherHpas no sync is late, nothing is edited and nothing restarts")

    def _selecting(self, others: Sequence[OtherHpa], pods: tuple[Pod, ...]) -> tuple[str, ...]:
        """This HPA and the others that select one of its pods. Raises CaseError."""
        given = [other.name for other in others]
        if len({*given, self.hpa.metadata.name, ""}) != len(given) + 2 or any("/" in name for name in given):
            raise CaseError("otherHpas: each has a name of its own")
        for other in others:
            if other.selector is not None:
                _check_selector(other.selector)
        namespace = self.hpa.metadata.namespace
        try:
            mine = select_pods(pods, namespace, self._selector)
        except SelectorError:
            return ()
        names = [self.hpa.metadata.name]
        for other in others:
            selector = self._selector if other.selector is None else other.selector
            if selector and select_pods(mine, namespace, selector):
                names.append(other.name)
        return tuple(f"{namespace}/{name}" for name in names)


def _check_selector(text: str) -> None:
    try:
        parse_selector(text)
    except SelectorError as error:
        raise CaseError(f"otherHpas: {error}") from error
    if not text:
        raise CaseError("otherHpas: a selector is not empty")


def _admit(line: StoryLine) -> tuple[HorizontalPodAutoscaler, Release]:
    """The HPA as the API server stores it, and the release. Raises CaseError where it is refused."""
    kubernetes, gates = NEWEST_JUDGED if line.kubernetes is None else line.kubernetes, line.feature_gates
    try:
        release = find_release(kubernetes, gates)
        hpa = set_defaults(decode_hpa(line.hpa), kubernetes, gates)
        refusals = validate(hpa, kubernetes, gates)
    except (ObjectError, ReleaseError) as error:
        raise CaseError(str(error)) from error
    if refusals:
        raise CaseError("; ".join(str(each) for each in refusals))
    if not hpa.metadata.name:
        raise CaseError("hpa: it has no name")
    if release.enabled("HPAGeneration"):
        hpa = msgspec.structs.replace(hpa, metadata=msgspec.structs.replace(hpa.metadata, generation=1))
    return hpa, release


def _entry(decision: Decision, replicas: int) -> dict[str, Any]:
    """What the sync left, as the format writes it; `replicas` is the target's count after it."""
    entry: dict[str, Any] = to_plain(
        {"conditions": decision.conditions, "currentMetrics": decision.current_metrics, "events": decision.events}
    )
    for condition in entry["conditions"]:
        # What Go writes although it is empty.
        condition.setdefault("type", "")
        condition.setdefault("status", "")
    return {"replicas": replicas, "desiredReplicas": decision.desired_replicas, **entry}
