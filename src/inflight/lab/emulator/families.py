"""What stands on the metrics page of vLLM 0.33: names, types, labels, and where the model has the value.

Names, types, labels and their order are the engine's interface (vllm/v1/metrics/loggers.py of that release); the HELP
texts are our own words. What the model knows nothing of (several modalities, caches outside the GPU, FLOP estimates) is
there at 0, as on the page of a server that does not use it.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from inflight.sim.replica import Replica
from inflight.sim.stats import Histogram, ReplicaStats

RELEASE = "0.33.0"


class View(msgspec.Struct, frozen=True):
    """One engine at one moment."""

    running: int
    waiting: int
    kv_usage: float
    stats: ReplicaStats


def view(replica: Replica) -> View:
    """What a page shows of an engine that has been advanced to now."""
    return View(replica.running, replica.waiting, replica.kv_usage, replica.stats)


class Scalars(msgspec.Struct, frozen=True):
    """A family of gauges or counters; `label` tells its samples apart, if there are several, in the order of `read`."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    read: Callable[[View], Sequence[float]]
    label: str = ""
    label_values: tuple[str, ...] = ("",)
    per_engine: bool = True
    """False: the family has no `engine` label, and the server's one value is the sum over its engines."""


class Buckets(msgspec.Struct, frozen=True):
    """A family of histograms, one for each engine."""

    name: str
    help: str
    read: Callable[[View], Histogram]


def _zeros(count: int) -> Callable[[View], Sequence[float]]:
    values = (0.0,) * count
    return lambda _: values


_N_EDGES = (1.0, 2.0, 5.0, 10.0, 20.0)


def _params_n(engine: View) -> Histogram:
    """Every emulated request asks for one answer."""
    finished = sum(engine.stats.request_success.values())
    return Histogram(_N_EDGES, (finished, 0, 0, 0, 0, 0), float(finished))


_SUCCESS = ("stop", "length", "abort", "error", "repetition")


def _success(engine: View) -> Sequence[float]:
    kept = engine.stats.request_success
    return [kept.get(reason, 0) for reason in _SUCCESS]


SCALARS = (
    Scalars("vllm:estimated_flops_per_gpu", "counter", "Estimated operations per GPU; not emulated.", _zeros(1)),
    Scalars("vllm:estimated_read_bytes_per_gpu", "counter", "Estimated bytes read per GPU; not emulated.", _zeros(1)),
    Scalars(
        "vllm:estimated_write_bytes_per_gpu", "counter", "Estimated bytes written per GPU; not emulated.", _zeros(1)
    ),
    Scalars("vllm:num_requests_running", "gauge", "Requests in the batch of the last step.", lambda e: (e.running,)),
    Scalars("vllm:num_requests_waiting", "gauge", "Requests that wait for a place in it.", lambda e: (e.waiting,)),
    Scalars(
        "vllm:num_requests_waiting_by_reason",
        "gauge",
        "Waiting requests by reason: 'capacity' for a place, 'deferred' for something else (never, here).",
        lambda e: (e.waiting, 0),
        "reason",
        ("capacity", "deferred"),
    ),
    Scalars(
        "vllm:engine_sleep_state",
        "gauge",
        "Whether the engine is awake (1) or sleeps, with its weights offloaded or discarded.",
        lambda _: (1, 0, 0),
        "sleep_state",
        ("awake", "weights_offloaded", "discard_all"),
    ),
    Scalars("vllm:kv_cache_usage_perc", "gauge", "Used share of the KV cache, 0 to 1.", lambda e: (e.kv_usage,)),
    Scalars(
        "vllm:prefix_cache_queries",
        "counter",
        "Tokens looked up in the prefix cache.",
        lambda e: (e.stats.prefix_cache_queries,),
    ),
    Scalars(
        "vllm:prefix_cache_hits",
        "counter",
        "Tokens found in the prefix cache.",
        lambda e: (e.stats.prefix_cache_hits,),
    ),
    Scalars("vllm:external_prefix_cache_queries", "counter", "The same of a shared cache; not emulated.", _zeros(1)),
    Scalars("vllm:external_prefix_cache_hits", "counter", "The same of a shared cache; not emulated.", _zeros(1)),
    Scalars("vllm:mm_cache_queries", "counter", "Items looked up in the multi-modal cache; not emulated.", _zeros(1)),
    Scalars("vllm:mm_cache_hits", "counter", "Items found in the multi-modal cache; not emulated.", _zeros(1)),
    Scalars("vllm:num_preemptions", "counter", "Preemptions.", lambda e: (e.stats.num_preemptions,)),
    Scalars("vllm:prompt_tokens", "counter", "Prompt tokens prefilled.", lambda e: (e.stats.prompt_tokens,)),
    Scalars(
        "vllm:prompt_tokens_by_source",
        "counter",
        "Prompt tokens by where their cache entries came from.",
        lambda e: (e.stats.prompt_tokens - e.stats.prompt_tokens_cached, e.stats.prompt_tokens_cached, 0),
        "source",
        ("local_compute", "local_cache_hit", "external_kv_transfer"),
    ),
    Scalars(
        "vllm:prompt_tokens_cached",
        "counter",
        "Prompt tokens that were in a cache.",
        lambda e: (e.stats.prompt_tokens_cached,),
    ),
    Scalars(
        "vllm:prompt_tokens_cached_by_source",
        "counter",
        "Prompt tokens that were in a cache, by its tier.",
        lambda e: (e.stats.prefix_cache_hits, 0, 0, 0, 0),
        "source",
        ("device", "host", "p2p", "disk", "external_unspecified"),
    ),
    Scalars("vllm:generation_tokens", "counter", "Tokens generated.", lambda e: (e.stats.generation_tokens,)),
    Scalars(
        "vllm:request_success",
        "counter",
        "Requests that ran to their end, by reason; those whose client left are in none.",
        _success,
        "finished_reason",
        _SUCCESS,
    ),
    Scalars(
        "vllm:admission_rejections",
        "counter",
        "Requests refused because a queue was full, by limit; no limit is emulated.",
        _zeros(2),
        "reason",
        ("max_num_queued_reqs", "max_num_queued_tokens"),
        per_engine=False,
    ),
)

HISTOGRAMS = (
    Buckets("vllm:request_prompt_tokens", "Prompt tokens of a request.", lambda e: e.stats.request_prompt_tokens),
    Buckets(
        "vllm:request_generation_tokens", "Tokens generated for a request.", lambda e: e.stats.request_generation_tokens
    ),
    Buckets(
        "vllm:iteration_tokens_total", "Tokens computed in a step of the engine.", lambda e: e.stats.iteration_tokens
    ),
    Buckets(
        "vllm:request_max_num_generation_tokens",
        "Most tokens generated for one of a request's answers.",
        lambda e: e.stats.request_generation_tokens,
    ),
    Buckets("vllm:request_params_n", "Answers asked for in a request.", _params_n),
    Buckets(
        "vllm:request_params_max_tokens",
        "The limit of a request's answer in tokens.",
        lambda e: e.stats.request_params_max_tokens,
    ),
    Buckets(
        "vllm:time_to_first_token_seconds",
        "From a request's arrival to its first token.",
        lambda e: e.stats.time_to_first_token_seconds,
    ),
    Buckets(
        "vllm:inter_token_latency_seconds",
        "From one token of a request to its next.",
        lambda e: e.stats.inter_token_latency_seconds,
    ),
    Buckets(
        "vllm:request_time_per_output_token_seconds",
        "Mean time between the tokens of a request.",
        lambda e: e.stats.request_time_per_output_token_seconds,
    ),
    Buckets(
        "vllm:e2e_request_latency_seconds",
        "From a request's arrival to its last token.",
        lambda e: e.stats.e2e_request_latency_seconds,
    ),
    Buckets("vllm:request_queue_time_seconds", "Time a request waited.", lambda e: e.stats.request_queue_time_seconds),
    Buckets(
        "vllm:request_inference_time_seconds",
        "Time a request was in the batch.",
        lambda e: e.stats.request_inference_time_seconds,
    ),
    Buckets(
        "vllm:request_prefill_time_seconds",
        "From a request's entry into the batch to its first token.",
        lambda e: e.stats.request_prefill_time_seconds,
    ),
    Buckets(
        "vllm:request_decode_time_seconds",
        "From a request's first token to its last.",
        lambda e: e.stats.request_decode_time_seconds,
    ),
    Buckets(
        "vllm:request_num_preemptions", "Times a request was preempted.", lambda e: e.stats.request_num_preemptions
    ),
    Buckets(
        "vllm:request_prefill_kv_computed_tokens",
        "Prompt tokens of a request that had to be computed.",
        lambda e: e.stats.request_prefill_kv_computed_tokens,
    ),
)
