"""The labels of `vllm:cache_config_info`: how the engine's KV cache was set up."""

from inflight.sim.engine import EngineConfig

# Settings of the cache that the model does not have, at the values of a plain server.
_PLAIN = {
    "_block_size_resolved": "True",
    "cache_dtype": "auto",
    "cache_hit_alignment_tokens": "None",
    "effective_attention_block_size": "None",
    "enable_mamba_shared_prefix_checkpoint": "False",
    "gpu_memory_utilization": "0.92",
    "hash_block_size": "None",
    "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]",
    "kv_cache_layout": "None",
    "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native",
    "kv_offloading_size": "None",
    "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None",
    "mamba_ssm_cache_dtype": "float32",
    "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None",
    "prefix_cache_retention_interval": "0",
    "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None",
    "replayssm_buffer_len": "16",
    "simple_cpu_offload_num_blocks": "None",
    "skip_page_size_padded": "None",
    "sliding_window": "None",
    "swa_bounded_replay": "True",
    "use_kda_recoverssm": "False",
    "use_replayssm": "False",
    "user_specified_block_size": "True",
}


def cache_labels(config: EngineConfig) -> dict[str, str]:
    """As vLLM counts, the block that it keeps for itself is in the numbers."""
    tokens = config.kv_blocks * config.block_size_tokens
    return {
        **_PLAIN,
        "block_size": str(config.block_size_tokens),
        "enable_prefix_caching": str(config.prefix_caching),
        "kv_cache_max_concurrency": repr(tokens / config.max_model_len_tokens),
        "kv_cache_size_tokens": str(tokens),
        "num_gpu_blocks": str(config.kv_blocks),
    }
