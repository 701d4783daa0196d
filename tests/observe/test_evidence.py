"""Bounds from status and events hold the truth: a controller that nobody can look into is played, and guessed at."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import Decision, ExternalAnswer, Memory, Observation, Record, decide
from inflight.hpa.record import make_record
from inflight.hpa.remembered import Follower
from inflight.objects import HorizontalPodAutoscaler, Time, decode_hpa, set_defaults
from inflight.observe.evidence import EvidenceCode, gather
from inflight.observe.hold import explain_live
from inflight.observe.looking.history import Event, History, Rescale, rescales_of

from .fake_cluster import SECOND, external
from .test_any_observation import BEHAVIOR, NOW, ends

START = NOW + 370_000_000
"""Not on a whole second: times that are told are cut."""
PERIOD = 15 * SECOND


def hpa(behavior: dict[str, Any] | None, maximum: int = 12) -> HorizontalPodAutoscaler:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "maxReplicas": maximum,
        "metrics": [external()],
    }
    if behavior is not None:
        spec["behavior"] = behavior
    return set_defaults(decode_hpa({"metadata": {"name": "llm", "namespace": "shop", "uid": "u"}, "spec": spec}))


class Controller:
    """Syncs every 15 s and tells what a real one tells: its status, its events, its lease."""

    def __init__(self, spec: HorizontalPodAutoscaler, replicas: int) -> None:
        self.spec, self.replicas, self.now_ns = spec, replicas, START
        self.memory = Memory()
        self.rescales: list[Rescale] = []
        self.leads_since_ns = START - 10_000 * SECOND

    def look(self, load: int) -> tuple[Record, Decision]:
        """What is seen of the sync that comes, and what it will do."""
        seen = Observation(self.replicas, self.replicas, "app=llm", (), (ExternalAnswer((load * 1000,)),))
        shown = HorizontalPodAutoscaler(metadata=self.spec.metadata, spec=self.spec.spec, status=self.memory.status)
        return make_record(shown, seen, None, self.now_ns), decide(self.spec, seen, self.memory, self.now_ns)

    def sync(self, load: int) -> None:
        _, decision = self.look(load)
        self.memory, self.replicas = decision.memory, decision.replicas
        if decision.rescaled:
            at_ns = self.now_ns // SECOND * SECOND
            self.rescales.append(Rescale(at_ns, decision.replicas, decision.reason))
            status = self.memory.status
            assert status.last_scale_time is not None
            # What is read back of the API has no fraction.
            cut = {**{f: getattr(status, f) for f in status.__struct_fields__}, "last_scale_time": Time(at_ns)}
            self.memory = Memory(
                self.memory.recommendations, self.memory.scale_ups, self.memory.scale_downs, type(status)(**cut)
            )
        self.now_ns += PERIOD

    def restart(self) -> None:
        """Somewhere between two syncs."""
        self.memory = self.memory.after_restart()
        self.leads_since_ns = self.now_ns - 7 * SECOND

    def history(self, *, complete: bool, lease: bool) -> History:
        return History(
            rescales=tuple(self.rescales), is_complete=complete, leads_since_ns=self.leads_since_ns if lease else None
        )


@settings(max_examples=60, deadline=None)
@given(
    behavior=BEHAVIOR,
    loads=st.lists(st.integers(0, 400), min_size=2, max_size=30),
    replicas=st.integers(1, 12),
    restart=st.none() | st.integers(0, 29),
    told=st.tuples(st.booleans(), st.booleans()),
)
def test_the_truth_lies_within_the_bounds(
    behavior: dict[str, Any] | None, loads: list[int], replicas: int, restart: int | None, told: tuple[bool, bool]
) -> None:
    complete, lease = told
    controller = Controller(hpa(behavior), replicas)
    for index, load in enumerate(loads[:-1]):
        if index == restart:
            controller.restart()
        controller.sync(load)
    record, truth = controller.look(loads[-1])
    known = gather(record, Follower().follow(record), controller.history(complete=complete, lease=lease))
    low, high = ends(record, known)
    wanted = truth.trace.desired_replicas
    assert low.trace.desired_replicas <= wanted <= high.trace.desired_replicas
    hold = explain_live(record, known, with_changes=False).hold
    stabilization = truth.trace.stabilization
    if stabilization is not None and stabilization.clear_at_ns is not None:
        assert hold is not None or low.trace.desired_replicas == high.trace.desired_replicas
    if hold is not None and stabilization is not None and stabilization.clear_at_ns is not None:
        assert (hold.at_least_ns or 0) <= stabilization.clear_at_ns
        assert stabilization.clear_at_ns <= hold.at_most_ns + SECOND


def test_a_rise_within_the_window_makes_the_hold_sure() -> None:
    controller = Controller(hpa({"scaleDown": {"stabilizationWindowSeconds": 300}}), 3)
    for load in (90, 240, 240, 30):
        controller.sync(load)
    record, truth = controller.look(30)
    known = gather(record, Follower().follow(record), controller.history(complete=True, lease=False))
    low, high = ends(record, known)
    assert {low.trace.desired_replicas, high.trace.desired_replicas} == {8} == {truth.trace.desired_replicas}
    assert {each.code for each in known.evidence} == {EvidenceCode.LAST_SCALE, EvidenceCode.HELD_AT_LAST_SYNC}


def test_events_that_tell_every_rescale_give_what_a_policy_has_left() -> None:
    policies = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 20}]}}
    controller = Controller(hpa(policies), 3)
    for load in (90, 150, 360):
        controller.sync(load)
    record, truth = controller.look(360)
    assert truth.trace.desired_replicas == 9, "7 now, of which 2 came within the period"
    for complete, expected in ((True, (9, 9)), (False, (7, 12))):
        known = gather(record, Follower().follow(record), controller.history(complete=complete, lease=False))
        low, high = ends(record, known)
        assert (low.trace.desired_replicas, high.trace.desired_replicas) == expected


def test_events_do_not_tell_how_much_the_first_of_them_added() -> None:
    policies = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 120}]}}
    controller = Controller(hpa(policies), 3)
    for load in (90, 150, 360):
        controller.sync(load)
    record, truth = controller.look(360)
    known = gather(record, Follower().follow(record), controller.history(complete=True, lease=False))
    low, high = ends(record, known)
    assert low.trace.desired_replicas == truth.trace.desired_replicas == 7 < high.trace.desired_replicas


def test_without_events_the_status_of_a_fresh_rescale_has_both_counts() -> None:
    policies = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 120}]}}
    controller = Controller(hpa(policies), 3)
    controller.sync(360)
    record, truth = controller.look(360)
    known = gather(record, Follower().follow(record), History())
    assert [event.change for event in known.remembered.memory.scale_ups] == [4]
    low, _ = ends(record, known)
    assert low.trace.desired_replicas == truth.trace.desired_replicas == 7


def test_a_controller_that_has_not_looked_yet_remembers_nothing() -> None:
    record, truth = Controller(hpa({}), 5).look(30)
    known = gather(record, Follower().follow(record), History())
    low, high = ends(record, known)
    assert low.trace.desired_replicas == high.trace.desired_replicas == truth.trace.desired_replicas == 5
    assert [each.code for each in known.evidence] == [EvidenceCode.NEVER_SYNCED]


def event(message: str, age: int, **more: Any) -> Event:
    return Event(reason="SuccessfulRescale", message=message, last_timestamp=Time(NOW - age * SECOND), **more)


def test_events_become_rescales_and_say_whether_they_are_all() -> None:
    up = event("New size: 5; reason: external metric load(nil) above target", 20, count=1)
    down = event("New size: 3; reason: All metrics below target", 80, count=2, first_timestamp=Time(NOW - 300 * SECOND))
    rescales, is_whole = rescales_of([up, down, Event(reason="FailedGetScale", message="no")])
    assert [(each.replicas, each.is_upwards) for each in rescales] == [(3, False), (3, False), (5, True)]
    assert is_whole
    often = event(
        "New size: 3; reason: All metrics below target", 80, count=3, first_timestamp=Time(NOW - 300 * SECOND)
    )
    assert not rescales_of([often])[1]
    combined = event("(combined from similar events): New size: 4; reason: All metrics below target", 10)
    assert not rescales_of([combined])[1]
