"""All that is said about an HPA of a running cluster, as one value: sentences for people, codes for programs."""

import math

import msgspec

from inflight.hpa import Decision, Explanation, Record, apply_settings
from inflight.hpa.record import make_record
from inflight.hpa.remembered import Remembered, remembered_for
from inflight.hpa.settings import Setting
from inflight.observe.agreement import Agreement, Comparison, compare, written_at
from inflight.observe.assumptions import Assumed, Assumption
from inflight.observe.evidence import Evidence, gather
from inflight.observe.hold import Hold, LiveExplanation, explain_live
from inflight.observe.looking.history import History
from inflight.observe.looking.look import Look
from inflight.observe.notes import Note, notes_of

NANOSECONDS = 1_000_000_000
_MOST_PERIODS = 20
"""So long after the last thing that was seen of a sync, its seconds say nothing about the next one's any more."""


class Live(msgspec.Struct, frozen=True):
    """What goes beyond the decision itself."""

    server: str
    server_version: str
    comparison: Comparison
    assumptions: tuple[Assumption, ...]
    evidence: tuple[Evidence, ...]
    hold: Hold | None
    next_sync_ns: int | None
    """About when; None where nothing shows when the controller syncs."""
    notes: tuple[Note, ...]
    unseen: tuple[str, ...]


class LiveAnswer(msgspec.Struct, frozen=True):
    """What `-o json` prints: the explanation as that of a record, and what is known of the cluster."""

    explanation: Explanation
    live: Live
    settings: tuple[str, ...] = ()
    recorded: Explanation | None = None
    """Without the settings; None where there are none."""

    @property
    def is_unexplained(self) -> bool:
        return self.live.comparison.code is Agreement.UNEXPLAINED


class Server(msgspec.Struct, frozen=True):
    url: str
    version: str


class Seen(msgspec.Struct, frozen=True):
    """A look with all that belongs to it."""

    look: Look
    record: Record
    remembered: Remembered
    history: History
    assumed: Assumed
    server: Server


def record_of(look: Look, assumed: Assumed, at_ns: int | None = None) -> Record:
    """The look as a line of a record, as of now or of the sync that comes: nobody knows the memory."""
    now_ns = look.now_ns if at_ns is None else at_ns
    return make_record(look.hpa, look.observation, None, now_ns, assumed.controller)


def compose(
    seen: Seen, settings: tuple[Setting, ...] = (), *, with_changes: bool = True, more_notes: tuple[Note, ...] = ()
) -> LiveAnswer:
    """The answer. Raises SettingError where a setting cannot be made."""
    record = seen.record
    plain = explain_seen(seen, with_changes=with_changes and not settings)
    chosen = plain
    if settings:
        changed = apply_settings(record, settings)
        remembered = remembered_for(seen.remembered, record, changed)
        chosen = explain_live(changed, gather(changed, remembered, seen.history), with_changes=with_changes)
    known = gather(record, seen.remembered, seen.history)
    written_ns = written_at(seen.look.hpa.metadata.managed_fields)
    possible = plain.possible
    lowest, highest = (each.trace.desired_replicas for each in (possible.lowest, possible.highest))
    live = Live(
        server=seen.server.url,
        server_version=seen.server.version,
        comparison=compare(record, plain.decision, lowest, highest, written_ns),
        assumptions=seen.assumed.assumptions,
        evidence=known.evidence,
        hold=chosen.hold,
        next_sync_ns=next_sync(written_ns, record),
        notes=(*more_notes, *notes_of(record, plain.decision, seen.history)),
        unseen=(*seen.look.unseen, *seen.history.unseen),
    )
    return LiveAnswer(
        explanation=chosen.explanation,
        live=live,
        settings=tuple(map(str, settings)),
        recorded=plain.explanation if settings else None,
    )


def explain_seen(seen: Seen, *, with_changes: bool = False) -> LiveExplanation:
    known = gather(seen.record, seen.remembered, seen.history)
    return explain_live(seen.record, known, with_changes=with_changes)


def decision_of(seen: Seen) -> Decision:
    """With the memory that is proved."""
    return seen.record.decide(gather(seen.record, seen.remembered, seen.history).remembered.memory)


def next_sync(written_ns: int | None, record: Record) -> int | None:
    """The status is written in a sync, where anything in it changes; the next ones follow a period apart."""
    if written_ns is None:
        return None
    period_ns = round(record.controller.sync_period_seconds * NANOSECONDS)
    if period_ns <= 0:
        return None
    periods = max(math.ceil((record.now_ns - written_ns) / period_ns), 1)
    return written_ns + periods * period_ns if periods <= _MOST_PERIODS else None
