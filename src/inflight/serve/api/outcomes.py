"""What every kind of question works with: what is known when it is asked, which pods it is about, and its document."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from inflight.guard import Answer, Question, Unknown, answer
from inflight.objects import LabelSelector, Selector
from inflight.serve.api import wire
from inflight.serve.api.routes import CUSTOM, CustomQuery
from inflight.serve.api.sentences import clip, unknown_value
from inflight.serve.api.workloads import WorkloadSource
from inflight.signals.metric_names import Metric
from inflight.signals.series import PodSample


class SampleSource(Protocol):
    """Where the pods' values come from: the Collector, or anything that answers the same."""

    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]: ...


class Knowledge(msgspec.Struct, frozen=True):
    """What is known at the moment of a question."""

    source: SampleSource
    now: float
    workloads: WorkloadSource | None = None
    """None where nothing is known of objects other than pods."""
    warming_up: str = ""
    """Why no fleet of the namespace that is asked about is known yet: the HPA sees which pods a list lacks, but not
    what a sum lacks.
    """


class Outcome(msgspec.Struct, frozen=True):
    """What was found for a question: a document for the client, and the guard's word on it for logs and counters."""

    document: wire.MetricValueList | wire.ExternalMetricValueList
    verdict: Answer


def select(samples: Sequence[PodSample], selector: Selector | None) -> Sequence[PodSample]:
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
    if not others:
        return samples
    return [sample for sample in samples if all(requirement.matches(sample.labels) for requirement in others)]


def check_known(name: str, namespace: str, selectors: Iterable[Selector | None], known: Knowledge) -> None:
    """Whether one value for the pods of a namespace that match may be said, as far as which pods there are; raises
    Refused.
    """
    if known.warming_up:
        raise unknown_value(f"{name}: {clip(known.warming_up)}", cause="warming_up")
    if known.workloads is not None:
        why = known.workloads.why_incomplete(namespace, [selector for selector in selectors if selector is not None])
        if why:
            raise unknown_value(f"{name}: {clip(why)}", cause="incomplete")


def combine(name: str, metric: Metric, pods: Sequence[PodSample], now: float) -> tuple[Answer, str]:
    """What may be said of all pods together, and the number as it is written; raises Refused where nothing may.

    `name` is the one under which the metric was asked for.
    """
    verdict = answer(Question(name, metric.signal, per_pod=False, across=metric.across), pods, now)
    if isinstance(verdict, Unknown):
        raise unknown_value(verdict.reason, cause=verdict.code)
    quantity = None if verdict.value is None else wire.to_quantity(verdict.value)
    if quantity is None:
        raise unknown_value(f"{name}: the pods' values make no number that can be served", cause="no_number")
    return verdict, quantity


def metric_value(
    query: CustomQuery, reference: wire.ObjectReference, stamp: str, quantity: str, echo: LabelSelector | None
) -> wire.MetricValueV1Beta1 | wire.MetricValueV1Beta2:
    """One item of a custom metrics list, in the version that was asked."""
    if query.version == "v1beta1":
        return wire.MetricValueV1Beta1(reference, query.metric, stamp, quantity, echo)
    return wire.MetricValueV1Beta2(reference, wire.MetricIdentifier(query.metric, echo), stamp, quantity)


def metric_value_list(
    query: CustomQuery, items: Iterable[wire.MetricValueV1Beta1 | wire.MetricValueV1Beta2]
) -> wire.MetricValueList:
    return wire.MetricValueList("MetricValueList", f"{CUSTOM}/{query.version}", wire.ListMeta(), tuple(items))
