"""What other policies would have done with the same requests: the pure simulator, in a process of its own.

These rows are there so that nobody has to take our word: CPU at other requests, running requests alone, and fleets of a
fixed size next to the mean that the work in flight needed.
"""

import asyncio
import pickle
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from inflight.lab.settings import LabSettings
from inflight.sim.score import PolicyResult
from inflight.sim.study import Policy, fixed_neighbours

CPU_REQUESTS_CORES = (1.0, 2.0, 6.0)
RUNNING_ALONE_SHARE = 0.7
"""Target of the policy on running requests alone, as a share of the batch limit (docs/lab.md)."""

_MAX_LINE_BYTES = 1 << 20

Row = tuple[Policy, str]  # what is simulated, and what the table calls it
Simulated = tuple["asyncio.Future[PolicyResult]", str]


def standing(settings: LabSettings) -> list[Row]:
    """The policies that can be simulated before the live run is over."""
    hpa = settings.in_flight_hpa()
    start = hpa.spec.min_replicas or 1
    rows: list[Row] = []
    for cores in CPU_REQUESTS_CORES:
        name = f"cpu-{cores:g}-core{'' if cores == 1 else 's'}"
        text = f"CPU at {settings.cpu_target_percent} %, request {cores:g} core{'' if cores == 1 else 's'}"
        rows.append((Policy(name, settings.cpu_hpa(), start, f"{cores:g}"), text))
    limit = settings.engine.max_num_seqs
    for name, target in (
        ("running", settings.target_per_replica()),
        ("running-70-percent", float(int(RUNNING_ALONE_SHARE * limit))),
    ):
        alone = settings.external_hpa("inflight_requests_running", target)
        rows.append((Policy(name, alone, start, _cores(settings)), f"running alone, {target:g} per replica"))
    if settings.hpa is None:
        text = f"in flight, {settings.target_per_replica():g} per replica (simulated)"
        rows.append((Policy("in-flight-simulated", hpa, start, _cores(settings)), text))
    return rows


def fixed(settings: LabSettings, replicas_mean: float) -> list[Row]:
    """The two fixed fleets next to a mean size: what somebody who knew the load could have set by hand."""
    return [
        (Policy(f"fixed-{count}", None, count, _cores(settings)), f"{count} replica{'' if count == 1 else 's'}, fixed")
        for count in fixed_neighbours(replicas_mean)
    ]


class Beside:
    """The worker process: it is killed with this, whatever it is doing."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: deque[asyncio.Future[PolicyResult]] = deque()
        self._reading = asyncio.create_task(self._read())

    def start(self, rows: Sequence[Row]) -> list[Simulated]:
        """Queues the rows, first come first served. A future fails with SimulationError if the worker dies."""
        started: list[Simulated] = []
        for policy, text in rows:
            future: asyncio.Future[PolicyResult] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            started.append((future, text))
            _send(self._process, policy)
        if self._reading.done():
            self._fail_the_rest()
        return started

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        self._reading.cancel()
        await asyncio.gather(self._reading, self._process.wait(), return_exceptions=True)
        for future in self._waiting:
            future.cancel()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._waiting.popleft().set_result(msgspec.json.decode(line, type=PolicyResult))
        self._fail_the_rest()

    def _fail_the_rest(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(SimulationError("the simulating process ended early"))
                future.exception()  # looked at: whoever asks for the result still gets it
        self._waiting.clear()


class SimulationError(RuntimeError):
    """The worker died before this row was simulated."""


@asynccontextmanager
async def simulating(settings: LabSettings) -> AsyncIterator[Beside]:
    """A worker for as long as the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inflight.lab.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MAX_LINE_BYTES,
        # Out of the terminal's group: Ctrl-C is for the parent, who ends the worker himself.
        start_new_session=True,
    )
    _send(process, settings)
    beside = Beside(process)
    try:
        yield beside
    finally:
        await beside.close()


def _send(process: asyncio.subprocess.Process, value: object) -> None:
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(pickle.dumps(value))


def _cores(settings: LabSettings) -> str:
    return settings.fleet_setup().template.cpu_request
