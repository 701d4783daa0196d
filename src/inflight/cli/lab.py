"""`inflight lab`: the whole loop on this machine, with a live page, a table and a report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from inflight.lab.live import LiveRun
    from inflight.lab.settings import LabSettings

_DEFAULT_RAMP = "0.7:300,4:600,4:300,0.7:600"


_MAX_TRACE_BYTES = 256 << 20
_MAX_HPA_BYTES = 1 << 20

_EXAMPLES = """\b
Examples:
  inflight lab
  inflight lab --ramp 0.7:120,4:120,4:300,0.7:120    a steep ramp: where the work in flight has a hard time
  inflight lab --cpu-request 1 --no-page -o json     the CPU HPA at a request of one core
"""


@click.command("lab", epilog=_EXAMPLES)
@click.option(
    "--preset",
    default="llama-3.1-8b/a100-80gb",
    show_default=True,
    help="Model and GPU of every replica; `inflight emulate --list-presets` names them.",
)
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Requests to replay: Azure, BurstGPT or arrival_s,prompt_tokens,output_tokens as CSV (.gz too), or Mooncake "
    "JSON lines.  [default: the Azure conversation trace of 2023]",
)
@click.option(
    "--ramp",
    default=_DEFAULT_RAMP,
    show_default=True,
    help="Factor that divides the trace's gaps, as FACTOR:SECONDS,...; its length is the horizon.",
)
@click.option("--speed", default=10.0, show_default=True, help="Model seconds per second of wall clock.")
@click.option(
    "--target",
    type=float,
    help="Requests in flight per replica.  [default: K*phi/(1-phi) at phi 0.55, at most 0.7 of the batch limit]",
)
@click.option("--cpu-request", default=6.0, show_default=True, metavar="CORES", help="CPU request of a serving pod.")
@click.option(
    "--cpu-target", default=80, show_default=True, metavar="PERCENT", help="Utilization target of the CPU HPA."
)
@click.option(
    "--cold-start",
    default="60:120",
    show_default=True,
    metavar="LOW:HIGH",
    help="Seconds from a pod's creation until it serves, evenly spread; one number for all pods alike.",
)
@click.option("--min", "min_replicas", default=1, show_default=True, help="minReplicas of both HPAs.")
@click.option("--max", "max_replicas", default=8, show_default=True, help="maxReplicas of both HPAs.")
@click.option(
    "--hpa",
    "hpa_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="HPA manifest for the fleet by the work in flight; the CPU fleet gets the same with its metrics replaced.",
)
@click.option("--seed", default=1, show_default=True, help="Luck of the run: cold starts.")
@click.option(
    "--wall-limit", default=240.0, show_default=True, metavar="SECONDS", help="The run ends within this time."
)
@click.option("--no-page", is_flag=True, help="Do not serve the live page.")
@click.option("--page-port", default=0, show_default=True, help="Port of the live page on 127.0.0.1; 0: any free one.")
@click.option(
    "--report",
    default="inflight-lab-report.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the report is left.",
)
@click.option(
    "--record",
    "record_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder in which each sync of the two HPAs is kept, cpu.jsonl and in-flight.jsonl, for `inflight explain`.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(**options: Any) -> None:
    """Two fleets of emulated vLLM servers get the same requests; one is scaled by CPU, one by the work in flight.

    Prints the address of a live page, then a table, and leaves a report. Ctrl-C at any moment still prints what was
    measured. Exit code 0 when the fleets were measured, whatever the verdict; 2 when the lab could not run.
    """
    import asyncio

    from inflight.lab.run import PageSettings, run_lab

    settings = _settings(options)
    bar = _Progress() if sys.stderr.isatty() else None
    page = PageSettings(shown=not options["no_page"], port=options["page_port"])
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            outcome = runner.run(
                run_lab(
                    settings,
                    page,
                    options["report"],
                    announce=_say,
                    progress=None if bar is None else bar.watch,
                    record_dir=options["record_dir"],
                )
            )
    except OSError as error:
        raise _CannotRun(
            f"the lab could not run: {error.strerror or error}: {error.filename or ''}".rstrip(": ")
        ) from error
    finally:
        if bar is not None:
            bar.end()
    _print(outcome, options["output"])


class _CannotRun(click.ClickException):
    exit_code = 2


def _settings(options: dict[str, Any]) -> "LabSettings":
    import time

    from inflight.documents import DocumentError
    from inflight.lab.settings import LabSettings
    from inflight.sim.arrivals import TooManyArrivalsError
    from inflight.sim.presets import PRESETS
    from inflight.sim.ramp import RampError, parse_ramp
    from inflight.sim.traces import TraceError, read_trace, shipped_trace

    if options["preset"] not in PRESETS:
        raise click.BadParameter(
            f"there is no preset {options['preset']!r}; known: {', '.join(PRESETS)}", param_hint="--preset"
        )
    for name, low, high in (
        ("speed", 0.1, 1000),
        ("cpu_request", 0.001, 1024),
        ("cpu_target", 1, 1000),
        ("wall_limit", 5, 86_400),
        ("target", 0.001, 1e6),
        ("page_port", 0, 65535),
    ):
        value = options[name]
        if value is not None and not low <= value <= high:
            raise click.BadParameter(
                f"{value:g} is out of range: {low:g} to {high:g}", param_hint="--" + name.replace("_", "-")
            )
    if not 1 <= options["min_replicas"] <= options["max_replicas"] <= 256:
        raise click.BadParameter("give 1 <= min <= max <= 256", param_hint="--min / --max")
    trace_file: Path | None = options["trace_file"]
    try:
        trace = (
            shipped_trace()
            if trace_file is None
            else read_trace(_read(trace_file, _MAX_TRACE_BYTES), str(trace_file), options["seed"])
        )
        ramp = parse_ramp(options["ramp"])
        settings = LabSettings(
            engine=PRESETS[options["preset"]],
            trace=trace,
            ramp=ramp,
            speed=options["speed"],
            target=options["target"],
            cpu_request_cores=options["cpu_request"],
            cpu_target_percent=options["cpu_target"],
            cold_start=_cold_start(options["cold_start"]),
            hpa=None if options["hpa_file"] is None else _read_hpa(options["hpa_file"]),
            min_replicas=options["min_replicas"],
            max_replicas=options["max_replicas"],
            seed=options["seed"],
            wall_limit_seconds=options["wall_limit"],
            epoch_seconds=int(time.time()),
        )
        settings.arrivals()
    except (TraceError, RampError, TooManyArrivalsError, DocumentError) as error:
        raise _CannotRun(str(error)) from error
    if options["report"].exists() and not options["report"].is_file():
        raise click.BadParameter(f"{options['report']} is there and is no file", param_hint="--report")
    if not options["report"].absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {options['report'].parent} for the report", param_hint="--report")
    return settings


def _cold_start(text: str) -> Any:
    from inflight.sim.cold_start import ColdStart

    low, colon, high = text.partition(":")
    try:
        return ColdStart(float(low), float(high if colon else low))
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r}: give seconds, LOW:HIGH or one number ({error})", param_hint="--cold-start"
        ) from error


def _read_hpa(path: Path) -> Any:
    from inflight.lab.hpa_file import read_hpa_file

    return read_hpa_file(_read(path, _MAX_HPA_BYTES), str(path))


def _read(path: Path, limit: int) -> bytes:
    """The file, or a sentence if it has more bytes than anyone could mean (a device never ends)."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _CannotRun(f"{path}: more than {limit >> 20} MiB; it is not read")
    return content


def _fastest_loop() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(outcome: Any, output: str) -> None:
    from inflight.lab.results import render_table, to_json

    if output == "json":
        click.echo(to_json(outcome.rows, {**outcome.run, "report": str(outcome.report)}))
    else:
        click.echo(f"\n{outcome.headline}\n")
        click.echo(render_table(outcome.rows, colour=sys.stdout.isatty()))
        click.echo(outcome.caption)
    for remark in outcome.remarks:
        _say(remark)
    if output == "table":
        click.echo(f"report: {outcome.report.absolute()}")
    else:
        _say(f"report: {outcome.report.absolute()}")


class _Progress:
    """One line on a terminal: how far the run is, and how the two fleets do."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None

    def watch(self, run: "LiveRun") -> None:
        import asyncio

        self._progress.start()
        bar = self._progress.add_task("starting", total=None)

        async def follow() -> None:
            while True:
                now, planned, parts = run.status()
                text = f"{now:5.0f} of {planned:.0f} s   within SLO: " + ", ".join(
                    f"{name} {'-' if share is None else f'{100 * share:.1f} %'}" for name, share in parts
                )
                self._progress.update(bar, total=planned, completed=now, description=text)
                await asyncio.sleep(0.5)

        self._task = asyncio.get_running_loop().create_task(follow())

    def end(self) -> None:
        self._progress.stop()
