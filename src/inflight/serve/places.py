"""Who keeps a connection and who gives way, so that nobody who may ask can shut out the others.

The places of a server are shared out. Half are for the front proxy, which brings the HPA's questions. A quarter is for
callers who come by themselves and were let in, a quarter of that for each of them. The rest always stays with those of
whom nothing is known yet: newcomers, and a kubelet's probes, which never show credentials. So there is always somebody
unknown who gives way to a newcomer: the first to come of the address that has the most of them.

Where a share is full, who has rested longest in it gives way to whoever comes into it. Kept connections cost their
clients nothing to lose: between requests a Go client opens another.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

FRONT_PROXY = "front proxy"
"""Of all who are let in, the only one that is no user: it speaks for them."""


class Guest(Protocol):
    """One connection."""

    @property
    def address(self) -> str:
        """Where it comes from, as `network_of` writes it."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether a request of it is being answered."""
        ...

    @property
    def rests_since(self) -> float:
        """When its last answer ended, or it came; loop seconds."""
        ...


G = TypeVar("G", bound=Guest)
K = TypeVar("K")


class Owner(msgspec.Struct, frozen=True):
    """Whose connection it is, once that is known."""

    kind: Literal["proxy", "user"]
    name: str


class Shares(msgspec.Struct, frozen=True):
    """How many places each may have at once."""

    room: int
    proxy: int
    users: int
    user: int
    address: int
    """Of those of whom nothing is known yet."""


def shares_of(room: int, *, has_door: bool = True) -> Shares:
    """Without a door there is one caller, who has the token of the run, and no front proxy."""
    quarter = max(1, room // 4)
    if not has_door:
        return Shares(room, proxy=0, users=room - quarter, user=room - quarter, address=quarter)
    return Shares(room, proxy=max(1, room // 2), users=quarter, user=max(1, quarter // 4), address=quarter)


def network_of(address: str) -> str:
    """What one machine can be reckoned by: whoever has an IPv6 address has 2^64 of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


class Places(Generic[G]):
    """Of all open connections. `ask_to_leave` ends one, whatever it does; it is no guest any more from then on."""

    def __init__(self, shares: Shares, ask_to_leave: Callable[[G], None]) -> None:
        self.shares = shares
        self._ask_to_leave = ask_to_leave
        self._strangers: dict[str, dict[G, None]] = {}
        """By address, in the order of their coming."""
        self._owned: dict[Owner, dict[G, None]] = {}
        self._owner: dict[G, Owner] = {}

    def __len__(self) -> int:
        return len(self._owner) + sum(map(len, self._strangers.values()))

    def come(self, guest: G) -> bool:
        """A newcomer takes a place; whether somebody had to give way because of its address."""
        self._strangers.setdefault(guest.address, {})[guest] = None
        if len(self._strangers[guest.address]) <= self.shares.address:
            return False
        self._send_away(_first_to_go(each for each in self._strangers[guest.address] if each is not guest))
        return True

    def make_room(self) -> bool:
        """Somebody gives way to a newcomer; False where all are busy."""
        crowd = max(self._strangers.values(), key=len, default=None)
        if crowd:
            return self._send_away(_first_to_go(crowd))
        # A room that has become smaller may be full of those who were let in.
        users = [guest for guest, owner in self._owner.items() if owner.kind == "user"]
        return self._send_away(_longest_at_rest(users)) or self._send_away(_longest_at_rest(self._owner))

    def let_in(self, guest: G, owner: Owner) -> bool:
        """It is known whose connection it is; False where there is no place for it in that share, since all who have
        one are busy: it may stay among the strangers.
        """
        if guest in self._owner:
            return True
        if guest not in self._strangers.get(guest.address, ()):
            return False
        if not (self._has_place(owner) or self._make_place(owner)):
            return False
        self.leave(guest)
        self._owner[guest] = owner
        self._owned.setdefault(owner, {})[guest] = None
        return True

    def leave(self, guest: G) -> None:
        """Its connection has ended, or is about to."""
        owner = self._owner.pop(guest, None)
        if owner is None:
            _take(self._strangers, guest.address, guest)
        else:
            _take(self._owned, owner, guest)

    def _has_place(self, owner: Owner) -> bool:
        mine = len(self._owned.get(owner, ()))
        if owner.kind == "proxy":
            return mine < self.shares.proxy
        return mine < self.shares.user and self._users() < self.shares.users

    def _make_place(self, owner: Owner) -> bool:
        """Who has too much gives way first; where nobody has, who has the most."""
        mine = self._owned.get(owner, {})
        if owner.kind == "proxy" or len(mine) >= self.shares.user:
            return self._send_away(_longest_at_rest(mine))
        others = sorted(
            (each for each in self._owned.items() if each[0].kind == "user"), key=lambda each: -len(each[1])
        )
        return any(self._send_away(_longest_at_rest(theirs)) for _, theirs in others)

    def _users(self) -> int:
        return sum(len(guests) for owner, guests in self._owned.items() if owner.kind == "user")

    def _send_away(self, guest: G | None) -> bool:
        if guest is None:
            return False
        self.leave(guest)
        self._ask_to_leave(guest)
        return True


def _first_to_go(strangers: Iterable[G]) -> G | None:
    """The first to come that is not just being answered, if there is one: the others have waited for less."""
    strangers = list(strangers)
    return next((each for each in strangers if not each.is_busy), strangers[0] if strangers else None)


def _longest_at_rest(guests: Iterable[G]) -> G | None:
    return min((each for each in guests if not each.is_busy), key=lambda each: each.rests_since, default=None)


def _take(groups: dict[K, dict[G, None]], key: K, guest: G) -> None:
    group = groups.get(key)
    if group is not None:
        group.pop(guest, None)
        if not group:
            del groups[key]
