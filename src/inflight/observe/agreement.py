"""What is computed now beside what the controller wrote itself in its last sync, and why the two differ if they do.

The controller's status is some seconds old: load moves on, somebody edits the HPA, a pod becomes ready. A difference
is put down to what is seen to have changed; then to the memory, where that can explain it; else it is said that it
cannot be explained from outside.
"""

from enum import StrEnum
from typing import Any

import msgspec

from inflight.hpa import Decision, Record
from inflight.hpa.controller import rules_of
from inflight.hpa.summary import metric_label, plain
from inflight.objects import HorizontalPodAutoscalerStatus, MetricStatus, TimeError, parse_time

_KINDS = ("AbleToScale", "ScalingActive", "ScalingLimited")
_AVERAGE = " on average"


class Agreement(StrEnum):
    """Stable codes."""

    AGREES = "Agrees"
    """The same count, for the same reason."""
    NEVER_SYNCED = "NeverSynced"
    """The controller has written nothing yet."""
    SPEC_CHANGED = "SpecChanged"
    """The HPA was edited after the last sync."""
    INPUTS_CHANGED = "InputsChanged"
    """Something that the controller read is another now."""
    MEMORY = "Memory"
    """The inputs are the same: what the controller remembers makes the difference."""
    UNEXPLAINED = "Unexplained"
    """The inputs are the same, and no memory explains it: flags, a gate, or rights are not what is assumed."""
    CONTROLLER_FORBIDDEN = "ControllerForbidden"
    """The metrics can be read by whoever asks here, and not by the controller."""


class InputChange(msgspec.Struct, frozen=True):
    """One thing that was another in the last sync."""

    what: str
    """`replicas`, or the metric's position in spec.metrics as `metrics[0]`."""
    then: str
    now: str


class ControllerStatus(msgspec.Struct, frozen=True):
    """The controller's last words."""

    desired_replicas: int
    current_replicas: int
    able_to_scale: str
    """Reason of the condition; empty where it is not there."""
    scaling_active: str
    scaling_limited: str
    """Left over from an earlier sync where ScalingActive is False, and after a bound was overstepped."""
    scaling_active_message: str = ""
    written_ns: int | None = None
    """When the status last changed, by its managed fields (whole seconds)."""


class Comparison(msgspec.Struct, frozen=True):
    code: Agreement
    controller: ControllerStatus
    changes: tuple[InputChange, ...]
    text: str


def compare(record: Record, decision: Decision, lowest: int, highest: int, written_ns: int | None) -> Comparison:
    """`record` holds the HPA with the status that was read; `decision` what is computed from the inputs of now."""
    status = record.hpa.status
    controller = _controller(status, written_ns)
    changes = input_changes(record, decision)
    code = _code(record, decision, changes, lowest, highest)
    return Comparison(code, controller, changes, _text(code, record, decision, changes))


def written_at(managed_fields: tuple[dict[str, Any], ...]) -> int | None:
    """When a status was last changed; None where nobody says."""
    times = []
    for entry in managed_fields:
        text = entry.get("time")
        if entry.get("subresource") == "status" and isinstance(text, str):
            try:
                times.append(int(parse_time(text)))
            except TimeError:
                continue
    return max(times, default=None)


def _condition(status: HorizontalPodAutoscalerStatus, kind: str) -> tuple[str, str, str]:
    found = next((each for each in status.conditions if each.type == kind), None)
    return ("", "", "") if found is None else (found.status, found.reason, found.message)


def _controller(status: HorizontalPodAutoscalerStatus, written_ns: int | None) -> ControllerStatus:
    active = _condition(status, "ScalingActive")
    return ControllerStatus(
        desired_replicas=status.desired_replicas,
        current_replicas=status.current_replicas,
        able_to_scale=_condition(status, "AbleToScale")[1],
        scaling_active=active[1],
        scaling_limited=_condition(status, "ScalingLimited")[1],
        scaling_active_message=active[2] if active[0] == "False" else "",
        written_ns=written_ns,
    )


def input_changes(record: Record, decision: Decision) -> tuple[InputChange, ...]:
    """Where the status tells another count or another value than is seen now."""
    status, seen = record.hpa.status, record.observation
    changes = []
    then = _count_left(status)
    if then is not None and seen.scale_get_error is None and then != seen.replicas:
        changes.append(InputChange("replicas", str(then), str(seen.replicas)))
    resized = status.current_replicas != seen.replicas
    # Where no metric was asked, a decision repeats what the status had.
    asked = decision.trace.metrics
    metrics = zip(status.current_metrics, decision.current_metrics, asked, strict=False)
    for index, (before, now, metric) in enumerate(metrics):
        texts = _value(before), _value(now)
        if seen.status_replicas == 0 and texts[1].endswith(_AVERAGE):
            # Over no replicas an average is no number: what the load was cannot be read from it.
            if decision.trace.desired_replicas != status.desired_replicas:
                total = plain(metric.calculation.total_milli or 0)
                changes.append(InputChange(f"metrics[{index}]", "not known (an average over no replica)", total))
            continue
        # An average over another number of replicas says nothing about the load.
        if texts[0] != texts[1] and not (resized and all(text.endswith(_AVERAGE) for text in texts)):
            changes.append(InputChange(f"metrics[{index}]", *texts))
    return tuple(changes)


def _count_left(status: HorizontalPodAutoscalerStatus) -> int | None:
    """The target's count after the last sync; None where the status does not say."""
    able, active = _condition(status, "AbleToScale"), _condition(status, "ScalingActive")
    if able[1] in {"", "FailedGetScale"}:
        return None
    # A sync that came to nothing leaves the desired count of an earlier one.
    return status.current_replicas if "False" in {able[0], active[0]} else status.desired_replicas


def _value(metric: MetricStatus) -> str:
    """A metric's current value as words; `failed` for the empty entry of a metric that failed."""
    source = metric.external or metric.pods or metric.object or metric.resource or metric.container_resource
    if not metric.type or source is None:
        return "failed"
    current = source.current
    if current.average_utilization is not None:
        return f"{current.average_utilization}%"
    if current.average_value is not None:
        return f"{current.average_value}{_AVERAGE}"
    return str(current.value) if current.value is not None else "failed"


def _code(record: Record, decision: Decision, changes: tuple[InputChange, ...], lowest: int, highest: int) -> Agreement:
    hpa = record.hpa
    status = hpa.status
    if not status.conditions:
        return Agreement.NEVER_SYNCED
    observed = status.observed_generation
    if observed is not None and observed < hpa.metadata.generation and rules_of(record.controller).observes_generation:
        return Agreement.SPEC_CHANGED
    ours, theirs = _active(decision), _condition(status, "ScalingActive")[:2]
    if theirs[0] == "False" and ours[0] != "False" and _is_about_rights(_condition(status, "ScalingActive")[2]):
        return Agreement.CONTROLLER_FORBIDDEN
    is_same = ours == theirs or not ours[0]
    desired = decision.trace.desired_replicas
    if is_same and (desired == status.desired_replicas or theirs[0] == "False"):
        return Agreement.AGREES
    if is_same and lowest <= status.desired_replicas <= highest:
        return Agreement.MEMORY
    return Agreement.INPUTS_CHANGED if changes else Agreement.UNEXPLAINED


def _active(decision: Decision) -> tuple[str, str]:
    """Of the condition ScalingActive, as this decision would write it."""
    found = next((each for each in decision.conditions if each.type == "ScalingActive"), None)
    return ("", "") if found is None else (found.status, found.reason)


def _is_about_rights(message: str) -> bool:
    return "forbidden" in message and "horizontal-pod-autoscaler" in message


def _text(code: Agreement, record: Record, decision: Decision, changes: tuple[InputChange, ...]) -> str:
    status = record.hpa.status
    desired, theirs = decision.trace.desired_replicas, status.desired_replicas
    reasons = ", ".join(reason for kind in _KINDS if (reason := _condition(status, kind)[1]))
    since = "; ".join(_spoken(change, decision) for change in changes)
    last_sync = f"The controller's last sync came to {theirs} ({reasons})"
    match code:
        case Agreement.NEVER_SYNCED:
            return (
                "The controller has not written anything about this HPA yet: it is new, or no controller manager runs."
            )
        case Agreement.SPEC_CHANGED:
            generation = record.hpa.metadata.generation
            return (
                f"The HPA was edited after the controller's last sync (generation {generation}, its status is about"
                f" {status.observed_generation})."
            )
        case Agreement.CONTROLLER_FORBIDDEN:
            return (
                "You may read these metrics, but the controller may not, so it does nothing of what is computed here:"
                f" {_condition(status, 'ScalingActive')[2]}"
            )
        case Agreement.AGREES:
            return f"{last_sync}, as is computed here." + (f" Since then: {since}." if since else "")
        case Agreement.INPUTS_CHANGED:
            return f"{last_sync}, now {desired} is computed. Since then: {since}."
        case Agreement.MEMORY:
            text = f"{last_sync}: what it remembers makes the difference to the {desired} computed without it."
            return text + (f" Since then: {since}." if since else "")
    message = _condition(status, "ScalingActive")[2] or _condition(status, "AbleToScale")[2]
    return (
        f"{last_sync}{': ' if message else ''}{message}. From the same inputs {desired} is computed: a flag of the"
        " controller manager, a feature gate or its release is not what is assumed, or it does not sync any more."
    )


def _spoken(change: InputChange, decision: Decision) -> str:
    if change.what == "replicas":
        return f"the target's count was {change.then}, now it is {change.now}, which was not the controller"
    index = int(change.what.removeprefix("metrics[").removesuffix("]"))
    return f"{metric_label(decision.trace.metrics[index])} was {change.then}, now {change.now}"
