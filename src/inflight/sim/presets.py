"""Engines that are known, as starting points: `PRESETS["llama-3.1-8b/a100-80gb"]`.

Each says how it is known (`evidence`) and from where (`source`); docs/model.md has the table with the errors. Limits
are vLLM's defaults for the GPU (`EngineArgs.get_batch_defaults`: 8,192 tokens and 1,024 sequences on GPUs of 70 GiB and
more that are not A100, else 2,048 and 256), or those of the measured run.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from inflight.sim.engine import EngineConfig
from inflight.sim.step_time import StepTime

_LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
_LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
_SILICON = "closed-loop benchmark points of ai-dynamo/aiconfigurator (silicon_sample.csv)"
_VIDUR = "operator profiles of microsoft/vidur, KV reads from the memory bandwidth"
_PHYSICS = "data sheet and the usual efficiencies (inflight.sim.physics)"
_REPLAY = "300 requests replayed on vLLM 0.19.0 by casys-kaist/LLMServingSim"


def _set(a_ms: float, w_ms: float, b_us: float, c_us: float, d_ns: float) -> StepTime:
    return StepTime(a_ms / 1e3, w_ms / 1e3, b_us / 1e6, c_us / 1e6, d_ns / 1e9)


def _line(a_and_w_ms: float, b_us: float, c_us: float, d_ns: float) -> StepTime:
    """A set of which only a + w is known, fitted as a straight line with the prefill tokens in T."""
    return StepTime(a_and_w_ms / 1e3, 0.0, b_us / 1e6, c_us / 1e6, d_ns / 1e9, linear=True)


def _engine(
    model: str,
    gpu: str,
    step_time: StepTime,
    evidence: Literal["M", "O", "P"],
    source: str,
    *,
    kv_tokens: int,
    gpus: int = 1,
    seqs: int = 1024,
    tokens: int = 8192,
    length: int = 131_072,
) -> EngineConfig:
    return EngineConfig(
        model=model,
        gpu=gpu,
        step_time=step_time,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        kv_blocks=kv_tokens // 16 + 1,
        max_model_len_tokens=length,
        gpus=gpus,
        evidence=evidence,
        source=source,
    )


def _llama_8b() -> dict[str, EngineConfig]:
    return {
        "llama-3.1-8b/a100-80gb": _engine(
            _LLAMA_8B, "A100-80GB", _set(1.5, 10.7, 70.2, 20, 72), "O", _VIDUR, kv_tokens=450_000, seqs=256, tokens=2048
        ),
        "llama-3.1-8b/h100": _engine(
            _LLAMA_8B,
            "H100-80GB",
            _set(2.0, 5.6, 26.7, 20, 44),
            "O",
            "layer profile of casys-kaist/LLMServingSim for b, vLLM's nightly latency benchmark for a + w",
            kv_tokens=450_000,
        ),
        "llama-3.1-8b/rtx-4090": _engine(
            _LLAMA_8B,
            "RTX-4090",
            _set(3.24, 14.0, 100.8, 42, 138.6),
            "M",
            _REPLAY,
            kv_tokens=41_392,
            seqs=256,
            tokens=2048,
            length=32_768,
        ),
        "llama-3.1-8b/rtx-pro-6000": _engine(
            _LLAMA_8B,
            "RTX-PRO-6000",
            _set(2.77, 11.18, 47.26, 16.1, 79.0),
            "M",
            _REPLAY,
            kv_tokens=562_000,
            seqs=128,
            tokens=2048,
        ),
        "llama-3.1-8b/l40s": _engine(
            _LLAMA_8B, "L40S", _set(2.0, 21.4, 81, 25, 168), "P", _PHYSICS, kv_tokens=194_000, seqs=256, tokens=2048
        ),
        "llama-3.1-8b/l4": _engine(
            _LLAMA_8B,
            "L4",
            _set(2.0, 61, 240, 30, 485),
            "P",
            _PHYSICS,
            kv_tokens=25_000,
            seqs=256,
            tokens=2048,
            length=16_384,
        ),
    }


def _llama_70b() -> dict[str, EngineConfig]:
    presets = {
        "llama-3.1-70b/h100-tp4": _engine(
            _LLAMA_70B,
            "H100-80GB",
            _set(6.5, 12.4, 72.9, 55, 27.9),
            "O",
            "layer profile of casys-kaist/LLMServingSim, vLLM's nightly latency benchmark for a + w",
            kv_tokens=488_000,
            gpus=4,
        ),
        "llama-3-70b/a100-tp4": _a100_70b(_set(4, 27.2, 168, 55, 45), kv_tokens=488_000, gpus=4),
        "llama-3-70b/a100-tp8": _a100_70b(_set(4, 16.0, 89.6, 55, 22), kv_tokens=1_387_000, gpus=8),
    }
    fp8 = {
        "h100-tp4": ("H100-80GB", 4, _line(11.02, 44.6, 54.7, 27.9), 704_000),
        "h100-tp8": ("H100-80GB", 8, _line(8.82, 29.8, 63.0, 11.5), 1_603_000),
        "h200": ("H200", 1, _line(20.73, 106.1, 77, 66.6), 192_000),
        "h200-tp2": ("H200", 2, _line(13.16, 70.4, 37.5, 37.6), 600_000),
        "h200-tp4": ("H200", 4, _line(9.18, 42.4, 45.5, 20.8), 1_416_000),
        "h200-tp8": ("H200", 8, _line(7.74, 26.2, 47, 9.0), 3_047_000),
        "b200": ("B200", 1, _line(15.59, 72.3, 10.1, 24.7), 305_000),
        "b200-tp2": ("B200", 2, _line(9.97, 45.9, 32.3, 9.9), 827_000),
    }
    for name, (gpu, gpus, step_time, kv_tokens) in fp8.items():
        presets[f"llama-3.1-70b-fp8/{name}"] = _engine(
            f"{_LLAMA_70B}-FP8", gpu, step_time, "M", _SILICON, kv_tokens=kv_tokens, gpus=gpus
        )
    return presets


def _a100_70b(step_time: StepTime, kv_tokens: int, gpus: int) -> EngineConfig:
    return _engine(
        "meta-llama/Meta-Llama-3-70B-Instruct",
        "A100-80GB",
        step_time,
        "O",
        _VIDUR,
        kv_tokens=kv_tokens,
        gpus=gpus,
        seqs=256,
        tokens=2048,
        length=8192,
    )


def _others() -> dict[str, EngineConfig]:
    presets = {
        "qwen3-32b/h100-tp2": _engine(
            "Qwen/Qwen3-32B",
            "H100-80GB",
            _line(15.5, 58, 60, 43),
            "O",
            "prefill rate and saturation measured by llm-d's guides, physics for the rest",
            kv_tokens=350_000,
            gpus=2,
            length=40_960,
        )
    }
    gpt_oss = {
        "h200": (1, _line(5.28, 34.8, 316, 0), 928_000),
        "h200-tp2": (2, _line(4.35, 21.2, 148, 2.8), 2_740_000),
        "h200-tp4": (4, _line(3.66, 13.3, 85, 0.7), 6_364_000),
        "h200-tp8": (8, _line(3.47, 9.7, 51, 0.3), 13_613_000),
    }
    for name, (gpus, step_time, kv_tokens) in gpt_oss.items():
        presets[f"gpt-oss-120b/{name}"] = _engine(
            "openai/gpt-oss-120b", "H200", step_time, "M", _SILICON, kv_tokens=kv_tokens, gpus=gpus
        )
    return presets


PRESETS: Mapping[str, EngineConfig] = MappingProxyType({**_llama_8b(), **_llama_70b(), **_others()})
