"""The sentences of answers without a value. They are shown in the conditions and events of HPA objects, so each says
what is missing and what to do about it, and is bounded whatever the client sent.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from inflight.objects import Selector
from inflight.serve.api.refusals import Refused
from inflight.serve.api.workloads import WorkloadSource
from inflight.signals.metric_names import METRICS, served_names
from inflight.signals.series import PodSample

SHOWN = 100
"""Characters of a client's own text that an error repeats."""
MAX_LENGTH = 480
"""Of a sentence that comes from elsewhere: leaves room for what the HPA controller writes around it."""


def unknown_value(reason: str, *, cause: str) -> Refused:
    """For the HPA a failed metric, whose reason it shows. No Retry-After: client-go would ask again at once."""
    return Refused(503, f"the value is not known now, which is not 0: {reason}", cause=cause)


def no_metric(metric: str, subject: str) -> str:
    """The words of upstream, which people search for."""
    return f"the server could not find the metric {metric[:SHOWN]} for {subject}"


def known_names(wanted: str) -> str:
    near = get_close_matches(wanted[:SHOWN], served_names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}The names are {', '.join(metric.name for metric in METRICS)}, and aliases that the discovery lists"


def no_pods(
    namespace: str,
    samples: Sequence[PodSample],
    selectors: Iterable[Selector | None],
    workloads: WorkloadSource | None,
    name: str = "*",
) -> str:
    """Why nothing matches, where `samples` are all of the namespace; `name` is that of the pod that was asked for."""
    where = f"namespace {namespace[:SHOWN]!r}"
    why = "" if workloads is None else clip(workloads.why_unwatched(namespace))
    if not samples:
        return f"no pod of {where} is watched" + (f": {why}" if why else "")
    if name != "*" and all(sample.name != name for sample in samples):
        found = f"no pod of that name is watched in {where}"
    else:
        wanted = " and ".join(repr(str(one)[:SHOWN]) for one in selectors if one is not None)
        found = f"none of the {len(samples)} pods watched in {where} has labels that match {wanted}"
    return found + (f"; what is not watched there: {why}" if why else "")


def clip(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"
