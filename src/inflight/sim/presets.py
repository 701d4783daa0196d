"""Engines that are known, as starting points: `PRESETS["llama-3.1-8b/a100-80gb"]`."""

from collections.abc import Mapping
from types import MappingProxyType

from inflight.sim.engine import EngineConfig
from inflight.sim.step_time import StepTime

PRESETS: Mapping[str, EngineConfig] = MappingProxyType(
    {
        "llama-3.1-8b/a100-80gb": EngineConfig(
            model="meta-llama/Llama-3.1-8B-Instruct",
            gpu="A100-80GB",
            step_time=StepTime(0.0015, 0.0107, 70.2e-6, 20e-6, 72e-9),
            max_num_seqs=256,
            max_num_batched_tokens=2048,
            kv_blocks=28_126,
            max_model_len_tokens=131_072,
            evidence="O",
            source="Vidur's operator profile (microsoft/vidur), d from the GPU's memory bandwidth",
        ),
        "llama-3.1-8b/h100": EngineConfig(
            model="meta-llama/Llama-3.1-8B-Instruct",
            gpu="H100-80GB",
            step_time=StepTime(0.0020, 0.0056, 26.7e-6, 20e-6, 44e-9),
            max_num_seqs=1024,
            max_num_batched_tokens=8192,
            kv_blocks=28_126,
            max_model_len_tokens=131_072,
            evidence="O",
            source="LLMServingSim's layer profile for b, vLLM's nightly latency benchmark for a + w",
        ),
    }
)
