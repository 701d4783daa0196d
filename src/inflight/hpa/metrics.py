"""One entry of spec.metrics in one sync: which calculation it asks for, and what the controller says about it.

Names and error texts are those of Kubernetes pkg/controller/podautoscaler/horizontal.go; they end up in conditions,
events and in the reason of a rescale.
"""

import msgspec

from inflight.hpa.calculator import (
    Situation,
    average_of_pods,
    external_average,
    external_value,
    failed,
    object_average,
    ratio_of_value,
    utilization,
)
from inflight.hpa.observation import ExternalAnswer, FailedAnswer, MetricAnswer, ObjectAnswer, PodsAnswer
from inflight.hpa.trace import Calculation, MetricTrace, Reason
from inflight.objects import (
    ContainerResourceMetricStatus,
    CrossVersionObjectReference,
    ExternalMetricSource,
    ExternalMetricStatus,
    LabelSelector,
    MetricIdentifier,
    MetricSpec,
    MetricStatus,
    MetricValueStatus,
    ObjectMetricSource,
    ObjectMetricStatus,
    PodsMetricSource,
    PodsMetricStatus,
    Quantity,
    ResourceMetricStatus,
    SelectorError,
    format_label_selector,
)

NO_OBJECT_TARGET = "invalid object metric source: neither a value target nor an average value target was set"
NO_RESOURCE_TARGET = (
    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set"
)
NO_EXTERNAL_TARGET = "invalid external metric source: neither a value target nor an average value target was set"
NO_PODS_TARGET = "invalid pods metric source: no average value target was set"
FAILED_STATUS = MetricStatus(type="")
"""What a failed metric leaves in status.currentMetrics."""


class MetricOutcome(msgspec.Struct, frozen=True):
    """What one metric gives to the sync."""

    trace: MetricTrace
    status: MetricStatus
    reason: str = ""
    """The reason of the condition and the event of a failure."""
    wrapped: str = ""
    """The failure's text inside FailedComputeMetricsReplicas."""


class Question(msgspec.Struct, frozen=True):
    """What every metric of a sync needs besides its own entry."""

    situation: Situation
    namespace: str
    current: int
    status_replicas: int


def evaluate(metric: MetricSpec, answer: MetricAnswer, question: Question) -> MetricOutcome:
    """The proposal of one metric, or why there is none."""
    if metric.type == "External" and metric.external is not None:
        return _external(metric.external, answer, question)
    if metric.type == "Pods" and metric.pods is not None:
        return _pods(metric.pods, answer, question)
    if metric.type == "Resource" and metric.resource is not None:
        return _resource(metric, answer, question)
    if metric.type == "ContainerResource" and metric.container_resource is not None:
        return _resource(metric, answer, question)
    if metric.type == "Object" and metric.object is not None:
        return _object(metric.object, answer, question)
    error = f'unknown metric source type "{metric.type}"'
    trace = MetricTrace(metric.type, "", "", "", 0, failed(error, Reason.INVALID_SOURCE_TYPE), error)
    return MetricOutcome(trace, FAILED_STATUS, "InvalidMetricSourceType", error)


def _resource(metric: MetricSpec, answer: MetricAnswer, question: Question) -> MetricOutcome:
    situation = question.situation
    container = ""
    if metric.container_resource is not None and metric.type == "ContainerResource":
        resource, target = metric.container_resource.name, metric.container_resource.target
        container = metric.container_resource.container
        reason, wrap = "FailedGetContainerResourceMetric", f"failed to get {container} container metric value: "
        name = f"{resource} container resource utilization (percentage of request)"
    else:
        assert metric.resource is not None
        resource, target = metric.resource.name, metric.resource.target
        reason, wrap = "FailedGetResourceMetric", f"failed to get {resource} resource metric value: "
        name = f"{resource} resource utilization (percentage of request)"
    kind, amount, prefix = "", 0, ""
    if target.average_value is not None:
        kind, amount = "AverageValue", target.average_value.milli_value()
        name, prefix = f"{resource} resource", f"failed to get {resource} usage: "
    elif target.average_utilization is not None:
        kind, amount = "Utilization", target.average_utilization
        prefix = f"failed to get {resource} utilization: "
    if not kind:
        calculation = failed(NO_RESOURCE_TARGET, Reason.INVALID_TARGET)
    elif not isinstance(answer, PodsAnswer) or not (answer.values or answer.incomplete):
        calculation = _unanswered(answer, PodsAnswer, "resource", f"unable to get metrics for resource {resource}: ")
    elif kind == "AverageValue":
        calculation = average_of_pods(situation, answer.values, question.current, amount, resource)
    else:
        calculation = utilization(
            situation, answer.values, question.current, amount, resource=resource, container=container
        )
    if calculation.error:
        trace = MetricTrace(metric.type, resource, "", kind, amount, calculation, prefix + calculation.error)
        return _failure(trace, reason, wrap + prefix)
    current = MetricValueStatus(
        average_utilization=calculation.utilization_percent,
        average_value=Quantity.from_milli(
            calculation.usage_milli, binary=resource == "memory" and situation.rules.binary_memory
        ),
    )
    if container:
        status = MetricStatus(
            type=metric.type,
            container_resource=ContainerResourceMetricStatus(name=resource, container=container, current=current),
        )
    else:
        status = MetricStatus(type=metric.type, resource=ResourceMetricStatus(name=resource, current=current))
    return MetricOutcome(MetricTrace(metric.type, resource, name, kind, amount, calculation), status)


def _pods(source: PodsMetricSource, answer: MetricAnswer, question: Question) -> MetricOutcome:
    metric, target = source.metric.name, source.target.average_value
    kind, amount = "AverageValue", 0
    if target is not None:
        amount = target.milli_value()
    problem = _selector_problem(source.metric.selector)
    if problem:
        calculation = failed(problem, Reason.INVALID_METRIC_SELECTOR)
    elif target is None:
        kind, calculation = "", failed(NO_PODS_TARGET, Reason.INVALID_TARGET)
    elif not isinstance(answer, PodsAnswer) or not (answer.values or answer.incomplete):
        calculation = _unanswered(answer, PodsAnswer, "custom", f"unable to get metric {metric}: ")
    else:
        calculation = average_of_pods(question.situation, answer.values, question.current, amount)
    if calculation.error:
        wrap = "failed to get pods metric value: "
        trace = MetricTrace("Pods", metric, "", kind, amount, calculation, calculation.error)
        return _failure(trace, "FailedGetPodsMetric", wrap)
    status = MetricStatus(
        type="Pods",
        pods=PodsMetricStatus(
            metric=MetricIdentifier(name=metric, selector=source.metric.selector),
            current=MetricValueStatus(average_value=Quantity.from_milli(calculation.usage_milli)),
        ),
    )
    return MetricOutcome(MetricTrace("Pods", metric, f"pods metric {metric}", kind, amount, calculation), status)


def _object(source: ObjectMetricSource, answer: MetricAnswer, question: Question) -> MetricOutcome:
    """The one source whose target.type is looked at; an average's name is that of an External metric."""
    metric, target, described = source.metric.name, source.target, source.described_object
    rules = question.situation.rules
    kind, amount, wrap = "", 0, "failed to get object metric value: "
    name = f"{described.kind} metric {metric}"
    if target.type == "Value" and target.value is not None:
        kind, amount = "Value", target.value.milli_value()
    elif target.type == "AverageValue" and target.average_value is not None:
        kind, amount = "AverageValue", target.average_value.milli_value()
        name = f"external metric {metric}({format_label_selector(source.metric.selector)})"
    problem = _selector_problem(source.metric.selector)
    if problem:
        calculation = failed(problem, Reason.INVALID_METRIC_SELECTOR)
        trace = MetricTrace("Object", metric, "", kind, amount, calculation, calculation.error)
        return _failure(trace, "FailedGetObjectMetric", wrap)
    if kind == "AverageValue":
        wrap += f"failed to get {metric} object metric: "
    if not kind:
        calculation = failed(NO_OBJECT_TARGET, Reason.INVALID_TARGET)
    elif not isinstance(answer, ObjectAnswer):
        if rules.object_error_in_order:
            prefix = f"unable to get metric {metric} on {described.kind} {question.namespace}/{described.name}: "
        else:
            prefix = f"unable to get metric {metric}: {described.kind} on {question.namespace} {described.name}/"
        calculation = _unanswered(answer, ObjectAnswer, "custom", prefix)
    elif kind == "Value":
        calculation = ratio_of_value(question.situation, answer.value_milli, question.current, amount)
    else:
        calculation = object_average(question.situation, answer.value_milli, question.status_replicas, amount)
    if calculation.error:
        trace = MetricTrace("Object", metric, "", kind, amount, calculation, calculation.error)
        return _failure(trace, "FailedGetObjectMetric", wrap)
    if kind == "AverageValue" and not rules.object_average_named:
        described = CrossVersionObjectReference(kind="", name="")
    status = MetricStatus(
        type="Object",
        object=ObjectMetricStatus(
            metric=MetricIdentifier(name=metric, selector=source.metric.selector),
            current=_value_status(kind, calculation.usage_milli),
            described_object=described,
        ),
    )
    return MetricOutcome(MetricTrace("Object", metric, name, kind, amount, calculation), status)


def _external(source: ExternalMetricSource, answer: MetricAnswer, question: Question) -> MetricOutcome:
    metric, target = source.metric.name, source.target
    printed = format_label_selector(source.metric.selector)
    kind, amount, wrap = "", 0, f"failed to get {metric} external metric value: "
    if target.average_value is not None:
        kind, amount = "AverageValue", target.average_value.milli_value()
        wrap += f"failed to get {metric} external metric: "
    elif target.value is not None:
        kind, amount = "Value", target.value.milli_value()
        wrap += f"failed to get external metric {metric}: "
    problem = _selector_problem(source.metric.selector)
    if not kind:
        calculation = failed(NO_EXTERNAL_TARGET, Reason.INVALID_TARGET)
    elif problem:
        calculation = failed(problem, Reason.INVALID_METRIC_SELECTOR)
    elif not isinstance(answer, ExternalAnswer) or not answer.values_milli:
        prefix = f"unable to get external metric {question.namespace}/{metric}/{printed}: "
        calculation = _unanswered(answer, ExternalAnswer, "external", prefix)
    elif kind == "AverageValue":
        calculation = external_average(question.situation, answer.values_milli, question.status_replicas, amount)
    else:
        calculation = external_value(question.situation, answer.values_milli, question.current, amount)
    if calculation.error:
        trace = MetricTrace("External", metric, "", kind, amount, calculation, calculation.error)
        return _failure(trace, "FailedGetExternalMetric", wrap)
    status = MetricStatus(
        type="External",
        external=ExternalMetricStatus(
            metric=MetricIdentifier(name=metric, selector=source.metric.selector),
            current=_value_status(kind, calculation.usage_milli),
        ),
    )
    name = f"external metric {metric}({printed})"
    return MetricOutcome(MetricTrace("External", metric, name, kind, amount, calculation), status)


def _value_status(kind: str, usage_milli: int) -> MetricValueStatus:
    quantity = Quantity.from_milli(usage_milli)
    return MetricValueStatus(value=quantity) if kind == "Value" else MetricValueStatus(average_value=quantity)


def _selector_problem(selector: LabelSelector | None) -> str:
    """Why a metric's selector is none; the API server lets such objects pass."""
    if selector is None:
        return ""
    try:
        selector.to_selector()
    except SelectorError as error:
        return error.upstream
    return ""


def _unanswered(answer: MetricAnswer, wanted: type, api: str, prefix: str) -> Calculation:
    """The failure of a request: the client's error, no series at all, or an answer to another question."""
    if isinstance(answer, FailedAnswer):
        return failed(prefix + answer.text, Reason.REQUEST_FAILED)
    if isinstance(answer, wanted):
        return failed(f"{prefix}no metrics returned from {api} metrics API", Reason.NO_SERIES)
    text = f"the observation holds a {type(answer).__name__} where this metric needs a {wanted.__name__}"
    return failed(prefix + text, Reason.REQUEST_FAILED)


def _failure(trace: MetricTrace, reason: str, wrap: str) -> MetricOutcome:
    """`wrap` stands before the calculator's text in FailedComputeMetricsReplicas."""
    return MetricOutcome(trace, FAILED_STATUS, reason, wrap + trace.calculation.error)
