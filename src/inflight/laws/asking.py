"""Who asks for the floor. An External request carries namespace, name and selector and no HPA, so the selector has to
name it: `matchLabels: {hpa: NAME}`. Without that two HPAs would read the sum of both floors.

What cannot work is answered with a sentence that says what to do: it ends up in the condition of the HPA.
"""

from collections.abc import Sequence

import msgspec

from inflight.objects import HorizontalPodAutoscaler, MetricSpec, Selector
from inflight.signals.foreign import printable
from inflight.signals.metric_names import find_metric

FLOOR_METRIC = "inflight_replica_floor"
HPA_LABEL = "hpa"
ANNOTATION = "inflight/replica-floor"
"""`report` on the HPA makes its floor only report."""

_ONE_MILLI = 1000
_SHOWN = 63


class Asker(msgspec.Struct, frozen=True):
    """The HPA that a question for the floor is for."""

    hpa: HorizontalPodAutoscaler
    independent: bool
    """Another of its metrics has a value while there are no pods."""
    report_only: bool


def find_asker(selector: Selector, hpas: Sequence[HorizontalPodAutoscaler]) -> Asker | str:
    """The asker among the HPAs of the question's namespace, or why the floor cannot work for it."""
    name = _named(selector)
    if not name:
        return (
            f"{FLOOR_METRIC} is asked without the name of the HPA: an External metric does not say who asks; write"
            f" selector: {{matchLabels: {{{HPA_LABEL}: NAME}}}} at the metric"
        )
    hpa = next((each for each in hpas if each.metadata.name == name), None)
    if hpa is None:
        return f"{FLOOR_METRIC}: there is no HPA {_shown(name)} in this namespace; the label {HPA_LABEL} has to name it"
    metrics = hpa.spec.metrics
    floors = [metric for metric in metrics if is_floor(metric)]
    problem = _floor_problem(name, floors, len(metrics)) or _shared_workload(hpa, hpas)
    if problem:
        return f"{FLOOR_METRIC}: {problem}"
    return Asker(
        hpa=hpa,
        independent=any(_is_independent(metric) for metric in metrics),
        report_only=hpa.metadata.annotations.get(ANNOTATION, "").strip().lower() == "report",
    )


def is_floor(metric: MetricSpec) -> bool:
    """Whether an entry of spec.metrics is the floor."""
    return metric.type == "External" and metric.external is not None and metric.external.metric.name == FLOOR_METRIC


def _named(selector: Selector) -> str:
    """The one value that the selector asks of the label; other requirements are not for us to judge."""
    for requirement in selector.requirements:
        if requirement.key == HPA_LABEL and requirement.operator in {"=", "==", "in"} and len(requirement.values) == 1:
            return requirement.values[0]
    return ""


def _floor_problem(name: str, floors: Sequence[MetricSpec], metrics: int) -> str:
    if not floors:
        return f"the HPA {_shown(name)} has no metric of this name, so nothing would come of an answer; add it there"
    if len(floors) == metrics:
        return (
            f"it is the only metric of {_shown(name)}: a floor holds what another metric asks for; add the metric of"
            " the load to the HPA"
        )
    for floor in floors:
        assert floor.external is not None
        target = floor.external.target
        if target.average_value is None or target.average_value.milli_value() != _ONE_MILLI:
            return (
                f"its target in {_shown(name)} has to be AverageValue 1, else the HPA makes another number of the"
                ' replicas that it names; write target: {type: AverageValue, averageValue: "1"}'
            )
    return ""


def _shared_workload(hpa: HorizontalPodAutoscaler, hpas: Sequence[HorizontalPodAutoscaler]) -> str:
    mine = hpa.spec.scale_target_ref
    for other in hpas:
        theirs = other.spec.scale_target_ref
        same = (theirs.kind, theirs.name, theirs.group) == (mine.kind, mine.name, mine.group)
        if same and other.metadata.name != hpa.metadata.name:
            return (
                f"{_shown(hpa.metadata.name)} and {_shown(other.metadata.name)} both scale {mine.kind}"
                f" {_shown(mine.name)}, so Kubernetes lets neither of them; delete one, or put all metrics into one HPA"
            )
    return ""


def _is_independent(metric: MetricSpec) -> bool:
    """Whether it can have a value without pods: an External or Object metric that is none of ours."""
    if is_floor(metric):
        return False
    if metric.type == "External" and metric.external is not None:
        return find_metric(metric.external.metric.name) is None
    return metric.type == "Object" and metric.object is not None and find_metric(metric.object.metric.name) is None


def _shown(name: str) -> str:
    return printable(name[:_SHOWN])
