"""From a question of the API to its document: which pods it is about, what the guard says of them, how it is written
down.

In both APIs a metric's selector chooses pods by their **Kubernetes** labels. In the external API that is what the
author of an HPA with `matchLabels: {app: ...}` meant; in the custom API, where the HPA sends its own pod selector
besides, a metric selector narrows it. Series have no labels of their own here: what one pod shows is folded into one
value before.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Protocol

import msgspec

from inflight.guard import Answer, PodValue, Question, Unknown, answer
from inflight.objects import Selector
from inflight.serve.api import wire
from inflight.serve.api.options import Options
from inflight.serve.api.refusals import Refused, not_found
from inflight.serve.api.routes import CUSTOM, EXTERNAL, CustomQuery, ExternalQuery
from inflight.signals.metric_names import METRICS, Metric, find_metric, served_names
from inflight.signals.series import PodSample

_POD_RESOURCES = ("pods", "pod")
_EXTERNAL_SUBJECT = "external metrics"
_SHOWN = 100
"""Characters of a client's own text that an error repeats."""


class SampleSource(Protocol):
    """Where the pods' values come from: the Collector, or anything that answers the same."""

    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]: ...


class Outcome(msgspec.Struct, frozen=True):
    """What was found for a question: a document for the client, and the guard's word on it for logs and counters."""

    document: wire.MetricValueList | wire.ExternalMetricValueList
    verdict: Answer | Unknown


def ask_custom(query: CustomQuery, options: Options, source: SampleSource, now: float) -> Outcome:
    """The values of one pod or of all that match; raises Refused."""
    metric = _find_pod_metric(query)
    _check_comparable(query, options.metric_labels)
    samples = source.samples(metric.signal, query.namespace)
    chosen: Sequence[PodSample]
    if query.name != "*":
        chosen = [sample for sample in samples if sample.name == query.name]
        subject = f"pods {query.name[:_SHOWN]}"
    else:
        chosen = _select(samples, options.labels)
        subject = "pods"
    matching = _select(chosen, options.metric_labels)
    if not matching:
        raise not_found(
            f"{_no_metric(query.metric, subject)}: {_no_pods(query.namespace, samples, options, query.name)}",
            cause="no_pods",
        )
    verdict = answer(Question(query.metric, metric.signal, per_pod=True, across=metric.across), matching, now)
    if isinstance(verdict, Unknown) and query.name != "*":
        raise not_found(f"{_no_metric(query.metric, subject)}: {verdict.reason}", cause=verdict.code)
    values = verdict.values if isinstance(verdict, Answer) else ()
    return Outcome(_metric_value_list(query, options.metric_labels, values), verdict)


def ask_external(
    query: ExternalQuery, options: Options, source: SampleSource, now: float, warming_up: str = ""
) -> Outcome:
    """One value for all pods of the namespace that match; raises Refused where there is none that may be said.

    `warming_up` says why no fleet is known yet: the HPA sees which pods a list lacks, but not what a sum lacks. A name
    that does not exist will not exist later either.
    """
    metric = find_metric(query.metric)
    if metric is None:
        raise not_found(
            f"{_no_metric(query.metric, _EXTERNAL_SUBJECT)}: {_known_names(query.metric)}", cause="no_metric"
        )
    if warming_up:
        raise unknown_value(f"{query.metric}: {warming_up}", cause="warming_up")
    samples = source.samples(metric.signal, query.namespace)
    matching = _select(samples, options.labels)
    if not matching:
        raise not_found(
            f"{_no_metric(query.metric, _EXTERNAL_SUBJECT)}: {_no_pods(query.namespace, samples, options)}",
            cause="no_pods",
        )
    verdict = answer(Question(query.metric, metric.signal, per_pod=False, across=metric.across), matching, now)
    if isinstance(verdict, Unknown):
        raise unknown_value(verdict.reason, cause=verdict.code)
    quantity = None if verdict.value is None else wire.to_quantity(verdict.value)
    if quantity is None:
        raise unknown_value(f"{query.metric}: the pods' values make no number that can be served", cause="no_number")
    item = wire.ExternalMetricValue(query.metric, {}, wire.to_timestamp(verdict.received_at), quantity)
    document = wire.ExternalMetricValueList(
        "ExternalMetricValueList", f"{EXTERNAL}/v1beta1", wire.ListMeta(), items=(item,)
    )
    return Outcome(document, verdict)


def unknown_value(reason: str, *, cause: str) -> Refused:
    """For the HPA a failed metric, whose reason it shows. No Retry-After: client-go would ask again at once."""
    return Refused(503, f"the value is not known now, which is not 0: {reason}", cause=cause)


def _find_pod_metric(query: CustomQuery) -> Metric:
    resource, _, group = query.resource.partition(".")
    subject = query.resource[:_SHOWN] if query.name == "*" else f"{query.resource} {query.name}"[: 2 * _SHOWN]
    if resource.lower() not in _POD_RESOURCES or group:
        raise not_found(
            f"{_no_metric(query.metric, subject)}: metrics are served for pods only; for one value of a whole workload"
            " use the external metric of the same name with a selector of its pods",
            cause="no_resource",
        )
    if not query.namespace:
        raise not_found(
            f"{_no_metric(query.metric, subject)}: pods live in a namespace: ask namespaces/NS/pods/...",
            cause="no_resource",
        )
    metric = find_metric(query.metric)
    if metric is None:
        raise not_found(f"{_no_metric(query.metric, subject)}: {_known_names(query.metric)}", cause="no_metric")
    return metric


def _check_comparable(query: CustomQuery, selector: Selector | None) -> None:
    """A list repeats its metric selector as a LabelSelector, which has no words for `<` and `>`."""
    if selector is not None and any(requirement.operator in {"gt", "lt"} for requirement in selector.requirements):
        raise not_found(
            f"{_no_metric(query.metric, 'pods')}: a metric selector takes neither < nor >", cause="no_metric"
        )


def _select(samples: Sequence[PodSample], selector: Selector | None) -> Sequence[PodSample]:
    """The samples whose pods match. Equality, which is what HPAs send, is tested first: with hundreds of pods in a
    namespace most of a request's time is spent here.
    """
    if selector is None:
        return samples
    others = []
    for requirement in selector.requirements:
        if requirement.operator in {"=", "=="}:
            key, value = requirement.key, requirement.values[0]
            samples = [sample for sample in samples if sample.labels.get(key) == value]
        else:
            others.append(requirement)
    return [sample for sample in samples if all(requirement.matches(sample.labels) for requirement in others)]


def _metric_value_list(
    query: CustomQuery, selector: Selector | None, values: Sequence[PodValue]
) -> wire.MetricValueList:
    echo = wire.echo_selector(selector)
    items: list[wire.MetricValueV1Beta1 | wire.MetricValueV1Beta2] = []
    for pod in sorted(values, key=lambda pod: (pod.namespace, pod.name)):
        quantity = wire.to_quantity(pod.value)
        if quantity is None:
            continue
        reference = wire.ObjectReference("Pod", pod.namespace, pod.name)
        stamp = wire.to_timestamp(pod.received_at)
        if query.version == "v1beta1":
            items.append(wire.MetricValueV1Beta1(reference, query.metric, stamp, quantity, echo))
        else:
            items.append(wire.MetricValueV1Beta2(reference, wire.MetricIdentifier(query.metric, echo), stamp, quantity))
    return wire.MetricValueList("MetricValueList", f"{CUSTOM}/{query.version}", wire.ListMeta(), tuple(items))


def _no_metric(metric: str, subject: str) -> str:
    """The words of upstream, which people search for."""
    return f"the server could not find the metric {metric[:_SHOWN]} for {subject}"


def _known_names(wanted: str) -> str:
    near = get_close_matches(wanted[:_SHOWN], served_names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}The names are {', '.join(metric.name for metric in METRICS)}, and aliases that the discovery lists"


def _no_pods(namespace: str, samples: Sequence[PodSample], options: Options, name: str = "*") -> str:
    where = f"namespace {namespace[:_SHOWN]!r}"
    if not samples:
        return f"no pod of {where} is watched"
    if name != "*" and all(sample.name != name for sample in samples):
        return f"no pod of that name is watched in {where}"
    wanted = " and ".join(repr(str(one)[:_SHOWN]) for one in (options.labels, options.metric_labels) if one is not None)
    return f"none of the {len(samples)} pods watched in {where} has labels that match {wanted}"
