"""Rate policies and bounds: how far one sync may go (Kubernetes pkg/controller/podautoscaler/horizontal.go).

Counts are int32 in upstream and wrap as such; percentages are doubles, which is not always the rational result
(10 replicas and 80 % down leave 1, not 2).
"""

import msgspec

from inflight.hpa.memory import ScaleEvent
from inflight.hpa.numbers import MAX_INT32, MIN_INT32, ceiling_int32, to_int32, wrap_int32
from inflight.hpa.trace import Limits, PolicyLimit, Reason
from inflight.objects import HPAScalingPolicy, HPAScalingRules

NANOSECONDS = 1_000_000_000


class Past(msgspec.Struct, frozen=True):
    """What this controller has written, and the moment from which it is looked at."""

    ups: tuple[ScaleEvent, ...]
    downs: tuple[ScaleEvent, ...]
    now_ns: int

    def changes(self, period_seconds: int) -> tuple[int, int]:
        """Replicas added and removed within the period."""
        cutoff_ns = self.now_ns - period_seconds * NANOSECONDS
        return _changes_after(self.ups, cutoff_ns), _changes_after(self.downs, cutoff_ns)


def limit_legacy(current: int, stabilized: int, bounds: tuple[int, int], *, saturate: bool) -> Limits:
    """Without behavior: at most double (but at least 4) per sync, down without limit. `bounds` are min and max."""
    minimum, maximum = bounds
    rate_limit = to_int32(max(2.0 * current, 4.0), saturate)
    ceiling, reason = maximum, Reason.TOO_MANY_REPLICAS
    if maximum > rate_limit:
        ceiling, reason = rate_limit, Reason.SCALE_UP_LIMIT
    limited = stabilized
    if stabilized < minimum:
        limited, reason = minimum, Reason.TOO_FEW_REPLICAS
    elif stabilized > ceiling:
        limited = ceiling
    else:
        reason = Reason.DESIRED_WITHIN_RANGE
    direction = _direction(current, stabilized)
    return Limits(stabilized=stabilized, limited=limited, reason=reason, direction=direction, rate_limit=rate_limit)


def limit_behavior(
    current: int, stabilized: int, bounds: tuple[int, int], rules: HPAScalingRules, past: Past, *, saturate: bool
) -> Limits:
    """With behavior: `rules` are those of the direction in which the stabilised count lies."""
    minimum, maximum = bounds
    direction = _direction(current, stabilized)
    if not direction:
        return Limits(stabilized=stabilized, limited=stabilized, reason=Reason.DESIRED_WITHIN_RANGE, direction="")
    upwards = direction == "up"
    policies = _policy_limits(current, rules, past, upwards=upwards, saturate=saturate)
    rate_limit = _select(current, rules, policies, upwards)
    if upwards:
        rate_limit = max(rate_limit, current)
        limited = min(stabilized, maximum, rate_limit)
        reason = Reason.SCALE_UP_LIMIT if maximum > rate_limit else Reason.TOO_MANY_REPLICAS
    else:
        rate_limit = min(rate_limit, current)
        limited = max(stabilized, minimum, rate_limit)
        reason = Reason.SCALE_DOWN_LIMIT if minimum < rate_limit else Reason.TOO_FEW_REPLICAS
    return Limits(
        stabilized=stabilized,
        limited=limited,
        reason=Reason.DESIRED_WITHIN_RANGE if limited == stabilized else reason,
        direction=direction,
        select_policy=rules.select_policy or "Max",
        rate_limit=rate_limit,
        policies=policies,
    )


def _direction(current: int, stabilized: int) -> str:
    if stabilized > current:
        return "up"
    return "down" if stabilized < current else ""


def _select(current: int, rules: HPAScalingRules, policies: tuple[PolicyLimit, ...], upwards: bool) -> int:
    """Max selects the largest change, Min the smallest; Disabled allows none."""
    if rules.select_policy == "Disabled":
        return current
    if upwards == (rules.select_policy != "Min"):
        return max((policy.limit for policy in policies), default=MIN_INT32)
    return min((policy.limit for policy in policies), default=MAX_INT32)


def _policy_limits(
    current: int, rules: HPAScalingRules, past: Past, *, upwards: bool, saturate: bool
) -> tuple[PolicyLimit, ...]:
    if rules.select_policy == "Disabled":
        return ()
    return tuple(
        _policy_limit(current, policy, past, upwards=upwards, saturate=saturate) for policy in rules.policies or ()
    )


def _policy_limit(current: int, policy: HPAScalingPolicy, past: Past, *, upwards: bool, saturate: bool) -> PolicyLimit:
    added, removed = past.changes(policy.period_seconds)
    start = wrap_int32(wrap_int32(current - added) + removed)
    if policy.type == "Pods":
        limit = wrap_int32(start + policy.value if upwards else start - policy.value)
    elif upwards:
        limit = ceiling_int32(start * (1 + policy.value / 100), saturate)
    else:
        limit = to_int32(start * (1 - policy.value / 100), saturate)
    return PolicyLimit(
        type=policy.type,
        value=policy.value,
        period_seconds=policy.period_seconds,
        start=start,
        added=added,
        removed=removed,
        limit=limit,
    )


def _changes_after(events: tuple[ScaleEvent, ...], cutoff_ns: int) -> int:
    total = 0
    for event in events:
        if event.at_ns > cutoff_ns:
            total += event.change
    return wrap_int32(total)


def store_scale_event(
    events: tuple[ScaleEvent, ...], change: int, rules: HPAScalingRules, now_ns: int
) -> tuple[ScaleEvent, ...]:
    """The list after a successful rescale.

    Entries older than the direction's longest period are flagged for good, and the last flagged one is overwritten.
    """
    longest = max((policy.period_seconds for policy in rules.policies or ()), default=0)
    cutoff = now_ns - longest * NANOSECONDS
    flagged = [
        ScaleEvent(event.change, event.at_ns, True) if event.at_ns < cutoff and not event.outdated else event
        for event in events
    ]
    new = ScaleEvent(wrap_int32(change), now_ns)
    for index in range(len(flagged) - 1, -1, -1):
        if flagged[index].outdated:
            flagged[index] = new
            break
    else:
        flagged.append(new)
    return tuple(flagged)
