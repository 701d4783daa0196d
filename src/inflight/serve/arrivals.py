"""Takes connections from the listening socket and counts each from that moment on, before its TLS handshake.

A cap that counts only those that have shaken hands can be walked around by saying nothing: silent connections then use
up the open files of the process, and the scrapes are left without. Here the cap leaves the scrapes theirs. Where it is
reached, somebody gives way to the newcomer (`places` says who): those who hold many connections stand in their own way,
with or without credentials, not in that of a health check or of the HPA.

The loop's own servers are of no use for that: uvloop's takes all that wait before it says a word of the first.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from inflight.serve import open_files
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.connections import Connection, Front
from inflight.serve.open_files import FileLimit
from inflight.serve.places import Owner, Places, network_of, shares_of

HANDSHAKE_SECONDS = 10.0
"""As long as Go's clients wait for one (`DefaultTransport`): on a machine whose cores are all busy it takes seconds,
and who only pretends to shake hands gives way to newcomers anyway.
"""
GOODBYE_SECONDS = 2.0
"""How long a client may take to answer the end of a TLS session."""
AT_ONCE = 16
"""Taken from the backlog before everything else has its turn again."""
MAX_LEAVING = 4 * AT_ONCE
"""Above the cap, while those who gave way are being closed."""
PAUSE_SECONDS = 0.1
"""Where the system has no file for a connection: it stays in the backlog, and asking at once would be a busy loop."""
LOOK_SECONDS = 1.0
QUIET_SECONDS = 10.0
"""Without a refusal, until the log says that they have ended."""

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger(__name__)


class Arrivals:
    """The connections of one listening socket, from its start until it is closed."""

    def __init__(
        self,
        front: Front,
        listener: socket.socket,
        context: ssl.SSLContext,
        telemetry: Telemetry,
        others: Callable[[], int] = lambda: 0,
    ) -> None:
        """`others` says how many open files everything needs that is no client."""
        self._front = front
        self._listener = listener
        self._context = context
        self._telemetry = telemetry
        self._others = others
        self._files = FileLimit()
        self._loop = asyncio.get_running_loop()
        self._open: dict[Connection, asyncio.Task[None]] = {}
        """All, with their handshakes."""
        self._places: Places[Connection] = Places(
            shares_of(open_files.MAX_CONNECTIONS, has_door=front.has_door), self._show_out
        )
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._refusals = Refusals(telemetry)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def count(self) -> int:
        return len(self._open)

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listen()
        self._look()

    def close(self) -> None:
        """No more newcomers, and no more handshakes."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in self._open:
            if not connection.was_up:
                self._show_out(connection)

    async def all_gone(self, seconds: float) -> None:
        """Waits for the last connection to be closed, so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nobody.wait()

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _look(self) -> None:
        # First, so that a fault below cannot end it for good.
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        others = self._others()
        self._files.make_room(others)
        self._places.shares = shares_of(open_files.room_for_connections(others), has_door=self._front.has_door)
        self._refusals.look(self._loop.time())

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                arrived, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._take(arrived, network_of(str(address[0])))

    def _pause(self, error: OSError) -> None:
        if error.errno in _NO_ROOM:
            self._refuse("no_files", f"the system has no more files for this process: {error.strerror}")
            self._places.make_room()
        self._loop.remove_reader(self._listener)
        self._loop.call_later(PAUSE_SECONDS, self._listen)

    def _take(self, arrived: socket.socket, address: str) -> None:
        if len(self._places) >= self._places.shares.room:
            self._refuse("too_many", "one of the address that has most connections without credentials gives way")
            if len(self._open) >= self._places.shares.room + MAX_LEAVING or not self._places.make_room():
                arrived.close()
                return
        arrived.setblocking(False)
        connection = self._front.receive(self, address)
        welcome = _Welcome(connection, arrived, self._context)
        task = self._loop.create_task(welcome.run())
        self._open[connection] = task
        self._nobody.clear()
        task.add_done_callback(lambda _: self._welcomed(welcome))
        if self._places.come(connection):
            self._refuse("too_many", f"{address} has more than its share of them without credentials")

    def _welcomed(self, welcome: "_Welcome") -> None:
        """The handshake has ended, well or not; where there is a connection, its end is told by itself."""
        welcome.drop()
        if welcome.was_slow:
            self._telemetry.refused_connections["slow"] += 1
        if not welcome.connection.was_up:
            self.left(welcome.connection)

    def let_in(self, connection: Connection, owner: Owner) -> bool:
        """As Host."""
        before = len(self._places)
        has_place = self._places.let_in(connection, owner)
        if not has_place or len(self._places) < before:
            who = f"the user {owner.name[:200]}" if owner.kind == "user" else "the front proxy"
            self._refuse("share", f"{who} has more of them than its share: the one that rests longest gives way")
        return has_place

    def left(self, connection: Connection) -> None:
        """As Host."""
        self._open.pop(connection, None)
        self._places.leave(connection)
        if not self._open:
            self._nobody.set()

    def _show_out(self, connection: Connection) -> None:
        """Not a guest any more; its file is closed a little later."""
        if connection.was_up:
            connection.abort()
        else:
            self._open[connection].cancel()

    def _refuse(self, reason: str, why: str) -> None:
        self._refusals.count(reason, why, self._loop.time(), is_open=len(self._open), room=self._places.shares.room)


class Refusals:
    """Counts who was turned away or had to give way, and says when that begins and ends; not each of them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._number = 0
        self._last_at = 0.0

    def count(self, reason: str, why: str, now: float, *, is_open: int, room: int) -> None:
        self._telemetry.refused_connections[reason] += 1
        if not self._number:
            _log.warning("event=connections_refused cause=%s open=%d room=%d why=%r", reason, is_open, room, why)
        self._number += 1
        self._last_at = now

    def look(self, now: float) -> None:
        if self._number and now - self._last_at >= QUIET_SECONDS:
            _log.info("event=connections_no_longer_refused refused=%d", self._number)
            self._number = 0


class _Welcome:
    """The handshake of one connection."""

    def __init__(self, connection: Connection, arrived: socket.socket, context: ssl.SSLContext) -> None:
        self.connection = connection
        self.was_slow = False
        self._arrived: socket.socket | None = arrived
        self._context = context

    async def run(self) -> None:
        """Ends with the handshake. A client that cannot shake hands is no news."""
        arrived, self._arrived = self._arrived, None
        assert arrived is not None
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self.connection,
                    arrived,
                    ssl=self._context,
                    ssl_handshake_timeout=2 * HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=GOODBYE_SECONDS,
                )
        except TimeoutError:
            self.was_slow = True
        except OSError as error:
            _log.debug("event=no_handshake why=%r", str(error))

    def drop(self) -> None:
        """Closes the socket where the handshake was called off before it had begun."""
        if self._arrived is not None:
            self._arrived.close()
