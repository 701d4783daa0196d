"""How long pods take to start, and luck by name."""

import pytest

from inflight.sim.cold_start import ColdStart
from inflight.sim.streams import uniform


def test_draws_lie_in_the_range_and_fill_it():
    starts = [ColdStart(60, 120).draw(1, index).ready_after_seconds for index in range(400)]
    assert all(60 <= start < 120 for start in starts)
    assert sum(starts) / len(starts) == pytest.approx(90, abs=3)
    assert min(starts) < 63
    assert max(starts) > 117


def test_a_pods_luck_depends_on_seed_and_index_alone():
    assert ColdStart().draw(7, 3) == ColdStart().draw(7, 3)
    assert ColdStart().draw(7, 3) != ColdStart().draw(8, 3)
    assert ColdStart().draw(7, 3) != ColdStart().draw(7, 4)


def test_a_pod_is_never_running_after_it_is_ready():
    start = ColdStart(0, 0, pending_seconds=5).draw(0, 0)
    assert start.running_after_seconds == start.ready_after_seconds == 0


@pytest.mark.parametrize(("shortest", "longest"), [(-1, 5), (5, 4), (0, float("inf")), (float("nan"), 1)])
def test_a_range_that_cannot_be_drawn_is_refused(shortest, longest):
    with pytest.raises(ValueError, match="cold start from"):
        ColdStart(shortest, longest)


def test_streams_are_independent_of_each_other_and_stay_as_they_are():
    assert uniform(1, "a", 0) != uniform(1, "b", 0) != uniform(2, "b", 0)
    # Written down so that a change of the generator, which would change every published figure, does not pass unseen.
    assert uniform(0, "cold start", 0) == 0.7283391259268827
