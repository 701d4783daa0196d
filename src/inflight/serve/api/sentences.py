"""The sentences of answers without a value. They are shown in the conditions and events of HPA objects, so each says
what is missing and what to do about it, and is bounded whatever the client sent.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from inflight.objects import Selector
from inflight.serve.api.refusals import Refused
from inflight.serve.api.workloads import WorkloadSource
from inflight.signals.metric_names import served_names
from inflight.signals.series import PodSample

NEAREST = 3
"""Names that a wrong one is held against, at most."""
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


def known_names(wanted: str, api: str) -> str:
    """The nearest of the names that there are, and where all of them are to be had; `api` is the group."""
    near = get_close_matches(wanted[:SHOWN], served_names(), n=NEAREST)
    others = ", ".join(near[:-1])
    hint = f"did you mean {others}{' or ' if others else ''}{near[-1]}? " if near else ""
    return f"{hint}kubectl get --raw /apis/{api}/v1beta1 lists all names"


def no_pods(
    namespace: str,
    samples: Sequence[PodSample],
    selectors: Iterable[Selector | None],
    workloads: WorkloadSource | None,
    name: str = "*",
) -> str:
    """Why nothing matches, where `samples` are all of the namespace; `name` is that of the pod that was asked for."""
    where = f"namespace {namespace[:SHOWN]!r}"
    wanted = [selector for selector in selectors if selector is not None]
    why = "" if workloads is None else clip(workloads.why_unwatched(namespace, wanted))
    if not samples:
        return f"no pod of {where} is watched" + (f": {why}" if why else "")
    if name != "*" and all(sample.name != name for sample in samples):
        found = f"no pod of that name is watched in {where}"
    else:
        texts = " and ".join(repr(str(one)[:SHOWN]) for one in wanted)
        count = "the only pod" if len(samples) == 1 else f"none of the {len(samples)} pods"
        found = f"{count} watched in {where} has {'no ' if len(samples) == 1 else ''}labels that match {texts}"
    return found + (f"; what is not watched there: {why}" if why else "")


def clip(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"
