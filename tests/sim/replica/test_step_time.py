"""The step-time formula and the target that follows from it."""

import pytest

from inflight.sim.presets import PRESETS
from inflight.sim.step_time import StepTime
from inflight.sim.target import in_flight_target, sharing_constant

A100 = PRESETS["llama-3.1-8b/a100-80gb"]
H100 = PRESETS["llama-3.1-8b/h100"]


def test_a_step_adds_up() -> None:
    step = StepTime(0.001, 0.003, 0.000_01, 0.000_1, 0.000_000_1, 0.000_000_000_1)
    seconds = step.seconds(prefill_tokens=390, prefills=2, decodes=10, kv_tokens=20_000, token_pairs=1e6)
    assert seconds == pytest.approx(0.001 + 0.005 + 0.0012 + 0.002 + 0.0001)


def test_a_linear_set_counts_prefill_tokens_alone() -> None:
    step = StepTime(0.01, 0.0, 0.000_1, 0.0, 0.0, linear=True)
    assert step.seconds(prefill_tokens=0, prefills=0, decodes=50, kv_tokens=0) == 0.01
    assert step.seconds(prefill_tokens=100, prefills=1, decodes=50, kv_tokens=0) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("tokens", "measured_ms"), [(1, 9.70), (128, 13.18), (256, 19.49), (512, 34.64), (2048, 145.6)]
)
def test_the_root_of_squares_is_near_measured_operators(tokens: int, measured_ms: float) -> None:
    """All operators but attention of an 8B model on one A100 (microsoft/vidur, compute profiles)."""
    step = StepTime(0.0, A100.step_time.w_seconds, A100.step_time.b_seconds_per_token, 0.0, 0.0)
    seconds = step.seconds(prefill_tokens=tokens, prefills=1, decodes=0, kv_tokens=0)
    assert seconds == pytest.approx(measured_ms / 1000.0, rel=0.12)


@pytest.mark.parametrize("numbers", [(-1.0, 0.0, 0.0), (float("nan"), 0.1, 0.0), (0.0, 0.0, 0.0)])
def test_a_step_needs_some_time(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="step"):
        StepTime(numbers[0], numbers[1], 1e-6, numbers[2], 1e-9)


def test_the_targets_for_conversations() -> None:
    assert sharing_constant(A100, 1155, 211) == pytest.approx(24.5, abs=0.1)
    assert sharing_constant(H100, 1155, 211) == pytest.approx(33.9, abs=0.1)
    assert in_flight_target(A100, 1155, 211) == pytest.approx(29.95, abs=0.1)
    assert in_flight_target(A100, 1155, 211, phi=0.999) == pytest.approx(0.7 * 256)


@pytest.mark.parametrize(("prompt", "output", "phi"), [(0, 5, 0.5), (5, 0, 0.5), (5, 5, 1.0), (5, 5, 0.0)])
def test_a_target_needs_sizes_and_a_load(prompt: int, output: int, phi: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        in_flight_target(A100, prompt, output, phi)
