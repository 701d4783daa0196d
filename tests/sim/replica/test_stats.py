"""Histograms filled in bulk against histograms filled one by one, with vLLM's edges."""

from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.sim.stats import (
    ITERATION_EDGES_TOKENS,
    TOKEN_EDGES_SECONDS,
    Histogram,
    Tally,
    length_edges,
)


def one_by_one(values: list[float], edges: tuple[float, ...]) -> tuple[int, ...]:
    below = [sum(value <= edge for value in values) for edge in edges] + [len(values)]
    return tuple(now - before for now, before in zip(below, [0, *below], strict=False))


@settings(max_examples=150, deadline=None)
@given(
    st.floats(min_value=1e-4, max_value=2.0),
    st.one_of(st.just(0.0), st.floats(min_value=1e-9, max_value=0.05)),
    st.integers(min_value=1, max_value=300),
    st.integers(min_value=1, max_value=9),
)
def test_a_progression_lands_in_the_buckets_of_its_members(first: float, slope: float, count: int, times: int) -> None:
    tally = Tally(TOKEN_EDGES_SECONDS)
    tally.add_progression(first, slope, count, times)
    members = [first + slope * step for step in range(count)]
    assert tally.counts == [times * count for count in one_by_one(members, TOKEN_EDGES_SECONDS)]
    assert abs(tally.sum - times * sum(members)) < 1e-9 * max(1.0, tally.sum)


def test_a_progression_that_meets_edges_exactly_counts_them_below() -> None:
    tally = Tally(ITERATION_EDGES_TOKENS)
    tally.add_progression(1.0, 1.0, 16, 1)
    assert tally.counts[:4] == [1, 7, 8, 0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(min_value=0.0, max_value=200.0)))
def test_many_at_once_are_each_of_them(values: list[float]) -> None:
    bulk, single = Tally(TOKEN_EDGES_SECONDS), Tally(TOKEN_EDGES_SECONDS)
    for value in values:
        single.add(value)
    expected = one_by_one(values, TOKEN_EDGES_SECONDS)
    bulk.add_all(values)
    assert tuple(bulk.counts) == tuple(single.counts) == expected
    assert bulk.sum == single.sum


def test_a_page_shows_counts_up_to_each_edge() -> None:
    histogram = Histogram((1.0, 2.0), (3, 0, 4), 12.5)
    assert histogram.cumulative() == (3, 3, 7)
    assert histogram.count == 7


def test_lengths_have_edges_of_one_two_five_up_to_the_models_length() -> None:
    assert length_edges(8192) == (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    assert length_edges(1) == (1,)
    assert length_edges(131_072)[-1] == 100_000
