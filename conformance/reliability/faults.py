"""The data faults, each once: what happens to the pods themselves, and what of it reaches a replica of Inflight.

`sees` is the whole truth about delivery: the harness knows what was delivered and whether it is true; nobody else does.
Times are seconds of the run.
"""

import math
import random
from typing import NamedTuple

from inflight.guard.knowledge import STANDING_SECONDS
from reliability.plant import Plant, PlantPod

NOWHERE = "cannot be reached"
REFUSED = "connection refused"
ASLEEP = "the engine is asleep"
NO_SERIES = "the page lacks the metric"


class Sight(NamedTuple):
    """What one attempt to read one pod brings."""

    value: float | None
    """As it stands on the page; None: no page, or none of the metric."""
    problem: str = ""
    served: float = 0.0
    """The page's counter of finished work."""
    page_time: float | None = None
    true: bool = True


class Scene:
    """One run's fault: when, on whom, and the randomness that chose them."""

    def __init__(self, fault: "Fault", seed: int, begin: float, seconds: float, window: float) -> None:
        self.fault = fault
        self.begin = begin
        self.end = begin + seconds
        self.window = window
        self.rng = random.Random(f"scene/{fault.name}/{seed}")
        self.victims: frozenset[str] = frozenset()
        self.kept: dict[str, Sight] = {}
        self.restarted = False

    def active(self, at: float) -> bool:
        return self.begin <= at < self.end

    def choose(self, plant: Plant, share: float) -> list[PlantPod]:
        """Some of the pods, at least one; remembered by uid."""
        pods = sorted(plant.active, key=lambda pod: pod.index)
        count = len(pods) if share >= 1 else max(1, min(len(pods) - 1, math.floor(share * len(pods) + 0.5)))
        chosen = self.rng.sample(pods, min(count, len(pods)))
        self.victims = frozenset(pod.uid for pod in chosen)
        return chosen


def honest(pod: PlantPod, at: float) -> Sight:
    """What a page says when nothing is in the way."""
    if not pod.has_page(at):
        return Sight(None, REFUSED)
    if pod.asleep:
        return Sight(0.0, ASLEEP, pod.served)
    return Sight(float(round(pod.in_flight)), "", pod.served)


class Fault:
    """One kind of fault. Hooks default to nothing happening."""

    name = ""
    about = ""
    physical = False
    """Something happens to the pods themselves, and so to twin F's as well."""
    watchers = 1
    by_request = False
    """Two replicas answer in turn within a sync, rather than sync by sync."""
    gap_inside_sync = False
    """The load is asked before the scrape that ends the gap, the floor after it."""
    dip = False
    """Hardly anything arrives for half a minute when it ends, and then as before."""
    controller_restarts = False
    from_zero = False
    longer_than_window = False
    shortest, longest = 40.0, 300.0
    stated_seconds = 0.0
    """From its begin on, for so long no rule is asked to see it; misses of that time stand in a column of their own."""
    undecidable = ""
    """No rule could see it: what it is bounded by. Empty where rules are held to it."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def seconds(self, rng: random.Random, window: float) -> float:
        """How long it lasts."""
        if self.longer_than_window:
            return window + rng.uniform(60.0, 180.0)
        return rng.uniform(self.shortest, self.longest)

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        """Something happens to the pods when the fault begins."""

    def goes_on(self, scene: Scene, plant: Plant, at: float) -> None:
        """At each step of the fault."""

    def ends(self, scene: Scene, plant: Plant, at: float) -> None:
        """When it is over."""

    def chooses(self, scene: Scene, plant: Plant) -> None:
        """Whom it hits, in the plant whose data it hits."""
        scene.choose(plant, self.share)

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        """What replica `watcher` gets of a pod during the fault."""
        return honest(pod, at)

    def restarts_watcher(self, scene: Scene, watcher: int, at: float) -> bool:
        """Whether Inflight is restarted in this step."""
        return False

    forgets_kinds = False
    """What its kinds had reported did not survive the restart."""


def _once(scene: Scene, at: float, share: float) -> bool:
    """True in the first step after that share of the fault."""
    if scene.restarted or at < scene.begin + share * (scene.end - scene.begin):
        return False
    scene.restarted = True
    return True


class Lost(Fault):
    """Pods that cannot be reached: a network, a node, a credential."""

    def __init__(self, name: str, share: float, about: str = "") -> None:
        super().__init__(share)
        self.name = name
        self.about = about or f"{share:.0%} of the pods cannot be reached"

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        hit = self.share >= 1 or pod.uid in scene.victims
        return Sight(None, NOWHERE) if hit else honest(pod, at)


class LongOutage(Lost):
    longer_than_window = True
    dip = True


class Says(Fault):
    """A page is read, and its number is none: NaN, infinity, below zero, beyond all range, or missing."""

    def __init__(self, name: str, about: str, values: tuple[float | None, ...], share: float) -> None:
        super().__init__(share)
        self.name, self.about, self._values = name, about, values

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        if (self.share < 1 and pod.uid not in scene.victims) or not pod.has_page(at):
            return honest(pod, at)
        value = self._values[(pod.index + int(at)) % len(self._values)]
        return Sight(value, "" if value is not None else NO_SERIES, pod.served, None, False)


class Repeats(Fault):
    """A page is read and is that of the moment at which the fault began."""

    def __init__(self, name: str, about: str, share: float, *, stamped: bool) -> None:
        super().__init__(share)
        self.name, self.about, self._stamped = name, about, stamped
        self.stated_seconds = 0.0 if stamped else STANDING_SECONDS + 15.0

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        if pod.uid not in scene.victims:
            return honest(pod, at)
        kept = scene.kept.get(pod.uid)
        if kept is None:
            kept = scene.kept[pod.uid] = honest(pod, at)._replace(page_time=at if self._stamped else None)
            return kept
        return kept._replace(true=False)  # the same number again is no younger than the first time


class Skew(Fault):
    """Pages carry times of a clock that is wrong."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(1.0)
        self.name, self._skew = name, seconds
        self.about = f"the pods' clocks are {seconds:+g} s off, and their pages carry times"

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        return honest(pod, at)._replace(page_time=at + self._skew)


class Renamed(Fault):
    """A rollout whose new engine calls the metric otherwise."""

    name = "metric renamed in a rollout"
    about = "new pods are Ready and their pages lack the metric until the catalogue is mended"
    physical = True
    shortest, longest = 240.0, 420.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.start_rollout(at)

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        if pod.version > 0 and pod.has_page(at):
            return Sight(None, NO_SERIES, pod.served)
        return honest(pod, at)


class Rollout(Fault):
    name = "rollout with surge"
    about = "one pod more than asked for until all are new"
    physical = True
    shortest, longest = 240.0, 420.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.start_rollout(at)


class LateScrape(Fault):
    name = "late first scrape"
    about = "pods made during the fault are Ready for 45 s before they are read for the first time"

    def chooses(self, scene: Scene, plant: Plant) -> None:
        pass

    physical = True

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.evict(scene.choose(plant, self.share), at)

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        if pod.created_at >= scene.begin and at < pod.ready_at + 45.0:
            return Sight(None, NOWHERE)
        return honest(pod, at)


class EngineRestart(Fault):
    name = "engine restart"
    about = "engines end and come back under the same pod: counters from 0, connections refused meanwhile"
    physical = True
    shortest, longest = 40.0, 90.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in scene.choose(plant, self.share):
            plant.restart(pod, at)


class Replaced(Fault):
    name = "pod replaced under the same name"
    about = "another pod (another uid) under the name of one that is gone"
    physical = True
    shortest, longest = 70.0, 120.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in scene.choose(plant, self.share):
            plant.replace(pod, at)


class ReadyEarly(Fault):
    name = "ready before its engine"
    about = "pods without a readiness probe: Ready a minute before anybody listens"
    physical = True
    shortest, longest = 100.0, 240.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.instant_ready = True
        plant.evict(scene.choose(plant, 0.3), at)

    def ends(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.instant_ready = False


class Overloaded(Fault):
    """Engines so full that they fail their readiness and their page together."""

    name = "not Ready but loaded"
    about = "engines so full of work that probe and page time out together"
    physical = True
    shortest, longest = 60.0, 240.0

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in scene.choose(plant, self.share):
            pod.slow = pod.unready = True
            pod.in_flight *= 1.5

    def ends(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in plant.pods:
            if pod.uid in scene.victims:
                pod.slow = pod.unready = False

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        return Sight(None, NOWHERE) if pod.uid in scene.victims else honest(pod, at)


class Asleep(Fault):
    name = "engine asleep"
    about = "engines put to sleep: their pages say so and hold no work"
    physical = True

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in scene.choose(plant, 0.3):
            pod.asleep = True

    def ends(self, scene: Scene, plant: Plant, at: float) -> None:
        for pod in plant.pods:
            pod.asleep = False


class Leaving(Fault):
    physical = True
    shortest, longest = 60.0, 120.0

    def __init__(self, name: str, *, seen: bool) -> None:
        super().__init__(0.5)
        self.name, self._seen = name, seen
        self.about = f"half of the pods are told to go and drain, {'seen' if seen else 'not seen any more'}"

    def begins(self, scene: Scene, plant: Plant, at: float) -> None:
        plant.evict(scene.choose(plant, self.share), at)

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        return honest(pod, at) if self._seen or pod.uid not in scene.victims else Sight(None, NOWHERE)


class RestartInside(Overloaded):
    name = "Inflight restarted inside another fault"
    about = "half of the pods loaded, not Ready and unseen, and Inflight forgets what it has read of them"
    physical = True

    def restarts_watcher(self, scene: Scene, watcher: int, at: float) -> bool:
        return _once(scene, at, 0.3)


class RoleLost(Fault):
    name = "a role lost at a restart"
    about = "Inflight restarts, what kinds had reported did not survive, and one of two roles cannot be reached"
    forgets_kinds = True

    def chooses(self, scene: Scene, plant: Plant) -> None:
        pass

    def restarts_watcher(self, scene: Scene, watcher: int, at: float) -> bool:
        return _once(scene, at, 0.0)

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        return Sight(None, NOWHERE) if pod.role == "B" else honest(pod, at)


class TwoReplicas(Fault):
    watchers = 2

    def __init__(self, name: str, *, by_request: bool) -> None:
        super().__init__(0.6)
        self.name, self.by_request = name, by_request
        self.about = "one of two replicas of Inflight cannot reach 60% of the pods; they answer in turn"

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        return Sight(None, NOWHERE) if watcher == 1 and pod.uid in scene.victims else honest(pod, at)


class AcrossTheEnd(Lost):
    gap_inside_sync = True
    shortest, longest = 40.0, 150.0


class ControllerRestart(Lost):
    controller_restarts = True


class FromZero(Lost):
    from_zero = True
    shortest, longest = 200.0, 300.0


class Lies(Fault):
    """Pages in range, as an honest engine could have written them, that are not true."""

    def __init__(self, name: str, about: str, value: float, *, share: float, bound: str) -> None:
        super().__init__(share)
        self.name, self.about, self._value, self.undecidable = name, about, value, bound

    def sees(self, scene: Scene, watcher: int, pod: PlantPod, at: float) -> Sight:
        seen = honest(pod, at)
        if pod.uid not in scene.victims or seen.value is None:
            return seen
        return seen._replace(value=self._value, served=0.0 if not self._value else seen.served, true=False)


def _faults() -> tuple[Fault, ...]:
    nan, inf = math.nan, math.inf
    return (
        Says("empty result", "every page is read and holds no series of the metric", (None,), 1.0),
        Says("NaN", "half of the pages say NaN", (nan,), 0.5),
        Says("+Inf", "half of the pages say +Inf", (inf,), 0.5),
        Repeats("stale series", "pages repeat themselves, and their own times stand still", 0.5, stamped=True),
        Repeats("frozen page", "pages repeat themselves and carry no time", 0.5, stamped=False),
        Lost("10 % lost", 0.1),
        Lost("30 % lost", 0.3),
        Lost("50 % lost", 0.5),
        Lost("90 % lost", 0.9),
        Lost("all lost", 1.0),
        Lost("label renamed", 0.5, "half of the pods lose the label that the metric's selector asks for"),
        Renamed(),
        LateScrape(),
        EngineRestart(),
        Replaced(),
        ReadyEarly(),
        Overloaded(),
        Asleep(),
        Skew("clock 30 s slow", -30.0),
        Skew("clock 30 s fast", 30.0),
        LongOutage("outage longer than the window", 1.0, "nothing for longer than the window, then a low sample"),
        Rollout(),
        Leaving("half Terminating, seen", seen=True),
        Leaving("half Terminating, unseen", seen=False),
        Says("hostile numbers", "pages say -5, 1e18, 1e300, NaN, -Inf in turn", (-5.0, 1e18, 1e300, nan, -inf), 0.4),
        RestartInside(),
        RoleLost(),
        TwoReplicas("two replicas, by sync", by_request=False),
        TwoReplicas("two replicas, by request", by_request=True),
        AcrossTheEnd(
            "asked across the end of a gap", 0.5, "load asked before the scrape that ends the gap, floor after"
        ),
        FromZero("zero pods", 1.0, "the fleet goes to zero, is asked for again, and no pod can be reached meanwhile"),
        ControllerRestart(
            "controller restart", 0.5, "half of the pods lost, and the HPA controller forgets its window"
        ),
        Lies(
            "a pod lies low",
            "one pod says 0 although it is full of work",
            0.0,
            share=0.01,
            bound="what that pod holds",
        ),
        Lies(
            "frozen while idle",
            "30% of the pages repeat themselves since a moment at which nothing ran",
            0.0,
            share=0.3,
            bound="what those pods have been given since",
        ),
        Lies(
            "a pod lies high",
            "one pod says 300, which an engine could",
            300.0,
            share=0.01,
            bound="maxReplicas; a signal's own range narrows it",
        ),
    )


FAULTS = _faults()
BY_NAME = {fault.name: fault for fault in FAULTS}
