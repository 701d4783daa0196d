"""One run: the HPA with what a policy tells it, twin S beside it at every sync, twin F on a plant of its own, and the
three definitions by which a run fails. Times are seconds of the run.

Unsafe: a decrease to below what twin S would write, or any while fewer than a fifth of the pods is seen. S is the exact
engine with the load metric alone, its own recommendations, our path of replicas and scale events, and complete data.
Growth: S raises, the seen pods alone propose as much, and we are not there by the next sync.
Excess, against twin F, which no data fault ever hits: before the fault ours is not F; inside, above the largest of F,
the replicas at its begin and the highest estimate so far by more than one; after it, above that for longer than three
syncs and a window, or from there over 450 s more than 5 % replica-hours above F. Value targets are not judged by it.
Where S, too, asks for that much (the true load on our path: an outage under a rising load leaves a queue), the miss
stands in a column of its own, `load`.
"""

import random
from functools import lru_cache
from typing import NamedTuple

import msgspec

from inflight.hpa import ExternalAnswer, Memory, MetricAnswer, Observation, decide
from inflight.laws import proposal
from reliability import truth
from reliability.faults import BY_NAME, Fault, Scene, honest
from reliability.hpas import CONTROLLER, MAX_REPLICAS, SELECTOR, Setting, hpa_of, now_ns, pods_of
from reliability.loads import STEP_SECONDS, Span, arrivals
from reliability.plant import Plant
from reliability.policies import Policy, View
from reliability.watcher import Watcher

SYNC_STEPS = 5
SYNC_SECONDS = SYNC_STEPS * STEP_SECONDS
AFTER_SECONDS = 450.0
HOLD_SECONDS = 3 * SYNC_SECONDS
ALLOWED_EXCESS = 0.05
SMALLEST_SHARE = 0.2
"""Below it growth is not asked for, and holding is required."""


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """One run's place in the matrix, without the policy."""

    fault: str
    shape: str
    seed: int
    setting: Setting


class Miss(msgspec.Struct, frozen=True, array_like=True):
    """One failure by one definition."""

    by: str
    at: float
    replicas: int
    """What we wrote or have."""
    bound: float
    """What it is measured against."""
    note: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What one run gave."""

    misses: tuple[Miss, ...]
    syncs: int
    decreases: int
    hours_inside: float
    """Replica-hours of ours inside the fault, of F's (1 is as many)."""
    hours_whole: float
    unseen_syncs: int
    """Syncs with fewer than a fifth of the pods seen, at which growth is not asked for."""
    model_seconds: float


class SyncNote(NamedTuple):
    """One sync for people: seconds since the fault began, counts before and after, the twins', what was said."""

    at: float
    before: int
    after: int
    s: int
    f: int
    seen: float
    answers: tuple[tuple[str, MetricAnswer], ...]


class Script(msgspec.Struct, frozen=True):
    """What all policies of a cell share."""

    steps: int
    span: Span
    arrived: tuple[float, ...]
    replicas: int


@lru_cache(maxsize=64)
def script_of(cell: Cell) -> Script:
    """When the fault comes and what load there is."""
    fault = BY_NAME[cell.fault]
    window = float(cell.setting.window)
    rng = random.Random(f"script/{cell.fault}/{cell.shape}/{cell.seed}")
    warm = max(120.0, window + 60.0) + rng.randrange(SYNC_STEPS) * STEP_SECONDS
    if fault.from_zero:
        warm += window + 150.0
    seconds = fault.seconds(rng, window)
    idle_from = idle_until = -1.0
    if fault.from_zero:
        idle_from, idle_until = warm - window - 90.0, warm + 0.3 * seconds
    span = Span(warm, warm + seconds, idle_from, idle_until, fault.dip)
    total = span.end + SYNC_SECONDS + HOLD_SECONDS + window + AFTER_SECONDS + 2 * SYNC_SECONDS
    steps = int(total / STEP_SECONDS)
    arrived = arrivals(cell.shape, cell.seed, steps, span)
    return Script(steps, span, tuple(arrived), max(1, round(sum(arrived[:20]) / 20 * 8.0 / STEP_SECONDS / 10.0)))


class _Twin:
    """A plant, its HPA's memory and the fault's physical side."""

    def __init__(self, cell: Cell, script: Script) -> None:
        self.fault: Fault = BY_NAME[cell.fault]
        self.plant = Plant(cell.seed, script.replicas)
        self.memory = Memory()
        span = script.span
        self.scene = Scene(self.fault, cell.seed, span.begin, span.end - span.begin, cell.setting.window)
        self._begun = self._ended = self._forgot = False

    def step(self, arrived: float, at: float) -> None:
        fault, scene, plant = self.fault, self.scene, self.plant
        if not self._begun and at >= scene.begin:
            self._begun = True
            if fault.physical:
                fault.begins(scene, plant, at)
            else:
                fault.chooses(scene, plant)
        if not self._ended and at >= scene.end:
            self._ended = True
            fault.ends(scene, plant, at)
        plant.step(arrived, at)

    def controller_restarts(self, at: float) -> bool:
        """Once, in the middle of the fault."""
        if self._forgot or not self.fault.controller_restarts or at < (self.scene.begin + self.scene.end) / 2:
            return False
        self._forgot = True
        self.memory = self.memory.after_restart()
        return True

    def observe(self, at: float) -> Observation:
        plant = self.plant
        return Observation(
            replicas=plant.replicas,
            status_replicas=plant.status_replicas,
            selector=SELECTOR,
            pods=pods_of(plant, at),
            answers=(),
        )


def _gateway(plant: Plant) -> MetricAnswer:
    return ExternalAnswer((truth.milli(plant.backlog),))


def _roles(setting: Setting, *, has_floor: bool, seed: int) -> tuple[str, ...]:
    roles = ("load", "floor") if has_floor else ("load",)
    if has_floor and seed % 4 == 3:
        roles = ("floor", "load")
    return (*roles, "gateway") if setting.from_zero else roles


@lru_cache(maxsize=8)
def twin_f(cell: Cell) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Twin F: its replicas after each sync, and the replica-seconds paid until each."""
    script = script_of(cell)
    twin = _Twin(cell, script)
    setting = cell.setting
    roles = _roles(setting, has_floor=False, seed=cell.seed)
    hpa = hpa_of(setting, roles)
    replicas, cost = [], []
    for step in range(script.steps):
        at = step * STEP_SECONDS
        twin.step(script.arrived[step], at)
        if step % SYNC_STEPS:
            continue
        twin.controller_restarts(at)
        answers = [truth.answer_of(setting.kind, truth.complete(twin.plant, None, at))]
        if setting.from_zero:
            answers.append(_gateway(twin.plant))
        seen = msgspec.structs.replace(twin.observe(at), answers=tuple(answers))
        decision = decide(hpa, seen, twin.memory, now_ns(at), CONTROLLER, with_trace=False)
        twin.memory = decision.memory
        if decision.rescaled:
            twin.plant.set_replicas(decision.replicas, at)
        replicas.append(twin.plant.replicas)
        cost.append(twin.plant.cost_seconds)
    return tuple(replicas), tuple(cost)


def play(cell: Cell, policy: Policy, notes: list[SyncNote] | None = None) -> Outcome:
    """One run of one policy; every sync is noted where a list is given."""
    return _Run(cell, policy, notes).play()


class _Run:
    """The life of one run."""

    def __init__(self, cell: Cell, policy: Policy, notes: list[SyncNote] | None) -> None:
        self.notes = notes
        self.cell, self.policy, self.setting = cell, policy, cell.setting
        self.script = script_of(cell)
        self.twin = _Twin(cell, self.script)
        self.fault = self.twin.fault
        self.watchers = [Watcher(number) for number in range(self.fault.watchers)]
        self.rng = random.Random(f"answers/{cell.fault}/{cell.seed}")
        self.roles = _roles(self.setting, has_floor=policy.has_floor, seed=cell.seed)
        self.hpa = hpa_of(self.setting, self.roles)
        self.load_alone = hpa_of(self.setting, ("load",))
        self.s_memory = self.s_before = Memory()
        self.f_replicas, self.f_cost = twin_f(cell)
        self.misses: list[Miss] = []
        self.pending: int | None = None
        self.level = 0
        self.last_true: dict[str, tuple[float, float]] = {}
        self.costs: list[float] = []
        self.unexplained = 0.0
        self.sync = self.decreases = self.unseen = 0

    def play(self) -> Outcome:
        script, twin = self.script, self.twin
        for step in range(script.steps):
            at = step * STEP_SECONDS
            twin.step(script.arrived[step], at)
            is_sync = step % SYNC_STEPS == 0
            across = is_sync and self.fault.gap_inside_sync and script.span.end <= at < script.span.end + SYNC_SECONDS
            if not across:
                self._scrape(at, twin.scene.active(at))
            self.policy.tick(self.watchers, twin.plant, step)
            if is_sync:
                self._sync(at, scrape_between=across)
        return self._outcome()

    def _scrape(self, at: float, faulty: bool) -> None:
        plant, scene, fault = self.twin.plant, self.twin.scene, self.fault
        # The last step of a gap across a sync is still blind: the scrape that ends it comes within the sync.
        faulty = faulty or (fault.gap_inside_sync and scene.begin <= at < self._first_sync_after(scene.end))
        for watcher in self.watchers:
            if faulty and fault.restarts_watcher(scene, watcher.number, at):
                watcher.restart(forgets_kinds=fault.forgets_kinds)
                self.policy.restart(watcher)
            for pod in plant.pods:
                sight = fault.sees(scene, watcher.number, pod, at) if faulty else honest(pod, at)
                watcher.take(pod, sight, at)

    def _first_sync_after(self, at: float) -> float:
        return -(-at // SYNC_SECONDS) * SYNC_SECONDS

    def _answering(self) -> tuple[Watcher, Watcher]:
        """Which replica answers the load and which the floor."""
        if len(self.watchers) == 1:
            return self.watchers[0], self.watchers[0]
        if self.fault.by_request:
            first = self.rng.randrange(2)
            return self.watchers[first], self.watchers[1 - first]
        return self.watchers[self.sync % 2], self.watchers[self.sync % 2]

    def _sync(self, at: float, *, scrape_between: bool) -> None:
        twin, plant, setting = self.twin, self.twin.plant, self.setting
        if twin.controller_restarts(at):
            self.s_memory = self.s_memory.after_restart()
        observation = twin.observe(at)
        by_load, by_floor = self._answering()
        load = self.policy.load(View(at, by_load, plant, setting, observation, twin.memory.status))
        samples = by_load.true_samples(plant, at)
        if scrape_between:
            self._scrape_now(at)
        answers = {"load": load}
        if self.policy.has_floor:
            answers["floor"] = self.policy.floor(View(at, by_floor, plant, setting, observation, twin.memory.status))
        if setting.from_zero:
            answers["gateway"] = _gateway(plant)
        seen = msgspec.structs.replace(observation, answers=tuple([answers[role] for role in self.roles]))
        decision = decide(self.hpa, seen, twin.memory, now_ns(at), CONTROLLER, with_trace=False)
        before = plant.replicas
        s_replicas = self._twin_s(observation, samples, at)
        twin.memory = decision.memory
        self.s_memory = msgspec.structs.replace(
            self.s_memory,
            scale_ups=decision.memory.scale_ups,
            scale_downs=decision.memory.scale_downs,
            status=decision.memory.status,
        )
        share = truth.share_seen(plant, samples, at)
        blind = share is not None and share < SMALLEST_SHARE
        self.unseen += blind
        counts = (before, decision.replicas, s_replicas)
        self._judge_safety(at, counts, blind=blind)
        self._judge_growth(at, counts, observation, samples, blind=blind or share is None)
        if decision.rescaled:
            plant.set_replicas(decision.replicas, at)
        self._judge_excess(at, before, s_replicas, observation, samples)
        self.costs.append(plant.cost_seconds)
        if self.notes is not None:
            since, f_replicas = at - self.script.span.begin, self.f_replicas[self.sync]
            self.notes.append(SyncNote(since, *counts, f_replicas, share or 0.0, tuple(answers.items())))
        self.sync += 1

    def _scrape_now(self, at: float) -> None:
        for watcher in self.watchers:
            for pod in self.twin.plant.pods:
                watcher.take(pod, honest(pod, at), at)

    def _decide_alone(self, observation: Observation, values: dict[str, float], at: float) -> tuple[int, Memory]:
        seen = msgspec.structs.replace(observation, answers=(truth.answer_of(self.setting.kind, values),))
        decision = decide(self.load_alone, seen, self.s_memory, now_ns(at), CONTROLLER, with_trace=False)
        return decision.replicas, decision.memory

    def _twin_s(self, observation: Observation, samples: dict[str, float], at: float) -> int:
        self.s_before = self.s_memory
        replicas, memory = self._decide_alone(observation, truth.complete(self.twin.plant, samples, at), at)
        self.s_memory = memory
        return replicas

    def _miss(self, by: str, at: float, replicas: int, bound: float, note: str = "") -> None:
        since = at - self.script.span.begin
        if 0 <= since < self.fault.stated_seconds:
            by = "stated"
        self.misses.append(Miss(by, since, replicas, bound, note))

    def _judge_safety(self, at: float, counts: tuple[int, int, int], *, blind: bool) -> None:
        before, after, s_replicas = counts
        if after >= before:
            return
        self.decreases += 1
        if after < s_replicas:
            self._miss("unsafe", at, after, s_replicas, f"from {before}")
        elif blind:
            self._miss("unsafe", at, after, before, "fewer than a fifth of the pods seen")

    def _judge_growth(
        self,
        at: float,
        counts: tuple[int, int, int],
        observation: Observation,
        samples: dict[str, float],
        *,
        blind: bool,
    ) -> None:
        before, after, s_replicas = counts
        plant = self.twin.plant
        if self.pending is not None and after < self.pending:
            self._miss("growth", at, after, self.pending)
        self.pending = None
        if blind or s_replicas <= before or after >= s_replicas:
            return
        kept, self.s_memory = self.s_memory, self.s_before
        seen_alone, _ = self._decide_alone(observation, truth.seen_alone(plant, samples, at), at)
        self.s_memory = kept
        if seen_alone >= s_replicas:
            self.pending = s_replicas

    def _judge_excess(
        self, at: float, before: int, s_replicas: int, observation: Observation, samples: dict[str, float]
    ) -> None:
        if self.setting.kind == "Value":
            return
        span, f_replicas = self.script.span, self.f_replicas[self.sync]
        ours = self.twin.plant.replicas
        for pod in self.twin.plant.pods:
            if pod.asleep:
                samples.pop(pod.uid, None)  # the table takes a sleeping engine for unseen
            elif pod.uid in samples:
                self.last_true[pod.uid] = (samples[pod.uid], at)
        if at < span.begin:
            if ours != f_replicas:
                self._miss("excess", at, ours, f_replicas, "before the fault")
            return
        if not self.level:
            self.level = before
        self.level = max(self.level, f_replicas)
        if at < span.end + 2 * SYNC_SECONDS and (truth.share_seen(self.twin.plant, samples, at) or 0) >= SMALLEST_SHARE:
            values = truth.estimate(self.twin.plant, samples, self.last_true, at)
            if values:
                self.level = max(self.level, self._proposed(observation, values, at))
        settled = at >= span.end + SYNC_SECONDS + HOLD_SECONDS + self.setting.window
        if not settled and ours > self.level + 1:
            by = "load" if ours <= s_replicas else "excess"
            self._miss(by, at, ours, self.level, "inside" if at < span.end + SYNC_SECONDS else "after")
        if settled:
            self.unexplained += max(0, ours - max(f_replicas, s_replicas)) * SYNC_SECONDS

    def _proposed(self, observation: Observation, values: dict[str, float], at: float) -> int:
        answer = truth.answer_of(self.setting.kind, values)
        proposed = proposal(self.load_alone, 0, answer, observation, now_ns(at), controller=CONTROLLER)
        return min(MAX_REPLICAS, proposed or 0)

    def _outcome(self) -> Outcome:
        span, script = self.script.span, self.script
        settled = span.end + SYNC_SECONDS + HOLD_SECONDS + self.setting.window
        ours_after, f_after = self._hours(settled, settled + AFTER_SECONDS)
        if self.setting.kind != "Value" and ours_after > f_after * (1 + ALLOWED_EXCESS):
            by = "excess" if self.unexplained > f_after * ALLOWED_EXCESS else "load"
            self._miss(by, settled, round(ours_after / f_after * 100), 105, "percent of F's replica-hours after")
        ours_inside, f_inside = self._hours(span.begin, span.end + SYNC_SECONDS)
        return Outcome(
            misses=tuple(self.misses),
            syncs=self.sync,
            decreases=self.decreases,
            hours_inside=ours_inside / f_inside if f_inside else 1.0,
            hours_whole=self.costs[-1] / self.f_cost[-1] if self.f_cost[-1] else 1.0,
            unseen_syncs=self.unseen,
            model_seconds=script.steps * STEP_SECONDS,
        )

    def _hours(self, since: float, until: float) -> tuple[float, float]:
        first = int(-(-since // SYNC_SECONDS))
        last = min(int(until // SYNC_SECONDS), len(self.costs) - 1)
        return self.costs[last] - self.costs[first], self.f_cost[last] - self.f_cost[first]
