"""No preset may promise what its hardware cannot do, and the simulated engine may not either."""

import pytest

from inflight.sim.engine import Request
from inflight.sim.physics import (
    GPUS,
    WEIGHTS,
    estimated_kv_tokens,
    estimated_step_time,
    fastest_prefill_tokens_per_second,
    fastest_step_seconds,
)
from inflight.sim.presets import PRESETS
from inflight.sim.replica import Replica


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_prefills_faster_than_the_peak_allows(name: str) -> None:
    config = PRESETS[name]
    prompt = min(4096, config.max_model_len_tokens - 1)
    replica = Replica(config, 0.0)
    for id_ in range(60):
        replica.submit(Request(id_, prompt, 1), 0.0)
    last = replica.advance(1e5)[-1]
    bound = fastest_prefill_tokens_per_second(WEIGHTS[name.split("/", maxsplit=1)[0]], GPUS[config.gpu], config.gpus)
    assert 0.05 * bound < 60 * prompt / last.at < bound


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_decodes_faster_than_the_weights_can_be_read(name: str) -> None:
    config = PRESETS[name]
    replica = Replica(config, 0.0)
    replica.submit(Request(0, 1, 101), 0.0)
    first, last = replica.advance(1e5)
    bound = fastest_step_seconds(WEIGHTS[name.split("/", maxsplit=1)[0]], GPUS[config.gpu], config.gpus)
    assert bound < (last.at - first.at) / 100 < 20 * bound


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_how_they_are_known(name: str) -> None:
    config = PRESETS[name]
    assert config.source
    assert config.model
    if config.evidence == "P":
        assert "data sheet" in config.source


def test_physics_gives_the_sets_that_are_physics_only() -> None:
    for name, gpu in (("llama-3.1-8b/l40s", "L40S"), ("llama-3.1-8b/l4", "L4")):
        estimate = estimated_step_time(WEIGHTS["llama-3.1-8b"], GPUS[gpu])
        known = PRESETS[name].step_time
        assert estimate.w_seconds == pytest.approx(known.w_seconds, rel=0.02)
        assert estimate.b_seconds_per_token == pytest.approx(known.b_seconds_per_token, rel=0.02)
        assert estimate.d_seconds_per_kv_token == pytest.approx(known.d_seconds_per_kv_token, rel=0.02)


def test_physics_is_near_what_was_measured_where_the_cache_is_read() -> None:
    for name in ("llama-3.1-8b/rtx-4090", "llama-3.1-8b/rtx-pro-6000", "llama-3.1-70b-fp8/h100-tp4"):
        config = PRESETS[name]
        estimate = estimated_step_time(WEIGHTS[name.split("/")[0]], GPUS[config.gpu], config.gpus)
        known = config.step_time.d_seconds_per_kv_token
        assert estimate.d_seconds_per_kv_token == pytest.approx(known, rel=0.08), name


def test_cache_estimates_are_near_the_known_sizes() -> None:
    for name in ("llama-3.1-8b/a100-80gb", "llama-3.1-70b-fp8/h100-tp4", "qwen3-32b/h100-tp2"):
        config = PRESETS[name]
        tokens = estimated_kv_tokens(WEIGHTS[name.split("/")[0]], GPUS[config.gpu], config.gpus)
        assert tokens == pytest.approx(config.kv_capacity_tokens, rel=0.1), name
    assert estimated_kv_tokens(WEIGHTS["llama-3.1-70b"], GPUS["L4"]) == 0
