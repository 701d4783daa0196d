"""The figures of a policy, by their definitions."""

import pytest

from inflight.sim.arrivals import Arrival
from inflight.sim.fleet import FleetSample, Flight
from inflight.sim.outcomes import How, Outcome, Slo
from inflight.sim.score import Misses, ScaleChange, Score, Series


def outcome(ttft: float | None = 0.5, itl: float = 0.03, how: How = How.FINISHED, output: int = 11, at: float = 0.0):
    first = None if ttft is None else at + ttft
    ended = at + 60 if first is None else first + itl * (output - 1)
    return Outcome(0, at, 100, output, how, first, ended, "pod")


def score(*outcomes: Outcome, rises_at: float | None = 300) -> Score:
    made = Score(Slo(), 60.0, rises_at)
    made.add_outcomes(outcomes)
    return made


def figures(made: Score, **changes):
    return made.result("x", **{"horizon_seconds": 1_800, "replica_seconds": 3_600, **changes})


@pytest.mark.parametrize(
    ("one", "met"),
    [
        (outcome(), True),
        (outcome(ttft=2.0, itl=0.0999), True),
        (outcome(ttft=2.001), False),
        (outcome(itl=0.101), False),
        (outcome(ttft=1.0, output=1), True),
        (outcome(ttft=None, how=How.GAVE_UP), False),
        (outcome(how=How.LOST), False),
        (outcome(ttft=None, how=How.REFUSED), False),
    ],
)
def test_a_request_meets_the_objective_if_it_finished_and_both_times_were_short(one, met):
    assert Slo().met_by(one) is met


def test_an_answer_of_one_token_has_no_time_between_tokens():
    assert outcome(output=1).mean_itl_seconds is None
    assert outcome(output=11, itl=0.05).mean_itl_seconds == pytest.approx(0.05)


def test_attainment_is_over_all_requests_and_every_miss_has_one_reason():
    made = score(
        outcome(),
        outcome(ttft=3, itl=0.5),
        outcome(itl=0.5),
        outcome(ttft=None, how=How.GAVE_UP),
        outcome(how=How.LOST),
        outcome(ttft=None, how=How.REFUSED),
        outcome(),
        outcome(),
    )
    result = figures(made)
    assert result.slo_attainment == made.attainment == 3 / 8
    assert result.requests == 8
    assert result.misses == Misses(refused=1, lost=1, gave_up=1, ttft=1, itl=1)


def test_quantiles_are_nearest_ranks_and_those_who_gave_up_count_as_their_patience():
    made = score(*[outcome(ttft=index / 100) for index in range(1, 91)], *[outcome(ttft=None, how=How.GAVE_UP)] * 10)
    ttft = figures(made).ttft_seconds
    assert (ttft.p50, ttft.p95, ttft.p99) == (0.5, 60, 60)


def test_time_between_tokens_is_over_finished_requests_only():
    made = score(*[outcome(itl=0.01 * (1 + index)) for index in range(20)], outcome(itl=9, how=How.LOST))
    assert figures(made).itl_p95_seconds == pytest.approx(0.19)


def test_nothing_measured_is_none_and_not_zero():
    result = figures(score())
    assert result.slo_attainment is None
    assert result.ttft_seconds.p50 is None
    assert result.itl_p95_seconds is None
    assert result.first_decision_seconds is None


def test_a_run_that_is_cut_short_counts_those_who_are_too_late_already():
    flights = [Flight(index, Arrival(at, 100, 10)) for index, at in enumerate((10.0, 18.5, 11.0))]
    flights[2].first_token_at = 11.5
    result = figures(score(outcome()), unfinished=flights, now=20.0)
    assert (result.requests, result.undecided) == (2, 2)
    assert result.slo_attainment == 0.5
    assert result.ttft_seconds.p99 == 10
    assert result.misses.ttft == 1


def sample(at: float, waiting: int = 0, total: int = 1, load: float = 1.0) -> FleetSample:
    return FleetSample(at, load, 5, waiting, 0.5, 1, total, 1)


def test_replicas_and_queue_come_from_the_samples_and_the_cost_from_the_fleet():
    made = score()
    made.add_samples([sample(0), sample(1, waiting=7, total=3), sample(2_000, waiting=9, total=5)])
    result = figures(made)
    assert result.longest_queue == 9  # the queue of those who arrived is theirs, whenever it was
    assert result.replicas_peak == 3  # what is behind the horizon is not paid for
    assert (result.replicas_mean, result.replica_hours) == (2, 1)
    assert result.series.at == (0, 1)
    assert result.series.waiting == (0, 7)


def change(at: float, before: int, after: int) -> ScaleChange:
    return ScaleChange(at, before, after, "because")


def test_the_first_decision_counts_from_the_moment_the_load_rises():
    made = score()
    for each in (change(100, 1, 2), change(315, 2, 1), change(390, 1, 1), change(405, 1, 3), change(420, 3, 4)):
        made.add_change(each)
    result = figures(made)
    assert result.first_decision_seconds == 105
    assert result.direction_changes == 2
    assert len(result.changes) == 4  # a write that changes nothing is none


def test_without_a_rise_there_is_no_first_decision():
    made = score(rises_at=None)
    made.add_change(change(10, 1, 2))
    assert figures(made).first_decision_seconds is None


def test_a_series_is_thinned_without_losing_load():
    series = Series(
        **{name: tuple(range(10)) for name in Series.__struct_fields__ if name != "load_per_second"},
        load_per_second=tuple(float(each) for each in range(10)),
    )
    thin = series.thinned(4)
    assert thin.at == (0, 3, 6, 9)
    assert thin.load_per_second == (1, 4, 7, 9)
    assert series.thinned(10) == series
