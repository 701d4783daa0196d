"""`inflight lab` as a function: page, live fleets, other policies beside, results, report; Ctrl-C at any moment."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from inflight.lab.beside import Simulated, fixed, simulating, standing
from inflight.lab.live import LiveResult, LiveRun, run_live
from inflight.lab.page import serve_page
from inflight.lab.report import render_report
from inflight.lab.results import PolicyRow, Quantiles, Replicas, Tail, headline
from inflight.lab.settings import LabSettings
from inflight.lab.story import Story
from inflight.lab.wording import caption, label, page_setup
from inflight.objects import to_plain
from inflight.sim.score import PolicyResult

WRAP_UP_SECONDS = 25.0
"""Wall time kept back from the limit: the last requests, the fixed fleets, the report; of a short limit a quarter."""
REPORT_SHARE = 0.15
"""The part of it that the report may take."""


class LabOutcome(msgspec.Struct, frozen=True):
    """What a run leaves behind."""

    rows: list[PolicyRow]
    run: dict[str, Any]
    """How it was measured: horizon, speed, slip, seed and the like (the `run` of `-o json`)."""
    headline: str
    caption: str
    remarks: list[str]
    """Sentences for the person who started it: what was shortened, slowed or left out."""
    report: Path


class PageSettings(msgspec.Struct, frozen=True):
    """Where the live page is served; None of it with `shown` off."""

    shown: bool = True
    host: str = "127.0.0.1"
    port: int = 0


async def run_lab(
    settings: LabSettings,
    page: PageSettings,
    report: Path,
    *,
    announce: Callable[[str], None],
    progress: Callable[[LiveRun], Any] | None = None,
    record_dir: Path | None = None,
) -> LabOutcome:
    """The whole of it. Raises OSError if the page's port cannot be had or report or records cannot be written."""
    begun = time.monotonic()
    story = Story(page_setup(settings))
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        records = {}
        if record_dir is not None:
            for name in ("cpu", "in-flight"):
                records[name] = stack.enter_context((record_dir / f"{name}.jsonl").open("wb")).write
        beside = await stack.enter_async_context(simulating(settings))
        await stack.enter_async_context(_page(story, page, announce))
        simulated = beside.start(standing(settings))
        wrap_up_seconds = min(WRAP_UP_SECONDS, settings.wall_limit_seconds / 4)
        live_seconds = settings.wall_limit_seconds - wrap_up_seconds
        live = await run_live(settings, story, stop, wall_seconds=live_seconds, progress=progress, records=records)
        story.phase("simulating the fixed fleets")
        in_flight = next(result for result in live.policies if result.name == "in-flight")
        simulated += beside.start(fixed(settings, in_flight.replicas_mean))
        left_seconds = settings.wall_limit_seconds - (time.monotonic() - begun) - REPORT_SHARE * wrap_up_seconds
        await _wait_for(simulated, stop, max(0.0, left_seconds))
        rows = [row(result, label(result.name, settings), "live") for result in live.policies]
        if live.cut:
            # They cover the whole ramp: beside a part of it they would compare nothing.
            left_out = [text for _, text in simulated]
        else:
            rows += [row(future.result(), text, "simulated") for future, text in simulated if _succeeded(future)]
            left_out = [text for future, text in simulated if not _succeeded(future)]
        outcome = _outcome(settings, live, rows, left_out, report)
        outcome.run["wall_seconds"] = round(time.monotonic() - begun, 1)
        _write_report(outcome, story, settings)
        story.finish(_page_results(outcome))
        return outcome


@asynccontextmanager
async def _page(story: Story, page: PageSettings, announce: Callable[[str], None]) -> AsyncIterator[None]:
    if not page.shown:
        yield
        return
    async with serve_page(story, page.host, page.port) as address:
        announce(f"live page: {address}")
        yield


async def _wait_for(simulated: list[Simulated], stop: asyncio.Event, seconds: float) -> None:
    """Until all are there, the time is over, or somebody has asked to stop."""
    waiting = asyncio.gather(*(future for future, _ in simulated), return_exceptions=True)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, stopping), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


def _succeeded(future: "asyncio.Future[PolicyResult]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def row(result: PolicyResult, text: str, source: str) -> PolicyRow:
    """A measured policy as a row of the table."""
    return PolicyRow(
        name=result.name,
        label=text,
        source=source,
        requests=result.requests,
        slo_attainment=result.slo_attainment,
        gave_up=result.misses.gave_up,
        ttft_seconds=Quantiles(result.ttft_seconds.p50, result.ttft_seconds.p95, result.ttft_seconds.p99),
        itl_seconds=Tail(result.itl_p95_seconds),
        longest_queue=result.longest_queue,
        replicas=Replicas(round(result.replicas_mean, 4), result.replicas_peak),
        replica_hours=round(result.replica_hours, 4),
        first_decision_seconds=result.first_decision_seconds,
        direction_changes=result.direction_changes,
    )


def _outcome(
    settings: LabSettings, live: LiveResult, rows: list[PolicyRow], left_out: list[str], report: Path
) -> LabOutcome:
    remarks = []
    if live.slowed:
        remarks.append(
            f"This machine could not hold {settings.speed:g}x: the clock slipped by more than 2 %, so the speed was "
            f"lowered to {live.speed:.1f}x."
        )
    if live.interrupted:
        remarks.append(f"Stopped at {live.horizon_seconds:.0f} s of {live.planned_seconds:.0f} s of model time.")
    elif live.cut:
        remarks.append(
            f"The horizon was shortened to {live.horizon_seconds:.0f} s of {live.planned_seconds:.0f} s of model time, "
            f"to end within {settings.wall_limit_seconds:.0f} s."
        )
    if left_out:
        why = (
            "which need the whole ramp" if live.cut else "not simulated before the run was stopped or its time was over"
        )
        remarks.append(f"Not simulated ({why}): {'; '.join(left_out)}.")
    undecided = sum(result.undecided for result in live.policies)
    if undecided:
        remarks.append(f"{undecided} requests were under way at the end and count neither as met nor as missed.")
    run = {
        "horizon_seconds": round(live.horizon_seconds, 3),
        "planned_seconds": live.planned_seconds,
        "speed": live.speed,
        "clock_slip": round(live.slip, 6),
        "interrupted": live.interrupted,
        "seed": settings.seed,
        "ramp": str(settings.ramp),
        "trace": settings.trace.name,
        "model": settings.engine.model,
        "gpu": settings.engine.gpu,
        "target_per_replica": settings.target_per_replica(),
        "cpu_request_cores": settings.cpu_request_cores,
        "remarks": remarks,
    }
    return LabOutcome(
        rows=rows,
        run=run,
        headline=headline(rows),
        caption=caption(live.horizon_seconds, live.speed, live.slip),
        remarks=remarks,
        report=report,
    )


def _write_report(outcome: LabOutcome, story: Story, settings: LabSettings) -> None:
    hpas = {
        label("cpu", settings): _manifest(settings.cpu_hpa()),
        label("in-flight", settings): _manifest(settings.in_flight_hpa()),
    }
    story.results = _page_results(outcome)
    text = render_report(story, outcome.rows, outcome.headline, " ".join([outcome.caption, *outcome.remarks]), hpas)
    story.results = None
    temporary = outcome.report.with_name(outcome.report.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(outcome.report)


def _manifest(hpa: Any) -> str:
    return yaml.safe_dump(to_plain(hpa), sort_keys=False)


def _page_results(outcome: LabOutcome) -> dict[str, Any]:
    return {
        "policies": outcome.rows,
        "headline": outcome.headline,
        "caption": " ".join([outcome.caption, *outcome.remarks]),
        "report": outcome.report.name,
    }


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM: what was measured is still told. The second ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop
