"""What must hold for every run: nothing is lost or counted twice, and the same luck gives the same run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.sim.arrivals import Arrival
from inflight.sim.cold_start import ColdStart
from inflight.sim.fleet import Fleet
from inflight.sim.outcomes import How

from .builders import EXACT, fleet, setup, steady

_arrivals = st.lists(
    st.builds(Arrival, st.floats(0, 60), st.integers(1, 20_000), st.integers(1, 400)), min_size=1, max_size=60
).map(lambda many: sorted(many, key=lambda one: one.at))
_scalings = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 4)), max_size=6).map(sorted)


def play(arrivals: list[Arrival], scalings: list[tuple[float, int]], stops: list[float] = ()) -> Fleet:
    one = Fleet(setup(cold_start=ColdStart(5, 25, 1), patience_seconds=20, grace_seconds=8), arrivals)
    todo = sorted(
        [*((at, replicas) for at, replicas in scalings), *((stop, None) for stop in stops)], key=lambda x: x[0]
    )
    for at, replicas in todo:
        one.advance(at)
        if replicas is not None:
            one.set_replicas(replicas, at)
    one.advance(100)
    one.run_out()
    return one


@settings(max_examples=40, deadline=None)
@given(_arrivals, _scalings)
def test_every_request_has_exactly_one_outcome(arrivals, scalings):
    one = play(arrivals, scalings)
    assert sorted(outcome.id for outcome in one.outcomes) == list(range(len(arrivals)))
    assert one.arrived == len(arrivals)
    for outcome in one.outcomes:
        arrival = arrivals[outcome.id]
        assert (outcome.arrived_at, outcome.prompt_tokens) == (arrival.at, arrival.prompt_tokens)
        assert outcome.ended_at >= outcome.arrived_at
        if outcome.how is How.FINISHED:
            assert outcome.arrived_at < outcome.first_token_at <= outcome.ended_at
            assert outcome.output_tokens == arrival.output_tokens
        if outcome.how is How.GAVE_UP:
            assert outcome.first_token_at is None
            assert outcome.ended_at == pytest.approx(outcome.arrived_at + 20)
    assert all(pod.in_flight == 0 for pod in one.pods)
    assert one.waiting_at_router == 0


@settings(max_examples=25, deadline=None)
@given(_arrivals, _scalings, st.lists(st.floats(0, 100), max_size=20))
def test_where_the_run_is_interrupted_changes_nothing(arrivals, scalings, stops):
    whole, cut = play(arrivals, scalings), play(arrivals, scalings, stops)
    assert sorted(cut.outcomes, key=lambda each: each.id) == sorted(whole.outcomes, key=lambda each: each.id)
    assert cut.samples == whole.samples
    assert cut.cpu_usage() == whole.cpu_usage()
    assert cut.cost_seconds(0, 100) == whole.cost_seconds(0, 100)


def test_the_seed_decides_the_luck():
    def ready_times(seed: int) -> list[float]:
        one = fleet(replicas=0, seed=seed)
        one.set_replicas(4, 0)
        one.advance(200)
        return [pod.ready_at for pod in one.pods]

    assert ready_times(1) == ready_times(1)
    assert ready_times(1) != ready_times(2)


def test_replica_seconds_are_the_integral_of_the_replicas():
    one = fleet(steady(100, 0.5), replicas=1, cold_start=EXACT, sample_seconds=0.125)
    for at, replicas in ((7.0, 3), (45.5, 1), (60.25, 2), (90.0, 1)):
        one.set_replicas(replicas, at)
    one.advance(120)
    integral = sum(sample.replicas_total for sample in one.samples if sample.at < 120) * 0.125
    assert one.cost_seconds(0, 120) == pytest.approx(integral, abs=0.125 * 4)


def test_littles_law_holds_for_the_requests_in_flight():
    one = fleet(steady(2_000, 0.1, prompt=500, output=100), replicas=2, sample_seconds=0.5)
    one.advance(200)
    one.run_out()
    in_flight = [sample.running + sample.waiting for sample in one.samples if 50 <= sample.at < 150]
    inside = [outcome for outcome in one.outcomes if 50 <= outcome.arrived_at < 150]
    mean_time = sum(outcome.ended_at - outcome.arrived_at for outcome in inside) / len(inside)
    assert sum(in_flight) / len(in_flight) == pytest.approx(10 * mean_time, rel=0.1)


def test_the_load_is_counted_between_samples():
    one = fleet(steady(30, 0.25, start=0.1), replicas=1)
    one.advance(5)
    assert [sample.load_per_second for sample in one.samples] == [0, 4, 4, 4, 4, 4]
    assert [sample.at for sample in one.samples] == [0, 1, 2, 3, 4, 5]


def test_an_idle_fleet_uses_idle_cpu_and_a_busy_one_about_one_core_a_pod():
    idle, busy = fleet(replicas=1), fleet(steady(600, 0.1, output=200), replicas=1)
    idle.advance(59)
    busy.advance(59)
    assert idle.cpu_usage()["vllm-0"].cores == pytest.approx(0.02)
    usage = busy.cpu_usage()["vllm-0"]
    assert 1.0 < usage.cores < 1.3
    assert usage.window_seconds == pytest.approx(15)
    assert 59 - 15 < usage.at <= 59


def test_a_loading_pod_burns_a_core_that_metrics_server_shows():
    one = fleet(replicas=1, cold_start=ColdStart(100, 100, 5))
    one.set_replicas(2, 10)
    one.advance(60)
    assert one.cpu_usage()["vllm-1"].cores == pytest.approx(1.0)
    one.advance(140)
    assert one.cpu_usage()["vllm-1"].cores == pytest.approx(0.02)
