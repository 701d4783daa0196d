"""Follows one HPA live: a look before each sync, and after it what the controller made of it.

Looks are timed to the syncs as far as those can be seen: the controller writes the status in a sync, and the next one
comes a period later. Without anything to go by, looks come once a period.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from inflight.hpa import Observation, Record
from inflight.observe.agreement import Agreement, written_at
from inflight.observe.answer import LiveAnswer, Seen, decision_of
from inflight.observe.looking.errors import Failure, ObserveError
from inflight.observe.looking.look import Look
from inflight.observe.notes import Note, NoteCode
from inflight.observe.recorder import Memories, Recorder
from inflight.observe.syncs import StatusWatch, as_synced

NANOSECONDS = 1_000_000_000
MILLISECOND = 1_000_000
LEAD_SECONDS = 0.3
"""So long before a sync its look begins, and as long as looks take: load that moves in between is missed."""
SILENT_SYNCS = 3
AS_COMPUTED = ", as computed"
_ALARMING = {Agreement.NEVER_SYNCED, Agreement.CONTROLLER_FORBIDDEN, Agreement.UNEXPLAINED}


class Block(msgspec.Struct, frozen=True):
    """What one look gives to be shown."""

    answer: LiveAnswer | None
    is_news: bool
    """Whether it says another thing than the look before."""
    followed: str = ""
    """What became of the last look: what the controller did in its sync."""
    is_routine: bool = False
    """Whether that was what had been computed, and nothing was written."""
    problem: str = ""
    """Why there is no answer this time."""


class Parts(msgspec.Struct, frozen=True):
    """What a watch is made of; each a thing of its own life."""

    look: Callable[[], Awaitable[Look]]
    see: Callable[[Look, int | None], Awaitable[Seen]]
    """A look, and the time of its sync, with the memory, the history and the assumptions that belong to it."""
    answer: Callable[[Seen], Awaitable[LiveAnswer]]
    status: StatusWatch
    memories: Memories
    recorder: Recorder | None
    time_ns: Callable[[], int]
    period_seconds: float
    """The controller's sync period."""


class Tally(msgspec.Struct):
    """How the looks so far went with the syncs that they were about."""

    as_computed: int = 0
    otherwise: int = 0
    lost: int = 0
    """The sync saw other values, so that nothing can be said of it."""


class _Pending(msgspec.Struct):
    """A look whose sync has not been seen yet."""

    seen: Seen
    due_ns: int
    """When the sync was expected."""
    later: Observation | None = None
    """The metrics again, right after the sync, where they had moved."""


class Watch:
    """One HPA. `blocks` runs until `stop` is set; `finish` then writes what is pending."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pending: _Pending | None = None
        self._key: Any = None
        self._look_seconds = LEAD_SECONDS
        self._period = parts.period_seconds
        self._due_ns: int | None = None
        self._silent = 0
        """Syncs in a row that should have written the status and did not."""
        self.tally = Tally()

    async def blocks(self, stop: asyncio.Event) -> AsyncIterator[Block]:
        """One block a sync. An API server that is away is waited for; an HPA that is gone ends it (ObserveError)."""
        watching = asyncio.create_task(self._parts.status.run())
        try:
            while not stop.is_set():
                try:
                    block = await self._block()
                except ObserveError as error:
                    if error.code is Failure.NOT_FOUND:
                        raise
                    self._lose()
                    block = Block(None, is_news=True, problem=str(error))
                yield block
                await self._wait(stop)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def finish(self) -> None:
        """The last look stands for its sync, which was not seen. Raises ObserveError where it cannot be written."""
        if self._pending is not None and self._parts.recorder is not None:
            self._parts.recorder.append(self._pending.seen.record)
        self._pending = None

    async def _block(self) -> Block:
        begun_ns = self._parts.time_ns()
        look = await self._parts.look()
        self._look_seconds = max((self._parts.time_ns() - begun_ns) / NANOSECONDS, 0.0)
        followed = self._settle(look)
        self._due_ns = self._next_due(look)
        is_close = self._due_ns - look.now_ns <= 2 * self._lead_seconds * NANOSECONDS
        seen = await self._parts.see(look, self._due_ns if is_close else None)
        answer = self._with_problem(await self._parts.answer(seen))
        self._pending = _Pending(seen, self._due_ns)
        key = _key(answer)
        is_news, self._key = key != self._key, key
        return Block(answer, is_news, followed, is_routine=followed.endswith(AS_COMPUTED) and "->" not in followed)

    def _with_problem(self, answer: LiveAnswer) -> LiveAnswer:
        live, problem = answer.live, self._parts.status.problem
        if problem:
            live = msgspec.structs.replace(live, unseen=(*live.unseen, problem))
        if self._silent >= SILENT_SYNCS:
            text = (
                f"For {self._silent} sync periods the values have been others than those of the status, and the"
                " controller has written nothing: it does not sync this HPA. Does a kube-controller-manager run?"
            )
            live = msgspec.structs.replace(live, notes=(Note(NoteCode.NOT_SYNCING, text), *live.notes))
        return msgspec.structs.replace(answer, live=live)

    def _settle(self, look: Look) -> str:
        """What became of the look before: into the memory and the record, if it is known."""
        pending, self._pending = self._pending, None
        if pending is None:
            return ""
        record, status = pending.seen.record, look.hpa.status
        decision = decision_of(pending.seen)
        synced_ns = self._parts.status.written_ns
        begun_ns = pending.seen.look.now_ns
        at_ns = synced_ns if synced_ns is not None and begun_ns < synced_ns < look.now_ns else pending.due_ns
        at_ns = max(min(at_ns, look.now_ns - 1), begun_ns)
        synced = None
        if look.hpa.metadata.uid == record.hpa.metadata.uid:
            synced = as_synced(record, decision, status, pending.later, at_ns)
        has_written = status != pending.seen.look.hpa.status
        has_moved = synced is None or synced.observation.answers != record.observation.answers
        self._silent = self._silent + 1 if has_moved and not has_written else 0
        if synced is None:
            self.tally.lost += 1
            self._lose()
            return "the last sync saw other values than were seen here, so what it remembers of it is not known"
        self._parts.memories.follow(synced)
        if self._parts.recorder is not None:
            self._parts.recorder.append(synced)
        if synced.outcome is not None and synced.outcome.replicas == decision.trace.desired_replicas:
            self.tally.as_computed += 1
        else:
            self.tally.otherwise += 1
        return _followed(record, synced, decision.trace.desired_replicas)

    def _lose(self) -> None:
        self._parts.memories.forget()
        self._pending = None

    @property
    def _lead_seconds(self) -> float:
        return min(LEAD_SECONDS + self._look_seconds, self._period / 3)

    def _next_due(self, look: Look) -> int:
        """The next sync after the look, by the last one that was seen; with nothing to go by, it comes at once."""
        period_ns = max(round(self._period * NANOSECONDS), 1)
        last_ns = self._parts.status.written_ns or written_at(look.hpa.metadata.managed_fields) or self._due_ns
        if last_ns is None or last_ns > look.now_ns + period_ns:
            due_ns = look.now_ns + round(self._lead_seconds * NANOSECONDS)
        else:
            due_ns = last_ns + max((look.now_ns - last_ns) // period_ns + 1, 1) * period_ns
        return due_ns // MILLISECOND * MILLISECOND

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until just before the sync after the one that was looked at; looks again where that shows other values."""
        pending, changed = self._pending, self._parts.status.changed
        if pending is None:
            await _first(stop, None, self._period)
            return
        apart_ns = round((self._period - self._lead_seconds) * NANOSECONDS)
        wake_ns = pending.due_ns + apart_ns
        while not stop.is_set() and (left_ns := wake_ns - self._parts.time_ns()) > 0:
            changed.clear()
            await _first(stop, changed, left_ns / NANOSECONDS)
            written_ns = self._parts.status.written_ns
            if changed.is_set() and written_ns is not None and written_ns > pending.seen.look.now_ns:
                wake_ns = written_ns + apart_ns
                await self._look_after(pending)

    async def _look_after(self, pending: _Pending) -> None:
        status, record = self._parts.status.status, pending.seen.record
        if pending.later is not None or status is None:
            return
        if as_synced(record, decision_of(pending.seen), status, None, record.now_ns) is not None:
            return
        try:
            pending.later = (await self._parts.look()).observation
        except ObserveError:
            return


async def _first(stop: asyncio.Event, other: asyncio.Event | None, seconds: float) -> None:
    """Waits for either event, or until the time is up."""
    tasks = [asyncio.create_task(event.wait()) for event in (stop, other) if event is not None]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _key(answer: LiveAnswer) -> Any:
    """What makes two looks say the same thing."""
    explanation = answer.explanation
    trace = explanation.trace
    return (
        explanation.outcome,
        trace.current_replicas,
        explanation.memory.lowest,
        explanation.memory.highest,
        explanation.bound_by,
        answer.live.comparison.code if answer.live.comparison.code in _ALARMING else "",
        any(note.code is NoteCode.NOT_SYNCING for note in answer.live.notes),
        tuple((metric.calculation.verdict, metric.calculation.replicas, metric.error) for metric in trace.metrics),
    )


def _followed(record: Record, synced: Record, computed: int) -> str:
    outcome = synced.outcome
    assert outcome is not None
    before, after = record.observation.replicas, outcome.replicas
    did = f"{before} -> {after}" if outcome.rescaled else f"left it at {after}"
    if after == computed:
        return f"the controller {did}{AS_COMPUTED}"
    if synced.observation.answers != record.observation.answers:
        return f"the controller {did}; the load had moved since the look, from which {computed} was computed"
    return f"the controller {did}, where {computed} was computed with what is known of its memory"
