"""What the hardware alone says about an engine: step times for pairs that nobody measured, and bounds for those that
somebody did.

The efficiencies are those that measured pairs show: 0.87 of the memory bandwidth for weights, 0.90 for the KV cache
(fitted 138.6 ns a token against 130 ideal on an RTX 4090, 27.9 against 24.5 on four H100), 0.55 of the peak for
matrix products. Peaks are the vendors' dense figures at the precision that the weights are in.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from inflight.sim.step_time import StepTime


class Gpu(Struct, frozen=True):
    """Figures of a data sheet."""

    memory_bytes: float
    bandwidth_bytes_per_second: float
    bf16_flops_per_second: float
    fp8_flops_per_second: float | None = None


class Weights(Struct, frozen=True):
    """A model in one precision."""

    bytes: float
    active_parameters: float
    """All parameters; of a mixture of experts those that one token uses."""
    multiplied_parameters: float
    """Those of them that every token multiplies with: without the embeddings and the output head."""
    kv_bytes_per_token: int
    """2 * layers * KV heads * head dimension * bytes of the cache's type."""
    fp8: bool = False


GPUS: Mapping[str, Gpu] = MappingProxyType(
    {
        "A100-80GB": Gpu(85.0e9, 2.039e12, 312e12),
        "H100-80GB": Gpu(85.0e9, 3.35e12, 989e12, 1979e12),
        "H200": Gpu(150.7e9, 4.8e12, 989e12, 1979e12),
        "B200": Gpu(192.0e9, 8.0e12, 2250e12, 4500e12),
        "RTX-4090": Gpu(25.2e9, 1.008e12, 165e12, 330e12),
        "RTX-PRO-6000": Gpu(102.0e9, 1.792e12, 504e12, 1008e12),
        "L40S": Gpu(48.3e9, 0.864e12, 362e12, 733e12),
        "L4": Gpu(24.2e9, 0.3e12, 121e12, 242e12),
    }
)

WEIGHTS: Mapping[str, Weights] = MappingProxyType(
    {
        "llama-3.1-8b": Weights(16.06e9, 8.03e9, 6.98e9, 131_072),
        "llama-3-70b": Weights(141.1e9, 70.55e9, 68.45e9, 327_680),
        "llama-3.1-70b": Weights(141.1e9, 70.55e9, 68.45e9, 327_680),
        "llama-3.1-70b-fp8": Weights(70.6e9, 70.55e9, 68.45e9, 327_680, fp8=True),
        "qwen3-32b": Weights(65.5e9, 32.76e9, 31.2e9, 262_144),
        "gpt-oss-120b": Weights(65.2e9, 5.1e9, 4.5e9, 73_728),
    }
)


def estimated_step_time(weights: Weights, gpu: Gpu, gpus: int = 1) -> StepTime:
    """Class P: physics alone. Expect a third off where a kernel is better or worse than most."""
    return StepTime(
        a_seconds=0.0015 if gpus == 1 else 0.0045,
        w_seconds=weights.bytes / gpus / gpu.bandwidth_bytes_per_second / 0.87,
        b_seconds_per_token=2.0 * weights.active_parameters / gpus / (_peak(weights, gpu) * 0.55),
        c_seconds_per_sequence=40e-6,
        d_seconds_per_kv_token=weights.kv_bytes_per_token / gpus / gpu.bandwidth_bytes_per_second / 0.90,
    )


def estimated_kv_tokens(weights: Weights, gpu: Gpu, gpus: int = 1, utilization: float = 0.9) -> int:
    """Tokens that fit beside the weights and 2 GB of activations and runtime per GPU.

    An engine that is running says it better: `vllm:cache_config_info`. A tenth less cache is a tenth more TTFT where
    the cache is what limits.
    """
    room = gpus * (gpu.memory_bytes * utilization - 2.0e9) - weights.bytes
    return max(0, int(room / weights.kv_bytes_per_token))


def fastest_prefill_tokens_per_second(weights: Weights, gpu: Gpu, gpus: int = 1) -> float:
    """No prefill is faster: every token times every active parameter, at the peak."""
    return gpus * _peak(weights, gpu) / (2.0 * weights.multiplied_parameters)


def fastest_step_seconds(weights: Weights, gpu: Gpu, gpus: int = 1) -> float:
    """No step is faster: the parameters that one token needs, read once."""
    per_parameter = 1.0 if weights.fp8 else 2.0
    read = min(weights.bytes, weights.multiplied_parameters * per_parameter)
    return read / gpus / gpu.bandwidth_bytes_per_second


def _peak(weights: Weights, gpu: Gpu) -> float:
    if weights.fp8 and gpu.fp8_flops_per_second is not None:
        return gpu.fp8_flops_per_second
    return gpu.bf16_flops_per_second
