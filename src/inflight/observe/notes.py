"""What an experienced reader of HPAs would add: a rollout that is under way, a count that goes up and down, a zero that
nothing can wake. Each note has a stable code; the sentences say what it means for this HPA.
"""

import itertools
from collections import Counter
from enum import StrEnum

import msgspec

from inflight.hpa import Decision, Record
from inflight.hpa.change import window_seconds
from inflight.hpa.summary import count_of, metric_label
from inflight.hpa.trace import Reason
from inflight.objects import MetricSpec, Pod
from inflight.observe.hold import clock
from inflight.observe.looking.history import History, Rescale

NANOSECONDS = 1_000_000_000
TEMPLATE_LABELS = ("pod-template-hash", "controller-revision-hash")
FLAPPING_TURNS = 3
_SHOWN = 6
_Run = list[Rescale]
"""Rescales that follow each other in one direction."""


class NoteCode(StrEnum):
    """Stable codes."""

    SCALE_ERROR = "ScaleError"
    """The target's scale cannot be read: what the controller is told."""
    NOT_SYNCING = "NotSyncing"
    """Watched: the values move, and the controller writes nothing of it."""
    ROLLOUT = "Rollout"
    FLAPPING = "Flapping"
    RESCALES = "Rescales"
    ZERO_STUCK = "ZeroStuck"
    """From zero nothing can be computed, because no metric is left that needs no pods."""
    ZERO_BY_HPA = "ZeroByHPA"
    METRICS_API = "MetricsAPI"
    """The API behind a failed metric: not registered, or not available."""
    METRIC_NAMES = "MetricNames"
    """The API answers; names that come near the one that it does not have."""
    VALUE_BY_READY_PODS = "ValueByReadyPods"
    """A Value target multiplies with the pods that are ready, and some are not."""


class Note(msgspec.Struct, frozen=True):
    code: NoteCode
    text: str


def notes_of(record: Record, decision: Decision, history: History) -> tuple[Note, ...]:
    """In the order in which they matter."""
    notes = [
        _scale_error(record),
        _zero(record, decision),
        _value_target(decision),
        _rollout(record),
        _past(record, history),
    ]
    return tuple(note for note in notes if note is not None)


def _scale_error(record: Record) -> Note | None:
    error, target = record.observation.scale_get_error, record.hpa.spec.scale_target_ref
    if error is None:
        return None
    shown = f"{target.kind} {target.name} ({target.api_version or 'without apiVersion'})"
    text = (
        f"The scale of {shown} cannot be read: {error}. Until scaleTargetRef names something that is there and has a"
        " scale, the HPA does nothing, and its other conditions are those of an earlier sync."
    )
    return Note(NoteCode.SCALE_ERROR, text)


def _zero(record: Record, decision: Decision) -> Note | None:
    trace = decision.trace
    if trace.current_replicas != 0 or trace.branch is not Reason.COMPUTED:
        return None
    kinds = {metric.type for metric in record.hpa.spec.metrics}
    if not kinds & {"Object", "External"}:
        text = "At zero there are no pods to ask, and this HPA has no Object or External metric: nothing can wake it."
        return Note(NoteCode.ZERO_STUCK, text)
    if trace.combination is not None and trace.combination.verdict is not Reason.VALID_METRIC_FOUND:
        text = "While its metrics fail it stays at zero, also if minReplicas is raised: metrics come first."
        return Note(NoteCode.ZERO_STUCK, text)
    condition = next((each for each in record.hpa.status.conditions if each.type == "ScaledToZero"), None)
    since = ""
    if condition is not None and condition.status == "True" and condition.last_transition_time is not None:
        since = f" at {clock(condition.last_transition_time, record.now_ns)}"
    text = (
        f"The HPA itself went to zero{since}, so it goes on asking its metrics; from zero there is no tolerance: the"
        " first value above 0 wakes it."
    )
    return Note(NoteCode.ZERO_BY_HPA, text)


def _value_target(decision: Decision) -> Note | None:
    for metric in decision.trace.metrics:
        counted, wanted = metric.calculation.counted, decision.trace.current_replicas
        if metric.target_kind == "Value" and not metric.error and counted is not None and 0 <= counted < wanted:
            text = (
                f"A Value target multiplies with the pods that are running and ready: {counted}, where the target has"
                f" {wanted}. Pods that still start lower the proposal of {metric_label(metric)}; an AverageValue"
                " target does not depend on them."
            )
            return Note(NoteCode.VALUE_BY_READY_PODS, text)
    return None


def _rollout(record: Record) -> Note | None:
    pods = [pod for pod in record.observation.pods if pod.metadata.deletion_timestamp is None]
    templates = Counter(template for pod in pods if (template := _template(pod)))
    if len(templates) < 2:
        return None
    parts = []
    for template, count in templates.most_common(_SHOWN):
        ready = sum(pod.is_ready for pod in pods if _template(pod) == template)
        parts.append(f"{count_of(count, 'pod')} of template {template} ({ready} ready)")
    seen = record.observation
    surge = ""
    if seen.status_replicas != seen.replicas:
        surge = f" The target's status counts {seen.status_replicas} where {seen.replicas} are asked for"
        averaged = any(_is_over_status(metric) for metric in record.hpa.spec.metrics)
        surge += ": averages of External and Object metrics are over the former." if averaged else "."
    return Note(NoteCode.ROLLOUT, f"A rollout is under way: {', '.join(parts)}.{surge}")


def _is_over_status(metric: MetricSpec) -> bool:
    source = metric.external or metric.object
    return source is not None and source.target.average_value is not None


def _template(pod: Pod) -> str:
    return next((pod.metadata.labels[label] for label in TEMPLATE_LABELS if label in pod.metadata.labels), "")


def _past(record: Record, history: History) -> Note | None:
    rescales = history.rescales
    if not rescales:
        return None
    runs = _runs(rescales)
    turns = [(before, after) for before, after in itertools.pairwise(runs) if None not in {_up(before), _up(after)}]
    # Between two times at the same count there was another one, also where events do not tell it.
    turned = max(len(turns), 2 * (history.most_often - 1))
    path = " -> ".join(str(each.replicas) for each in rescales[-_SHOWN:])
    now_ns = record.now_ns
    if turned < FLAPPING_TURNS:
        last = rescales[-1]
        since = f" since {clock(rescales[-_SHOWN:][0].at_ns, now_ns)}" if len(rescales) > 1 else ""
        start = f"{rescales[0].before} -> " if rescales[0].before is not None and len(rescales) <= _SHOWN else ""
        at = clock(last.at_ns, now_ns)
        text = f"Rescales told by its events{since}: {start}{path}, last at {at} ({last.reason})."
        return Note(NoteCode.RESCALES, text)
    return Note(NoteCode.FLAPPING, _flapping(record, history, turns, turned))


def _flapping(record: Record, history: History, turns: list[tuple[_Run, _Run]], turned: int) -> str:
    rescales = history.rescales
    span = (rescales[-1].at_ns - rescales[0].at_ns) / NANOSECONDS
    count = max(history.count, len(rescales))
    window = window_seconds(record, upwards=False)
    if turned > len(turns):
        sizes = [each.replicas for each in rescales]
        extent = f"{min(sizes)} to {max(sizes)}"
        text = f"{count} rescales within {_span(span)} turned round at least {turned} times ({extent})."
        low = 2 * span / turned
        low_text = f"Down and up again takes some {low:.0f} s"
    else:
        path = " -> ".join(str(each.replicas) for each in rescales[-_SHOWN:])
        text = f"{count} rescales within {_span(span)} turned round {turned} times ({path})."
        low = max((after[0].at_ns - before[-1].at_ns for before, after in turns if _up(after)), default=0) / NANOSECONDS
        low_text = f"A low lasted up to {low:.0f} s after its scale-down"
    bridge = min((int(window + low) // 30 + 1) * 30, 3600)
    advice = (
        f" {low_text}; the scale-down window is {window} s, and one of {bridge} s would have held the count through it."
    )
    return f"The count goes up and down: {text}{advice if low else ''}"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _runs(rescales: tuple[Rescale, ...]) -> list[_Run]:
    return [list(run) for _, run in itertools.groupby(rescales, key=lambda each: each.is_upwards)]


def _up(run: _Run) -> bool | None:
    return run[0].is_upwards
