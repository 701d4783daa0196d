"""The pages of one pod: what is kept of them, what rates reach over, and what a restart does."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.signals import Missing, PageReader, PageReading, SignalValue, shipped
from inflight.signals.series import PodSeries, began_anew

PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
READER = PageReader(shipped())
T0 = 1_790_000_000.0


def page(
    *,
    running: float = 0,
    tokens: float = 0,
    first_tokens: int = 0,
    started: float | None = None,
    created: float | None = None,
) -> PageReading:
    """A small vLLM page; each first token came after 0.05 s."""
    labels = '{engine="0",model_name="m"}'
    lines = [
        f"vllm:num_requests_running{labels} {running}",
        f"vllm:num_requests_waiting{labels} 0",
        f"vllm:generation_tokens_total{labels} {tokens}",
        f'vllm:time_to_first_token_seconds_bucket{{engine="0",model_name="m",le="0.1"}} {first_tokens}',
        f'vllm:time_to_first_token_seconds_bucket{{engine="0",model_name="m",le="+Inf"}} {first_tokens}',
        f"vllm:time_to_first_token_seconds_count{labels} {first_tokens}",
        f"vllm:time_to_first_token_seconds_sum{labels} {0.05 * first_tokens}",
    ]
    if created is not None:
        lines.append(f"vllm:generation_tokens_created{labels} {created}")
    if started is not None:
        lines.append(f"process_start_time_seconds {started}")
    return READER.read("".join(f"{line}\n" for line in lines).encode())


def number(series: PodSeries, signal: str) -> float:
    found = series.value(signal)
    assert isinstance(found, SignalValue), found
    return found.value


def why(series: PodSeries, signal: str) -> str:
    found = series.value(signal)
    assert isinstance(found, Missing), found
    return found.reason


def test_before_any_page_everything_is_missing() -> None:
    series = PodSeries()
    assert why(series, "running") == "no page was received yet"
    assert (series.received_at, series.age(T0), series.coverage, len(series)) == (None, None, 0.0, 0)
    assert not series.has_reported("running")


def test_one_page_gives_gauges_and_no_rates() -> None:
    series = PodSeries()
    assert not series.add(page(running=7, tokens=1000), T0)
    assert number(series, "running") == 7
    assert "one page" in why(series, "generation_tokens_rate")
    assert series.has_reported("running")
    assert not series.has_reported("generation_tokens_rate")
    assert series.age(T0 + 4) == 4


def test_two_pages_give_rates() -> None:
    series = PodSeries()
    series.add(page(tokens=1000), T0)
    series.add(page(tokens=1300), T0 + 2)
    assert number(series, "generation_tokens_rate") == 150.0
    assert series.has_reported("generation_tokens_rate")


def test_gauges_are_those_of_the_last_page() -> None:
    series = PodSeries()
    for second in range(100):
        series.add(page(running=second), T0 + second)
    assert number(series, "running") == 99


def test_rates_reach_over_the_window_and_little_more() -> None:
    series = PodSeries(window_seconds=30)
    tokens = 0.0
    for second in range(200):
        tokens += 10 if second <= 150 else 1000
        series.add(page(tokens=tokens), T0 + second)
        if second >= 30:
            assert 30 <= series.span_seconds <= 41
            assert series.coverage == 1.0
    assert number(series, "generation_tokens_rate") == 1000.0


def test_an_interval_longer_than_the_window_still_gives_rates() -> None:
    series = PodSeries(window_seconds=30)
    for minute in range(4):
        series.add(page(tokens=600.0 * minute * minute), T0 + 60 * minute)
    assert series.span_seconds == 60
    assert number(series, "generation_tokens_rate") == 600 * (9 - 4) / 60


def test_after_an_outage_rates_are_soon_those_of_now() -> None:
    series = PodSeries(window_seconds=30)
    for second in range(60):
        series.add(page(tokens=1000.0 * second), T0 + second)
    series.add(page(tokens=60_000), T0 + 200)
    assert number(series, "generation_tokens_rate") < 100
    series.add(page(tokens=60_500), T0 + 201)
    assert number(series, "generation_tokens_rate") == 500.0


def test_a_page_of_long_ago_is_compared_with_nothing() -> None:
    series = PodSeries()
    series.add(page(tokens=1), T0)
    series.add(page(tokens=2), T0 + 4000)
    assert "one page" in why(series, "generation_tokens_rate")


def test_two_pages_of_one_moment_are_one() -> None:
    series = PodSeries()
    series.add(page(tokens=0), T0)
    series.add(page(tokens=100), T0 + 10)
    series.add(page(tokens=110), T0 + 10)
    assert number(series, "generation_tokens_rate") == 11.0


def test_samples_with_a_time_of_their_own_are_as_old_as_that() -> None:
    series = PodSeries()

    def at(moment: float, tokens: int) -> PageReading:
        labels, stamp = '{engine="0",model_name="m"}', round(moment * 1000)
        rows = (f"vllm:num_requests_running{labels} 5", f"vllm:generation_tokens_total{labels} {tokens}")
        return READER.read("".join(f"{row} {stamp}\n" for row in rows).encode())

    series.add(at(T0, 0), T0 + 600)
    assert series.received_at == T0
    assert series.age(T0 + 600) == 600
    series.add(at(T0 + 10, 50), T0 + 601)
    assert number(series, "generation_tokens_rate") == 5.0
    series.add(at(T0 + 9000, 60), T0 + 602)
    assert series.received_at == T0 + 602, "a time to come is not believed"


def test_a_clock_that_went_back_costs_two_pages_and_no_more() -> None:
    series = PodSeries()
    for second in range(20):
        series.add(page(tokens=second), T0 + second)
    for second in range(3):
        series.add(page(tokens=20 + second), T0 - 3600 + second)
    assert number(series, "generation_tokens_rate") == 1.0


def test_a_restart_begins_anew_and_remembers_who_had_reported() -> None:
    series = PodSeries()
    series.add(page(tokens=5000), T0)
    series.add(page(tokens=6000), T0 + 1)
    assert series.add(page(tokens=50), T0 + 2)
    assert series.restarts == 1
    assert "generation_tokens_rate" in series.restart_reason
    assert "one page" in why(series, "generation_tokens_rate")
    assert series.has_reported("generation_tokens_rate")
    series.add(page(tokens=80), T0 + 3)
    assert number(series, "generation_tokens_rate") == 30.0


def test_a_restart_whose_counters_soon_pass_the_old_ones_is_not_overlooked() -> None:
    series = PodSeries()
    totals = [100.0, 110.0, 0.0, 5000.0, 10_000.0]
    for second, total in enumerate(totals):
        series.add(page(tokens=total), T0 + second)
    assert number(series, "generation_tokens_rate") == 5000.0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (page(tokens=5, started=1000.0), page(tokens=9, started=2000.0)),
        (page(tokens=5, created=1000.0), page(tokens=9, created=2000.0)),
        (page(first_tokens=5), page(first_tokens=4)),
        (page(tokens=5), READER.read(b'vllm:num_requests_running{engine="0",model_name="m"} 1\n')),
        (page(tokens=5), READER.read(b"unheard_of 1\n")),
        (page(tokens=5), READER.read((PAGES / "tgi-3.3.txt").read_bytes())),
    ],
    ids=["start time", "created", "histogram fell", "counter gone", "unknown page", "other engine"],
)
def test_what_shows_a_restart(before: PageReading, after: PageReading) -> None:
    assert began_anew(before, after)
    assert not began_anew(before, before)


def test_a_start_time_that_jitters_is_no_restart() -> None:
    assert not began_anew(page(started=1000.0), page(started=1000.02))


def test_a_counter_that_appears_with_its_first_event_is_no_restart() -> None:
    labels = '{engine="0",model_name="m"'
    fresh = f"vllm:request_success_total{labels}" + ',finished_reason="stop"} 3\n'
    later = fresh + f"vllm:request_success_total{labels}" + ',finished_reason="length"} 1\n'
    assert not began_anew(READER.read(fresh.encode()), READER.read(later.encode()))
    assert began_anew(READER.read(later.encode()), READER.read(fresh.encode()))


def test_nothing_to_measure_is_quiet_and_neither_zero_nor_trouble() -> None:
    series = PodSeries()
    assert not series.is_quiet("ttft_p95")
    series.add(page(first_tokens=5), T0)
    assert not series.is_quiet("ttft_p95"), "one page does not tell"
    series.add(page(first_tokens=5), T0 + 1)
    assert why(series, "ttft_p95")
    assert series.is_quiet("ttft_p95")
    assert series.is_quiet("ttft_mean")
    assert not series.is_quiet("running")
    assert not series.is_quiet("itl_p95"), "absent is not quiet"
    series.add(page(first_tokens=9), T0 + 2)
    assert number(series, "ttft_p95") == pytest.approx(0.095)
    assert not series.is_quiet("ttft_p95")
    assert series.has_reported("ttft_p95")


@pytest.mark.parametrize(
    ("in_flight", "quiet"),
    [((0, 0, 0), True), ((186, 186, 186), False), ((186, 186, 0), False), ((0, 0, 186), False), ((0, 7, 0), False)],
    ids=["idle", "hung", "given up", "just asked", "asked and given up"],
)
def test_counters_that_stand_still_with_work_inside_are_not_quiet(in_flight: tuple[int, ...], quiet: bool) -> None:
    series = PodSeries()
    for tens, running in enumerate(in_flight):
        series.add(page(running=running, first_tokens=5), T0 + 10 * tens)
    assert why(series, "ttft_p95")
    assert series.is_quiet("ttft_p95") is quiet


def test_counters_that_stand_still_are_not_quiet_where_the_work_inside_is_unknown() -> None:
    body = (
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 5\n'
        'vllm:time_to_first_token_seconds_count{engine="0"} 5\n'
        'vllm:time_to_first_token_seconds_sum{engine="0"} 1\n'
    )
    series = PodSeries()
    for tens in range(3):
        series.add(READER.read(body.encode()), T0 + 10 * tens)
    assert isinstance(series.value("in_flight"), Missing)
    assert isinstance(series.value("ttft_mean"), Missing)
    assert not series.is_quiet("ttft_mean")


def test_rates_count_as_reported_although_nobody_asked_for_them() -> None:
    series = PodSeries()
    for second in range(3):
        series.add(page(tokens=second, first_tokens=second), T0 + second)
    series.add(page(), T0 + 3)
    assert series.restarts == 1
    assert series.has_reported("generation_tokens_rate")
    assert series.has_reported("ttft_p95")


def test_who_has_reported_is_remembered_over_pages_that_say_nothing() -> None:
    series = PodSeries()
    for second in range(3):
        series.add(page(tokens=second, first_tokens=second), T0 + second)
    series.add(READER.read(b"unheard_of 1\n"), T0 + 3)
    for signal in ("running", "in_flight", "generation_tokens_rate", "ttft_p95", "ttft_mean"):
        assert series.has_reported(signal), signal
    for signal in ("itl_p95", "happiness", "arrival_rate"):
        assert not series.has_reported(signal), signal


def test_a_quantile_has_been_reported_when_there_was_something_to_measure() -> None:
    series = PodSeries()
    for second in range(5):
        series.add(page(first_tokens=7), T0 + second)
    assert not series.has_reported("ttft_p95")
    series.add(page(first_tokens=8), T0 + 5)
    assert series.has_reported("ttft_p95")


def test_what_is_made_of_others_has_been_reported_when_they_have() -> None:
    series = PodSeries()
    for second in (60, 75):
        series.add(READER.read((PAGES / f"vllm-0.33.0-seq-t{second:03}.txt").read_bytes()), T0 + second)
    assert series.has_reported("arrival_rate")
    assert series.has_reported("demand_concurrency")


def test_a_page_of_no_known_engine_says_what_it_is_instead() -> None:
    series = PodSeries()
    series.add(READER.read(b"node_load1 0.5\nnode_load5 0.5\n"), T0)
    assert "no known engine" in why(series, "running")
    assert "node_" in why(series, "running")


def test_a_name_that_no_catalogue_has() -> None:
    series = PodSeries()
    series.add(page(), T0)
    assert why(series, "happiness") == "the catalogue has no happiness for vllm"


def test_real_pages_fifteen_seconds_apart() -> None:
    series = PodSeries()
    for second in (60, 75, 90):
        body = (PAGES / f"vllm-0.33.0-seq-t{second:03}.txt").read_bytes()
        assert not series.add(READER.read(body), T0 + second)
    # The load offered was 24 requests/s in both intervals; 24.07 and 23.93 is what the pages say.
    assert number(series, "arrival_rate") == pytest.approx(24.0, abs=0.1)
    assert number(series, "in_flight") == 332
    assert series.span_seconds == 30


TIMES = st.lists(st.floats(0, 100, allow_nan=False), min_size=2, max_size=60)


@settings(max_examples=60)
@given(TIMES, st.floats(1, 120))
def test_memory_is_bounded_and_a_steady_rate_is_found_whatever_the_interval(gaps: list[float], window: float) -> None:
    series = PodSeries(window)
    now, begin = 1000.0, 1000.0
    for gap in gaps:
        now += gap
        series.add(page(running=1, tokens=7 * (now - begin)), now)
        assert len(series) <= 6
        assert 0 <= series.coverage <= 1
        found = series.value("generation_tokens_rate")
        if isinstance(found, SignalValue) and series.span_seconds > 1e-3:
            assert found.value == pytest.approx(7.0, rel=1e-3)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-1e3, 1e3)), min_size=2, max_size=40))
def test_pages_that_lie_and_clocks_that_jump_give_no_negative_rate(steps: list[tuple[float, float]]) -> None:
    series = PodSeries()
    now, tokens = 1000.0, 0.0
    for step, more in steps:
        now += step
        tokens += more
        series.add(page(tokens=tokens), now)
        found = series.value("generation_tokens_rate")
        assert isinstance(found, Missing) or found.value >= 0
        assert len(series) <= 6
