"""What is put to the test, behind one signature: a guard, and a floor where it has one.

The table and the floor of Inflight, the first rule that came before them, and the controls that must fail: each breaks
one promise, and the judge is broken if it does not see that.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from inflight.guard import Question, Unknown, answer
from inflight.guard.coverage import Coverage
from inflight.guard.knowledge import PodKnowledge
from inflight.guard.table import Asked, Partial, Withheld, tell, withhold
from inflight.hpa import ExternalAnswer, FailedAnswer, MetricAnswer, Observation, PodMetric, PodsAnswer
from inflight.laws import Autoscaler, FloorMemory, FloorSettings, Seen, floor, proposal
from inflight.laws import Coverage as LawCoverage
from inflight.laws import Withheld as FloorWithheld
from inflight.objects import HorizontalPodAutoscalerStatus
from inflight.signals.series import PodSample
from reliability.hpas import CONTROLLER, Kind, Setting, hpa_of, now_ns
from reliability.plant import Plant
from reliability.truth import milli
from reliability.watcher import Watcher

METRIC = "inflight_requests"


class View(NamedTuple):
    """What a request finds: the replica of Inflight that answers it, the cluster, and the HPA's status."""

    at: float
    watcher: Watcher
    plant: Plant
    setting: Setting
    observation: Observation
    """Without answers."""
    status: HorizontalPodAutoscalerStatus


class Policy(Protocol):
    """One run's guard. `has_floor`: the HPA has the floor as one metric more."""

    has_floor: bool

    def tick(self, watchers: list[Watcher], plant: Plant, step: int) -> None: ...

    def restart(self, watcher: Watcher) -> None: ...

    def load(self, view: View) -> MetricAnswer: ...

    def floor(self, view: View) -> MetricAnswer: ...


class Guarded:
    """The table, with or without the floor. The controls change one thing each."""

    def __init__(self, *, has_floor: bool) -> None:
        self.has_floor = has_floor
        self._memory: dict[int, FloorMemory] = {}
        self.settings = FloorSettings()

    def tick(self, watchers: list[Watcher], plant: Plant, step: int) -> None:
        pass

    def restart(self, watcher: Watcher) -> None:
        self._memory.pop(watcher.number, None)

    def known(self, view: View) -> list[PodKnowledge]:
        return view.watcher.knowledge(view.plant, view.at)

    def load(self, view: View) -> MetricAnswer:
        setting = view.setting
        found = tell(_asked(setting.kind), self.known(view), view.at)
        if isinstance(found, Partial) and not found.coverage.complete:
            hpa = hpa_of(setting, ("load",))
            proposed = proposal(
                hpa, 0, as_answer(found, setting.kind), view.observation, now_ns(view.at), controller=CONTROLLER
            )
            found = withhold(found, METRIC, [(view.observation.replicas, proposed)])
        return as_answer(found, setting.kind)

    def coverage(self, view: View) -> Coverage:
        return tell(_asked(view.setting.kind), self.known(view), view.at).coverage

    def floor(self, view: View) -> MetricAnswer:
        coverage = self.coverage(view)
        seen = Seen(
            samples=(),
            coverage=LawCoverage(coverage.complete, coverage.sentence),
            autoscaler=Autoscaler(
                name="llm",
                replicas=view.observation.replicas,
                unread_metrics=any(not metric.type for metric in view.status.current_metrics),
                independent=view.setting.from_zero,
            ),
            at=view.at,
        )
        said, memory = floor(seen, self._memory.get(view.watcher.number, FloorMemory()), self.settings)
        self._memory[view.watcher.number] = memory
        return FailedAnswer(said.reason) if isinstance(said, FloorWithheld) else ExternalAnswer((said.replicas * 1000,))


def _asked(kind: Kind) -> Asked:
    if kind == "Value":
        return Asked(METRIC, per_pod=False, across="mean", targets=("value",))
    return Asked(METRIC, per_pod=kind == "Pods", targets=("average",))


def as_answer(found: Partial | Withheld, kind: Kind) -> MetricAnswer:
    """As the metrics API gives it."""
    if isinstance(found, Withheld):
        return FailedAnswer(found.reason)
    if kind == "Pods":
        return PodsAnswer({pod.name: PodMetric(milli(pod.value), 0) for pod in found.values})
    assert found.value is not None
    return ExternalAnswer((milli(found.value),))


class FirstRule(Guarded):
    """The rule before the table: a sum is unknown while a pod that has reported is unseen; a list lacks it."""

    def load(self, view: View) -> MetricAnswer:
        kind = view.setting.kind
        question = Question(METRIC, "in_flight", kind == "Pods", "mean" if kind == "Value" else "sum")
        found = answer(question, [_sample(pod) for pod in self.known(view)], view.at)
        if isinstance(found, Unknown):
            return FailedAnswer(found.reason)
        if found.value is not None:
            return ExternalAnswer((milli(found.value),))
        return PodsAnswer({pod.name: PodMetric(milli(pod.value), 0) for pod in found.values})


def _sample(pod: PodKnowledge) -> PodSample:
    return PodSample(
        namespace="default",
        name=pod.name,
        labels={},
        value=None if pod.refused or pod.asleep else pod.value,
        received_at=pod.received_at,
        missing=pod.problem,
        reported_before=pod.reported,
        alive=not pod.terminating,
        ready=pod.ready,
        kind="Deployment/llm",
        silence="refused" if pod.refused else "unreadable" if pod.problem else "",
    )


class AlwaysError(Guarded):
    """Control: whatever is asked is an error."""

    def load(self, view: View) -> MetricAnswer:
        return FailedAnswer("nothing is ever said")

    def floor(self, view: View) -> MetricAnswer:
        return FailedAnswer("nothing is ever said")


class AlwaysMax(Guarded):
    """Control: whatever is asked, all that there may be."""

    def load(self, view: View) -> MetricAnswer:
        found = tell(_asked(view.setting.kind), self.known(view), view.at)
        if view.setting.kind == "Pods" and isinstance(found, Partial):
            return PodsAnswer({pod.name: PodMetric(10**9, 0) for pod in found.values})
        return ExternalAnswer((10**9,))


class Ageless(Guarded):
    """Control: a value once received is fresh for ever."""

    def known(self, view: View) -> list[PodKnowledge]:
        return [
            msgspec.structs.replace(pod, received_at=view.at, refused=False, standing_since=None)
            if pod.value is not None
            else pod
            for pod in super().known(view)
        ]


class FloorErrs(Guarded):
    """Control: the floor is an error for ever."""

    def floor(self, view: View) -> MetricAnswer:
        return FailedAnswer("the floor is never sure")


class ErrsOnPartial(Guarded):
    """Control: an error whenever a pod is unseen, even if the others show more load."""

    def load(self, view: View) -> MetricAnswer:
        found = tell(_asked(view.setting.kind), self.known(view), view.at)
        if not found.coverage.complete:
            return FailedAnswer(found.coverage.sentence)
        return as_answer(found, view.setting.kind)


OURS: dict[str, Callable[[int], Policy]] = {
    "table and floor": lambda _: Guarded(has_floor=True),
    "table alone": lambda _: Guarded(has_floor=False),
}
EARLIER: dict[str, Callable[[int], Policy]] = {"first rule": lambda _: FirstRule(has_floor=False)}
CONTROLS: dict[str, Callable[[int], Policy]] = {
    "always error": lambda _: AlwaysError(has_floor=True),
    "always max": lambda _: AlwaysMax(has_floor=True),
    "samples never age": lambda _: Ageless(has_floor=True),
    "floor always errs": lambda _: FloorErrs(has_floor=True),
    "error on every partial": lambda _: ErrsOnPartial(has_floor=True),
}
FAILS_BY = {
    "always error": "growth",
    "always max": "excess",
    "samples never age": "unsafe",
    "floor always errs": "excess",
    "error on every partial": "growth",
}
"""The definition by which each control has to fail."""
