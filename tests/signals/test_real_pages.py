"""Pages that engines (or their documentation) wrote, and the values that a person worked out from them."""

import json
from pathlib import Path

import pytest

from inflight.signals import Gauge, Missing, PageReader, PageReading, SignalValue, derive, parse_page, shipped, totals
from inflight.signals.reader import read_page

PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
EXPECTED: dict[str, dict[str, float | str]] = json.loads((PAGES / "expected.json").read_text())


def read(name: str) -> PageReading:
    return PageReader(shipped()).read((PAGES / name).read_bytes())


def value(values: dict[str, SignalValue | Missing], signal: str) -> float:
    found = values[signal]
    assert isinstance(found, SignalValue), found
    return found.value


def test_every_page_has_its_expectation() -> None:
    assert {page.name for page in PAGES.glob("*.txt")} == set(EXPECTED)


@pytest.mark.parametrize("page", sorted(EXPECTED))
def test_a_page_gives_the_values_worked_out_by_hand(page: str) -> None:
    reading = read(page)
    values = derive(reading, None, None)
    expected = dict(EXPECTED[page])
    assert reading.engine == expected.pop("engine")
    for signal, wanted in expected.items():
        assert value(values, signal) == pytest.approx(wanted, rel=1e-3, abs=1e-9), signal


@pytest.mark.parametrize("page", sorted(EXPECTED))
def test_the_fast_and_the_complete_reader_agree_and_no_line_is_lost(page: str) -> None:
    body = (PAGES / page).read_bytes()
    complete = parse_page(body)
    assert complete.problems == ()
    lines = [line for line in body.split(b"\n") if line and not line.startswith(b"#")]
    assert len(complete.samples) == len(lines)
    assert repr(PageReader(shipped()).read(body)) == repr(read_page(shipped(), complete, body))


@pytest.mark.parametrize("page", sorted(EXPECTED))
def test_every_signal_has_a_value_or_a_reason(page: str) -> None:
    for signal, found in derive(read(page), None, None).items():
        assert found.signal == signal
        if isinstance(found, Missing):
            assert found.reason
        else:
            assert found.series
            assert found.unit
            assert found.how


@pytest.mark.parametrize(
    ("pages", "wanted"),
    [
        (
            ("t060", "t075"),
            {"arrival_rate": 24.07, "finished_rate": 12.33, "service_time": 3.247, "ttft": 6.339, "itl_p95": 0.04775},
        ),
        (
            ("t075", "t090"),
            {"arrival_rate": 23.93, "finished_rate": 14.2, "service_time": 3.369, "ttft": 18.39, "itl_p95": 0.0486},
        ),
    ],
)
def test_two_pages_of_one_engine_give_rates_quantiles_and_the_arrivals(
    pages: tuple[str, str], wanted: dict[str, float]
) -> None:
    earlier, later = (read(f"vllm-0.33.0-seq-{at}.txt") for at in pages)
    values = derive(later, earlier, 15.0)
    for signal, expected in wanted.items():
        assert value(values, signal) == pytest.approx(expected, rel=1e-3), signal
    assert value(values, "demand_concurrency") == pytest.approx(
        wanted["arrival_rate"] * wanted["service_time"], rel=1e-3
    )
    assert value(values, "ttft") == value(values, "ttft_p95")
    assert value(values, "ttft_p50") < value(values, "ttft_mean") < value(values, "ttft_p99")


def test_one_page_gives_totals_only_and_says_so() -> None:
    reading = read("vllm-0.33.0-busy.txt")
    rate = derive(reading, None, None)["generation_tokens_rate"]
    assert isinstance(rate, Missing)
    assert "one page gives totals only" in rate.reason
    found = totals(reading)
    assert found["generation_tokens_rate"].value == 333483.0
    assert found["generation_tokens_rate"].unit == "tokens"
    assert found["prefix_hit_rate"].value == pytest.approx(502784 / 1830299)
    assert found["service_time"].value == pytest.approx(4141.37534 / 1620)
    assert found["ttft_p95"].value > found["ttft_p50"].value > 0


def test_the_same_page_twice_has_rates_of_zero_but_no_quantiles() -> None:
    reading = read("vllm-0.33.0-busy.txt")
    values = derive(reading, reading, 5.0)
    assert value(values, "generation_tokens_rate") == 0.0
    assert value(values, "arrival_rate") == 0.0
    for signal in ("ttft", "ttft_mean", "service_time", "prefix_hit_rate", "demand_concurrency"):
        assert isinstance(values[signal], Missing), signal


def test_a_restarted_engine_has_no_rates_until_its_next_page() -> None:
    values = derive(read("vllm-0.33.0-fresh.txt"), read("vllm-0.33.0-busy.txt"), 60.0)
    assert value(values, "running") == 0.0
    for signal in ("generation_tokens_rate", "ttft", "service_time", "prefix_hit_rate", "arrival_rate"):
        assert isinstance(values[signal], Missing), signal


def test_a_sleeping_engine_says_that_none_is_awake() -> None:
    values = derive(read("vllm-0.33.0-sleeping-level1.txt"), None, None)
    assert value(values, "in_flight") == 0.0
    assert value(values, "awake_engines") == 0.0
    assert value(values, "engines_in_pod") == 1.0


def test_the_two_engines_of_one_pod_are_added_and_their_ratios_averaged() -> None:
    gauges = read("vllm-0.33.0-dp2-lora.txt").signals
    running, usage = gauges["running"], gauges["kv_utilization"]
    assert isinstance(running, Gauge)
    assert isinstance(usage, Gauge)
    assert running.values == (20.0, 19.0)
    assert running.source.rows[0][0] == ("engine", "0")
    assert usage.value == pytest.approx(sum(usage.values) / 2)


def test_the_old_engine_knows_no_prefix_cache_when_it_reads_minus_one() -> None:
    hit_rate = derive(read("vllm-0.6.6.post1-v0.txt"), None, None)["prefix_hit_rate"]
    assert isinstance(hit_rate, Missing)
    assert "reads -1, below 0" in hit_rate.reason


def test_a_page_of_two_engine_releases_names_is_read_by_the_newer_name() -> None:
    reading = read("vllm-0.10.2.txt")
    itl = reading.signals["itl"]
    assert not isinstance(itl, Missing)
    assert itl.source.series == ("vllm:inter_token_latency_seconds",)
    old = read("vllm-0.6.6.post1-v0.txt").signals["itl"]
    assert not isinstance(old, Missing)
    assert old.source.series == ("vllm:time_per_output_token_seconds",)


def test_capacity_comes_from_blocks_where_no_series_says_it_in_tokens() -> None:
    assert value(derive(read("triton-tensorrtllm.txt"), None, None), "kv_capacity_tokens") == 6239 * 64
    assert value(derive(read("trtllm-serve-1.x.txt"), None, None), "kv_capacity_tokens") == 13702 * 32
