"""The factor that divides the gaps of a trace."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.sim.ramp import DEFAULT, MAX_ENTRIES, Ramp, RampError, Reach, Warp, parse_ramp


def test_the_default_climbs_from_a_low_load_to_a_high_one_and_comes_back():
    ramp = parse_ramp(DEFAULT)
    assert ramp.seconds == 1_800
    assert ramp.rises_at == 300
    expected = {0: 0.7, 299: 0.7, 600: 2.35, 900: 4, 1_199: 4, 1_500: 2.35, 1_800: 0.7, 5_000: 0.7}
    assert {at: pytest.approx(ramp.factor_at(at)) for at in expected} == expected


def test_a_ramp_prints_as_it_was_written():
    assert str(parse_ramp(" 0.7:300, 4:600 ,4:300")) == "0.7:300,4:600,4:300"


def test_a_ramp_that_only_falls_never_rises():
    assert parse_ramp("4:10,1:10").rises_at is None


def test_zero_seconds_are_a_jump():
    ramp = parse_ramp("1:10,3:0,3:10")
    assert ramp.factor_at(9.99) == 1
    assert ramp.factor_at(10) == 3
    assert ramp.rises_at == 10
    warp = Warp(ramp)
    assert warp.at(9) == 9
    assert warp.at(13) == pytest.approx(11)


def test_a_factor_of_zero_stops_the_trace_until_it_grows_again():
    warp = Warp(parse_ramp("1:10,0:0,0:50,1:0,1:10"))
    assert warp.at(9.5) == pytest.approx(9.5)
    assert warp.at(10.5) == pytest.approx(60.5)


def test_behind_a_ramp_that_ends_at_zero_nothing_comes():
    warp = Warp(parse_ramp("1:10,0:10"))
    assert warp.at(14.99) < 20
    assert warp.at(15.01) == math.inf


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "entry 1"),
        ("1:10,", "entry 2"),
        ("1:10,x:5", "factor of entry 2"),
        ("1:10,2:y", "seconds of entry 2"),
        ("-1:10", "factor of entry 1"),
        ("nan:10", "factor of entry 1"),
        ("1:inf", "seconds of entry 1"),
        ("2000:10", "from 0 to 1000"),
        ("1:0", "lasts 0 s"),
        ("1:5,0.0001:5", "entry 2 .* 0 or at least 0.001"),
        ("0:10", "nothing would arrive"),
        (",".join(["1:1"] * (MAX_ENTRIES + 1)), "at most 1000"),
    ],
)
def test_a_wrong_ramp_is_refused_with_the_entry(text, complaint):
    with pytest.raises(RampError, match=complaint):
        parse_ramp(text)


_entries = st.builds(Reach, st.just(0.0) | st.floats(0.001, 20), st.sampled_from([0.0, 1.0, 7.5, 60.0]))


@settings(max_examples=100, deadline=None)
@given(st.lists(_entries, min_size=1, max_size=5), st.lists(st.floats(0, 500), min_size=1, max_size=30))
def test_between_two_moments_of_the_trace_lies_the_integral_of_the_factor(entries, moments):
    ramp = Ramp(tuple(entries))
    warp = Warp(ramp)
    moments = sorted(moments)
    times = [warp.at(moment) for moment in moments]
    assert times == sorted(times)
    for (before, after), (gap_start, gap_end) in zip(pairwise(times), pairwise(moments), strict=True):
        if math.isfinite(after) and after > before:
            assert _integral(ramp, before, after) == pytest.approx(gap_end - gap_start, rel=1e-6, abs=1e-6)


def _integral(ramp: Ramp, start: float, end: float) -> float:
    """By the trapezium between the corners, which is exact for a piecewise linear factor."""
    corners, at = [start], 0.0
    for entry in ramp.entries:
        at += entry.seconds
        if start < at < end:
            corners.append(at)
    corners.append(end)
    total = 0.0
    for left, right in pairwise(corners):
        inside = left + (right - left) * 1e-9
        total += (right - left) * (ramp.factor_at(inside) + ramp.factor_at(right - (right - left) * 1e-9)) / 2
    return total
