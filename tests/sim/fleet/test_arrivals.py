"""A trace, paced and repeated."""

from itertools import pairwise

import pytest

import inflight.sim.arrivals as arrivals_module
from inflight.sim.arrivals import Arrival, TooManyArrivalsError, paced
from inflight.sim.ramp import DEFAULT, parse_ramp
from inflight.sim.traces import read_trace, shipped_trace

TRACE = read_trace("arrival_s,prompt_tokens,output_tokens\n5,100,10\n7,200,20\n11,300,30\n", "three.csv")


def test_at_factor_one_the_trace_is_played_as_it_is_and_begins_again_after_a_mean_gap():
    arrivals = paced(TRACE, parse_ramp("1:20"))
    assert [arrival.at for arrival in arrivals] == [0, 2, 6, 9, 11, 15, 18]
    assert [arrival.prompt_tokens for arrival in arrivals] == [100, 200, 300, 100, 200, 300, 100]
    assert arrivals[0] == Arrival(0.0, 100, 10)


def test_a_constant_factor_divides_every_gap():
    slow, fast = paced(TRACE, parse_ramp("1:100")), paced(TRACE, parse_ramp("4:25"))
    assert len(slow) == len(fast)
    for one, other in zip(slow, fast, strict=True):
        assert other.at == pytest.approx(one.at / 4)


def test_the_last_moment_of_the_horizon_is_outside():
    assert [arrival.at for arrival in paced(TRACE, parse_ramp("1:60"), until=6)] == [0, 2]


def test_the_run_may_be_longer_than_the_ramp():
    arrivals = paced(TRACE, parse_ramp("1:10,2:0"), until=40)
    assert arrivals[-1].at == pytest.approx(39.5, abs=2)
    late = [arrival.at for arrival in arrivals if arrival.at > 12]
    assert max(after - before for before, after in pairwise(late)) == pytest.approx(2.0)


def test_a_single_request_is_not_repeated_for_ever():
    single = read_trace("arrival_s,prompt_tokens,output_tokens\n5,100,10\n", "one.csv")
    assert len(paced(single, parse_ramp("1:1000"))) == 1


def test_a_run_that_would_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(arrivals_module, "MAX_ARRIVALS", 5)
    with pytest.raises(TooManyArrivalsError, match=r"three\.csv .* more than 5 requests in 20 s"):
        paced(TRACE, parse_ramp("1:20"))


def test_the_shipped_trace_under_the_default_ramp_carries_the_load_it_should():
    trace = shipped_trace()
    assert trace.requests == 19_366
    assert trace.requests_per_second == pytest.approx(5.53, abs=0.01)
    arrivals = paced(trace, parse_ramp(DEFAULT))
    # 0.7 * 300 + 2.35 * 600 seconds of the trace are over when the top begins, and 4 * 300 more when it ends.
    assert sum(900 <= arrival.at < 1_200 for arrival in arrivals) == sum(1_620 <= at < 2_820 for at in trace.at_seconds)
    assert sum(arrival.at < 300 for arrival in arrivals) == sum(at < 210 for at in trace.at_seconds)
    assert len(arrivals) > trace.requests  # it ran out and began again
