"""The table of metric names: legal, unambiguous, honest about units and about how pods combine."""

from collections import Counter

import pytest

from inflight.signals import shipped
from inflight.signals.catalogue.records import QUANTILES, Combination, Record
from inflight.signals.metric_names import METRICS, Metric, find_metric, served_names

UNIT_ENDINGS = {
    "requests": ("_requests", "_requests_running", "_requests_waiting"),
    "ratio": ("_utilization", "_ratio"),
    "tokens": ("_tokens",),
    "tokens per second": ("_tokens_per_second",),
    "requests per second": ("_per_second",),
    "events per second": ("_per_second",),
    "seconds": ("_seconds_p50", "_seconds_p95", "_seconds_p99", "_seconds_mean"),
}


def test_no_name_means_two_things() -> None:
    counts = Counter(name for metric in METRICS for name in (metric.name, *metric.aliases))
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_two_metrics_serve_the_same_signal() -> None:
    assert len({metric.signal for metric in METRICS}) == len(METRICS)


def test_every_name_is_a_legal_path_segment() -> None:
    """Kubernetes `IsValidPathSegmentName`: no slash, no percent sign, neither dot nor dots; here also nothing to
    encode.
    """
    for name in served_names():
        assert name not in {"", ".", ".."}
        assert not set(name) & set('/%?#"<>\\^`{} '), name
        assert name.isascii()
        assert len(name) <= 100


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_ends_in_its_unit(metric: Metric) -> None:
    assert metric.name.startswith("inflight_")
    assert metric.name.endswith(UNIT_ENDINGS[metric.unit])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_only_amounts_are_added(metric: Metric) -> None:
    """Ratios are averaged and times are not added: a sum of either would grow with the number of pods."""
    adds = metric.unit in {"requests", "tokens"} or metric.unit.endswith("per second")
    assert (metric.across == "sum") is adds
    if metric.unit == "seconds":
        assert metric.across == "max"


@pytest.mark.parametrize(
    ("alias", "signal"),
    [
        ("vllm_requests_running", "running"),
        ("vllm_num_requests_running", "running"),
        ("vllm:num_requests_running", "running"),
        ("prometheus.googleapis.com|vllm:num_requests_running|gauge", "running"),
        ("tgi_batch_current_size", "running"),
        ("sglang_num_running_reqs", "running"),
        ("vllm_num_requests_waiting", "waiting"),
        ("vllm_requests_waiting", "waiting"),
        ("num_requests_waiting", "waiting"),
        ("tgi_queue_size", "waiting"),
        ("vllm_kv_cache_usage_perc", "kv_utilization"),
        ("vllm_gpu_cache_usage_perc", "kv_utilization"),
        ("gpu_cache_usage_perc", "kv_utilization"),
        ("inflight_requests", "in_flight"),
    ],
)
def test_names_of_published_guides_are_found(alias: str, signal: str) -> None:
    metric = find_metric(alias)
    assert metric is not None
    assert metric.signal == signal


def test_other_names_are_not_found() -> None:
    assert find_metric("") is None
    assert find_metric("vllm_requests") is None
    assert find_metric("Inflight_requests") is None


COMBINED_OTHERWISE = {
    # A gateway sees the whole pool, and each of its replicas says the same.
    "in_flight": {"max"},
    "batch_limit": {"max"},
    "kv_utilization": {"max"},
    # The catalogue adds two counters and divides; of finished ratios the mean is what can be had.
    "prefix_hit_rate": {"sum"},
    "queue_pressure": {"sum"},
}
"""Where the catalogue combines otherwise for some engine, and why the table still says what it says."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_agrees_with_the_catalogue(metric: Metric) -> None:
    catalogue = shipped()
    stem, _, statistic = metric.signal.rpartition("_")
    if statistic in {"mean", *(f"p{percent}" for percent in QUANTILES)} and metric.signal not in catalogue.signals:
        assert stem in catalogue.signals
        ways = {
            way.across
            for engine in catalogue.engines.values()
            for way in engine.signals.get(stem, ())
            if isinstance(way, Record) and way.derive == "quantile"
        }
        assert ways == {"merge"}
        return
    if metric.signal in {"arrival_rate", "demand_concurrency"}:
        return
    assert catalogue.signals[metric.signal].unit.split(" ")[0].split("/")[0] in metric.unit.split(" ")[0]
    ways = {
        way.across
        for engine in catalogue.engines.values()
        for way in engine.signals.get(metric.signal, ())
        if isinstance(way, Record | Combination)
    }
    allowed = {metric.across} | COMBINED_OTHERWISE.get(metric.signal, set())
    assert ways <= allowed | ({"merge", "sum"} if metric.unit == "seconds" else set())
