"""Pods from creation to their end, and what happens to requests meanwhile."""

import pytest

from inflight.sim.cold_start import ColdStart
from inflight.sim.fleet_deployment import deletion_order
from inflight.sim.fleet_pod import FleetPod, PodState
from inflight.sim.outcomes import How

from .builders import EXACT, fleet, steady


def states(one) -> dict[str, str]:
    return {pod.name: str(pod.state) for pod in one.pods}


def test_the_first_pods_are_settled_and_ready():
    one = fleet(replicas=2)
    assert states(one) == {"vllm-0": "ready", "vllm-1": "ready"}
    assert (one.replicas, one.status_replicas) == (2, 2)
    assert one.cost_seconds(0, 100) == 200


def test_a_new_pod_is_pending_then_loads_then_serves():
    one = fleet(replicas=1, cold_start=EXACT)
    one.set_replicas(2, 100)
    seen = {}
    for at in (100, 104.9, 105, 129.9, 130):
        one.advance(at)
        seen[at] = states(one)["vllm-1"]
    assert seen == {100: "pending", 104.9: "pending", 105: "loading", 129.9: "loading", 130: "ready"}


def test_start_up_times_are_drawn_for_each_pod():
    one = fleet(replicas=0, cold_start=ColdStart(60, 120))
    one.set_replicas(8, 0)
    one.advance(200)
    starts = [pod.ready_at for pod in one.pods]
    assert len(set(starts)) == 8
    assert all(60 <= start < 120 for start in starts)


def test_a_pod_costs_from_its_creation_to_the_end_of_its_drain():
    one = fleet(steady(1, 1, start=200, output=400), replicas=2, cold_start=EXACT)
    one.advance(201)
    one.set_replicas(0, 201)
    assert states(one) == {"vllm-0": "draining"}  # the other one had nothing to finish
    assert one.status_replicas == 0
    one.run_out()
    assert one.pods == []
    (outcome,) = one.outcomes
    assert outcome.how is How.FINISHED
    assert one.cost_seconds(0, 1_000) == pytest.approx(201 + outcome.ended_at)
    assert one.cost_seconds(0, 100) == 200
    assert one.cost_seconds(201, 1_000) == pytest.approx(outcome.ended_at - 201)


def test_a_draining_pod_gets_no_new_requests():
    one = fleet(steady(40, 1, output=500), replicas=2, grace_seconds=300)
    one.advance(10)
    one.set_replicas(1, 10)
    (draining,) = [pod for pod in one.pods if pod.state is PodState.DRAINING]
    had = draining.in_flight
    assert had > 0
    one.advance(40)
    one.run_out()
    there = [outcome for outcome in one.outcomes if outcome.pod == draining.name]
    assert all(outcome.arrived_at <= 10 for outcome in there)
    assert sum(outcome.ended_at > 10 for outcome in there) == had
    assert all(outcome.how is How.FINISHED for outcome in one.outcomes)
    assert draining.state is PodState.GONE


def test_what_is_not_finished_when_the_grace_period_ends_is_lost():
    one = fleet(steady(4, 1, output=2_000), replicas=1, grace_seconds=10)
    one.advance(5)
    one.set_replicas(0, 5)
    one.advance(20)
    assert [outcome.how for outcome in one.outcomes] == [How.LOST] * 4
    assert {outcome.ended_at for outcome in one.outcomes} == {15}
    assert one.pods == []
    assert one.cost_seconds(0, 100) == 15


def test_a_loading_pod_that_is_not_wanted_any_more_ends_at_once_and_never_becomes_ready():
    one = fleet(replicas=1, cold_start=EXACT)
    one.set_replicas(3, 10)
    one.set_replicas(1, 20)
    assert states(one) == {"vllm-0": "ready"}
    one.advance(100)
    assert states(one) == {"vllm-0": "ready"}
    assert one.cost_seconds(0, 100) == 100 + 2 * 10


def test_names_are_never_used_again():
    one = fleet(replicas=1, cold_start=EXACT)
    one.set_replicas(2, 10)
    one.set_replicas(1, 20)
    one.set_replicas(2, 30)
    assert set(states(one)) == {"vllm-0", "vllm-2"}
    assert len({pod.uid for pod in one.pods}) == 2


def test_requests_wait_at_the_router_until_a_pod_is_ready_and_are_served_in_order():
    one = fleet(steady(3, 1), replicas=0, cold_start=EXACT)
    one.set_replicas(1, 0)
    one.advance(29.9)
    assert one.waiting_at_router == 3
    assert one.samples[-1].waiting == 3
    one.run_out()
    firsts = [outcome.first_token_at for outcome in sorted(one.outcomes, key=lambda each: each.id)]
    assert all(30 < first < 31 for first in firsts)
    assert firsts == sorted(firsts)


def test_a_client_without_a_first_token_gives_up_exactly_when_its_patience_ends():
    one = fleet(steady(3, 1), replicas=0, patience_seconds=60)
    one.run_out()
    assert [(outcome.how, outcome.ended_at) for outcome in one.outcomes] == [(How.GAVE_UP, at) for at in (60, 61, 62)]
    assert one.waiting_at_router == 0


def test_a_client_that_gave_up_is_not_served_when_a_pod_becomes_ready():
    one = fleet(steady(2, 20), replicas=0, patience_seconds=25, cold_start=EXACT)
    one.set_replicas(1, 0)
    one.run_out()
    assert [(outcome.id, outcome.how) for outcome in one.outcomes] == [(0, How.GAVE_UP), (1, How.FINISHED)]
    assert one.pods[0].in_flight == 0


def test_a_client_whose_answer_flows_stays_however_long_it_takes():
    one = fleet(steady(1, 1, output=3_000), replicas=1, patience_seconds=5)
    one.run_out()
    (outcome,) = one.outcomes
    assert outcome.how is How.FINISHED
    assert outcome.ended_at > 30


def test_a_crowd_makes_those_at_the_back_give_up_and_the_engine_drops_their_work():
    one = fleet(steady(400, 0.01, prompt=8_000, output=20), replicas=1, patience_seconds=30)
    one.advance(40)
    gave_up = [outcome for outcome in one.outcomes if outcome.how is How.GAVE_UP]
    assert len(gave_up) > 100
    assert all(outcome.ended_at == pytest.approx(outcome.arrived_at + 30) for outcome in gave_up)
    one.advance(45)
    replica = one.pods[0].replica
    assert replica.running + replica.waiting == one.pods[0].in_flight == len(one.unfinished)


def test_a_prompt_longer_than_the_model_can_read_is_refused():
    one = fleet(steady(1, 1, prompt=131_072), replicas=1)
    one.run_out()
    one.advance(1)
    assert [(outcome.how, outcome.ended_at) for outcome in one.outcomes] == [(How.REFUSED, 0)]


def pod(index: int, *, created=0.0, running=None, ready=None, uid=None) -> FleetPod:
    made = FleetPod(index, f"pod-{index}", uid or f"{index:04}", created)
    made.running_at, made.ready_at = running, ready
    return made


def test_the_surplus_goes_as_a_replicaset_chooses():
    pods = [
        pod(0, running=1, ready=2),
        pod(1, created=900, running=901, ready=990),
        pod(2, created=950, running=951),
        pod(3, created=998),
        pod(4, running=1, ready=500),
    ]
    assert [each.index for each in deletion_order(pods, 1_000)] == [3, 2, 1, 4, 0]


def test_of_pods_that_have_been_ready_about_as_long_the_uid_decides():
    pods = [pod(0, running=1, ready=100, uid="ffff"), pod(1, running=1, ready=130, uid="aaaa")]
    assert [each.index for each in deletion_order(pods, 1_000)] == [1, 0]
    pods = [pod(0, running=1, ready=100, uid="aaaa"), pod(1, running=1, ready=130, uid="ffff")]
    assert [each.index for each in deletion_order(pods, 1_000)] == [0, 1]
