"""A decision in one plain sentence, for logs, tables and people who want to know now."""

from inflight.hpa.trace import Limits, MetricTrace, PodGroups, Reason, Stabilization, Trace
from inflight.objects import Quantity

_NANOSECONDS = 1_000_000_000


def summarize(trace: Trace) -> str:
    """`5 -> 8: ...`: what happened to the count, what asked for it, and what held it."""
    match trace.outcome:
        case Reason.FAILED_GET_SCALE:
            return f"stays at {trace.current_replicas}: the target's scale could not be read, so nothing was done"
        case Reason.INVALID_SELECTOR | Reason.AMBIGUOUS_SELECTOR:
            assert trace.combination is not None
            return f"stays at {trace.current_replicas}: {trace.combination.error}"
        case Reason.INVALID_METRICS:
            return f"stays at {trace.current_replicas}: {_invalid(trace)}"
    change = _change(trace)
    match trace.branch:
        case Reason.SCALING_DISABLED:
            return f"{change}: scaling is disabled, somebody else set the target to 0"
        case Reason.ABOVE_MAX_REPLICAS:
            return f"{change}: more than maxReplicas ({trace.max_replicas}), metrics were not asked"
        case Reason.BELOW_MIN_REPLICAS:
            return f"{change}: fewer than minReplicas ({trace.min_replicas}), metrics were not asked"
    parts = [_wish(trace), _held(trace)]
    if trace.combination is not None and trace.combination.invalid:
        parts.append(f"{trace.combination.invalid} of {len(trace.metrics)} metrics failed")
    return f"{change}: {'; '.join(part for part in parts if part)}"


def _change(trace: Trace) -> str:
    current, desired = trace.current_replicas, trace.desired_replicas
    if trace.outcome is Reason.FAILED_UPDATE_SCALE:
        return f"{current}, wanted {desired} but the scale could not be written"
    return f"{current} -> {desired}" if desired != current else f"stays at {current}"


def _invalid(trace: Trace) -> str:
    failed = [metric for metric in trace.metrics if metric.error]
    if not failed:
        return trace.combination.error if trace.combination else "no metric could be computed"
    first = failed[0]
    text = f"{metric_label(first)} failed ({first.error})"
    if len(failed) < len(trace.metrics):
        return f"{text}, and without all metrics the count is not lowered"
    if len(failed) > 1:
        text += f" and so did the other {len(failed) - 1}"
    return text + ", so nothing is known and nothing changes"


def _wish(trace: Trace) -> str:
    """What the winning metric says."""
    combination = trace.combination
    if combination is None or combination.winner is None:
        return ""
    metric = trace.metrics[combination.winner]
    return f"{metric_label(metric)} is {_value(metric)}: {_verdict(metric)}"


def metric_label(metric: MetricTrace) -> str:
    """`external metric inflight_requests`."""
    names = {
        "External": "external metric",
        "Pods": "pods metric",
        "Object": "object metric",
        "Resource": "resource",
        "ContainerResource": "container resource",
    }
    return f"{names.get(metric.source, 'metric')} {metric.metric}".rstrip()


def _value(metric: MetricTrace) -> str:
    calculation = metric.calculation
    if metric.target_kind == "Utilization":
        return f"at {calculation.utilization_percent}% of the requests (target {metric.target}%)" + _asides(
            calculation.pods
        )
    if metric.target_kind == "Value":
        return f"{plain(calculation.usage_milli)} (target {plain(metric.target)})"
    if metric.source in {"External", "Object"}:
        total, replicas = calculation.total_milli or 0, calculation.counted or 0
        each = f"{plain(calculation.usage_milli)} each, " if replicas > 0 else ""
        return f"{plain(total)} over {count_of(replicas, 'replica')} ({each}target {plain(metric.target)})"
    pods = len(calculation.pods.ready) if calculation.pods else 0
    return (
        f"{plain(calculation.usage_milli)} on average over {count_of(pods, 'pod')} (target {plain(metric.target)})"
        + _asides(calculation.pods)
    )


def _asides(pods: PodGroups | None) -> str:
    if pods is None:
        return ""
    parts = [
        f"{len(group)} {word}"
        for group, word in ((pods.unready, "unready"), (pods.missing, "without a value"), (pods.ignored, "ignored"))
        if group
    ]
    return f", {', '.join(parts)}" if parts else ""


def _verdict(metric: MetricTrace) -> str:
    match metric.calculation.verdict:
        case Reason.WITHIN_TOLERANCE:
            return f"within tolerance, {metric.calculation.replicas} kept"
        case Reason.DIRECTION_CHANGED | Reason.AGAINST_DIRECTION:
            return f"undecided once the other pods are counted in, {metric.calculation.replicas} kept"
    return f"{metric.calculation.replicas} wanted"


def _held(trace: Trace) -> str:
    parts = []
    stabilization, limits = trace.stabilization, trace.limits
    if stabilization is not None and stabilization.held:
        parts.append(_stabilized(stabilization, trace.now_ns))
    if limits is not None and limits.bound:
        parts.append(_limited(limits))
    if limits is not None and limits.limited != trace.desired_replicas:
        parts.append(f"raised to {trace.desired_replicas} by minReplicas")
    return "; ".join(parts) if parts else "limited by nothing"


def _stabilized(step: Stabilization, now_ns: int) -> str:
    down = step.reason is Reason.SCALE_DOWN_STABILIZED
    window = (step.scale_down_window_ns if down else step.scale_up_window_ns) / _NANOSECONDS
    extreme = "higher" if down else "lower"
    text = f"held at {step.stabilized} by {extreme} recommendations of the last {window:g} s"
    if step.clear_at_ns is not None:
        text += f", the last of which leaves in {(step.clear_at_ns - now_ns) / _NANOSECONDS:g} s"
    return text


def _limited(limits: Limits) -> str:
    match limits.reason:
        case Reason.TOO_MANY_REPLICAS:
            return f"limited to {limits.limited} by maxReplicas"
        case Reason.TOO_FEW_REPLICAS:
            return f"raised to {limits.limited} by minReplicas"
    if not limits.select_policy:
        return f"limited to {limits.limited}: at most double (or 4) in one sync"
    if limits.select_policy == "Disabled":
        return f"limited to {limits.limited}: scaling {limits.direction} is disabled by the policy"
    binding = [policy for policy in limits.policies if policy.limit == limits.rate_limit] or list(limits.policies)
    if not binding:
        # No policy at all: an HPA that the API server would not take.
        return f"limited to {limits.limited}: no policy allows to scale {limits.direction}"
    policy = binding[0]
    amount = f"{policy.value}%" if policy.type == "Percent" else count_of(policy.value, "pod")
    return f"limited to {limits.limited} by the policy of {amount} in {policy.period_seconds} s"


def count_of(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plain(milli: int) -> str:
    """Thousandths as people write numbers; the controller's own averages are cut to thousandths."""
    if abs(milli) >= 10**15:
        return str(Quantity.from_milli(milli))
    whole, rest = divmod(abs(milli), 1000)
    digits = f"{whole}.{rest:03d}".rstrip("0").rstrip(".")
    return f"-{digits}" if milli < 0 else digits
