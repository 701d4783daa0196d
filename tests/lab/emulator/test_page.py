"""The page has the shape of the real one and the values of the model."""

import random
import re
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from inflight.lab.emulator import Process, VllmPage
from inflight.lab.emulator.http_use import HttpUse
from inflight.lab.emulator.text import number
from inflight.signals import PageReader, SignalValue, derive, shipped
from inflight.sim.engine import EngineConfig, Request
from inflight.sim.replica import Replica

START = 1.795e9


def shape(page: str) -> list[tuple[str, ...]]:
    """Lines without values and HELP texts: families with types, samples with names, labels, their values and order."""
    lines = page.splitlines()
    headers = [tuple(line.split(" ")[: 4 if line.startswith("# TYPE") else 3]) for line in lines if line[0] == "#"]
    samples = [(line.rpartition(" ")[0],) for line in lines if line[0] != "#"]
    return headers + samples


def values_of(page: str) -> dict[str, float]:
    """Every sample line's value, by its name and labels as they stand there."""
    rows = (line.rpartition(" ") for line in page.splitlines() if line[0] != "#")
    return {name: float(value) for name, _, value in rows}


def without_python(page: str) -> str:
    """The release of Python differs from machine to machine."""
    return re.sub(r"(?m)^python_info\{.*", "python_info 1.0", page)


def loaded(config: EngineConfig, requests: int, until: float, seed: int = 1) -> Replica:
    replica = Replica(config, 0.0)
    draw = random.Random(seed)
    for index in range(requests):
        prompt = draw.randint(1, config.max_model_len_tokens // 2)
        replica.submit(Request(index, prompt, draw.randint(1, 300), draw.choice((None, 100))), 0.0)
    replica.advance(until)
    return replica


def render(*replicas: Replica, name: str = "meta-llama/Llama-3.1-8B-Instruct", http: str = "") -> str:
    page = VllmPage(name, [replica.config for replica in replicas], started_at=START, ready_at=START + 60)
    return page.render(replicas, Process(cpu_seconds=3.5), http).decode()


def test_a_fresh_page_is_the_real_one_line_by_line(real_engine: EngineConfig, real_page: Callable[[str], str]) -> None:
    http = HttpUse(START)
    http.count("/v1/models", "GET", 200, received_bytes=0, sent_bytes=11, seconds=0.005, at=START)
    ours = render(Replica(real_engine, 0.0), http=http.render())
    theirs = real_page("vllm-0.33.0-fresh")
    assert shape(without_python(ours)) == shape(without_python(theirs))
    # Of a server without traffic the values are known, too: all but those of its process and its clock.
    own = re.compile(r"python_|process_|http_|.*_created")
    kept = {name: value for name, value in values_of(ours).items() if not own.match(name)}
    assert kept == {name: value for name, value in values_of(theirs).items() if not own.match(name)}


def test_a_busy_page_is_the_real_one_line_by_line(real_engine: EngineConfig, real_page: Callable[[str], str]) -> None:
    http = HttpUse(START)
    http.count("/v1/chat/completions", "POST", 200, received_bytes=0, sent_bytes=11, seconds=0.005, at=START)
    http.count("/v1/models", "GET", 200, received_bytes=0, sent_bytes=11, seconds=0.005, at=START)
    ours = render(loaded(real_engine, 40, 3.0), http=http.render())
    assert shape(without_python(ours)) == shape(without_python(real_page("vllm-0.33.0-busy")))


def test_two_engines_stand_on_one_page_as_on_the_real_one(
    real_engine: EngineConfig, real_page: Callable[[str], str]
) -> None:
    ours = render(loaded(real_engine, 40, 3.0), loaded(real_engine, 30, 3.0))
    theirs = real_page("vllm-0.33.0-dp2-lora")
    ours_shape = [row for row in shape(without_python(ours)) if "http_" not in row[-1]]
    theirs_shape = [
        row
        for row in shape(without_python(theirs))
        if not any("http_" in part or "lora_requests_info" in part for part in row)
    ]
    assert ours_shape == theirs_shape


def families(page: str) -> Iterator[tuple[str, str, dict[tuple[str, ...], float]]]:
    for family in text_string_to_metric_families(page):
        rows = {(sample.name, *map("=".join, sorted(sample.labels.items()))): sample.value for sample in family.samples}
        yield family.name, family.type, rows


def test_an_independent_parser_reads_what_the_model_says(small: EngineConfig) -> None:
    replica = loaded(small, 60, 4.0)
    stats = replica.stats
    assert replica.running > 0
    assert replica.waiting > 0
    assert stats.num_preemptions > 0
    values = {row: value for _, _, rows in families(render(replica, name="m")) for row, value in rows.items()}

    def sample(name: str, *labels: str) -> float:
        return values[("vllm:" + name, *sorted((*labels, "engine=0", "model_name=m")))]

    assert sample("num_requests_running") == replica.running
    assert sample("num_requests_waiting") == replica.waiting
    assert sample("num_requests_waiting_by_reason", "reason=capacity") == replica.waiting
    assert sample("num_requests_waiting_by_reason", "reason=deferred") == 0
    assert sample("kv_cache_usage_perc") == replica.kv_usage
    assert sample("num_preemptions_total") == stats.num_preemptions
    assert sample("prompt_tokens_total") == stats.prompt_tokens
    assert sample("generation_tokens_total") == stats.generation_tokens
    assert sample("request_success_total", "finished_reason=stop") == stats.request_success["stop"]
    assert sample("request_success_total", "finished_reason=length") == stats.request_success["length"]
    assert sample("request_success_total", "finished_reason=abort") == 0
    assert sample("request_params_n_sum") == sum(stats.request_success.values())
    assert values[("process_start_time_seconds",)] == START
    assert values[("process_cpu_seconds_total",)] == 3.5
    for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
        histogram = getattr(stats, name)
        assert histogram.count > 0
        assert sample(f"{name}_count") == histogram.count
        assert sample(f"{name}_sum") == histogram.sum
        for edge, upto in zip(histogram.edges, histogram.cumulative(), strict=False):
            assert sample(f"{name}_bucket", f"le={floatToGoString(edge)}") == upto
        assert sample(f"{name}_bucket", "le=+Inf") == histogram.count
    assert sample("iteration_tokens_total_count") == stats.iteration_tokens.count


def test_no_series_stands_twice_and_every_histogram_is_cumulative(small: EngineConfig) -> None:
    page = render(loaded(small, 30, 3.0), loaded(small, 20, 3.0, seed=2))
    names = [line.rpartition(" ")[0] for line in page.splitlines() if line[0] != "#"]
    assert len(names) == len(set(names))
    for _, kind, rows in families(page):
        if kind == "histogram":
            for engine in ("0", "1"):
                buckets = [
                    value for row, value in rows.items() if row[0].endswith("_bucket") and f"engine={engine}" in row
                ]
                assert buckets == sorted(buckets)


def test_the_cache_is_described_as_the_engine_has_it(small: EngineConfig) -> None:
    config = msgspec.structs.replace(small, kv_blocks=512, block_size_tokens=32, prefix_caching=False)
    rows = dict(
        next(rows for name, _, rows in families(render(Replica(config, 0.0))) if name == "vllm:cache_config_info")
    )
    (row,) = rows
    assert {"num_gpu_blocks=512", "block_size=32", "kv_cache_size_tokens=16384"} <= set(row)
    assert {"enable_prefix_caching=False", "kv_cache_max_concurrency=8.192"} <= set(row)


def test_our_own_reader_finds_every_signal_that_the_model_has(small: EngineConfig) -> None:
    replicas = (loaded(small, 60, 4.0), loaded(small, 12, 4.0, seed=2))
    page = VllmPage("m", [small, small], started_at=START, ready_at=START)
    reader = PageReader(shipped())
    earlier = reader.read(page.render(replicas))
    before = [replica.stats for replica in replicas]
    for replica in replicas:
        replica.advance(9.0)
    later = reader.read(page.render(replicas))
    assert (later.engine, later.started_at) == ("vllm", START)
    values = derive(later, earlier, 5.0)

    def value(signal: str) -> float:
        found = values[signal]
        assert isinstance(found, SignalValue)
        return found.value

    after = [replica.stats for replica in replicas]
    assert value("running") == sum(replica.running for replica in replicas)
    assert value("waiting") == value("waiting_capacity") == sum(replica.waiting for replica in replicas)
    assert value("waiting_deferred") == 0
    assert value("in_flight") == value("running") + value("waiting")
    assert value("kv_utilization") == pytest.approx(sum(replica.kv_usage for replica in replicas) / 2)
    assert value("kv_capacity_tokens") == 2 * 300 * 16
    assert value("kv_max_concurrency") == pytest.approx(2 * 300 * 16 / 2000)
    assert value("engines_in_pod") == value("awake_engines") == 2
    for signal, name in (
        ("generation_tokens_rate", "generation_tokens"),
        ("prompt_tokens_rate", "prompt_tokens"),
        ("preemptions_rate", "num_preemptions"),
    ):
        grown = sum(getattr(new, name) - getattr(old, name) for new, old in zip(after, before, strict=True))
        assert value(signal) == pytest.approx(grown / 5)
    finished = [sum(sum(one.request_success.values()) for one in stats) for stats in (before, after)]
    assert value("finished_rate") == pytest.approx((finished[1] - finished[0]) / 5)
    times = [[one.request_queue_time_seconds for one in stats] for stats in (before, after)]
    sums, counts = ([sum(getattr(one, what) for one in stats) for stats in times] for what in ("sum", "count"))
    assert value("queue_time") == pytest.approx((sums[1] - sums[0]) / (counts[1] - counts[0]))
    assert 0 < value("itl_p50") <= value("itl_p95") <= value("itl_p99")
    missing = {name for name, found in values.items() if not isinstance(found, SignalValue)}
    # What this engine has no series for, and what nothing has happened to in these five seconds.
    assert missing <= {
        "batch_limit",
        "swapped",
        "prefix_hit_rate",
        *(name for name in values if name.startswith("ttft")),
    }


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "two\nlines", "Ünïcode ☂", "100 %s {}"])
def test_any_model_name_survives(small: EngineConfig, name: str) -> None:
    page = render(Replica(small, 0.0), name=name)
    names = {
        sample.labels["model_name"]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "model_name" in sample.labels
    }
    assert names == {name}


def test_a_page_refuses_another_number_of_engines(small: EngineConfig) -> None:
    page = VllmPage("m", [small], started_at=START, ready_at=START)
    with pytest.raises(ValueError, match="laid out for 1 engines, not 2"):
        page.render([Replica(small, 0.0), Replica(small, 0.0)])
    with pytest.raises(ValueError, match="at least one engine"):
        VllmPage("m", [], started_at=START, ready_at=START)


def test_rendering_again_gives_the_new_values_and_no_old_ones(small: EngineConfig) -> None:
    replica = Replica(small, 0.0)
    page = VllmPage("m", [small], started_at=START, ready_at=START)
    first = page.render([replica])
    replica.submit(Request(0, 100, 50), 0.0)
    replica.advance(0.2)
    second = page.render([replica])
    assert b'vllm:num_requests_running{engine="0",model_name="m"} 0.0' in first
    assert b'vllm:num_requests_running{engine="0",model_name="m"} 1.0' in second
    replica.advance(5.0)
    assert page.render([replica]) != second
    assert shape(page.render([replica]).decode()) == shape(first.decode())


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.floats(), st.integers(-(10**18), 10**18), st.sampled_from([999_999.5, 1e6, 1e15, 1e16, 1e22])))
def test_numbers_are_written_as_the_python_client_writes_them(value: float) -> None:
    text = number(value)
    assert float(text) == pytest.approx(float(value), rel=0, abs=0, nan_ok=True)
    # The client pads exponents to three digits above 1e16; nothing on a page gets there.
    if abs(value) < 1e16:
        assert text == floatToGoString(value)
