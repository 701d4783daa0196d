"""The two measured vLLM runs, and their replay."""

import csv
from pathlib import Path

from msgspec import Struct

from inflight.sim.engine import EngineConfig, Finished, FirstToken, Request
from inflight.sim.replica import Replica

DATA = Path(__file__).parent.parent / "data"
RUNS = {
    "vllm-0.19-llama-3.1-8b-rtx-4090": "llama-3.1-8b/rtx-4090",
    "vllm-0.19-llama-3.1-8b-rtx-pro-6000": "llama-3.1-8b/rtx-pro-6000",
}


class Outcome(Struct, frozen=True):
    """What one request met, in seconds: measured or replayed."""

    ttft: float
    tpot: float
    e2e: float


def rows(run: str) -> list[dict[str, float]]:
    with (DATA / f"{run}.requests.csv").open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def timeseries(run: str) -> list[dict[str, float]]:
    with (DATA / f"{run}.timeseries.csv").open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def submitted(config: EngineConfig, requests: list[dict[str, float]]) -> Replica:
    replica = Replica(config, 0.0)
    for row in requests:
        output = int(row["output_tokens"])
        replica.submit(
            Request(
                id=int(row["request"]),
                prompt_tokens=int(row["prompt_tokens"]),
                output_tokens=output,
                max_tokens=output,
                cached_prompt_tokens=int(row["cached_prompt_tokens"]),
                shared_prompt_tokens=int(row["shared_prompt_tokens"]),
            ),
            row["arrived_s"],
        )
    return replica


def measured(requests: list[dict[str, float]]) -> list[Outcome]:
    return [_outcome(row, row["first_token_s"], row["last_token_s"]) for row in requests]


def replayed(config: EngineConfig, requests: list[dict[str, float]]) -> list[Outcome]:
    firsts: dict[int, float] = {}
    lasts: dict[int, float] = {}
    for event in submitted(config, requests).advance(10_000.0):
        if isinstance(event, FirstToken):
            firsts[event.id] = event.at
        elif isinstance(event, Finished):
            lasts[event.id] = event.at
    return [_outcome(row, firsts[int(row["request"])], lasts[int(row["request"])]) for row in requests]


def _outcome(row: dict[str, float], first: float, last: float) -> Outcome:
    arrived = row["arrived_s"]
    return Outcome(first - arrived, (last - first) / (row["output_tokens"] - 1), last - arrived)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
