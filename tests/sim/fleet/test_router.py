"""Which replica gets a request, and where requests wait that none can take."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from inflight.sim.router import WaitingRoom, least_loaded


@dataclass
class Backend:
    index: int
    in_flight: int


def test_the_replica_with_the_fewest_requests_gets_the_next():
    assert least_loaded([Backend(0, 3), Backend(1, 1), Backend(2, 2)]).index == 1


def test_of_equals_the_oldest_gets_it_whatever_the_order_of_the_list():
    backends = [Backend(2, 1), Backend(0, 1), Backend(1, 1)]
    assert least_loaded(backends).index == 0
    assert least_loaded(backends[::-1]).index == 0


def test_without_replicas_there_is_no_choice():
    assert least_loaded([]) is None


def test_those_who_wait_leave_in_the_order_in_which_they_came():
    room = WaitingRoom()
    for request_id in (4, 7, 9):
        room.enter(request_id)
    room.leave(7)
    assert len(room) == 2
    assert list(room.empty()) == [4, 9]
    assert len(room) == 0
    assert list(room.empty()) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), unique_by=lambda pair: pair[0]))
def test_nobody_has_fewer_requests_than_the_chosen_one(pairs):
    chosen = least_loaded([Backend(*pair) for pair in pairs])
    if chosen is None:
        assert not pairs
    else:
        assert (chosen.in_flight, chosen.index) == min((in_flight, index) for index, in_flight in pairs)
