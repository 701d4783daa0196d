"""One policy in model time, from requests to figures."""

import pickle

import pytest

from inflight.sim.arrivals import paced
from inflight.sim.ramp import parse_ramp
from inflight.sim.sensing import UnsensedError
from inflight.sim.study import Course, Policy, Study, fixed_neighbours, run_policy
from inflight.sim.traces import shipped_trace

from .builders import A100, EXACT, external, hpa, on_cpu, per_pod, setup, steady


def course(text: str = "0.7:45,3:90,3:75") -> Course:
    ramp = parse_ramp(text)
    return Course(paced(shipped_trace(), ramp), ramp.seconds, ramp.rises_at)


COURSE = course()
IN_FLIGHT = Policy("in-flight", hpa(external("30")))


def test_a_fixed_fleet_costs_its_size_and_decides_nothing():
    result = run_policy(Policy("fixed 3", replicas=3), setup(), COURSE)
    assert (result.replicas_mean, result.replicas_peak) == (3, 3)
    assert result.replica_hours == pytest.approx(3 * 210 / 3_600)
    assert result.changes == ()
    assert (result.first_decision_seconds, result.direction_changes) == (None, 0)
    assert result.requests == len(COURSE.arrivals)
    assert result.undecided == 0
    assert result.slo_attainment > 0.99


def test_work_in_flight_makes_the_fleet_grow_before_users_wait():
    load = course("0.7:45,2:200,2:60")
    result, alone = (run_policy(policy, setup(), load) for policy in (IN_FLIGHT, Policy("fixed 1")))
    assert (result.changes[0].before, result.changes[0].after) == (1, 2)
    assert "inflight_requests" in result.changes[0].reason
    assert result.first_decision_seconds <= 60
    assert result.slo_attainment > 0.9 > alone.slo_attainment
    assert result.longest_queue < alone.longest_queue


def test_cpu_against_a_request_of_six_cores_never_moves_and_against_one_it_climbs():
    six = run_policy(Policy("cpu", hpa(on_cpu()), cpu_request="6"), setup(), COURSE)
    one = run_policy(Policy("cpu", hpa(on_cpu()), cpu_request="1"), setup(), COURSE)
    assert six.changes == ()
    assert six.replicas_mean == 1
    assert [change.after > change.before for change in one.changes] == [True] * len(one.changes)
    assert one.slo_attainment > six.slo_attainment


def test_the_same_seed_gives_the_same_figures_and_another_seed_other_luck():
    first, again, other = (run_policy(IN_FLIGHT, setup(seed=seed), COURSE) for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_a_pods_metric_and_an_external_metric_of_the_same_target_agree_while_nothing_loads():
    load = Course(steady(1_200, 0.1, prompt=800, output=200), 120, None)
    still = {"cold_start": EXACT, "replicas": 2}
    pods = run_policy(Policy("x", hpa(per_pod("30")), 2), setup(**still), load)
    outside = run_policy(Policy("x", hpa(external("30")), 2), setup(**still), load)
    assert pods.slo_attainment == outside.slo_attainment


def test_decisions_come_once_a_sync_period_and_not_at_the_horizon():
    study = Study(IN_FLIGHT, setup(), COURSE)
    moments = []
    while study.step():
        moments.append(study.fleet.now)
    assert moments == [15.0 * index for index in range(1, 14)]
    assert study.fleet.now == 210
    assert study.result().horizon_seconds == 210


def test_requests_under_way_at_the_horizon_come_to_their_end_unpaid():
    late = Course(steady(5, 1, start=55, output=1_000), 60, None)
    result = run_policy(Policy("fixed 1"), setup(), late)
    assert (result.requests, result.slo_attainment) == (5, 1)
    assert result.replica_hours == pytest.approx(60 / 3_600)


def test_an_hpa_that_cannot_be_simulated_is_refused_before_anything_runs():
    with pytest.raises(UnsensedError, match="memory"):
        Study(Policy("x", hpa(on_cpu(name="memory"))), setup(), COURSE)


def test_what_goes_in_and_comes_out_can_travel_to_another_process():
    sent = pickle.loads(pickle.dumps((IN_FLIGHT, setup(), COURSE)))
    result = run_policy(*sent)
    assert pickle.loads(pickle.dumps(result)) == result == run_policy(IN_FLIGHT, setup(), COURSE)


def test_the_two_fixed_fleets_next_to_a_mean_size():
    assert [fixed_neighbours(mean) for mean in (4.07, 4.0, 0.3, 7.99)] == [(4, 5), (4, 5), (1, 2), (7, 8)]


def test_the_default_engine_is_the_one_of_the_lab():
    assert A100.max_num_seqs == 256
