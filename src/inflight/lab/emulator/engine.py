"""The replica model in real time: requests go in, their tokens come out as the clock passes them.

The model is advanced to the clock's time, never slept through step by step, so a late wake-up makes tokens come in
larger pieces but moves none of the model's times. One task waits for the next thing that somebody wants to see: an
event of the model or, while a stream is open, the next few tokens.
"""

import asyncio
from collections.abc import Sequence

from inflight.sim.engine import EngineConfig, Finished, FinishReason, Request
from inflight.sim.replica import Replica
from inflight.sources.clock import ScaledClock

# While a stream is open the model is looked at this often (wall time): shorter than a decode step of a large model, and
# no more wake-ups at a compressed clock than at speed 1.
STREAM_LOOK_SECONDS = 0.01
# And never more often than this: a timer of the event loop is not finer.
SHORTEST_WAIT_SECONDS = 0.001
# Nor ever less often: the clock's speed may have been changed.
LONGEST_WAIT_SECONDS = 0.25


class Ticket:
    """One request in an engine: how far it is, and a way to wait until it is further."""

    def __init__(self, engine: int, request_id: int, *, stream: bool) -> None:
        self.engine = engine
        self.request_id = request_id
        self.stream = stream
        self.tokens = 0
        self.reason: FinishReason | None = None
        self._moved = asyncio.Event()

    async def moved(self) -> None:
        """Wait until there are more tokens (of a stream only) or the end has come, which sets `reason`."""
        await self._moved.wait()
        self._moved.clear()

    def report(self, tokens: int, reason: FinishReason | None = None) -> None:
        if tokens > self.tokens or reason is not None:
            self.tokens = tokens
            self.reason = reason
            self._moved.set()


class Engines:
    """The engines of one server, several where it is data-parallel. Their model time is 0 when this is made."""

    def __init__(self, configs: Sequence[EngineConfig], clock: ScaledClock) -> None:
        self.replicas = tuple(Replica(config, 0.0) for config in configs)
        self._clock = clock
        self._origin = clock.now()
        self._tickets: dict[int, Ticket] = {}
        self._in_flight = [0] * len(self.replicas)
        self._next_id = 0
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def in_flight(self) -> int:
        """Requests that a client waits for."""
        return len(self._tickets)

    @property
    def busy_seconds(self) -> float:
        """Engine time with work since the start, in seconds of the clock, summed over the engines."""
        return sum(replica.busy_seconds for replica in self.replicas)

    def submit(self, prompt_tokens: int, output_tokens: int, max_tokens: int, *, stream: bool) -> Ticket:
        """Give a request to the engine with the fewest in flight.

        That is by what has been handed out: the gauges move once a step, and a burst comes between two steps.
        """
        now = self.advance()
        engine = self._in_flight.index(min(self._in_flight))
        ticket = Ticket(engine, self._next_id, stream=stream)
        self.replicas[engine].submit(Request(self._next_id, prompt_tokens, output_tokens, max_tokens), now)
        self._tickets[self._next_id] = ticket
        self._in_flight[engine] += 1
        self._next_id += 1
        self._changed.set()
        self._empty.clear()
        return ticket

    def abort(self, ticket: Ticket) -> None:
        """Take a request out because its client has gone; nothing happens if it has ended."""
        now = self.advance()
        if ticket.request_id in self._tickets:
            self.replicas[ticket.engine].abort(ticket.request_id, now)
            self._leave(ticket)
            self._changed.set()

    def advance(self) -> float:
        """Bring every engine to now and tell those who wait; returns the model time."""
        # The engines share one time, and it must not go back where the clock's speed has been changed.
        now = max(self._clock.now() - self._origin, self.replicas[0].now)
        for replica in self.replicas:
            for event in replica.advance(now):
                if isinstance(event, Finished):
                    ticket = self._tickets[event.id]
                    self._leave(ticket)
                    ticket.report(event.output_tokens, event.reason)
        for ticket in self._tickets.values():
            if ticket.stream:
                ticket.report(self.replicas[ticket.engine].tokens_emitted(ticket.request_id))
        return now

    async def run(self) -> None:
        """Keep the engines at the clock's time until cancelled."""
        while True:
            self._changed.clear()
            wait = self._wait_seconds(self.advance())
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def drained(self) -> None:
        """Wait until no request is in flight."""
        await self._empty.wait()

    def _leave(self, ticket: Ticket) -> None:
        del self._tickets[ticket.request_id]
        self._in_flight[ticket.engine] -= 1
        if not self._tickets:
            self._empty.set()

    def _wait_seconds(self, now: float) -> float | None:
        """Wall time until the next look; None: until something changes."""
        dues = [due for replica in self.replicas if (due := replica.next_event_at()) is not None]
        if not dues or not self._tickets:
            return None
        wait = min((min(dues) - now) / self._clock.speed, LONGEST_WAIT_SECONDS)
        if any(ticket.stream for ticket in self._tickets.values()):
            wait = min(wait, STREAM_LOOK_SECONDS)
        return max(wait, SHORTEST_WAIT_SECONDS)
