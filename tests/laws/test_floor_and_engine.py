"""The floor as the stock HPA takes it: the exact engine syncs with a load metric and the floor beside it."""

from inflight.hpa import Decision, ExternalAnswer, FailedAnswer, Memory, MetricAnswer, Observation, decide
from inflight.laws import Autoscaler, Coverage, FloorMemory, FloorSettings, Seen, Withheld, floor
from inflight.objects import HorizontalPodAutoscaler, decode_hpa, set_defaults

SECOND = 10**9


def hpa(window: int, tolerance: str = "0") -> HorizontalPodAutoscaler:
    def external(name: str, average: str) -> dict[str, object]:
        target = {"type": "AverageValue", "averageValue": average}
        return {"type": "External", "external": {"metric": {"name": name}, "target": target}}

    found = decode_hpa({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "llm", "namespace": "ns"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
            "minReplicas": 1,
            "maxReplicas": 40,
            "metrics": [external("inflight_requests", "10"), external("inflight_replica_floor", "1")],
            "behavior": {
                "scaleDown": {"stabilizationWindowSeconds": window, "tolerance": tolerance},
                "scaleUp": {"tolerance": tolerance},
            },
        },
    })  # fmt: skip
    return set_defaults(found, "1.37", {})


class Controller:
    """An HPA's syncs, 15 s apart. `requests` None: the pods cannot be seen."""

    def __init__(self, window: int, replicas: int = 8, *, with_floor: bool = True, tolerance: str = "0") -> None:
        self.hpa, self.replicas, self.with_floor = hpa(window, tolerance), replicas, with_floor
        self.memory, self.floor_memory, self.at = Memory(), FloorMemory(), 0.0

    def restart_inflight(self) -> None:
        self.floor_memory = FloorMemory()

    def sync(self, requests: float | None, *, floor_knows: bool | None = None) -> Decision:
        self.at += 15.0
        load: MetricAnswer = FailedAnswer("unseen") if requests is None else ExternalAnswer((round(requests * 1000),))
        complete = requests is not None if floor_knows is None else floor_knows
        unread = any(not metric.type for metric in self.memory.status.current_metrics)
        seen = Seen((), Coverage(complete), Autoscaler("llm", self.replicas, unread, independent=True), self.at)
        said, self.floor_memory = floor(seen, self.floor_memory, FloorSettings())
        answer: MetricAnswer = (
            FailedAnswer(said.reason) if isinstance(said, Withheld) else ExternalAnswer((said.replicas * 1000,))
        )
        if not self.with_floor:
            answer = ExternalAnswer((0,))
        observation = Observation(self.replicas, self.replicas, "app=llm", (), (load, answer))
        decision = decide(self.hpa, observation, self.memory, round(self.at * SECOND))
        self.memory, self.replicas = decision.memory, decision.replicas
        return decision


def test_a_low_sample_after_an_outage_longer_than_the_window_shrinks_the_fleet_at_once_without_a_floor() -> None:
    bare = Controller(300, with_floor=False)
    held = Controller(300)
    for controller in (bare, held):
        for _ in range(30):
            controller.sync(80)
        for _ in range(24):
            controller.sync(None)
        controller.sync(5)
    assert (bare.replicas, held.replicas) == (1, 8)
    for _ in range(20):
        held.sync(5)
        assert held.replicas == 8, "three syncs of the floor, then the HPA's own window"
    for _ in range(3):
        held.sync(5)
    assert held.replicas == 1


def test_while_pods_are_unseen_it_goes_up_and_not_down() -> None:
    controller = Controller(0)
    controller.sync(80)
    assert controller.sync(10, floor_knows=False).replicas == 8
    assert controller.sync(150, floor_knows=False).replicas == 15
    active = next(each for each in controller.memory.status.conditions if each.type == "ScalingActive")
    assert active.status == "True"
    controller.sync(10, floor_knows=False)
    active = next(each for each in controller.memory.status.conditions if each.type == "ScalingActive")
    assert (active.status, active.reason) == ("False", "FailedGetExternalMetric")
    assert "up yes, down no" in active.message


def test_inflight_restarted_as_the_gap_ends_still_holds() -> None:
    controller = Controller(300)
    controller.sync(80)
    for _ in range(24):
        controller.sync(None)
    controller.restart_inflight()
    for _ in range(3):
        controller.sync(5)
        assert controller.replicas == 8
    controller.restart_inflight()
    assert controller.sync(5).replicas == 8, "what the floor said is in the HPA's own window by now"


def test_without_gaps_it_does_not_lengthen_the_window() -> None:
    bare, with_floor = Controller(300, with_floor=False), Controller(300)
    for controller in (bare, with_floor):
        for _ in range(10):
            controller.sync(80)
    while bare.replicas == 8:
        bare.sync(5)
        with_floor.sync(5)
    assert with_floor.replicas == bare.replicas == 1


def test_inside_the_tolerance_the_hpa_takes_its_present_count_for_what_the_floor_names() -> None:
    for tolerance, expected in (("0.1", 18), ("0", 19)):
        spec = hpa(0, tolerance)
        observation = Observation(20, 18, "app=llm", (), (ExternalAnswer((10_000,)), ExternalAnswer((19_000,))))
        assert decide(spec, observation, Memory(), 0).replicas == expected


def test_a_rollouts_surge_is_not_added_at_each_sync_after_a_gap() -> None:
    spec, replicas, memory, floor_memory = hpa(300, "0.1"), 9, Memory(), FloorMemory()
    for sync in range(1, 5):
        at = 15.0 * sync
        look = Seen((), Coverage(complete=True), Autoscaler("llm", replicas, sync == 1, independent=True), at)
        said, floor_memory = floor(look, floor_memory, FloorSettings())
        assert not isinstance(said, Withheld)
        answers = (ExternalAnswer((90_000,)), ExternalAnswer((said.replicas * 1000,)))
        # One pod more than asked for, at every sync.
        decision = decide(spec, Observation(replicas, replicas + 1, "app=llm", (), answers), memory, round(at * SECOND))
        memory, replicas = decision.memory, decision.replicas
    assert replicas == 10, (
        "once, by the load metric as well: inside its tolerance the HPA takes the pods that there are"
    )
