"""Who gives way, whatever comes, asks and leaves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.serve.places import FRONT_PROXY, Owner, Places, Shares, network_of, shares_of

PROXY = Owner("proxy", FRONT_PROXY)


class Someone:
    def __init__(self, address: str = "10.0.0.1", rests_since: float = 0.0, *, is_busy: bool = False) -> None:
        self.address = address
        self.rests_since = rests_since
        self.is_busy = is_busy


class Room:
    """Places and those who were asked to leave."""

    def __init__(self, shares: Shares) -> None:
        self.gone: list[Someone] = []
        self.places: Places[Someone] = Places(shares, self.gone.append)

    def come(self, guest: Someone) -> bool:
        """As Arrivals does it; whether there was a place."""
        if len(self.places) >= self.places.shares.room and not self.places.make_room():
            return False
        self.places.come(guest)
        return True


def test_the_shares_leave_a_quarter_to_those_who_are_unknown() -> None:
    for room in range(16, 600):
        shares = shares_of(room)
        assert shares.proxy + shares.users <= room - room // 4
        assert shares.user <= shares.users <= shares.proxy
        assert shares_of(room, has_door=False).users == room - room // 4


def test_the_crowded_address_gives_way_first_come_first_to_go() -> None:
    room = Room(Shares(room=4, proxy=2, users=1, user=1, address=4))
    lonely = Someone("10.0.0.2")
    crowd = [Someone() for _ in range(3)]
    for guest in (lonely, *crowd, Someone("10.0.0.3")):
        assert room.come(guest)
    assert room.gone == [crowd[0]]


def test_an_address_has_its_share_also_where_there_is_room() -> None:
    room = Room(Shares(room=100, proxy=50, users=25, user=6, address=2))
    crowd = [Someone() for _ in range(4)]
    for guest in crowd:
        assert room.come(guest)
    assert room.gone == crowd[:2]
    assert not room.places.come(Someone("10.0.0.2"))


def test_who_is_being_answered_goes_last() -> None:
    room = Room(Shares(room=2, proxy=1, users=1, user=1, address=2))
    busy, idle = Someone(is_busy=True), Someone()
    for guest in (busy, idle, Someone()):
        assert room.come(guest)
    assert room.gone == [idle]


def test_of_a_full_share_who_rests_longest_goes() -> None:
    room = Room(Shares(room=20, proxy=3, users=9, user=3, address=20))
    guests = [Someone(rests_since=since) for since in (5.0, 3.0, 4.0, 9.0)]
    for guest in guests:
        room.come(guest)
        assert room.places.let_in(guest, PROXY)
    assert room.gone == [guests[1]]


def test_where_all_of_a_share_are_busy_there_is_no_place() -> None:
    room = Room(Shares(room=20, proxy=2, users=2, user=2, address=20))
    for owner in (PROXY, Owner("user", "a")):
        guests = [Someone(is_busy=True) for _ in range(3)]
        for guest in guests:
            room.come(guest)
        assert [room.places.let_in(guest, owner) for guest in guests] == [True, True, False]
        guests[0].is_busy = False
        assert room.places.let_in(guests[2], owner)
        assert room.gone.pop() is guests[0]


def test_of_many_users_who_has_most_gives_way() -> None:
    room = Room(Shares(room=20, proxy=2, users=3, user=2, address=20))
    guests = [Someone(rests_since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    for guest, name in zip(guests, "abbc", strict=True):
        room.come(guest)
        assert room.places.let_in(guest, Owner("user", name))
    assert room.gone == [guests[1]], "not that of the user who has one"


def test_a_room_that_became_smaller_takes_newcomers_all_the_same() -> None:
    room = Room(shares_of(40))
    for number in range(20):
        guest = Someone(rests_since=number)
        room.come(guest)
        room.places.let_in(guest, PROXY)
    room.places.shares = shares_of(16)
    assert room.come(Someone())
    assert [guest.rests_since for guest in room.gone] == [0.0]


def test_who_has_left_is_let_in_no_more() -> None:
    room = Room(shares_of(40))
    guest = Someone()
    room.come(guest)
    room.places.leave(guest)
    room.places.leave(guest)
    assert not room.places.let_in(guest, PROXY)
    assert len(room.places) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_machine_is_known_by_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "come", "let_in", "let_in", "busy", "rest", "leave"]),
        st.integers(0, 60),
        st.sampled_from(["a", "b", "c", "d", "proxy"]),
    ),
    max_size=120,
)


@given(events=EVENTS, room=st.integers(16, 40))
def test_whatever_happens_no_share_is_exceeded_and_a_newcomer_finds_a_place(
    events: list[tuple[str, int, str]], room: int
) -> None:
    tested = Room(shares_of(room))
    here: list[Someone] = []
    owners: dict[Someone, Owner] = {}
    for now, (event, number, who) in enumerate(events):
        if event == "come":
            newcomer = Someone(f"10.0.0.{number % 5}", now)
            assert tested.come(newcomer)
            here.append(newcomer)
        elif here:
            guest = here[number % len(here)]
            if event == "let_in":
                owner = PROXY if who == "proxy" else Owner("user", who)
                if tested.places.let_in(guest, owner):
                    owners.setdefault(guest, owner)
            elif event == "leave":
                tested.places.leave(guest)
                here.remove(guest)
            else:
                guest.is_busy, guest.rests_since = event == "busy", now
        here = [guest for guest in here if guest not in tested.gone]
        assert len(tested.places) == len(here) <= room
        counts = Counter(owners[guest] for guest in here if guest in owners)
        shares = tested.places.shares
        assert counts[PROXY] <= shares.proxy
        assert sum(n for owner, n in counts.items() if owner.kind == "user") <= shares.users
        assert max((n for owner, n in counts.items() if owner.kind == "user"), default=0) <= shares.user
        unknown = Counter(guest.address for guest in here if guest not in owners)
        assert max(unknown.values(), default=0) <= shares.address
    assert len({*tested.gone}) == len(tested.gone), "nobody is asked twice"
