"""Two runs of a real vLLM 0.19, replayed: one limited by its seats, one by its KV cache, and closed-loop benchmarks."""

import csv

import msgspec
import pytest

from inflight.sim.engine import Finished, FirstToken, Request
from inflight.sim.presets import PRESETS
from inflight.sim.replica import Replica
from inflight.sim.step_time import StepTime

from .measured import DATA, RUNS, measured, quantile, replayed, rows, submitted, timeseries


@pytest.mark.parametrize("what", ["ttft", "tpot", "e2e"])
@pytest.mark.parametrize("run", RUNS)
def test_means_are_within_two_percent_and_quantiles_within_five(run: str, what: str) -> None:
    requests = rows(run)
    real = [getattr(outcome, what) for outcome in measured(requests)]
    model = [getattr(outcome, what) for outcome in replayed(PRESETS[RUNS[run]], requests)]
    assert sum(model) / sum(real) == pytest.approx(1.0, abs=0.02)
    for share in (0.5, 0.9, 0.95, 0.99):
        assert quantile(model, share) / quantile(real, share) == pytest.approx(1.0, abs=0.05), share


@pytest.mark.parametrize("run", RUNS)
def test_every_request_is_near_its_own_time(run: str) -> None:
    requests = rows(run)
    errors = [
        abs(model.e2e / real.e2e - 1.0)
        for real, model in zip(measured(requests), replayed(PRESETS[RUNS[run]], requests), strict=True)
    ]
    assert sum(errors) / len(errors) < 0.015


@pytest.mark.parametrize(
    ("run", "numbers"),
    [
        ("vllm-0.19-llama-3.1-8b-rtx-4090", (3.43e-3, 14.06e-3, 102.8e-6, 0.3e-6, 166.4e-9)),
        ("vllm-0.19-llama-3.1-8b-rtx-pro-6000", (2.778e-3, 11.5e-3, 44.33e-6, 22.85e-6, 75.48e-9)),
    ],
)
def test_numbers_fitted_to_a_hundred_requests_predict_the_other_two_hundred(
    run: str, numbers: tuple[float, ...]
) -> None:
    """The numbers are what `python bench/fit_measured.py` finds from the times of the first 100."""
    requests = rows(run)
    config = msgspec.structs.replace(PRESETS[RUNS[run]], step_time=StepTime(*numbers))
    real, model = measured(requests)[100:], replayed(config, requests)[100:]
    for what, within in (("ttft", 0.03), ("tpot", 0.05), ("e2e", 0.03)):
        means = [sum(getattr(outcome, what) for outcome in side) for side in (model, real)]
        assert means[0] / means[1] == pytest.approx(1.0, abs=within), what


def test_a_cache_bound_engine_runs_few_and_queues_many() -> None:
    run = "vllm-0.19-llama-3.1-8b-rtx-4090"
    replica = submitted(PRESETS[RUNS[run]], rows(run))
    peaks = {"running": 0.0, "waiting": 0.0, "kv": 0.0}
    apart = {"running": 0.0, "waiting": 0.0}
    seconds = timeseries(run)
    for row in seconds:
        replica.advance(row["t"])
        peaks["running"] = max(peaks["running"], replica.running)
        peaks["waiting"] = max(peaks["waiting"], replica.waiting)
        peaks["kv"] = max(peaks["kv"], replica.kv_usage)
        apart["running"] += abs(replica.running - row["running"]) / len(seconds)
        apart["waiting"] += abs(replica.waiting - row["waiting"]) / len(seconds)
    assert peaks["running"] == pytest.approx(max(row["running"] for row in seconds), abs=3)
    assert peaks["waiting"] == pytest.approx(max(row["waiting"] for row in seconds), abs=3)
    assert peaks["kv"] > 0.999
    assert apart["running"] < 1.5
    assert apart["waiting"] < 3.0
    assert 150 < replica.stats.num_preemptions < 250


def test_a_seat_bound_engine_stands_at_its_seats() -> None:
    run = "vllm-0.19-llama-3.1-8b-rtx-pro-6000"
    config = PRESETS[RUNS[run]]
    replica = submitted(config, rows(run))
    seconds = timeseries(run)
    model, real = [], []
    for row in seconds:
        replica.advance(row["t"])
        model.append((replica.running, replica.waiting))
        real.append((row["running"], row["waiting"]))
    assert max(running for running, _ in model) == config.max_num_seqs == max(running for running, _ in real)
    assert max(waiting for _, waiting in model) == pytest.approx(max(waiting for _, waiting in real), abs=4)
    full_model = sum(running >= 120 for running, _ in model)
    full_real = sum(running >= 120 for running, _ in real)
    assert full_model == pytest.approx(full_real, abs=3)
    assert replica.stats.num_preemptions == 0


def closed_loop_tpot_ms(preset: str, prompt: int, output: int, users: int) -> float:
    """Mean time per output token where each of so many users asks again as soon as it is answered."""
    replica = Replica(PRESETS[preset], 0.0)
    for user in range(users):
        replica.submit(Request(user, prompt, output), 0.0)
    submitted_count = users
    firsts: dict[int, float] = {}
    times: list[float] = []
    while len(times) < max(3 * users, 30):
        at = replica.next_event_at()
        assert at is not None
        for event in replica.advance(at):
            if isinstance(event, FirstToken):
                firsts[event.id] = event.at
            elif isinstance(event, Finished):
                times.append((event.at - firsts.pop(event.id)) / (output - 1))
                replica.submit(Request(submitted_count, prompt, output), event.at)
                submitted_count += 1
    return 1000.0 * sum(times) / len(times)


def closed_loop_points() -> dict[str, list[tuple[int, int, int, float]]]:
    points: dict[str, list[tuple[int, int, int, float]]] = {}
    with (DATA / "closed-loop-llama-3.1-70b-fp8.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            point = (int(row["prompt_tokens"]), int(row["output_tokens"]), int(row["concurrency"]))
            points.setdefault(row["preset"], []).append((*point, float(row["tpot_ms"])))
    return points


@pytest.mark.parametrize("preset", closed_loop_points())
def test_closed_loop_benchmarks_of_a_70b_model_come_out_within_five_percent(preset: str) -> None:
    points = closed_loop_points()[preset]
    errors = [abs(closed_loop_tpot_ms(preset, *point) / real - 1.0) for *point, real in points]
    assert sum(errors) / len(errors) < 0.05
