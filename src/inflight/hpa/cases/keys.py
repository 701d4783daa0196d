"""Under which key a step holds the answer to a metric: `external/load?a=1`, then `external/load`."""

from collections.abc import Mapping

from inflight.hpa.observation import FailedAnswer, MetricAnswer
from inflight.objects import LabelSelector, MetricSpec, SelectorError


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


def find_answer(answers: Mapping[str, MetricAnswer], key: str, suffix: str) -> MetricAnswer:
    answer = answers.get(key + suffix) if suffix else None
    if answer is None:
        answer = answers.get(key)
    return FailedAnswer(f"no answer for {key}") if answer is None else answer
