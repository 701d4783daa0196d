"""The five step-time numbers fitted to the measured vLLM runs, and a hold-out: `python bench/fit_measured.py`.

Each run is replayed with its arrivals and lengths; Nelder-Mead moves the numbers until TTFT, TPOT and E2E agree. The
hold-out knows all arrivals but the times of the first 100 requests only, and predicts the other 200. Takes a minute.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import msgspec

from inflight.sim.engine import EngineConfig
from inflight.sim.presets import PRESETS
from inflight.sim.step_time import StepTime

PUBLISHED = {
    "vllm-0.19-llama-3.1-8b-rtx-4090": (3.24, 14.0, 100.8, 42.0, 138.6),
    "vllm-0.19-llama-3.1-8b-rtx-pro-6000": (2.27, 11.16, 45.1, 20.2, 86.8),
}
"""a, w in ms, b, c in us, d in ns: fitted for another replica model; where the fit begins."""
FIRST_MOVES = (0.5, 1.0, 4.0, 8.0, 10.0)
KNOWN = 100
Numbers = tuple[float, ...]


def measured_runs() -> ModuleType:
    path = Path(__file__).parent.parent / "tests" / "sim" / "replica" / "measured.py"
    spec = importlib.util.spec_from_file_location("measured", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not there; run this from a checkout")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_numbers(config: EngineConfig, numbers: Numbers) -> EngineConfig:
    a, w, b, c, d = numbers
    return msgspec.structs.replace(config, step_time=StepTime(a / 1e3, w / 1e3, b / 1e6, c / 1e6, d / 1e9))


def errors(runs: ModuleType, real: list[object], model: list[object]) -> dict[str, tuple[float, ...]]:
    """Relative errors of mean, p50, p90, p95, p99 for each of the three times."""
    table = {}
    for what in ("ttft", "tpot", "e2e"):
        is_, was = ([getattr(one, what) for one in side] for side in (model, real))
        quantiles = (runs.quantile(is_, share) / runs.quantile(was, share) - 1 for share in (0.5, 0.9, 0.95, 0.99))
        table[what] = (sum(is_) / sum(was) - 1, *quantiles)
    return table


def cost(runs: ModuleType, real: list[object], model: list[object]) -> float:
    total = 0.0
    for what, (mean, *quantiles) in errors(runs, real, model).items():
        is_, was = ([getattr(one, what) for one in side] for side in (model, real))
        apart = sum(abs(a - b) for a, b in zip(is_, was, strict=True)) / sum(was)
        total += 4.0 * abs(mean) + sum(abs(error) for error in quantiles) + apart
    return total


def minimum(of: Callable[[Numbers], float], start: Numbers, moves: Numbers, rounds: int = 100) -> Numbers:
    """Nelder and Mead's simplex, plain."""
    count = len(start)
    corners = [start] + [tuple(x + (moves[i] if i == j else 0.0) for i, x in enumerate(start)) for j in range(count)]
    simplex = sorted((of(corner), corner) for corner in corners)
    for _ in range(rounds):
        worst_cost, worst = simplex[-1]
        centre = [sum(corner[i] for _, corner in simplex[:-1]) / count for i in range(count)]

        def along(step: float, centre: list[float] = centre, worst: Numbers = worst) -> tuple[float, Numbers]:
            point = tuple(c + step * (c - x) for c, x in zip(centre, worst, strict=True))
            return of(point), point

        best = along(1.0)
        if best[0] < simplex[0][0]:
            best = min(best, along(2.0))
        elif best[0] >= simplex[-2][0]:
            best = along(0.5) if best[0] < worst_cost else along(-0.5)
        if best[0] < worst_cost:
            simplex[-1] = best
        else:
            target = simplex[0][1]
            shrunk = (tuple((x + t) / 2 for x, t in zip(corner, target, strict=True)) for _, corner in simplex[1:])
            simplex[1:] = [(of(corner), corner) for corner in shrunk]
        simplex.sort()
    return simplex[0][1]


def main() -> None:
    runs = measured_runs()
    for run, published in PUBLISHED.items():
        requests = runs.rows(run)
        real = runs.measured(requests)
        config = PRESETS[runs.RUNS[run]]

        def replay(numbers: Numbers, config: EngineConfig = config, requests: object = requests) -> list[object]:
            outcomes: list[object] = runs.replayed(with_numbers(config, numbers), requests)
            return outcomes

        def badness(numbers: Numbers, known: int, real: list[object] = real) -> float:
            return cost(runs, real[:known], replay(numbers)[:known]) if min(numbers) >= 0.0 else 1e9

        print(run)
        report(runs, "as published", published, real, replay(published))
        for known, name in ((len(real), "fitted to all"), (KNOWN, f"fitted to {KNOWN}")):
            numbers = minimum(partial(badness, known=known), published, FIRST_MOVES)
            judged = slice(0 if known == len(real) else known, None)
            report(runs, name, numbers, real[judged], replay(numbers)[judged])


def report(runs: ModuleType, name: str, numbers: Numbers, real: list[object], model: list[object]) -> None:
    print(f"  {name}, a w b c d = {', '.join(f'{number:.4g}' for number in numbers)}; judged on {len(real)} requests")
    for what, row in errors(runs, real, model).items():
        print(
            f"    {what}  mean {100 * row[0]:+.1f} %   p50 p90 p95 p99 " + " ".join(f"{100 * x:+.1f}" for x in row[1:])
        )


if __name__ == "__main__":
    main()
