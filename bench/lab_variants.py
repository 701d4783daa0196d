"""The lab's policies under other ramps, cold starts, targets and CPU requests: the numbers of docs/lab.md.

    .venv/bin/python bench/lab_variants.py

The pure simulator, no wire; about a minute on one core.
"""

from collections.abc import Iterator

import msgspec

from inflight.lab.settings import LabSettings
from inflight.sim.cold_start import ColdStart
from inflight.sim.presets import PRESETS
from inflight.sim.ramp import parse_ramp
from inflight.sim.score import PolicyResult
from inflight.sim.study import Course, Policy, run_policy
from inflight.sim.traces import shipped_trace

DEFAULT_RAMP = "0.7:300,4:600,4:300,0.7:600"
ROW = "{:<46} {:>9} {:>9} {:>9} {:>9} {:>8} {:>6} {:>5}"


def run(settings: LabSettings, policy: Policy) -> PolicyResult:
    course = Course(settings.arrivals(), settings.ramp.seconds, settings.ramp.rises_at, settings.slo)
    return run_policy(policy, settings.fleet_setup(), course)


def variants(base: LabSettings) -> Iterator[tuple[str, LabSettings, Policy]]:
    def with_(**changes: object) -> LabSettings:
        return msgspec.structs.replace(base, **changes)

    def in_flight(settings: LabSettings) -> Policy:
        return Policy("in-flight", settings.in_flight_hpa(), 1)

    for ramp in (
        DEFAULT_RAMP,
        "0.7:300,4:300,4:300,0.7:600",
        "0.7:300,4:120,4:300,0.7:600",
        "0.7:300,4:0,4:300,0.7:600",
    ):
        settings = with_(ramp=parse_ramp(ramp))
        yield f"in flight, ramp {ramp}", settings, in_flight(settings)
        for count in (4, 5):
            yield f"  fixed {count}", settings, Policy("fixed", None, count)
        yield "  CPU at 80 %, request 1 core", settings, Policy("cpu", settings.cpu_hpa(), 1, "1")
    slow = with_(cold_start=ColdStart(300, 300))
    yield "in flight, cold start 300 s", slow, in_flight(slow)
    for target in (20.0, 60.0, 179.0):
        aimed = with_(target=target)
        yield f"in flight, target {target:g}", aimed, in_flight(aimed)
    for cores in ("1", "1200m", "1250m", "1500m", "2", "6"):
        yield f"CPU at 80 %, request {cores} cores", base, Policy("cpu", base.cpu_hpa(), 1, cores)


def over_seeds(base: LabSettings, target: float, seeds: range) -> str:
    """The luck of cold starts: how much of the result is owed to it."""
    results = []
    for seed in seeds:
        settings = msgspec.structs.replace(base, seed=seed, target=target)
        results.append(run(settings, Policy("in-flight", settings.in_flight_hpa(), 1)))
    met = sorted(100 * (result.slo_attainment or 0.0) for result in results)
    means = [result.replicas_mean for result in results]
    worst = ", ".join(f"{share:.1f} %" for share in met[:4])
    return (
        f"in flight, target {target:g}, seeds {seeds.start} to {seeds.stop - 1}: lowest {worst}; "
        f"median {met[len(met) // 2]:.2f} %; mean replicas {min(means):.2f} to {max(means):.2f}"
    )


def main() -> None:
    base = LabSettings(engine=PRESETS["llama-3.1-8b/a100-80gb"], trace=shipped_trace(), ramp=parse_ramp(DEFAULT_RAMP))
    print(ROW.format("", "in SLO", "TTFT p50", "p95", "p99", "queue", "mean", "peak"))
    for text, settings, policy in variants(base):
        result = run(settings, policy)
        ttft = [
            f"{value:.2f} s" if value is not None else "-" for value in msgspec.structs.astuple(result.ttft_seconds)
        ]
        met = 100 * (result.slo_attainment or 0.0)
        mean = f"{result.replicas_mean:.2f}"
        print(ROW.format(text, f"{met:.1f} %", *ttft, result.longest_queue, mean, result.replicas_peak), flush=True)
    for target in (25.0, 29.0, 30.0, 35.0):
        print(over_seeds(base, target, range(1, 21)), flush=True)


if __name__ == "__main__":
    main()
