"""From a question of the API to its document: which pods it is about, what the guard says of them, how it is written
down.

In both APIs a metric's selector chooses pods by their **Kubernetes** labels. In the external API that is what the
author of an HPA with `matchLabels: {app: ...}` meant; in the custom API, where the HPA sends its own pod selector
besides, a metric selector narrows it. Series have no labels of their own here: what one pod shows is folded into one
value before.
"""

from collections.abc import Iterator, Sequence

from inflight.guard import PodValue, Question, Unknown, answer
from inflight.objects import Selector
from inflight.serve.api import wire
from inflight.serve.api.objects import ask_workload
from inflight.serve.api.options import Options
from inflight.serve.api.outcomes import (
    Knowledge,
    Outcome,
    check_known,
    combine,
    metric_value,
    metric_value_list,
    select,
)
from inflight.serve.api.refusals import not_found
from inflight.serve.api.routes import CUSTOM, EXTERNAL, CustomQuery, ExternalQuery
from inflight.serve.api.sentences import SHOWN, known_names, no_metric, no_pods, unknown_value
from inflight.signals.metric_names import Metric, find_metric
from inflight.signals.series import PodSample

_POD_RESOURCES = ("pods", "pod")
_EXTERNAL_SUBJECT = "external metrics"


def ask_custom(query: CustomQuery, options: Options, known: Knowledge) -> Outcome:
    """The values of one pod or of all that match, or the one value of a workload; raises Refused."""
    _check_comparable(query, options.metric_labels)
    resource, _, group = query.resource.partition(".")
    if resource.lower() in _POD_RESOURCES and not group:
        return _ask_pods(query, options, known)
    return ask_workload(query, options, known)


def ask_external(query: ExternalQuery, options: Options, known: Knowledge) -> Outcome:
    """One value for all pods of the namespace that match; raises Refused where there is none that may be said.

    A name that does not exist will not exist later either, so it is told before what is not known yet.
    """
    metric = find_metric(query.metric)
    if metric is None:
        names = known_names(query.metric, EXTERNAL)
        raise not_found(f"{no_metric(query.metric, _EXTERNAL_SUBJECT)}: {names}", cause="no_metric")
    check_known(query.metric, query.namespace, (options.labels,), known)
    samples = known.source.samples(metric.signal, query.namespace)
    matching = select(samples, options.labels)
    if not matching:
        why = no_pods(query.namespace, samples, (options.labels,), known.workloads)
        raise not_found(f"{no_metric(query.metric, _EXTERNAL_SUBJECT)}: {why}", cause="no_pods")
    verdict, quantity = combine(query.metric, metric, matching, known.now)
    item = wire.ExternalMetricValue(query.metric, {}, wire.to_timestamp(verdict.received_at), quantity)
    document = wire.ExternalMetricValueList(
        "ExternalMetricValueList", f"{EXTERNAL}/v1beta1", wire.ListMeta(), items=(item,)
    )
    return Outcome(document, verdict)


def _ask_pods(query: CustomQuery, options: Options, known: Knowledge) -> Outcome:
    metric = _find_pod_metric(query)
    samples = known.source.samples(metric.signal, query.namespace)
    chosen: Sequence[PodSample]
    if query.name != "*":
        chosen = [sample for sample in samples if sample.name == query.name]
        subject = f"pods {query.name[:SHOWN]}"
    else:
        chosen = select(samples, options.labels)
        subject = "pods"
    matching = select(chosen, options.metric_labels)
    if not matching:
        selectors = (options.labels, options.metric_labels)
        why = no_pods(query.namespace, samples, selectors, known.workloads, query.name)
        raise not_found(f"{no_metric(query.metric, subject)}: {why}", cause="no_pods")
    verdict = answer(Question(query.metric, metric.signal, per_pod=True, across=metric.across), matching, known.now)
    if isinstance(verdict, Unknown):
        if query.name != "*":
            raise not_found(f"{no_metric(query.metric, subject)}: {verdict.reason}", cause=verdict.code)
        # Upstream answers an empty list, of which the HPA says nothing but "no metrics returned".
        raise unknown_value(verdict.reason, cause=verdict.code)
    items = list(_items(query, options.metric_labels, verdict.values))
    if not items:
        raise unknown_value(f"{query.metric}: no pod's value makes a number that can be served", cause="no_number")
    return Outcome(metric_value_list(query, items), verdict)


def _find_pod_metric(query: CustomQuery) -> Metric:
    subject = query.resource[:SHOWN] if query.name == "*" else f"{query.resource[:SHOWN]} {query.name[:SHOWN]}"
    if not query.namespace:
        raise not_found(
            f"{no_metric(query.metric, subject)}: pods live in a namespace: ask namespaces/NS/pods/...",
            cause="no_resource",
        )
    metric = find_metric(query.metric)
    if metric is None:
        raise not_found(f"{no_metric(query.metric, subject)}: {known_names(query.metric, CUSTOM)}", cause="no_metric")
    return metric


def _check_comparable(query: CustomQuery, selector: Selector | None) -> None:
    """A list repeats its metric selector as a LabelSelector, which has no words for `<` and `>`."""
    if selector is not None and any(requirement.operator in {"gt", "lt"} for requirement in selector.requirements):
        subject = query.resource[:SHOWN]
        raise not_found(
            f"{no_metric(query.metric, subject)}: a metric selector takes neither < nor >", cause="no_metric"
        )


def _items(
    query: CustomQuery, selector: Selector | None, values: Sequence[PodValue]
) -> Iterator[wire.MetricValueV1Beta1 | wire.MetricValueV1Beta2]:
    """In order of name; a value that makes no number that can be served is left out."""
    echo = wire.echo_selector(selector)
    for pod in sorted(values, key=lambda pod: (pod.namespace, pod.name)):
        quantity = wire.to_quantity(pod.value)
        if quantity is not None:
            reference = wire.ObjectReference("Pod", pod.namespace, pod.name)
            yield metric_value(query, reference, wire.to_timestamp(pod.received_at), quantity, echo)
