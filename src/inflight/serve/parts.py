"""The parts of a run, each of which goes on whatever becomes of the others.

An exception that reaches this far is a fault of ours: what clusters, files and pods do wrong is dealt with where it is
met. The part is begun anew after a pause, which grows with each fault in a row, and meanwhile nobody is told that all
is well: a part may be needed for readiness, and one without which nothing useful is left ends liveness where it cannot
be brought back, because a new process may do what a new beginning does not.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

import msgspec

from inflight.serve.api.health import Ailment

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
PROVEN_SECONDS = 5.0
"""Whoever has gone on for so long after a fault is running again, and does not fail as soon as there is work."""
STEADY_SECONDS = 120.0
"""Whoever has gone on for so long is not failing in a row any more."""
STUCK_SECONDS = 300.0
"""Of faults in a row, after which a part that is needed to live is given up: a kubelet then starts a new process."""

Need = Literal["nothing", "readiness", "life"]

_log = logging.getLogger(__name__)


class Part(msgspec.Struct, frozen=True):
    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    """Begins it, as often as need be."""
    needed_for: Need = "nothing"
    may_end: bool = False
    """Whether it is done at some time; else an end of its own is a fault too."""


class _State:
    """Of one part. Times in loop seconds."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self.begun_at = 0.0
        self.failing_since: float | None = None
        """The first of the faults in a row."""
        self.is_resting = False
        """Until it is begun anew."""

    def has_gone_on(self, now: float, seconds: float) -> bool:
        return not self.is_resting and now - self.begun_at >= seconds


class Parts:
    """Keeps the parts going. Answers for their health also before they run."""

    def __init__(
        self,
        faults: Counter[str],
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        """`faults` counts those of each part; `seconds` never goes back, and `sleep` goes by it."""
        self._faults = faults
        self._seconds = seconds
        self._sleep = sleep
        self._states: dict[str, _State] = {}
        self._needs: dict[str, Need] = {}

    def down(self, name: str) -> str:
        """A sentence while the part of this name has failed and has not proved yet that it is running again."""
        state = self._states.get(name)
        if state is None or not state.in_a_row or state.has_gone_on(self._seconds(), PROVEN_SECONDS):
            return ""
        return f"the part {name} has failed, {state.in_a_row} in a row, and is begun anew: a fault of ours"

    def ailment(self, check: str) -> Ailment | None:
        """Of `readyz`, or of the checks that a process is restarted for."""
        for name, need in self._needs.items():
            if check == "readyz" and need != "nothing" and (sentence := self.down(name)):
                return Ailment(f"part_{name}", sentence)
            if need == "life" and self._is_stuck(self._states[name]):
                return Ailment(f"part_{name}", f"the part {name} has been failing for more than {STUCK_SECONDS:g} s")
        return None

    async def run(self, parts: Sequence[Part]) -> None:
        """Until cancelled."""
        for part in parts:
            self._states[part.name] = _State()
            self._faults[part.name] += 0
            self._needs[part.name] = part.needed_for
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(self._keep(part, self._states[part.name]), name=part.name)

    async def _keep(self, part: Part, state: _State) -> None:
        while True:
            state.begun_at, state.is_resting = self._seconds(), False
            # In a task of its own: a TaskGroup of Python 3.11 that fails leaves its task marked as cancelled.
            attempt = asyncio.create_task(part.run(), name=part.name)
            try:
                await asyncio.wait({attempt})
            except asyncio.CancelledError:
                await _end(attempt, part.name)
                raise
            fault = _fault_of(attempt)
            if fault is None and part.may_end:
                return
            await self._rest(part, state, fault or RuntimeError("it ended by itself"))

    async def _rest(self, part: Part, state: _State, fault: BaseException) -> None:
        now = self._seconds()
        if now - state.begun_at >= STEADY_SECONDS:
            state.in_a_row, state.failing_since = 0, None
        self._faults[part.name] += 1
        state.in_a_row += 1
        state.failing_since = now if state.failing_since is None else state.failing_since
        state.is_resting = True
        pause = min(SHORTEST_PAUSE_SECONDS * 2.0 ** min(state.in_a_row - 1, 16), LONGEST_PAUSE_SECONDS)
        line = "event=part_fault part=%s in_a_row=%d again_in_seconds=%g needed_for=%s"
        _log.error(line, part.name, state.in_a_row, pause, part.needed_for, exc_info=fault)
        await self._sleep(pause)

    def _is_stuck(self, state: _State) -> bool:
        now = self._seconds()
        if state.failing_since is None or state.has_gone_on(now, STEADY_SECONDS):
            return False
        return now - state.failing_since > STUCK_SECONDS


def _fault_of(attempt: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError("it was cancelled from inside") if attempt.cancelled() else attempt.exception()


async def _end(attempt: asyncio.Task[None], name: str) -> None:
    attempt.cancel()
    await asyncio.wait({attempt})
    if not attempt.cancelled() and (fault := attempt.exception()) is not None:
        _log.error("event=part_fault part=%s at_the_end=true", name, exc_info=fault)
