"""`inflight emulate`: one emulated inference server in real time."""

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from inflight.lab.emulator import Fault, ServerSettings
    from inflight.sim.engine import EngineConfig

ENGINES = ("vllm",)

EXAMPLES = """\b
Examples:
  inflight emulate --engine vllm
  inflight emulate --engine vllm --preset llama-3.1-8b/h100 --port 8001 --speed 10
  inflight emulate --engine vllm --fault slow:2.5        a page that comes late
  curl -N http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \\
    -d '{"prompt": "Once upon a time", "max_tokens": 32, "stream": true}'
"""


@click.command(name="emulate", epilog=EXAMPLES)
@click.option("--engine", default="vllm", show_default=True, help="The engine to be: vllm.")
@click.option("--preset", default=None, help="Model and GPU, as --list-presets names them.")
@click.option("--model", default=None, help="The model of a preset; with --gpu instead of --preset.")
@click.option("--gpu", default=None, help="The GPU of a preset; with --model instead of --preset.")
@click.option("--list-presets", is_flag=True, help="Show the known engines and end.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="For --list-presets.")
@click.option("--served-model-name", default=None, help="The model's name in the API and on the metrics page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@click.option("--api-key", default=None, envvar="VLLM_API_KEY", help="Ask for it on /v1 paths (or $VLLM_API_KEY).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of answer lengths, texts and ids.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Seconds of the engine in one of the wall.")
@click.option(
    "--cold-start", type=click.FloatRange(0), default=0.0, help="Engine seconds to load, the port refused meanwhile."
)
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, show_default=True, help="Wall seconds to drain on SIGTERM."
)
@click.option("--data-parallel-size", type=click.IntRange(1, 64), default=1, show_default=True, help="Engines inside.")
@click.option("--max-num-seqs", type=click.IntRange(1), default=None, help="Batch limit of an engine.")
@click.option("--max-num-batched-tokens", type=click.IntRange(1), default=None, help="Token budget of a step.")
@click.option("--max-model-len", type=click.IntRange(2), default=None, help="Longest prompt and answer in tokens.")
@click.option("--num-gpu-blocks", type=click.IntRange(2), default=None, help="Blocks of the KV cache.")
@click.option("--answer-median", type=float, default=129.0, show_default=True, help="Answer length without ignore_eos.")
@click.option("--answer-mean", type=float, default=211.0, show_default=True, help="The same: its mean in tokens.")
@click.option("--fault", default=None, help="Spoil /metrics: stale, error, slow, hang, reset, truncated or nan.")
@click.option("--remote-admin", is_flag=True, help="Let /admin/faults be called from other machines too.")
def command(engine: str, list_presets: bool, output: str, **options: Any) -> None:
    """One emulated inference server in real time: the OpenAI API with streaming, and the engine's own metrics page.

    Nothing is computed: a model of the engine's scheduler and of its step times decides when each token comes, so
    queueing, batching, preemption and what the page says about them are the engine's. The text is filler.
    """
    if engine not in ENGINES:
        raise click.BadParameter(f"{engine!r} is not emulated; engines: {', '.join(ENGINES)}", param_hint="--engine")
    if list_presets:
        _list_presets(output)
        return
    settings, fault = _settings(options)
    _run(settings, fault, options)


def _list_presets(output: str) -> None:
    from inflight.sim.presets import PRESETS

    rows = [
        {
            "preset": name,
            "model": preset.model,
            "gpu": preset.gpu,
            "gpus": preset.gpus,
            "max_num_seqs": preset.max_num_seqs,
            "kv_cache_tokens": preset.kv_capacity_tokens,
            "evidence": preset.evidence,
            "source": preset.source,
        }
        for name, preset in PRESETS.items()
    ]
    if output == "json":
        print(json.dumps({"presets": rows}, indent=2))
        return
    width = max(len(name) for name in PRESETS)
    print(f"{'preset':<{width}}  GPUs  max_num_seqs  KV tokens  step times: evidence and source")
    for row in rows:
        print(
            f"{row['preset']:<{width}}  {row['gpus']:>4}  {row['max_num_seqs']:>12}  {row['kv_cache_tokens']:>9}"
            f"  {row['evidence']}: {row['source']}"
        )
    print("Evidence: M fitted to end-to-end measurements, O to measurements of operators, P physics alone.")


def _settings(options: dict[str, Any]) -> "tuple[ServerSettings, Fault | None]":
    """The settings that the options ask for. Raises a click error with a sentence."""
    from inflight.lab.emulator import ServerSettings, parse_fault
    from inflight.lab.emulator.lengths import AnswerLengths

    if not 0 < options["speed"] <= 1000:
        raise click.BadParameter("must be above 0 and at most 1000", param_hint="--speed")
    for option in ("cold_start", "grace"):
        # The ranges of click let nan pass, and what has no upper end lets infinity pass too.
        if not math.isfinite(options[option]):
            hint = "--" + option.replace("_", "-")
            raise click.BadParameter(f"{options[option]:g} is not a finite number", param_hint=hint)
    try:
        settings = ServerSettings(
            engine=_engine(options),
            model_name=options["served_model_name"] or "",
            engines=options["data_parallel_size"],
            seed=options["seed"],
            answer_lengths=AnswerLengths(options["answer_median"], options["answer_mean"]),
            api_key=options["api_key"] or "",
            remote_admin=options["remote_admin"],
        )
        fault = None if options["fault"] is None else parse_fault(options["fault"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return settings, fault


def _engine(options: dict[str, Any]) -> "EngineConfig":
    """The preset with what was asked for otherwise. Raises ValueError, also for limits that do not fit each other."""
    import msgspec

    changes = {
        "max_num_seqs": options["max_num_seqs"],
        "max_num_batched_tokens": options["max_num_batched_tokens"],
        "max_model_len_tokens": options["max_model_len"],
        "kv_blocks": options["num_gpu_blocks"],
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    return msgspec.structs.replace(_preset(options["preset"], options["model"], options["gpu"]), **changes)


def _preset(name: str | None, model: str | None, gpu: str | None) -> "EngineConfig":
    from inflight.sim.presets import PRESETS

    if name is not None and (model or gpu):
        raise click.UsageError("--preset names model and GPU already: leave --model and --gpu out")
    if name is not None:
        if name not in PRESETS:
            raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
        return PRESETS[name]
    for key, preset in PRESETS.items():
        of_model, _, of_gpu = key.partition("/")
        fits_model = model is None or model.lower() in {of_model, preset.model.lower()}
        if fits_model and (gpu is None or gpu.lower() in {of_gpu, preset.gpu.lower()}):
            return preset
    asked = " on ".join(part for part in (model, gpu) if part)
    raise ValueError(f"there is no preset for {asked}; there are {', '.join(PRESETS)}")


def _run(settings: "ServerSettings", fault: "Fault | None", options: dict[str, Any]) -> None:
    import asyncio
    import time

    from inflight.lab.emulator import Life
    from inflight.sources.clock import ScaledClock

    async def live() -> None:
        clock = ScaledClock(options["speed"], time.time())
        life = Life(settings, clock, lambda sentence: click.echo(f"inflight emulate: {sentence}", err=True))
        await life.run(
            options["host"],
            options["port"],
            cold_start_seconds=options["cold_start"],
            grace_seconds=options["grace"],
            fault=fault,
        )

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(live())
    except OSError as error:
        where = f"{options['host']}:{options['port']}"
        click.echo(
            f"inflight emulate: cannot listen on {where}: {error.strerror or error}; choose another --port", err=True
        )
        sys.exit(2)


def _loop_factory() -> Any:
    """The faster event loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
