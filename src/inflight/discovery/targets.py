"""From what is known of a namespace to the pods to scrape. Pure: values in, values out, memory handed through."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.ownership import foreign_owner_problem, overlap_problems
from inflight.discovery.pages import Page, PageFinder, Refusal
from inflight.discovery.pods import PodRecord
from inflight.discovery.problems import Problem, ProblemKind
from inflight.discovery.selections import MAX_COMPARISONS, KnownWorkload, PodIndex, Selection, selections_of
from inflight.discovery.wanted import too_many
from inflight.discovery.workloads import WorkloadKey
from inflight.signals.foreign import printable
from inflight.sources import Target

MAX_PROBLEMS = 200
"""Of one namespace, as are the selectors."""
MAX_SELECTIONS = 500


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """A pod that is scraped."""

    pod: PodRecord
    target: Target
    was_there: bool
    """It was running when it was first seen to be wanted."""
    pages: tuple[Page, ...]
    refusal: Refusal | None = None
    """Its annotations were changed into some that cannot be used: it is read at the pages that it had."""


class Remembered(msgspec.Struct, frozen=True):
    """What the next computation must know of the last one."""

    chosen: Mapping[str, Chosen] = {}
    """By name."""
    starting: frozenset[tuple[str, str]] = frozenset()
    """Name and uid of those that are wanted, are no targets yet, and were not running."""


class Resolution(msgspec.Struct, frozen=True):
    """Of one namespace."""

    targets: tuple[Target, ...] = ()
    """Sorted by name."""
    problems: tuple[Problem, ...] = ()
    remembered: Remembered = Remembered()
    without_pods: frozenset[WorkloadKey] = frozenset()
    """Workloads whose selector matches no pod."""
    selections: tuple[Selection, ...] = ()
    """By which pods were chosen."""


class Facts(msgspec.Struct, frozen=True):
    """What is known of a namespace."""

    namespace: str
    autoscalers: Sequence[Autoscaler]
    workloads: Mapping[WorkloadKey, KnownWorkload]
    pods: Iterable[PodRecord] | None
    """None until they are known."""


def resolve(facts: Facts, finder: PageFinder, before: Remembered) -> Resolution:
    """The pods to scrape in a namespace, and what stands in the way of others."""
    namespace, workloads = facts.namespace, facts.workloads
    problems = [_bad_selector(autoscaler, ask.problem) for autoscaler in facts.autoscalers for ask in autoscaler.asks]
    found = [problem for problem in problems if problem is not None]
    if facts.pods is None:
        return Resolution(problems=tuple(found[:MAX_PROBLEMS]))
    living = [pod for pod in facts.pods if not pod.has_ended]
    selections = selections_of(facts.autoscalers, workloads)
    if len(selections) > MAX_SELECTIONS:
        found.append(too_many("selectors", len(selections), MAX_SELECTIONS, namespace))
    index = PodIndex(living)
    matched, left_out = index.match(selections[:MAX_SELECTIONS], MAX_COMPARISONS)
    if left_out:
        found.append(_too_much_matching(namespace, left_out))
    choices = _Choices(namespace, finder, before)
    for pod, selection in _wanted(matched):
        choices.choose(pod, selection)
    found += choices.problems()
    found += _too_many_labels(namespace, living)
    found += _selects_nothing(namespace, matched, workloads)
    found += _ownership(namespace, matched, workloads)
    return Resolution(
        tuple(chosen.target for chosen in choices.chosen.values()),
        tuple(found[:MAX_PROBLEMS]),
        Remembered(choices.chosen, frozenset(choices.starting)),
        frozenset(
            selection.workload.key for selection, chosen in matched if selection.workload is not None and not chosen
        ),
        tuple(selection for selection, _ in matched),
    )


class _Choices:
    """What becomes of the pods that are wanted."""

    def __init__(self, namespace: str, finder: PageFinder, before: Remembered) -> None:
        self._namespace = namespace
        self._finder = finder
        self._before = before
        self._refused: dict[tuple[ProblemKind, str], list[str]] = {}
        self._without_port: list[tuple[str, Selection]] = []
        self.chosen: dict[str, Chosen] = {}
        self.starting: list[tuple[str, str]] = []

    def choose(self, pod: PodRecord, selection: Selection) -> None:
        """`selection` is one that matches the pod."""
        before = self._before.chosen.get(pod.name)
        if before is not None and before.pod is pod:
            self._take(before)
            return
        if before is not None and before.pod.uid != pod.uid:
            before = None
        if pod.bad_address:
            shown = printable(pod.bad_address[:60])
            self._refuse(pod, "bad_pod", f"is not scraped: its address {shown!r} is none that a pod can have")
        if not pod.host:
            self._note_starting(pod)
            return
        pages, refusal = self._finder.find(pod.annotations, pod.ports), None
        if isinstance(pages, Refusal):
            # As with a typing error in a file of targets: a pod that was read is read on, or sums would shrink.
            refusal = pages
            pages = () if before is None or refusal.kind == "not_scraped" else before.pages
        if pages:
            was_there = before.was_there if before is not None else self._was_there(pod)
            self._take(Chosen(pod, _target(pod, pages, was_there), was_there, pages, refusal))
            return
        self._note_starting(pod)
        if refusal is not None and refusal.kind == "no_port" and selection.is_everything:
            self._without_port.append((f"the pod {pod.name} is not scraped: {refusal.why}", selection))
        elif refusal is not None:
            self._refuse(pod, refusal.kind, f"is not scraped: {refusal.why}")

    def problems(self) -> list[Problem]:
        found = [self._refusal(kind, who, sentences) for (kind, who), sentences in sorted(self._refused.items())]
        if self._without_port:
            sentence, selection = self._without_port[0]
            count = len(self._without_port) - 1
            more = f", and {count} more {'pod is' if count == 1 else 'pods are'} left out like it" if count else ""
            text = f"{sentence}{more}; all pods are wanted by {selection}"
            found.append(Problem("no_port", self._namespace, f"Namespace/{self._namespace}", text))
        return found

    def _was_there(self, pod: PodRecord) -> bool:
        """Whether work may have come to it before anyone looked: it was not seen to start. Also where it was given
        other labels or annotations while it ran, or started while the watch was broken.
        """
        return pod.is_running and (pod.name, pod.uid) not in self._before.starting

    def _note_starting(self, pod: PodRecord) -> None:
        if not pod.is_running:
            self.starting.append((pod.name, pod.uid))

    def _take(self, chosen: Chosen) -> None:
        self.chosen[chosen.pod.name] = chosen
        if chosen.refusal is not None:
            why = chosen.refusal.why
            self._refuse(chosen.pod, chosen.refusal.kind, f"is read where it was before, not as it says now: {why}")

    def _refuse(self, pod: PodRecord, kind: ProblemKind, sentence: str) -> None:
        self._refused.setdefault((kind, pod.manager), []).append(f"the pod {pod.name} {sentence}")

    def _refusal(self, kind: ProblemKind, who: str, sentences: list[str]) -> Problem:
        more = f"; so it is with {len(sentences) - 1} more of {who.replace('/', ' ')}" if len(sentences) > 1 else ""
        return Problem(kind, self._namespace, who, f"{sentences[0]}{more}")


def _target(pod: PodRecord, pages: tuple[Page, ...], was_there: bool) -> Target:
    url, *alternatives = [f"http://{pod.host}:{port}{path}" for port, path in pages]
    return Target(
        namespace=pod.namespace,
        name=pod.name,
        labels=pod.labels,
        url=url,
        alternatives=tuple(alternatives),
        uid=pod.uid,
        restarts=pod.restarts,
        terminating=pod.terminating,
        # Nothing waits for a pod that goes.
        settle=was_there and not pod.terminating,
        ready=pod.ready,
        kind=pod.kind,
    )


def _wanted(matched: Iterable[tuple[Selection, list[PodRecord]]]) -> list[tuple[PodRecord, Selection]]:
    """Each pod once, by name, with a selection that matches it; one of everything only where there is no other."""
    found: dict[str, tuple[PodRecord, Selection]] = {}
    for selection, pods in matched:
        for pod in pods:
            known = found.get(pod.name)
            if known is None or known[1].is_everything:
                found[pod.name] = (pod, selection)
    return [found[name] for name in sorted(found)]


def _bad_selector(autoscaler: Autoscaler, problem: str) -> Problem | None:
    if not problem:
        return None
    name = autoscaler.name
    sentence = f"an External metric of HPA {name} cannot be followed: {problem}"
    return Problem("bad_selector", autoscaler.namespace, f"HorizontalPodAutoscaler/{name}", sentence)


def _too_much_matching(namespace: str, left_out: int) -> Problem:
    sentence = (
        f"the selectors of namespace {namespace} take more than {MAX_COMPARISONS} comparisons with its pods:"
        f" the {left_out} costliest are not followed; give them fewer requirements, or one on a label's value"
    )
    return Problem("too_many", namespace, f"Namespace/{namespace}/comparisons", sentence)


def _too_many_labels(namespace: str, pods: Iterable[PodRecord]) -> list[Problem]:
    return [
        Problem(
            "bad_pod",
            namespace,
            f"Pod/{pod.name}",
            f"the pod {pod.name} has {pod.too_many_labels} labels, more than are read: it is not followed",
        )
        for pod in pods
        if pod.too_many_labels
    ][:MAX_PROBLEMS]


def _selects_nothing(
    namespace: str,
    matched: Iterable[tuple[Selection, list[PodRecord]]],
    workloads: Mapping[WorkloadKey, KnownWorkload],
) -> list[Problem]:
    problems = []
    for selection, chosen in matched:
        workload = selection.workload
        if chosen or (workload is not None and workloads[workload.key].may_be_empty):
            continue
        what = workload.label if workload is not None else f"HorizontalPodAutoscaler/{selection.askers[0]}"
        sentence = f"{selection} matches no pod; kubectl get pods -n {namespace} --show-labels shows what there is"
        problems.append(Problem("selects_nothing", namespace, what, sentence))
    return problems


def _ownership(
    namespace: str,
    matched: Sequence[tuple[Selection, list[PodRecord]]],
    workloads: Mapping[WorkloadKey, KnownWorkload],
) -> list[Problem]:
    of_workloads = [(each.workload, each, chosen) for each, chosen in matched if each.workload is not None]
    problems = overlap_problems(namespace, ((workload, chosen) for workload, _, chosen in of_workloads), MAX_PROBLEMS)
    for workload, selection, chosen in of_workloads:
        problem = foreign_owner_problem(namespace, selection, chosen, workloads[workload.key].uid)
        if problem is not None:
            problems.append(problem)
    return problems
