"""The replica calculator: from the values of one metric to a proposal.

The order of operations is that of Kubernetes pkg/controller/podautoscaler/replica_calculator.go: averages are int64
divisions towards zero, utilisation is a whole percentage, ratios are doubles, counts are the ceiling cut to int32.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from inflight.hpa.controller import Rules
from inflight.hpa.numbers import (
    MAX_INT32,
    MAX_INT64,
    ceiling_int32,
    ceiling_int64,
    divide,
    quotient,
    wrap_int32,
    wrap_int64,
)
from inflight.hpa.observation import PodMetric
from inflight.hpa.pods import RequestError, group_pods, is_running_and_ready, requests_of
from inflight.hpa.trace import Calculation, PodGroups, Reason, SecondPass
from inflight.objects import Pod

NO_PODS = "no pods returned by selector while calculating replica count"
NO_USABLE_PODS = "did not receive metrics for targeted pods (pods might be unready)"
NO_MATCHING_PODS = "no metrics returned matched known pods"


class Situation(msgspec.Struct, frozen=True):
    """What all metrics of one sync share."""

    pods: Sequence[Pod]
    """The pods of the target."""
    now_ns: int
    rules: Rules
    scale_down_tolerance: float
    scale_up_tolerance: float

    def tolerates(self, ratio: float) -> bool:
        """Whether the ratio is too close to 1 to act on. NaN never is."""
        if self.rules.tolerance_by_bounds:
            return 1.0 - self.scale_down_tolerance <= ratio <= 1.0 + self.scale_up_tolerance
        return abs(1.0 - ratio) <= self.scale_down_tolerance


def failed(error: str, failure: Reason, pods: PodGroups | None = None, ratio: float | None = None) -> Calculation:
    """A calculation without a proposal; `error` is the controller's text."""
    return Calculation(error=error, failure=failure, verdict=Reason.RECOMMENDATION_FAILED, pods=pods, ratio=ratio)


class _NoRequests(Exception):  # noqa: N818 - never leaves this module
    """The requests of all counted pods together are 0."""


def utilization(
    situation: Situation,
    values: Mapping[str, PodMetric],
    current: int,
    target_percent: int,
    *,
    resource: str,
    container: str = "",
) -> Calculation:
    """Resource and ContainerResource against a percentage of what the pods request."""
    groups, counted, problem = _group(situation, values, resource)
    if problem is not None:
        return problem
    try:
        requests = requests_of(situation.pods, container, resource, situation.rules)
    except RequestError as error:
        return failed(str(error), error.reason, groups)

    def measure(map_: Mapping[str, int]) -> tuple[float, int, int, int]:
        total = requested = entries = 0
        for name, value in map_.items():
            request = requests.get(name)
            if request is not None:
                total += value
                requested += request
                entries += 1
        total, requested = wrap_int64(total), wrap_int64(requested)
        if requested == 0:
            raise _NoRequests
        percent = wrap_int32(quotient(wrap_int64(total * 100), requested))
        return divide(float(percent), float(target_percent)), quotient(total, entries), total, percent

    def fill(name: str) -> int:
        return quotient(wrap_int64(requests[name] * max(100, target_percent)), 100)

    try:
        ratio, average, total, percent = measure(counted)
        replicas, verdict, second = _propose(
            situation, current, ratio, counted=counted, groups=groups, fill=fill, fill_name="request", measure=measure
        )
    except _NoRequests:
        return failed(NO_MATCHING_PODS, Reason.NO_MATCHING_PODS, groups)
    return Calculation(
        replicas=replicas,
        usage_milli=average,
        utilization_percent=percent,
        verdict=verdict,
        total_milli=total,
        ratio=ratio,
        counted=len(groups.ready),
        pods=groups,
        second_pass=second,
    )


def average_of_pods(
    situation: Situation, values: Mapping[str, PodMetric], current: int, target_milli: int, resource: str = ""
) -> Calculation:
    """Pods metrics (without a `resource`), and resources against an average value."""
    groups, counted, problem = _group(situation, values, resource)
    if problem is not None:
        return problem

    def measure(map_: Mapping[str, int]) -> tuple[float, int, int]:
        total = wrap_int64(sum(map_.values()))
        average = quotient(total, len(map_))
        return divide(float(average), float(target_milli)), average, total

    ratio, average, total = measure(counted)
    replicas, verdict, second = _propose(
        situation,
        current,
        ratio,
        counted=counted,
        groups=groups,
        fill=lambda _: target_milli,
        fill_name="target",
        measure=measure,
    )
    return Calculation(
        replicas=replicas,
        usage_milli=average,
        verdict=verdict,
        total_milli=total,
        ratio=ratio,
        counted=len(groups.ready),
        pods=groups,
        second_pass=second,
    )


def _group(
    situation: Situation, values: Mapping[str, PodMetric], resource: str
) -> tuple[PodGroups, dict[str, int], Calculation | None]:
    """The groups and the values that count: all that were answered but those of ignored and unready pods."""
    if not situation.pods:
        return PodGroups(ready=()), {}, failed(NO_PODS, Reason.NO_PODS)
    groups = group_pods(situation.pods, values, resource, situation.rules, situation.now_ns)
    counted = {name: metric.value_milli for name, metric in values.items()}
    for aside in groups.ignored:
        counted.pop(aside.name, None)
    for aside in groups.unready:
        counted.pop(aside.name, None)
    if not counted:
        return groups, counted, failed(NO_USABLE_PODS, Reason.NO_USABLE_PODS, groups)
    return groups, counted, None


def _propose(
    situation: Situation,
    current: int,
    ratio: float,
    *,
    counted: dict[str, int],
    groups: PodGroups,
    fill: Callable[[str], int],
    fill_name: str,
    measure: Callable[[Mapping[str, int]], tuple[float, ...]],
) -> tuple[int, Reason, SecondPass | None]:
    """The two passes that all metrics per pod share. `counted` is filled up in place for the second."""
    saturate = situation.rules.saturate
    fill_unready = bool(groups.unready) and ratio > 1.0
    if not fill_unready and not groups.missing:
        if situation.tolerates(ratio):
            return current, Reason.WITHIN_TOLERANCE, None
        return ceiling_int32(ratio * len(groups.ready), saturate), Reason.METRIC_RECOMMENDATION, None
    filled = ""
    if groups.missing and ratio < 1.0:
        filled = fill_name
        counted.update((name, fill(name)) for name in groups.missing)
    elif groups.missing and ratio > 1.0:
        filled = "0"
        counted.update(dict.fromkeys(groups.missing, 0))
    if fill_unready:
        counted.update((aside.name, 0) for aside in groups.unready)
    again = measure(counted)[0]
    second = SecondPass(ratio=again, counted=len(counted), missing_filled=filled, unready_filled=fill_unready)
    if situation.tolerates(again):
        return current, Reason.WITHIN_TOLERANCE, second
    if ratio < 1.0 < again or again < 1.0 < ratio:
        return current, Reason.DIRECTION_CHANGED, second
    replicas = ceiling_int32(again * len(counted), saturate)
    if (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current):
        return current, Reason.AGAINST_DIRECTION, second
    return replicas, Reason.METRIC_RECOMMENDATION, second


def ratio_of_value(situation: Situation, usage_milli: int, current: int, target_milli: int) -> Calculation:
    """Object and External against a Value: the ratio multiplies the pods that are ready. From zero it is the count."""
    ratio = divide(float(usage_milli), float(target_milli))
    saturate = situation.rules.saturate
    counted = None
    verdict = Reason.METRIC_RECOMMENDATION
    if current == 0:
        replicas = ceiling_int32(ratio, saturate)
    elif situation.tolerates(ratio):
        replicas, verdict = current, Reason.WITHIN_TOLERANCE
    elif not situation.pods:
        return failed(f"unable to calculate ready pods: {NO_PODS}", Reason.NO_PODS, ratio=ratio)
    else:
        counted = sum(1 for pod in situation.pods if is_running_and_ready(pod))
        wanted = ratio * counted
        capped = situation.rules.caps_value and wanted > MAX_INT32
        replicas = MAX_INT32 if capped else ceiling_int32(wanted, saturate)
    return Calculation(
        replicas=replicas,
        usage_milli=usage_milli,
        verdict=verdict,
        total_milli=usage_milli,
        ratio=ratio,
        counted=counted,
    )


def external_value(situation: Situation, values_milli: Sequence[int], current: int, target_milli: int) -> Calculation:
    """The sum of all series against a Value."""
    usage = 0
    for value in values_milli:
        if situation.rules.caps_value and value > 0 and usage > MAX_INT64 - value:
            usage = MAX_INT64
            break
        usage = wrap_int64(usage + value)
    return ratio_of_value(situation, usage, current, target_milli)


def object_average(situation: Situation, usage_milli: int, status_replicas: int, target_milli: int) -> Calculation:
    """One object's value spread over status.replicas."""
    replicas, verdict, ratio = _spread(situation, usage_milli, status_replicas, target_milli, capped=False)
    return Calculation(
        replicas=replicas,
        usage_milli=ceiling_int64(divide(float(usage_milli), float(status_replicas)), situation.rules.saturate),
        verdict=verdict,
        total_milli=usage_milli,
        ratio=ratio,
        counted=status_replicas,
    )


def external_average(
    situation: Situation, values_milli: Sequence[int], status_replicas: int, target_milli: int
) -> Calculation:
    """The sum of all series spread over status.replicas. A negative sum is taken for an overflow."""
    rules = situation.rules
    usage = 0
    for value in values_milli:
        usage = wrap_int64(usage + value)
        if rules.caps_external_average and usage < 0:
            usage = MAX_INT64
            break
    replicas, verdict, ratio = _spread(
        situation, usage, status_replicas, target_milli, capped=rules.caps_external_average
    )
    if rules.caps_external_average and float(usage) >= float(MAX_INT64):
        average = MAX_INT64
    else:
        average = ceiling_int64(divide(float(usage), float(status_replicas)), rules.saturate)
    return Calculation(
        replicas=replicas,
        usage_milli=average,
        verdict=verdict,
        total_milli=usage,
        ratio=ratio,
        counted=status_replicas,
    )


def _spread(
    situation: Situation, usage_milli: int, status_replicas: int, target_milli: int, capped: bool
) -> tuple[int, Reason, float]:
    ratio = divide(float(usage_milli), float(target_milli) * float(status_replicas))
    if situation.tolerates(ratio):
        return status_replicas, Reason.WITHIN_TOLERANCE, ratio
    wanted = divide(float(usage_milli), float(target_milli))
    if capped and wanted > MAX_INT32:
        return MAX_INT32, Reason.METRIC_RECOMMENDATION, ratio
    return ceiling_int32(wanted, situation.rules.saturate), Reason.METRIC_RECOMMENDATION, ratio
