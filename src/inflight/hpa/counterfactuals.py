"""What would have to be different for another count: the nearest change of each input, found with `decide` itself.

Each answer is proved where it is found: the change gives another count, one step less does not. Between them lies
nothing. A decision can leave a count and come back to it within a narrow band (pods filled in the other way); such a
band further out than the first eight steps may be stepped over.
"""

from collections.abc import Callable, Iterator

import msgspec

from inflight.hpa.change import (
    Change,
    Input,
    apply_change,
    target_field,
    target_of,
    tolerance_milli,
    window_seconds,
)
from inflight.hpa.decision import Decision
from inflight.hpa.memory import Memory
from inflight.hpa.observation import ExternalAnswer, FailedAnswer, MetricAnswer, ObjectAnswer, PodsAnswer
from inflight.hpa.record import Record
from inflight.hpa.remembered import reach_of
from inflight.hpa.summary import metric_label, plain
from inflight.hpa.trace import MetricTrace, Reason

_NEAR = 8
"""So many steps are all tried; from there on the step doubles."""
_FURTHEST = 2**40
_MAX_PODS = 50
_WITHOUT = {Reason.FAILED_GET_SCALE, Reason.INVALID_SELECTOR, Reason.AMBIGUOUS_SELECTOR}


class Counterfactual(msgspec.Struct, frozen=True):
    """The nearest change of one input in one direction that gives another count."""

    change: Change
    before: str
    after: str
    replicas: int
    """The count that it would have been."""
    text: str
    """A sentence without its full stop: `with maxReplicas 12 instead of 10: 11`."""


class _Search:
    """One decision, and how to make it again with something changed."""

    def __init__(self, record: Record, memory: Memory, decision: Decision) -> None:
        self.record = record
        self.memory = memory
        self.decision = decision
        self.base = decision.trace.desired_replicas

    def metric(self, index: int | None) -> MetricTrace | None:
        metrics = self.decision.trace.metrics
        return metrics[index] if index is not None and index < len(metrics) else None

    def changed(self, change: Change) -> int | None:
        """The count with the change; None where it cannot be made."""
        return count_with(change, self.record, self.memory, self.decision)

    def nearest(self, change: Change, furthest: int = _FURTHEST) -> tuple[Change, int] | None:
        """`change.amount` is 1 or -1, the direction. The nearest amount with another count, and that count."""
        sign = change.amount

        def outcome(steps: int) -> int | None:
            return self.changed(msgspec.structs.replace(change, amount=sign * steps))

        same, steps = 0, 1
        while True:
            steps = min(steps, furthest)
            count = outcome(steps)
            if count is None:
                # The input ends before: the last step that can be made is the one to try.
                steps = _last_possible(outcome, same, steps)
                count = outcome(steps) if steps > same else None
                if count is None or count == self.base:
                    return None
            if count != self.base:
                return self._bisect(change, same, steps, count)
            if steps >= furthest:
                return None
            same = steps
            steps = steps + 1 if steps < _NEAR else steps * 2

    def _bisect(self, change: Change, same: int, other: int, count: int) -> tuple[Change, int]:
        sign = change.amount
        while other - same > 1:
            middle = (same + other) // 2
            found = self.changed(msgspec.structs.replace(change, amount=sign * middle))
            if found is None or found == self.base:
                same = middle
            else:
                other, count = middle, found
        return msgspec.structs.replace(change, amount=sign * other), count


def _last_possible(outcome: Callable[[int], int | None], possible: int, impossible: int) -> int:
    while impossible - possible > 1:
        middle = (possible + impossible) // 2
        if outcome(middle) is None:
            impossible = middle
        else:
            possible = middle
    return possible


def count_with(change: Change, record: Record, memory: Memory, decision: Decision) -> int | None:
    """The count with the change made to the inputs of `decision`; None where it cannot be made."""
    metrics = decision.trace.metrics
    metric = metrics[change.metric] if change.metric is not None and change.metric < len(metrics) else None
    changed = apply_change(record, change, metric)
    if changed is None:
        return None
    if change.input is Input.TIME:
        # A later sync remembers this one, and so a controller that has just started does not start again.
        memory = decision.memory
    return changed.decide(memory).trace.desired_replicas


def find_counterfactuals(record: Record, memory: Memory, decision: Decision) -> tuple[Counterfactual, ...]:
    """The nearest changes, the most telling first. `decision` is that of `record` with `memory`."""
    if decision.trace.outcome in _WITHOUT:
        return ()
    search = _Search(record, memory, decision)
    return tuple(
        each
        for kind in (_of_values, _of_pods, _of_time, _of_targets, _of_bounds, _of_tolerances, _of_windows)
        for each in kind(search)
    )


def _in_order(search: _Search) -> list[int]:
    """The metrics, the winner first."""
    metrics = range(len(search.decision.trace.metrics))
    combination = search.decision.trace.combination
    winner = combination.winner if combination else None
    return sorted(metrics, key=lambda index: index != winner)


def _of_values(search: _Search) -> Iterator[Counterfactual]:
    for index in _in_order(search):
        metric = search.metric(index)
        total = _total(search.record.observation.answers[index], metric)
        if metric is None or total is None:
            continue
        unit = _unit(search.record.observation.answers[index])
        for sign in (1, -1):
            found = search.nearest(Change(Input.METRIC_VALUE, sign, unit, index))
            if found is None:
                continue
            change, count = found
            amount, after = plain(abs(change.amount) * unit), plain(total + change.amount * unit)
            word = "more" if sign > 0 else "less"
            text = f"with {amount} {word} of {metric.metric} in all ({after} instead of {plain(total)}): {count}"
            yield Counterfactual(change, plain(total), after, count, text)


def _total(answer: MetricAnswer, metric: MetricTrace | None) -> int | None:
    """What a change of the value is added to; None where there is no value to change."""
    match answer:
        case ObjectAnswer(value_milli=value):
            return value
        case ExternalAnswer(values_milli=values) if values:
            return sum(values)
        case PodsAnswer(values=values) if metric is not None and metric.calculation.pods is not None:
            ready = [values[name].value_milli for name in metric.calculation.pods.ready if name in values]
            return sum(ready) if ready else None
    return None


def _unit(answer: MetricAnswer) -> int:
    """Whole numbers are changed by whole numbers."""
    match answer:
        case ObjectAnswer(value_milli=value):
            values: tuple[int, ...] = (value,)
        case ExternalAnswer(values_milli=series):
            values = series
        case PodsAnswer(values=pods):
            values = tuple(each.value_milli for each in pods.values())
        case FailedAnswer():
            values = ()
    return 1000 if all(value % 1000 == 0 for value in values) else 1


def _of_pods(search: _Search) -> Iterator[Counterfactual]:
    """Pods that are unready or have no value, if they counted."""
    for index in _in_order(search):
        metric = search.metric(index)
        if metric is None or metric.error or metric.calculation.pods is None:
            continue
        groups = metric.calculation.pods
        for word, pods in (
            ("unready", tuple(aside.name for aside in groups.unready)),
            ("without a value", groups.missing),
        ):
            change = Change(Input.PODS_READY, 1, 1, index, pods[:_MAX_PODS])
            found = search.nearest(change, len(change.pods)) if pods else None
            if found is None:
                continue
            change, count = found
            chosen = change.pods[: change.amount]
            who = f"pod {chosen[0]}, now {word}," if len(chosen) == 1 else f"{len(chosen)} of {len(pods)} pods {word}"
            value = f"with its own value or the average {plain(metric.calculation.usage_milli)}"
            text = f"with {who} ready and counted for {metric_label(metric)} ({value}): {count}"
            before, after = f"{len(pods)} {word}", f"{len(pods) - change.amount} {word}"
            yield Counterfactual(change, before, after, count, text)


def _of_time(search: _Search) -> Iterator[Counterfactual]:
    """Only where nothing was written: after a write the next sync starts from another count."""
    if search.decision.trace.desired_replicas != search.decision.trace.current_replicas:
        return
    reach = reach_of(search.record.hpa, search.record.controller)
    furthest = reach.longest_ns // 10**9 + round(search.record.controller.cpu_initialization_period_seconds) + 1
    found = search.nearest(Change(Input.TIME, 1), max(furthest, 1))
    if found is not None:
        change, count = found
        yield Counterfactual(
            change, "now", f"in {change.amount} s", count, f"in {change.amount} s, all else the same: {count}"
        )


def _of_targets(search: _Search) -> Iterator[Counterfactual]:
    for index in _in_order(search):
        metric, entry = search.metric(index), search.record.hpa.spec.metrics[index]
        field, target = target_field(entry), target_of(entry)
        if metric is None or metric.error or not field or target is None:
            continue
        is_percent = field == "average_utilization"
        unit = 1 if is_percent or metric.target % 1000 else 1000
        for sign in (-1, 1):
            found = search.nearest(Change(Input.TARGET, sign, unit, index))
            if found is None:
                continue
            change, count = found
            after = metric.target + change.amount * unit
            shown = [f"{each}%" if is_percent else plain(each) for each in (metric.target, after)]
            text = f"with a target of {shown[1]} instead of {shown[0]} for {metric_label(metric)}: {count}"
            yield Counterfactual(change, shown[0], shown[1], count, text)


def _of_bounds(search: _Search) -> Iterator[Counterfactual]:
    spec = search.record.hpa.spec
    minimum = 1 if spec.min_replicas is None else spec.min_replicas
    for input_, word, before in (
        (Input.MAX_REPLICAS, "maxReplicas", spec.max_replicas),
        (Input.MIN_REPLICAS, "minReplicas", minimum),
    ):
        for sign in (1, -1):
            found = search.nearest(Change(input_, sign))
            if found is not None:
                change, count = found
                after = before + change.amount
                text = f"with {word} {after} instead of {before}: {count}"
                yield Counterfactual(change, str(before), str(after), count, text)


def _of_tolerances(search: _Search) -> Iterator[Counterfactual]:
    """The tolerance of the direction in which the winning metric points."""
    combination = search.decision.trace.combination
    metric = search.metric(combination.winner) if combination else None
    ratio = metric.calculation.ratio if metric else None
    if ratio is None or ratio == 1:
        return
    upwards = ratio > 1
    input_ = Input.SCALE_UP_TOLERANCE if upwards else Input.SCALE_DOWN_TOLERANCE
    before = tolerance_milli(search.record, upwards)
    for sign in (-1, 1):
        found = search.nearest(Change(input_, sign), 10_000)
        if found is not None:
            change, count = found
            shown = plain(before), plain(before + change.amount)
            direction = "up" if upwards else "down"
            text = f"with a tolerance of {shown[1]} instead of {shown[0]} when scaling {direction}: {count}"
            yield Counterfactual(change, shown[0], shown[1], count, text)


def _of_windows(search: _Search) -> Iterator[Counterfactual]:
    stabilization = search.decision.trace.stabilization
    if stabilization is None or not stabilization.held:
        return
    upwards = stabilization.reason is Reason.SCALE_UP_STABILIZED
    before = window_seconds(search.record, upwards)
    found = search.nearest(Change(Input.SCALE_UP_WINDOW if upwards else Input.SCALE_DOWN_WINDOW, -1))
    if found is not None:
        change, count = found
        after = before + change.amount
        text = f"with a scale-{'up' if upwards else 'down'} window of {after} s instead of {before} s: {count}"
        yield Counterfactual(change, f"{before} s", f"{after} s", count, text)
