"""What other policies would have done with the same requests: the pure simulator, in a process of its own.

These rows are there so that nobody has to take our word: CPU at other requests, running requests alone, and fleets of a
fixed size next to the mean that the work in flight needed.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.pool import Pool

from inflight.lab.settings import LabSettings
from inflight.sim.score import PolicyResult
from inflight.sim.study import Course, Policy, fixed_neighbours, run_policy

CPU_REQUESTS_CORES = (1.0, 2.0, 6.0)
RUNNING_ALONE_SHARE = 0.7
"""Target of the policy on running requests alone, as a share of the batch limit (docs/lab.md)."""

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
        (Policy(f"fixed-{count}", None, count, _cores(settings)), f"{count} replicas, fixed")
        for count in fixed_neighbours(replicas_mean)
    ]


class Beside:
    """A pool of worker processes that are ended with it, whatever they are doing."""

    def __init__(self, settings: LabSettings, processes: int) -> None:
        self._settings = settings
        # Spawned, not forked: the parent has an event loop and sockets that a child must not share.
        context = multiprocessing.get_context("spawn")
        self._pool: Pool = context.Pool(processes, initializer=_quiet_worker)

    def start(self, rows: Sequence[Row]) -> "list[Simulated]":
        """Queues the rows, first come first served."""
        return [(self._submit(policy), text) for policy, text in rows]

    def close(self) -> None:
        self._pool.terminate()
        self._pool.join()

    def _submit(self, policy: Policy) -> "asyncio.Future[PolicyResult]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[PolicyResult] = loop.create_future()

        def done(result: PolicyResult) -> None:
            loop.call_soon_threadsafe(_settle, future, result, None)

        def failed(error: BaseException) -> None:
            loop.call_soon_threadsafe(_settle, future, None, error)

        self._pool.apply_async(simulate, (self._settings, policy), callback=done, error_callback=failed)
        return future


def simulate(settings: LabSettings, policy: Policy) -> PolicyResult:
    """One policy under the requests of this lab; runs in a worker."""
    course = Course(settings.arrivals(), settings.ramp.seconds, settings.ramp.rises_at, settings.slo)
    return run_policy(policy, settings.fleet_setup(), course)


def _cores(settings: LabSettings) -> str:
    return settings.fleet_setup().template.cpu_request


def _settle(future: "asyncio.Future[PolicyResult]", result: PolicyResult | None, error: BaseException | None) -> None:
    if future.done():
        return
    if result is not None:
        future.set_result(result)
    else:
        future.set_exception(error or RuntimeError("a simulation ended without a result"))


def _quiet_worker() -> None:
    # Ctrl-C goes to the whole process group; the parent ends the workers itself. The live fleets come first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
