"""Queues whose laws are known: the replica with one seat, with some, with as many as come.

Each law is met within three standard errors over independent seeds (plus the half step by which arrivals meet a
running step), never within a percentage chosen to pass.
"""

from math import factorial, log, sqrt
from random import Random

import pytest

from inflight.sim.engine import EngineConfig, Finished, Request
from inflight.sim.replica import Replica
from inflight.sim.step_time import StepTime

STEP = 0.005
MEAN_OUTPUT = 200
"""So that the mean service time is one second where every step takes STEP."""


def station(seats: int, step_time: StepTime | None = None) -> EngineConfig:
    return EngineConfig(
        model="m",
        gpu="g",
        step_time=step_time or StepTime(STEP, 0.0, 0.0, 0.0, 0.0),
        max_num_seqs=seats,
        max_num_batched_tokens=1_000_000,
        kv_blocks=10_000_000,
        max_model_len_tokens=1_000_000,
        async_scheduling=False,
    )


def geometric(random: Random, mean: float) -> int:
    return 1 + int(log(1.0 - random.random()) / log(1.0 - 1.0 / mean))


def arrivals(random: Random, rate: float, count: int, fixed: bool = False) -> list[tuple[float, int]]:
    at = 0.0
    rows = []
    for _ in range(count):
        at += random.expovariate(rate)
        rows.append((at, MEAN_OUTPUT if fixed else geometric(random, MEAN_OUTPUT)))
    return rows


def times_in_system(config: EngineConfig, rows: list[tuple[float, int]]) -> list[float]:
    replica = Replica(config, 0.0)
    ends = [0.0] * len(rows)
    events = []
    for id_, (at, output) in enumerate(rows):
        events += replica.advance(at)
        replica.submit(Request(id_, 1, output), at)
    events += replica.advance(1e9)
    for event in events:
        if isinstance(event, Finished):
            ends[event.id] = event.at
    return [end - at for end, (at, _) in zip(ends, rows, strict=True)]


def assert_is_mean(values: list[float], expected: float, slack: float) -> None:
    mean = sum(values) / len(values)
    error = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    assert abs(mean - expected) <= 3.0 * error + slack, (mean, error, expected)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_one_seat_is_a_single_server_queue_request_by_request(rate: float) -> None:
    rows = arrivals(Random(7), rate, 800)
    free_at = 0.0
    expected = []
    for at, output in rows:  # Lindley: service begins when the server is free
        free_at = max(free_at, at) + output * STEP
        expected.append(free_at - at)
    assert times_in_system(station(1), rows) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("rate", "expected"), [(0.5, 2.0), (0.8, 5.0)])
def test_one_seat_with_geometric_outputs_waits_as_m_m_1(rate: float, expected: float) -> None:
    means = []
    for seed in range(8):
        times = times_in_system(station(1), arrivals(Random(seed), rate, 1200))[200:]
        means.append(sum(times) / len(times))
    assert_is_mean(means, expected, slack=STEP)


def test_one_seat_with_fixed_outputs_waits_half_as_long() -> None:
    means = []
    for seed in range(8):
        times = times_in_system(station(1), arrivals(Random(seed), 0.8, 1000, fixed=True))[200:]
        means.append(sum(times) / len(times))
    assert_is_mean(means, 1.0 + 2.0, slack=STEP)


def erlang_c_wait(seats: int, load: float) -> float:
    offered = seats * load
    top = offered**seats / factorial(seats) / (1.0 - load)
    busy = top / (sum(offered**k / factorial(k) for k in range(seats)) + top)
    return busy / (seats * (1.0 - load))


@pytest.mark.parametrize(("seats", "load", "wait"), [(4, 0.8, 0.74554), (8, 0.9, 0.87692)])
def test_some_seats_wait_as_erlang_says(seats: int, load: float, wait: float) -> None:
    assert erlang_c_wait(seats, load) == pytest.approx(wait, abs=1e-4)
    means = []
    for seed in range(6):
        times = times_in_system(station(seats), arrivals(Random(seed), seats * load, 1500))[300:]
        means.append(sum(times) / len(times))
    assert_is_mean(means, 1.0 + wait, slack=STEP)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_step_that_grows_with_the_batch_is_processor_sharing(fixed: bool) -> None:
    """Step a + c*n: E[T] = O*(a + c)/(1 - theta) with theta = rate*O*c, whatever the lengths' distribution."""
    a, c, rate = 0.010, 0.0002, 15.0
    expected = MEAN_OUTPUT * (a + c) / (1.0 - rate * MEAN_OUTPUT * c)
    means = []
    for seed in range(4):
        rows = arrivals(Random(seed), rate, 2400, fixed)
        times = times_in_system(station(100_000, StepTime(a, 0.0, 0.0, c, 0.0)), rows)
        inside = times[900:-300]
        means.append(sum(inside) / len(inside))
    assert_is_mean(means, expected, slack=a)


def test_seats_for_all_and_a_constant_step_is_a_poisson_crowd() -> None:
    rate = 20.0
    means, variances = [], []
    for seed in range(5):
        replica = Replica(station(100_000), 0.0)
        rows = arrivals(Random(seed), rate, 1600)
        crowd = []
        look_at = 8.0
        for id_, (at, output) in enumerate(rows):
            while look_at < at:
                replica.advance(look_at)
                crowd.append(replica.in_flight)
                look_at += 1.0
            replica.submit(Request(id_, 1, output), at)
        mean = sum(crowd) / len(crowd)
        means.append(mean)
        variances.append(sum((value - mean) ** 2 for value in crowd) / (len(crowd) - 1))
    assert_is_mean(means, rate, slack=rate * STEP)
    assert_is_mean(variances, rate, slack=2.0)


def test_what_is_in_flight_over_time_is_what_the_requests_spent() -> None:
    """Little's law as an identity: the integral of the requests in flight is the sum of their times."""
    random = Random(3)
    replica = Replica(station(3), 0.0)
    rows = arrivals(random, 3.2, 400)
    integral = 0.0
    pending = list(enumerate(rows))
    while pending or replica.in_flight:
        due = replica.next_event_at()
        arrival = pending[0][1][0] if pending else float("inf")
        at = arrival if due is None else min(due, arrival)
        integral += replica.in_flight * (at - replica.now)
        replica.advance(at)
        if pending and arrival == at:
            id_, (_, output) = pending.pop(0)
            replica.submit(Request(id_, 1, output), at)
    assert integral == pytest.approx(replica.stats.e2e_request_latency_seconds.sum, rel=1e-9)
