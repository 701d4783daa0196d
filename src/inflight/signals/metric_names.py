"""The names under which signals are served as Kubernetes metrics: one table for the API, its discovery and the docs.

A name is one legal segment of a URL path, ends in its unit, and always means the same signal. `across` says what the
one value of an External metric is: `sum` of the pods, their `mean`, or the `max`. Times are never added and never
averaged: a quantile of a fleet lies below the largest quantile of its parts, so the slowest pod's value is a bound
for all.

Aliases are the names that published autoscaling guides give to the same quantity, so that an HPA copied from one
finds its metric: the engine's own gauge (`vllm:num_requests_waiting` is a legal segment as it stands), the usual
renaming by prometheus-adapter (colon to underscore, with or without `num_`), and the spelling of Google's custom-
metrics adapter (`prometheus.googleapis.com|NAME|gauge`). An alias names a quantity, not an engine: it answers for
pods of any engine.
"""

from collections.abc import Iterator
from functools import cache
from typing import Literal

import msgspec

Across = Literal["sum", "mean", "max"]


class Metric(msgspec.Struct, frozen=True):
    """One metric of the API: its name, where its value comes from, and how pods are combined."""

    name: str
    signal: str
    """Canonical signal of the catalogue, as `derive` names it."""
    unit: str
    across: Across
    meaning: str
    aliases: tuple[str, ...] = ()


def _google(*gauges: str) -> tuple[str, ...]:
    """Names of gauges as Google's custom-metrics adapter spells them."""
    return tuple(f"prometheus.googleapis.com|{gauge}|gauge" for gauge in gauges)


def _times(stem: str, signal: str, meaning: str) -> Iterator[Metric]:
    """Quantiles and mean of a time that an engine keeps a histogram of."""
    for percent in (50, 95, 99):
        yield Metric(
            f"inflight_{stem}_seconds_p{percent}",
            f"{signal}_p{percent}",
            "seconds",
            "max",
            f"{meaning}: what {percent} % of the latest ones stayed below. Of several pods the slowest.",
            (f"vllm_{stem}_p{percent}", f"vllm_{stem}_seconds_p{percent}"),
        )
    yield Metric(
        f"inflight_{stem}_seconds_mean",
        f"{signal}_mean",
        "seconds",
        "max",
        f"{meaning}: the mean of the latest ones. Of several pods the slowest.",
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        "inflight_requests",
        "in_flight",
        "requests",
        "sum",
        "Requests in flight: those being computed and those that wait. The signal to scale on.",
        (
            "vllm_total_requests",
            "vllm_requests_in_flight",
            "dynamo_frontend_active_requests",
            "dynamo_frontend_inflight_requests",
        ),
    ),
    Metric(
        "inflight_requests_running",
        "running",
        "requests",
        "sum",
        "Requests in the engine's batch. It stops growing at the batch limit, where the queue begins.",
        (
            "vllm_requests_running",
            "vllm_num_requests_running",
            "vllm:num_requests_running",
            "num_requests_running",
            "ray_vllm_num_requests_running",
            "sglang_num_running_reqs",
            "sglang:num_running_reqs",
            "tgi_batch_current_size",
            "trtllm_num_requests_running",
            "lmdeploy_num_requests_running",
            "lmdeploy:num_requests_running",
            "llamacpp_requests_processing",
            "llamacpp:requests_processing",
            *_google("vllm:num_requests_running", "sglang:num_running_reqs", "tgi_batch_current_size"),
        ),
    ),
    Metric(
        "inflight_requests_waiting",
        "waiting",
        "requests",
        "sum",
        "Requests in the engine's queue. 0 until the batch is full, so alone it acts late.",
        (
            "vllm_requests_waiting",
            "vllm_num_requests_waiting",
            "vllm:num_requests_waiting",
            "vllm_pending_requests",
            "vllm_queue_depth",
            "vllm_queue_length",
            "vllm_queue_size",
            "num_requests_waiting",
            "ray_vllm_num_requests_waiting",
            "sglang_num_queue_reqs",
            "sglang:num_queue_reqs",
            "sglang_num_requests_waiting",
            "tgi_queue_size",
            "te_queue_size",
            "nv_inference_pending_request_count",
            "trtllm_num_requests_waiting",
            "lmdeploy_num_requests_waiting",
            "lmdeploy:num_requests_waiting",
            "llamacpp_requests_deferred",
            "llamacpp:requests_deferred",
            *_google(
                "vllm:num_requests_waiting",
                "sglang:num_queue_reqs",
                "tgi_queue_size",
                "nv_inference_pending_request_count",
            ),
        ),
    ),
    Metric(
        "inflight_demand_requests",
        "demand_concurrency",
        "requests",
        "sum",
        "Requests that would be in service at once if none had to wait: arrivals times mean service time.",
    ),
    Metric(
        "inflight_kv_utilization",
        "kv_utilization",
        "ratio",
        "mean",
        "Share of the key-value cache in use, 0 to 1.",
        (
            "vllm_kv_cache_usage_perc",
            "vllm:kv_cache_usage_perc",
            "vllm_gpu_cache_usage_perc",
            "vllm:gpu_cache_usage_perc",
            "vllm_kv_cache_usage",
            "vllm_kv_cache_usage_ratio",
            "vllm_kv_cache_utilization",
            "vllm_gpu_cache_usage",
            "kv_cache_usage_perc",
            "gpu_cache_usage_perc",
            "ray_vllm_kv_cache_usage_perc",
            "sglang_token_usage",
            "sglang:token_usage",
            "trtllm_kv_cache_utilization",
            "lmdeploy_gpu_cache_usage_perc",
            "lmdeploy:gpu_cache_usage_perc",
            "llamacpp_kv_cache_usage_ratio",
            "llamacpp:kv_cache_usage_ratio",
            *_google("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"),
        ),
    ),
    Metric(
        "inflight_kv_capacity_tokens",
        "kv_capacity_tokens",
        "tokens",
        "sum",
        "Tokens that the key-value cache can hold.",
        ("sglang_max_total_num_tokens",),
    ),
    Metric(
        "inflight_batch_limit_requests",
        "batch_limit",
        "requests",
        "sum",
        "Requests that fit the batch at most, where the engine says so.",
    ),
    Metric(
        "inflight_generation_tokens_per_second",
        "generation_tokens_rate",
        "tokens per second",
        "sum",
        "Tokens generated.",
        ("vllm_generation_tokens_per_second", "vllm_tokens_per_second", "sglang_gen_throughput"),
    ),
    Metric(
        "inflight_prompt_tokens_per_second",
        "prompt_tokens_rate",
        "tokens per second",
        "sum",
        "Prompt tokens taken in.",
        ("vllm_prompt_tokens_per_second",),
    ),
    Metric(
        "inflight_requests_arrived_per_second",
        "arrival_rate",
        "requests per second",
        "sum",
        "Requests that came in: those finished and refused, and the growth of those in flight.",
    ),
    Metric(
        "inflight_requests_finished_per_second",
        "finished_rate",
        "requests per second",
        "sum",
        "Requests that the engine finished. Clients that hang up are not counted by most engines.",
        ("vllm_request_success_per_second", "vllm_requests_per_second"),
    ),
    Metric(
        "inflight_requests_rejected_per_second",
        "rejected_rate",
        "requests per second",
        "sum",
        "Requests that the engine refused, or ended with an error where it counts no refusals.",
    ),
    Metric(
        "inflight_preemptions_per_second",
        "preemptions_rate",
        "events per second",
        "sum",
        "Running requests put back into the queue for want of key-value cache.",
    ),
    *_times("ttft", "ttft", "Time to the first token"),
    *_times("itl", "itl", "Time between two tokens"),
    *_times("tpot", "tpot", "Mean time per output token of a request"),
    *_times("e2e", "e2e", "Time from a request's arrival to its last token"),
    Metric(
        "inflight_queue_time_seconds_mean",
        "queue_time",
        "seconds",
        "max",
        "Mean time in the queue, of the latest requests. Of several pods the slowest.",
    ),
    Metric(
        "inflight_service_time_seconds_mean",
        "service_time",
        "seconds",
        "max",
        "Mean time from leaving the queue to the last token. Of several pods the slowest.",
    ),
    Metric(
        "inflight_prefix_hit_ratio",
        "prefix_hit_rate",
        "ratio",
        "mean",
        "Share of the prompt tokens found in the prefix cache, 0 to 1.",
    ),
    Metric(
        "inflight_queue_pressure_ratio",
        "queue_pressure",
        "ratio",
        "max",
        "Time in the queue over time in the model (Triton). Of several pods the largest.",
        ("triton:queue_compute:ratio", "triton_queue_compute_ratio", "queue_compute_ratio"),
    ),
)


@cache
def _index() -> dict[str, Metric]:
    return {name: metric for metric in METRICS for name in (metric.name, *metric.aliases)}


def find_metric(name: str) -> Metric | None:
    """The metric that is served under this name or alias."""
    return _index().get(name)


def served_names() -> list[str]:
    """Every name and alias, sorted: what discovery lists."""
    return sorted(_index())
