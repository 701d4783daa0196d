"""The steps of a decision in sentences, each with its code: from the raw value to the final count.

Numbers are the controller's own: averages cut to thousandths, utilisation in whole percent. Nothing is computed here
that the trace does not say.
"""

import math
from collections.abc import Sequence

import msgspec

from inflight.hpa.summary import count_of, metric_label, plain
from inflight.hpa.trace import Limits, MetricTrace, PodSetAside, PolicyLimit, Reason, Stabilization, Trace
from inflight.objects import format_time

NANOSECONDS = 1_000_000_000
Tolerances = tuple[float, float]
_NAMED_PODS = 10
_WHY = {
    Reason.DELETING: "it is being deleted",
    Reason.FAILED: "it has failed",
    Reason.PENDING: "it is Pending",
    Reason.NO_READY_CONDITION: "it has no Ready condition yet",
    Reason.NO_START_TIME: "it has no start time yet",
    Reason.NOT_READY: "it is young and not ready",
    Reason.NEVER_READY: "it has never been ready",
    Reason.SAMPLE_BEFORE_READY: "it is young, and its sample does not yet cover a window after it became ready",
}


class PodNote(msgspec.Struct, frozen=True):
    """A pod that does not count as what it reports."""

    name: str
    code: str
    """`Missing`, or why it was set aside."""
    counts_as: str
    """`0`, `target`, `request`, or `nothing`."""


class Step(msgspec.Struct, frozen=True):
    """One step, in order."""

    step: str
    """`scale`, `metric`, `combination`, `stabilization`, `limits` or `outcome`."""
    code: Reason
    text: str
    replicas: int | None
    """The count after the step; None where it has none."""
    bound: bool = False
    """Whether the step changed the count."""
    metric: int | None = None
    """The position in spec.metrics."""
    pods: tuple[PodNote, ...] = ()


def steps_of(trace: Trace) -> tuple[Step, ...]:
    """Every step that the sync took."""
    steps = [_scale(trace)]
    steps += [
        metric_step(metric, (trace.scale_down_tolerance, trace.scale_up_tolerance), index)
        for index, metric in enumerate(trace.metrics)
    ]
    if trace.combination is not None:
        steps.append(_combination(trace))
    if trace.stabilization is not None:
        steps.append(_stabilization(trace, trace.stabilization))
    if trace.limits is not None:
        steps.append(_limits(trace, trace.limits))
    steps.append(_outcome(trace))
    return tuple(steps)


def _scale(trace: Trace) -> Step:
    current = trace.current_replicas
    bounds = f"minReplicas is {trace.min_replicas}, maxReplicas {trace.max_replicas}"
    lag = "" if trace.status_replicas == current else f" ({trace.status_replicas} in its status)"
    match trace.branch:
        case Reason.FAILED_GET_SCALE:
            return Step("scale", trace.branch, "The scale of the target could not be read.", None)
        case Reason.SCALING_DISABLED:
            text = "The target is at 0 and this HPA did not take it there: scaling is disabled until it is set above 0."
            return Step("scale", trace.branch, text, current)
        case Reason.ABOVE_MAX_REPLICAS:
            text = f"The target has {current}, more than maxReplicas {trace.max_replicas}: no metric is asked."
            return Step("scale", trace.branch, text, trace.max_replicas, bound=True)
        case Reason.BELOW_MIN_REPLICAS:
            text = f"The target has {current}, fewer than minReplicas {trace.min_replicas}: no metric is asked."
            return Step("scale", trace.branch, text, trace.min_replicas, bound=True)
    return Step("scale", trace.branch, f"The target has {count_of(current, 'replica')}{lag}; {bounds}.", current)


def metric_step(metric: MetricTrace, tolerances: Tolerances, index: int = 0) -> Step:
    """What one metric proposes and why. `tolerances`: those of scaling down and up."""
    calculation = metric.calculation
    if metric.error:
        code = calculation.failure or Reason.RECOMMENDATION_FAILED
        text = f"{_capital(metric_label(metric))} gives no proposal: {metric.error}."
        return Step("metric", code, text, None, metric=index, pods=_pod_notes(metric))
    sentences = [_value(metric, tolerances)]
    if calculation.second_pass is None:
        sentences.append(_first_verdict(metric, tolerances))
    else:
        sentences.append(_second_pass(metric, tolerances))
    sentences += _pods(metric)
    return Step(
        "metric",
        calculation.verdict,
        " ".join(each for each in sentences if each),
        calculation.replicas,
        metric=index,
        pods=_pod_notes(metric),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _value(metric: MetricTrace, tolerances: Tolerances) -> str:
    calculation, label = metric.calculation, _capital(metric_label(metric))
    # Over no replicas, or to a target of 0, there is no number to name.
    is_number = calculation.ratio is not None and math.isfinite(calculation.ratio)
    ratio = f", a ratio of {_ratio(calculation.ratio or 0.0, tolerances)}" if is_number else ""
    ready = len(calculation.pods.ready) if calculation.pods else 0
    match metric.target_kind:
        case "Utilization":
            used = f"{calculation.utilization_percent}% of what the pods request"
            over = f"{count_of(ready, 'counted pod')}, {plain(calculation.usage_milli)} each"
            return f"{label} is at {used} ({over}); the target is {metric.target}%{ratio}."
        case "Value":
            return f"{label} is {plain(calculation.usage_milli)}; the target is {plain(metric.target)}{ratio}."
    total = plain(calculation.total_milli or 0)
    if metric.source in {"External", "Object"}:
        replicas = calculation.counted or 0
        each = f", {plain(calculation.usage_milli)} each" if replicas > 0 else ""
        over = f"over the {count_of(replicas, 'replica')} of the target's status{each}"
        return f"{label} is {total} {over}; the target is {plain(metric.target)}{ratio}."
    over = f"over {count_of(ready, 'counted pod')}, {plain(calculation.usage_milli)} on average"
    return f"{label} is {total} {over}; the target is {plain(metric.target)}{ratio}."


def _ratio(ratio: float, tolerances: Tolerances) -> str:
    """Short, but never so short that it looks like the other side of a bound."""
    bounds = (1 - tolerances[0], 1.0, 1 + tolerances[1])
    short = f"{ratio:.4g}"
    return repr(ratio) if any(abs(ratio - bound) < 1e-3 for bound in bounds) and float(short) != ratio else short


def _band(tolerances: Tolerances) -> str:
    low, high = 1 - tolerances[0], 1 + tolerances[1]
    return f"{low:.6g} to {high:.6g}"


def _first_verdict(metric: MetricTrace, tolerances: Tolerances) -> str:
    calculation = metric.calculation
    wanted = calculation.replicas
    if calculation.verdict is Reason.WITHIN_TOLERANCE:
        kept = "status.replicas" if metric.source in {"External", "Object"} and _is_average(metric) else "the count"
        return f"That lies within the tolerance ({_band(tolerances)}), so {kept} stays: {wanted}."
    if _is_average(metric) and metric.source in {"External", "Object"}:
        return f"{plain(calculation.total_milli or 0)} / {plain(metric.target)}, rounded up: {wanted} wanted."
    if metric.target_kind == "Value" and calculation.counted is None:
        return f"From zero the ratio itself is the count, rounded up: {wanted} wanted."
    kind = "running and ready pod" if metric.target_kind == "Value" else "counted pod"
    return f"Times {count_of(calculation.counted or 0, kind)}, rounded up: {wanted} wanted."


def _is_average(metric: MetricTrace) -> bool:
    return metric.target_kind == "AverageValue"


def _second_pass(metric: MetricTrace, tolerances: Tolerances) -> str:
    calculation, second = metric.calculation, metric.calculation.second_pass
    assert second is not None
    ratio = "beyond all numbers" if second.ratio is None else _ratio(second.ratio, tolerances)
    text = f"Computed again over {count_of(second.counted, 'pod')} with those filled in the ratio is {ratio}"
    match calculation.verdict:
        case Reason.WITHIN_TOLERANCE:
            return f"{text}, within the tolerance ({_band(tolerances)}), so the count stays: {calculation.replicas}."
        case Reason.DIRECTION_CHANGED:
            return f"{text} and points the other way, so the count stays: {calculation.replicas}."
        case Reason.AGAINST_DIRECTION:
            return f"{text}, but the count from it lies on the wrong side, so it stays: {calculation.replicas}."
    return f"{text}; times {second.counted}, rounded up: {calculation.replicas} wanted."


def _pod_notes(metric: MetricTrace) -> tuple[PodNote, ...]:
    groups, second = metric.calculation.pods, metric.calculation.second_pass
    if groups is None:
        return ()
    unready = "0" if second is not None and second.unready_filled else "nothing"
    missing = (second.missing_filled if second is not None else "") or "nothing"
    return (
        *(PodNote(aside.name, str(aside.why), unready) for aside in groups.unready),
        *(PodNote(name, "Missing", missing) for name in groups.missing),
        *(PodNote(aside.name, str(aside.why), "nothing") for aside in groups.ignored),
    )


def _pods(metric: MetricTrace) -> list[str]:
    groups, second = metric.calculation.pods, metric.calculation.second_pass
    if groups is None:
        return []
    sentences = []
    if groups.unready:
        effect = "counts as 0" if second is not None and second.unready_filled else "is left out"
        sentences.append(_asides(groups.unready, f"is unready and {effect}"))
    if groups.missing:
        effects = {
            "target": "counts as the target",
            "request": f"counts as {max(100, metric.target)}% of its request",
            "0": "counts as 0",
        }
        effect = effects.get(second.missing_filled if second is not None else "", "is left out")
        sentences.append(_named(groups.missing, f"has no value and {effect}"))
    if groups.ignored:
        sentences.append(_asides(groups.ignored, "is passed over"))
    if groups.unknown:
        names = ", ".join(groups.unknown[:_NAMED_PODS])
        sentences.append(f"{count_of(len(groups.unknown), 'value')} for pods that the selector does not find: {names}.")
    return sentences


def _asides(asides: Sequence[PodSetAside], what: str) -> str:
    whys = list(dict.fromkeys(aside.why for aside in asides))
    return " ".join(
        _named([aside.name for aside in asides if aside.why is why], f"{what}: {_WHY.get(why, str(why))}")
        for why in whys
    )


def _named(names: Sequence[str], what: str) -> str:
    if len(names) == 1:
        return f"Pod {names[0]} {what}."
    shown = ", ".join(names[:_NAMED_PODS])
    more = f" and {len(names) - _NAMED_PODS} more" if len(names) > _NAMED_PODS else ""
    return f"{len(names)} pods, each of which {what} ({shown}{more})."


def _combination(trace: Trace) -> Step:
    combination = trace.combination
    assert combination is not None
    if combination.verdict is not Reason.VALID_METRIC_FOUND:
        text = f"Nothing is computed: {combination.error}."
        if combination.winner is not None:
            text = (
                f"{combination.invalid} of {len(trace.metrics)} metrics failed and the others want fewer replicas than "
                "there are: the count is not lowered without all metrics."
            )
        elif combination.verdict is Reason.INVALID_METRICS and trace.metrics:
            text = "No metric gives a proposal, so nothing is known and nothing changes."
        return Step("combination", combination.verdict, text, None, metric=combination.winner)
    proposals = [metric.calculation.replicas for metric in trace.metrics if not metric.error]
    wish = combination.proposal
    if len(proposals) < 2:
        text = f"The wish is {wish}."
    else:
        text = f"Of the proposals {', '.join(map(str, proposals))} the highest counts: {wish}."
    if combination.invalid:
        failed = f"{combination.invalid} of {count_of(len(trace.metrics), 'metric')} failed"
        text += f" {failed}; that only forbids to go down."
    return Step("combination", combination.verdict, text, wish, metric=combination.winner)


def _stabilization(trace: Trace, step: Stabilization) -> Step:
    if not step.held:
        down, up = step.scale_down_window_ns / NANOSECONDS, step.scale_up_window_ns / NANOSECONDS
        text = f"No remembered recommendation holds the count (windows: {down:g} s down, {up:g} s up)."
        return Step("stabilization", step.reason, text, step.stabilized)
    is_down = step.reason is Reason.SCALE_DOWN_STABILIZED
    window = (step.scale_down_window_ns if is_down else step.scale_up_window_ns) / NANOSECONDS
    extreme, direction = ("higher", "down") if is_down else ("lower", "up")
    text = f"Held at {step.stabilized} by {extreme} recommendations of the last {window:g} s (scale-{direction} window)"
    if step.binding:
        holder = max(step.binding, key=lambda entry: entry.until_ns)
        age = (trace.now_ns - holder.at_ns) / NANOSECONDS
        text += f": {holder.replicas} was wanted {age:g} s ago"
    text += "."
    if step.clear_at_ns is not None:
        left = (step.clear_at_ns - trace.now_ns) / NANOSECONDS
        text += f" The last that stands against {step.raw} leaves in {left:g} s, at {_spoken(step.clear_at_ns)}."
    return Step("stabilization", step.reason, text, step.stabilized, bound=True)


def _spoken(nanoseconds: int) -> str:
    """To the millisecond, which is enough to wait for it."""
    return moment(nanoseconds // 1_000_000 * 1_000_000)


def moment(nanoseconds: int) -> str:
    """RFC 3339, with a fraction only where there is one."""
    if nanoseconds % NANOSECONDS == 0:
        return format_time(nanoseconds)
    return format_time(nanoseconds, 3 if nanoseconds % 1_000_000 == 0 else 9)


def _limits(trace: Trace, limits: Limits) -> Step:
    sentences = [_policy(policy, limits.direction) for policy in limits.policies]
    if limits.select_policy == "Disabled":
        sentences.append(f"Scaling {limits.direction} is disabled.")
    elif len(limits.policies) > 1:
        extent = "largest" if limits.select_policy == "Max" else "smallest"
        sentences.append(f"selectPolicy {limits.select_policy} takes the {extent} change: {limits.rate_limit}.")
    sentences.append(_limit_verdict(trace, limits))
    return Step("limits", limits.reason, " ".join(sentences), limits.limited, bound=limits.bound)


def _policy(policy: PolicyLimit, direction: str) -> str:
    amount = f"{policy.value}%" if policy.type == "Percent" else count_of(policy.value, "pod")
    sign = "+" if direction == "up" else "-"
    written = ""
    if policy.added or policy.removed:
        written = f" (+{policy.added} and -{policy.removed} since)"
    reach = "at most" if direction == "up" else "at least"
    return (
        f"Policy {sign}{amount} in {policy.period_seconds} s: from {policy.start} at its beginning{written} to {reach}"
        f" {policy.limit}."
    )


def _limit_verdict(trace: Trace, limits: Limits) -> str:
    match limits.reason:
        case Reason.TOO_MANY_REPLICAS:
            return f"Limited to {limits.limited} by maxReplicas."
        case Reason.TOO_FEW_REPLICAS:
            return f"Raised to {limits.limited} by minReplicas."
        case Reason.SCALE_UP_LIMIT if not limits.select_policy:
            return f"Limited to {limits.limited}: without behavior a sync goes to double or to 4 at most."
        case Reason.SCALE_UP_LIMIT | Reason.SCALE_DOWN_LIMIT:
            return f"Limited to {limits.limited} by the rate of scaling {limits.direction}."
    return f"{limits.limited} lies within all limits ({trace.min_replicas} to {trace.max_replicas})."


def _outcome(trace: Trace) -> Step:
    current, desired = trace.current_replicas, trace.desired_replicas
    bound = trace.limits is not None and trace.limits.limited != desired
    raised = " From zero it is raised to minReplicas." if bound else ""
    match trace.outcome:
        case Reason.RESCALED:
            text = f"The target is set from {current} to {desired}.{raised}"
        case Reason.FAILED_UPDATE_SCALE:
            text = f"{desired} was wanted, but the scale could not be written: it stays at {current}.{raised}"
        case _:
            text = f"Nothing is written: it stays at {current}."
    return Step("outcome", trace.outcome, text, desired, bound=bound)
