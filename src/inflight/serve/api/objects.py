"""Object metrics: one value for a workload, from the pods of its own selector.

The HPA asks so for `type: Object`: exactly one item must come back (k8s.io/metrics 0.37
`pkg/client/custom_metrics/versioned_client.go`, `GetForObject`), and its value is compared as that of an External
metric is. So the same rules hold: a pod that is missing from a sum looks like load that went away, and where the sum is
not known there is an error with the reason, never a smaller number.
"""

from collections.abc import Sequence

from inflight.objects import Selector
from inflight.serve.api import wire
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
from inflight.serve.api.routes import CUSTOM, CustomQuery
from inflight.serve.api.sentences import SHOWN, clip, known_names, no_metric, no_pods, unknown_value
from inflight.serve.api.workloads import Workload
from inflight.signals.metric_names import find_metric
from inflight.signals.series import PodSample

_ASK_FOR_PODS = "use the external metric of the same name with a selector of its pods"


def ask_workload(query: CustomQuery, options: Options, known: Knowledge) -> Outcome:
    """The one value of a workload's pods; raises Refused where there is none that may be said.

    As for External, a name that does not exist is told before what is not known yet.
    """
    _check_object(query, known)
    metric = find_metric(query.metric)
    if metric is None:
        names = known_names(query.metric, CUSTOM)
        raise not_found(f"{no_metric(query.metric, _subject(query))}: {names}", cause="no_metric")
    if known.warming_up:
        raise unknown_value(f"{query.metric}: {clip(known.warming_up)}", cause="warming_up")
    workload = _find(query, known)
    if not _is_nobodys(workload.selector):
        check_known(query.metric, query.namespace, (workload.selector, options.metric_labels), known)
    samples = known.source.samples(metric.signal, query.namespace)
    matching = select(_of_workload(samples, workload.selector), options.metric_labels)
    if not matching:
        why = no_pods(query.namespace, samples, (workload.selector, options.metric_labels), known.workloads)
        raise not_found(f"{no_metric(query.metric, _subject(query))}: {why}", cause="no_pods")
    verdict, quantity = combine(query.metric, metric, matching, known.now)
    reference = wire.ObjectReference(workload.kind, workload.namespace, workload.name, workload.api_version)
    echo = wire.echo_selector(options.metric_labels)
    item = metric_value(query, reference, wire.to_timestamp(verdict.received_at), quantity, echo)
    return Outcome(metric_value_list(query, (item,)), verdict)


def _check_object(query: CustomQuery, known: Knowledge) -> None:
    """Whether it is an object that can have metrics here; raises Refused."""
    why = ""
    if known.workloads is None:
        why = (
            "metrics are served for pods only, because the targets come from a file, which says nothing of workloads;"
            f" for one value of a whole workload {_ASK_FOR_PODS}"
        )
    elif query.resource == "namespaces" and not query.namespace:
        why = (
            "metrics are served for pods and workloads only; for one value of a whole namespace use the external metric"
            " of the same name without a selector"
        )
    elif not query.namespace:
        why = "metrics are served for pods and workloads only, which live in a namespace: ask namespaces/NS/..."
    elif query.name == "*":
        why = f"a workload has its value under its own name: ask {query.resource[:SHOWN]}/NAME/{query.metric[:SHOWN]}"
    if why:
        raise not_found(f"{no_metric(query.metric, _subject(query))}: {why}", cause="no_resource")


def _find(query: CustomQuery, known: Knowledge) -> Workload:
    assert known.workloads is not None
    # As upstream's mapper: the case of the resource does not matter, that of its group does.
    resource, dot, group = query.resource.partition(".")
    found = known.workloads.workload(query.namespace, f"{resource.lower()}{dot}{group}", query.name)
    if isinstance(found, str):
        raise not_found(f"{no_metric(query.metric, _subject(query))}: {clip(found)}", cause="no_workload")
    return found


def _of_workload(samples: Sequence[PodSample], selector: Selector) -> Sequence[PodSample]:
    return [] if _is_nobodys(selector) else select(samples, selector)


def _is_nobodys(selector: Selector) -> bool:
    """No selector at all would mean every pod of the namespace: nobody's workload."""
    return selector.nothing or selector.is_empty


def _subject(query: CustomQuery) -> str:
    return query.resource[:SHOWN] if query.name == "*" else f"{query.resource[:SHOWN]} {query.name[:SHOWN]}"
