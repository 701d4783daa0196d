"""What one pod has reported: its last page, and as much of the past as rates over a window need.

Bounded whatever the scrape interval is: besides the last page, one page per third of the window is kept, at most six in
all (of a vLLM page some 8 KiB each, so about 50 KiB a pod). Rates compare the last page with the youngest that is at
least a window old, so they reach over 30 to 40 s; right after a start, over what there is, from two pages on.

A restart (another engine or start time, a counter that fell or vanished) drops the past, so that no rate reaches over
it. Times are Unix seconds, of receipt where the page itself says nothing older.
"""

from collections.abc import Iterable, Mapping
from operator import lt
from typing import Literal

import msgspec

from inflight.signals.derive import derive
from inflight.signals.readings import Counter, Gauge, Histogram, Missing, PageReading, Ratio, Reading, SignalValue

WINDOW_SECONDS = 30.0
"""Two periods of the HPA's loop: long enough to hold some finished requests, short enough to follow a ramp."""

_PER_WINDOW = 3
_LONGEST_SPAN_SECONDS = 300.0
"""A page older than this says nothing about now, even where a pod was not reached for so long."""

_PARTS = {
    "arrival_rate": ("finished_rate", "in_flight"),
    "demand_concurrency": ("finished_rate", "in_flight", "service_time"),
}
"""What `derive` needs for the signals that it makes of others."""

_START_JITTER_SECONDS = 1.0
"""As in `derive`: client libraries compute the start time anew, a little off."""

Silence = Literal["", "refused", "no_engine", "unreadable"]
"""What it means that there is no page of an engine: nothing stands in the way, or nothing was tried yet; nobody listens
at any place; every place where somebody listens showed that it has none; anything else, behind which work may be.
"""


class PodSample(msgspec.Struct, frozen=True):
    """One pod's word on one signal: a value with its time, or why there is none.

    The value is the last one received, however old: whether it may still be used is decided by the guard, not here.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    value: float | None
    received_at: float | None
    """Unix seconds at which the pod's last page was received in full, or of its oldest sample where samples carry an
    earlier time of their own; None if there never was a page."""
    missing: str = ""
    """Why there is no value; empty when there is one."""
    reported_before: bool = False
    """This living pod (its uid) has had a value of this signal at some time."""
    alive: bool = True
    """False for a pod that is going away: it is read while it still answers, and nobody waits for it."""
    failure: str = ""
    """Why the last attempt to reach the pod failed; empty when it succeeded or none was made yet."""
    quiet: bool = False
    """The page is fine, nothing happened that this signal could measure (no request finished, say), and no request was
    in flight on any page of that time: not so while work stands still inside."""
    across: str = ""
    """How the catalogue combines this signal over pods of this engine (`sum`, `mean`, `max`); empty where it does not
    say, or says `merge` (buckets, which a value does not carry)."""
    settling: bool = False
    """The pod was running before it was watched and has not had the time yet to say what it knows: nothing is said of
    a whole fleet without it."""
    ready: bool | None = None
    """The pod's Ready condition: whether it is sent work. None where nobody says."""
    kind: str = ""
    """The workload that the pod is one of, such as `Deployment/llm`; pods of one kind have the same containers."""
    silence: Silence = ""


class PodSeries:
    """The pages of one living pod. A successor under the same name (another uid) has a series of its own.

    `reported` is what this pod had reported before, where it was watched at another place until now.
    """

    def __init__(self, window_seconds: float = WINDOW_SECONDS, reported: Iterable[str] = ()) -> None:
        self._window = window_seconds
        self._latest: PageReading | None = None
        self._past: list[tuple[float, PageReading]] = []
        self._reported = set(reported)
        self._values: dict[str, SignalValue | Missing] = {}
        self.received_at: float | None = None
        self.restarts = 0
        self.restart_reason = ""

    @property
    def latest(self) -> PageReading | None:
        return self._latest

    @property
    def reported(self) -> frozenset[str]:
        """The readings that have had a value, by which `has_reported` judges."""
        return frozenset(self._reported)

    def age(self, now: float) -> float | None:
        """Seconds since the last page was received; None without one."""
        return None if self.received_at is None else now - self.received_at

    @property
    def span_seconds(self) -> float:
        """What rates reach over; 0 with one page."""
        if self.received_at is None or not self._past:
            return 0.0
        return self.received_at - self._past[0][0]

    @property
    def coverage(self) -> float:
        """How much of the window that is, 0 to 1."""
        return min(1.0, self.span_seconds / self._window)

    def __len__(self) -> int:
        """Pages kept."""
        return len(self._past) + (self._latest is not None)

    def add(self, reading: PageReading, received_at: float) -> bool:
        """Keep a page; whether it shows that the server was restarted since the page before.

        A page whose samples carry a time of their own (of an exporter that repeats what it got, say) is as old as that.
        """
        if reading.sampled_at is not None and reading.sampled_at < received_at:
            received_at = reading.sampled_at
        previous = self._latest
        restart = "" if previous is None else began_anew(previous, reading)
        if restart:
            self.restarts += 1
            self.restart_reason = restart
            self._past.clear()
        elif previous is not None and self.received_at is not None:
            self._remember(previous, self.received_at, received_at)
        self._note_reported(reading, None if restart else previous)
        self._latest = reading
        self.received_at = received_at
        self._values = {}
        return bool(restart)

    def value(self, signal: str) -> SignalValue | Missing:
        """The signal as of the last page, by the name that `derive` gives it."""
        found = self._values.get(signal)
        if found is None:
            found = self._values[signal] = self._derive(signal)
        return found

    def has_reported(self, signal: str) -> bool:
        """Whether there has been a value since this pod is watched, before a restart in its place included."""
        if signal in _PARTS:
            return all(part in self._reported for part in _PARTS[signal])
        return signal in self._reported or _base(signal) in self._reported

    def is_quiet(self, signal: str) -> bool:
        """Whether the pages kept say that there was nothing to measure: nothing observed, and nobody inside either.

        With work in flight, counters that stand still are those of a server that hangs, not of one that is idle; where
        the work in flight is unknown, nobody can tell which of them it is.
        """
        if self._latest is None or not self._past:
            return False
        if not _is_idle(self._latest) or not all(_is_idle(page) for _, page in self._past):
            return False
        base = "service_time" if signal == "demand_concurrency" else _base(signal)
        return _stood_still(self._past[0][1].signals.get(base), self._latest.signals.get(base))

    def _derive(self, signal: str) -> SignalValue | Missing:
        if self._latest is None:
            return Missing(signal, "no page was received yet")
        earlier = self._past[0][1] if self._past else None
        elapsed = self.span_seconds if earlier is not None else None
        found = derive(self._latest, earlier, elapsed, only=(signal,)).get(signal)
        if found is not None:
            return found
        if self._latest.engine is None:
            names = ", ".join(self._latest.prefixes[:4])
            return Missing(
                signal, f"no known engine's page{f' (names begin with {names})' if names else ''}", absent=True
            )
        return Missing(signal, f"the catalogue has no {signal} for {self._latest.engine}", absent=True)

    def _remember(self, reading: PageReading, received_at: float, now: float) -> None:
        """Keep a page of the past where it is far enough from the one before; forget those that no rate needs."""
        past = self._past
        if now <= received_at:
            # Of two pages of one moment the later one stays; a clock that went back makes the past useless.
            if past and now <= past[-1][0]:
                past.clear()
            return
        if not past or received_at - past[-1][0] >= self._window / _PER_WINDOW:
            past.append((received_at, reading))
        while len(past) > 1 and (past[1][0] <= now - self._window or past[1][0] - past[0][0] > self._window):
            del past[0]
        if past and now - past[0][0] > _LONGEST_SPAN_SECONDS:
            del past[0]

    def _note_reported(self, reading: PageReading, previous: PageReading | None) -> None:
        before = previous.signals if previous is not None else {}
        for signal, found in reading.signals.items():
            if signal not in self._reported and _has_value(before.get(signal), found):
                self._reported.add(signal)


def _is_idle(page: PageReading) -> bool:
    in_flight = page.signals.get("in_flight")
    return isinstance(in_flight, Gauge) and in_flight.value == 0


def _has_value(earlier: Reading | None, later: Reading) -> bool:
    """Whether two pages give a value, told without working it out: a total on both, for quantiles one that moved."""
    if isinstance(later, Histogram | Ratio):
        return type(earlier) is type(later) and not _stood_still(earlier, later)
    return isinstance(later, Gauge) or (isinstance(later, Counter) and isinstance(earlier, Counter))


def _stood_still(earlier: Reading | None, later: Reading | None) -> bool:
    """Whether two pages say that nothing happened that a quantile, mean or ratio could be made of."""
    if isinstance(later, Histogram) and isinstance(earlier, Histogram):
        return later.rows == earlier.rows and later.totals == earlier.totals
    if isinstance(later, Ratio) and isinstance(earlier, Ratio):
        below, before = later.denominator, earlier.denominator
        return below.rows == before.rows and below.values == before.values
    return False


def began_anew(earlier: PageReading, later: PageReading) -> str:
    """What shows that the server was restarted between two pages; empty when nothing does."""
    if earlier.engine != later.engine:
        return (
            f"the page is now of {later.engine or 'no known engine'}, before of {earlier.engine or 'no known engine'}"
        )
    started, started_before = later.started_at, earlier.started_at
    if started is not None and started_before is not None and abs(started - started_before) > _START_JITTER_SECONDS:
        return "its process has another start time"
    before = earlier.signals
    for signal, here in later.signals.items():
        if type(here) is not Gauge and (there := before.get(signal)) is not None and _fell(there, here):
            return f"the counters of {signal} began anew"
    return ""


def _fell(earlier: Reading, later: Reading) -> bool:
    if isinstance(later, Counter) and isinstance(earlier, Counter):
        return _column_fell(earlier, earlier.values, later, later.values)
    if isinstance(later, Histogram) and isinstance(earlier, Histogram):
        return _column_fell(earlier, earlier.totals, later, later.totals)
    if isinstance(later, Ratio) and isinstance(earlier, Ratio):
        return _fell(earlier.numerator, later.numerator) or _fell(earlier.denominator, later.denominator)
    return isinstance(later, Missing) and later.absent and isinstance(earlier, Counter | Histogram | Ratio)


def _column_fell(
    earlier: Counter | Histogram, before: tuple[float, ...], later: Counter | Histogram, now: tuple[float, ...]
) -> bool:
    if earlier.source is not later.source and earlier.source.series != later.source.series:
        return True
    if earlier.rows is not later.rows and earlier.rows != later.rows:
        totals = dict(zip(later.rows, now, strict=True))
        return any(totals.get(row, -1.0) < value for row, value in zip(earlier.rows, before, strict=True))
    if now != before and any(map(lt, now, before)):
        return True
    return later.created != earlier.created and any(
        here != there and here == here and there == there  # noqa: PLR0124 (NaN: the page does not say)
        for here, there in zip(later.created, earlier.created, strict=False)
    )


def _base(signal: str) -> str:
    """The reading that a value such as `ttft_p95` is made of."""
    stem, _, end = signal.rpartition("_")
    return stem if end == "mean" or (end[:1] == "p" and end[1:].isdigit()) else signal
