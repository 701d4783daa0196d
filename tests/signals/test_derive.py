"""Rates, ratios, means and quantiles from two pages; restarts and first events; nothing where nothing was observed."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.signals import Missing, PageReader, SignalValue, derive, shipped, totals
from inflight.signals.quantiles import bucket_quantiles

GAUGES = 'vllm:num_requests_running{engine="0"} 5\nvllm:num_requests_waiting{engine="0"} 2\n'


def values(later: str, earlier: str | None, seconds: float | None = 10.0) -> dict[str, SignalValue | Missing]:
    reader = PageReader(shipped())
    before = None if earlier is None else reader.read(earlier.encode())
    return derive(reader.read(later.encode()), before, seconds)


def value(later: str, earlier: str, signal: str, seconds: float | None = 10.0) -> float:
    found = values(later, earlier, seconds)[signal]
    assert isinstance(found, SignalValue), found
    return found.value


def reason(later: str, earlier: str | None, signal: str, seconds: float | None = 10.0) -> str:
    found = values(later, earlier, seconds)[signal]
    assert isinstance(found, Missing), found
    return found.reason


def tokens(*counts: float, created: float | None = None) -> str:
    page = GAUGES
    for engine, count in enumerate(counts):
        page += f'vllm:generation_tokens_total{{engine="{engine}"}} {count}\n'
        if created is not None:
            page += f'vllm:generation_tokens_created{{engine="{engine}"}} {created}\n'
    return page


def histogram(*rows: tuple[int, int, int], edges: tuple[str, str] = ("1", "2"), spent: float = 3.0) -> str:
    page = GAUGES
    for engine, counts in enumerate(rows):
        for edge, count in zip((*edges, "+Inf"), counts, strict=True):
            page += f'vllm:time_to_first_token_seconds_bucket{{engine="{engine}",le="{edge}"}} {count}\n'
        page += f'vllm:time_to_first_token_seconds_sum{{engine="{engine}"}} {spent}\n'
        page += f'vllm:time_to_first_token_seconds_count{{engine="{engine}"}} {counts[-1]}\n'
    return page


class TestCounters:
    def test_a_rate_is_the_increase_over_the_time(self) -> None:
        assert value(tokens(1500), tokens(1000), "generation_tokens_rate") == 50.0

    def test_rows_are_subtracted_before_they_are_added(self) -> None:
        assert value(tokens(1500, 130), tokens(1000, 100), "generation_tokens_rate") == 53.0

    def test_a_row_that_fell_makes_the_interval_unusable_though_the_sum_grew(self) -> None:
        assert "began anew" in reason(tokens(9000, 10), tokens(1000, 100), "generation_tokens_rate")

    def test_a_row_that_is_gone_makes_the_interval_unusable(self) -> None:
        assert "is gone" in reason(tokens(2000), tokens(1000, 100), "generation_tokens_rate")

    def test_a_new_row_counts_from_zero(self) -> None:
        assert value(tokens(1000, 70), tokens(1000), "generation_tokens_rate") == 7.0

    def test_a_series_that_appears_with_its_first_event_counts_from_zero(self) -> None:
        assert value(tokens(70), GAUGES, "generation_tokens_rate") == 7.0

    def test_a_counter_not_on_the_page_before_its_first_event_is_zero_where_that_is_known(self) -> None:
        old = "sglang:num_running_reqs 1\nsglang:num_queue_reqs 0\n"
        base = old + "sglang:max_total_num_tokens 1000\n"
        retracted = base + "sglang:num_retracted_requests_total 30\n"
        assert value(base, base, "preemptions_rate") == 0.0
        assert value(retracted, base, "preemptions_rate") == 3.0
        assert "is gone" in reason(base, retracted, "preemptions_rate")
        assert "is not on the page" in reason(old, old, "preemptions_rate")

    def test_a_counter_that_the_page_merely_lacks_is_not_zero(self) -> None:
        assert "is not on the page" in reason(GAUGES, GAUGES, "generation_tokens_rate")

    def test_another_created_time_is_another_counter_however_large(self) -> None:
        assert value(tokens(1500, created=1.7e9), tokens(1000, created=1.7e9), "generation_tokens_rate") == 50.0
        changed = reason(tokens(1500, created=1.7e9 + 60), tokens(1000, created=1.7e9), "generation_tokens_rate")
        assert "_created time changed" in changed

    def test_a_page_that_stops_saying_when_counters_began_is_no_restart(self) -> None:
        assert value(tokens(1500), tokens(1000, created=1.7e9), "generation_tokens_rate") == 50.0

    @pytest.mark.parametrize(
        ("started", "restarted"), [(1000.0, False), (1000.9, False), (1060.0, True), (900.0, True)]
    )
    def test_another_start_of_the_process_is_a_restart(self, started: float, restarted: bool) -> None:
        later = tokens(1500) + f"process_start_time_seconds {started}\n"
        earlier = tokens(1000) + "process_start_time_seconds 1000.0\n"
        found = values(later, earlier)["generation_tokens_rate"]
        assert isinstance(found, Missing) is restarted
        if isinstance(found, Missing):
            assert "restarted" in found.reason

    @pytest.mark.parametrize("seconds", [None, 0.0, -1.0, math.inf, math.nan])
    def test_without_a_time_between_the_pages_there_is_no_rate(self, seconds: float | None) -> None:
        assert "time between the two pages" in reason(tokens(1500), tokens(1000), "generation_tokens_rate", seconds)

    def test_quantiles_means_and_ratios_need_no_time(self) -> None:
        later, earlier = histogram((10, 20, 20), spent=18.0), histogram((0, 0, 0), spent=0.0)
        assert value(later, earlier, "ttft_mean", None) == pytest.approx(0.9)
        assert value(later, earlier, "ttft_p50", None) == 1.0

    def test_pages_of_two_engines_have_nothing_in_common(self) -> None:
        other = "llamacpp:requests_processing 1\n"
        assert "another engine (llamacpp)" in reason(tokens(5), other, "generation_tokens_rate")

    def test_an_earlier_page_with_an_unusable_total_gives_no_rate(self) -> None:
        assert "earlier page" in reason(tokens(5), tokens(math.nan), "generation_tokens_rate")

    def test_a_signal_read_from_another_series_than_before_gives_no_rate(self) -> None:
        base = "sglang:num_running_reqs 1\nsglang:generation_tokens_total 5\n"
        later = base + 'sglang:realtime_tokens_total{mode="decode"} 100\n'
        assert "different series" in reason(later, base, "generation_tokens_rate")

    def test_more_hits_than_lookups_are_no_ratio(self) -> None:
        def page(hits: int, lookups: int) -> str:
            return f"{GAUGES}vllm:prefix_cache_hits_total {hits}\nvllm:prefix_cache_queries_total {lookups}\n"

        assert value(page(60, 200), page(10, 100), "prefix_hit_rate") == 0.5
        assert "more than any server does" in reason(page(300, 200), page(10, 100), "prefix_hit_rate")
        assert "did not move" in reason(page(10, 100), page(10, 100), "prefix_hit_rate")

    def test_a_rate_that_no_server_reaches_is_no_rate(self) -> None:
        assert "more than any server does" in reason(tokens(1e17), tokens(5), "generation_tokens_rate")

    def test_a_mean_that_no_request_waits_is_no_mean(self) -> None:
        later, earlier = histogram((1, 2, 2), spent=1e17), histogram((0, 0, 0), spent=0.0)
        assert "more than any server does" in reason(later, earlier, "ttft_mean")


class TestDistributions:
    def test_increases_of_all_rows_are_added_bucket_by_bucket(self) -> None:
        later = histogram((10, 20, 20), (0, 20, 20))
        earlier = histogram((10, 10, 10), (0, 10, 10))
        assert value(later, earlier, "ttft_p50") == pytest.approx(1.5)
        assert value(later, earlier, "ttft") == value(later, earlier, "ttft_p95") == pytest.approx(1.95)

    def test_an_interval_without_an_observation_has_no_quantile_and_no_mean(self) -> None:
        page = histogram((10, 20, 20))
        for signal in ("ttft", "ttft_p50", "ttft_p99", "ttft_mean"):
            assert "nothing was observed" in reason(page, page, signal)

    def test_beyond_the_highest_edge_the_answer_is_a_lower_bound_and_says_so(self) -> None:
        found = values(histogram((0, 0, 10)), histogram((0, 0, 0)))["ttft_p95"]
        assert isinstance(found, SignalValue)
        assert found.value == 2.0
        assert "at least this" in found.how

    def test_a_bucket_that_fell_is_a_restart(self) -> None:
        assert "began anew" in reason(histogram((5, 30, 30)), histogram((10, 20, 20)), "ttft_p95")

    def test_other_edges_than_before_cannot_be_subtracted(self) -> None:
        said = reason(histogram((5, 30, 30), edges=("1", "4")), histogram((5, 20, 20)), "ttft_p95")
        assert "buckets changed" in said

    def test_without_a_sum_there_are_quantiles_but_no_mean(self) -> None:
        def page(*counts: int) -> str:
            lines = [line for line in histogram(*[counts]).splitlines() if "_sum" not in line]  # type: ignore[list-item]
            return "\n".join(lines) + "\n"

        assert value(page(0, 10, 10), page(0, 0, 0), "ttft_p50") == pytest.approx(1.5)
        assert "_sum is not on the page" in reason(page(0, 10, 10), page(0, 0, 0), "ttft_mean")

    def test_a_mean_of_means_weighs_by_observations(self) -> None:
        def page(engine: int, spent: float, count: int) -> str:
            labels = f'{{engine="{engine}"}}'
            family = "vllm:request_queue_time_seconds"
            return f"{family}_sum{labels} {spent}\n{family}_count{labels} {count}\n"

        later = GAUGES + page(0, 10.0, 90) + page(1, 100.0, 10)
        earlier = GAUGES + page(0, 0.0, 0) + page(1, 0.0, 0)
        assert value(later, earlier, "queue_time") == pytest.approx(1.1)


class TestArrivals:
    FINISHED = 'vllm:request_success_total{{finished_reason="stop"}} {}\n'
    REJECTED = "vllm:admission_rejections_total {}\n"
    SERVICE = "vllm:request_inference_time_seconds_sum {}\nvllm:request_inference_time_seconds_count {}\n"

    @staticmethod
    def load(running: int, waiting: int) -> str:
        return f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n"

    def test_what_came_in_has_left_or_is_still_there(self) -> None:
        later = self.load(20, 30) + self.FINISHED.format(150) + self.REJECTED.format(7)
        earlier = self.load(10, 0) + self.FINISHED.format(100) + self.REJECTED.format(2)
        assert value(later, earlier, "arrival_rate") == pytest.approx((50 + 5 + 40) / 10)

    def test_a_release_without_a_count_of_refusals_refuses_none(self) -> None:
        later, earlier = self.load(20, 30) + self.FINISHED.format(150), self.load(10, 0) + self.FINISHED.format(100)
        assert value(later, earlier, "arrival_rate") == pytest.approx(9.0)

    def test_refusals_that_cannot_be_read_make_the_arrivals_unknown(self) -> None:
        later = self.load(20, 30) + self.FINISHED.format(150) + self.REJECTED.format(-1)
        earlier = self.load(10, 0) + self.FINISHED.format(100) + self.REJECTED.format(2)
        assert "rejected_rate" in reason(later, earlier, "arrival_rate")

    def test_aborts_can_make_the_estimate_negative_which_is_no_rate(self) -> None:
        later, earlier = self.load(0, 0) + self.FINISHED.format(101), self.load(50, 0) + self.FINISHED.format(100)
        assert "aborted" in reason(later, earlier, "arrival_rate")

    def test_a_restart_makes_them_unknown(self) -> None:
        later, earlier = self.load(1, 0) + self.FINISHED.format(1), self.load(50, 0) + self.FINISHED.format(100)
        assert "began anew" in reason(later, earlier, "arrival_rate")

    def test_an_earlier_page_without_the_gauges_makes_them_unknown(self) -> None:
        later = self.load(1, 0) + self.FINISHED.format(200)
        assert "on the earlier page" in reason(later, self.FINISHED.format(100), "arrival_rate")

    def test_demand_is_arrivals_times_service_time(self) -> None:
        later = self.load(10, 0) + self.FINISHED.format(120) + self.SERVICE.format(160, 120)
        earlier = self.load(10, 0) + self.FINISHED.format(100) + self.SERVICE.format(100, 100)
        assert value(later, earlier, "demand_concurrency") == pytest.approx(2.0 * 3.0)

    def test_engines_that_count_no_finished_requests_have_none(self) -> None:
        page = "llamacpp:requests_processing 3\nllamacpp:requests_deferred 0\n"
        assert "no request counter" in reason(page, page, "arrival_rate")


def test_the_work_can_be_limited_to_some_names() -> None:
    reader = PageReader(shipped())
    later, earlier = reader.read(histogram((10, 20, 20)).encode()), reader.read(histogram((0, 0, 0)).encode())
    everything = derive(later, earlier, 10.0)
    some = derive(later, earlier, 10.0, only=("in_flight", "ttft_p50"))
    assert set(some) < set(everything)
    for signal in ("in_flight", "ttft_p50"):
        assert some[signal] == everything[signal]
    assert derive(later, earlier, 10.0, only=("no_such_signal", "arrival_rate_p95")) == {}


def test_asked_for_a_quantile_of_what_has_none_the_reason_is_that_of_the_signal() -> None:
    page = PageReader(shipped()).read(b"llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n")
    found = derive(page, page, 10.0, only=("ttft_p95", "running_p95"))
    ttft, running = found["ttft_p95"], found["running_p95"]
    assert isinstance(ttft, Missing)
    assert isinstance(running, Missing)
    assert ttft.reason == "no histograms"
    assert "no distribution" in running.reason


def test_the_mean_of_what_is_a_mean_already_is_itself() -> None:
    later = GAUGES + "vllm:request_queue_time_seconds_sum 30\nvllm:request_queue_time_seconds_count 10\n"
    earlier = GAUGES + "vllm:request_queue_time_seconds_sum 0\nvllm:request_queue_time_seconds_count 0\n"
    reader = PageReader(shipped())
    pair = reader.read(later.encode()), reader.read(earlier.encode())
    found = derive(*pair, 10.0, only=("queue_time_mean", "queue_time_p95"))
    mean, p95 = found["queue_time_mean"], found["queue_time_p95"]
    assert isinstance(mean, SignalValue)
    assert (mean.signal, mean.value) == ("queue_time_mean", 3.0)
    assert isinstance(p95, Missing)


def test_totals_are_what_one_page_can_say() -> None:
    found = totals(PageReader(shipped()).read((tokens(1500, 500) + histogram((5, 10, 10), spent=7.0)).encode()))
    assert found["generation_tokens_rate"].value == 2000.0
    assert found["generation_tokens_rate"].unit == "tokens"
    assert found["ttft_mean"].value == pytest.approx(0.7)
    assert found["ttft_p50"].value == pytest.approx(1.0)
    assert "running" not in found


class TestQuantiles:
    """The cases of histogram_quantile's own documentation and code."""

    INF = math.inf

    def test_interpolates_inside_the_bucket(self) -> None:
        assert bucket_quantiles([0.5, 0.75, 1.0], [1, 2, self.INF], [10, 30, 30]) == [1.25, 1.625, 2.0]

    def test_the_first_bucket_begins_at_zero(self) -> None:
        assert bucket_quantiles([0.5], [0.01, self.INF], [10, 10]) == [0.005]

    def test_a_first_edge_below_zero_is_its_own_answer(self) -> None:
        assert bucket_quantiles([0.1], [-1, 1, self.INF], [10, 20, 20]) == [-1]

    def test_the_last_bucket_gives_the_highest_finite_edge(self) -> None:
        assert bucket_quantiles([0.99], [1, 2, self.INF], [1, 1, 100]) == [2]

    def test_empty_buckets_are_passed_over(self) -> None:
        assert bucket_quantiles([0.5], [1, 2, 4, 8, self.INF], [0, 0, 0, 10, 10]) == [6.0]

    @pytest.mark.parametrize(
        ("edges", "counts"),
        [([1, 2], [1, 2]), ([INF], [5]), ([], []), ([1, INF], [0, 0]), ([1, INF], [0, math.nan])],
    )
    def test_nothing_to_tell(self, edges: list[float], counts: list[float]) -> None:
        assert all(math.isnan(found) for found in bucket_quantiles([0.5, 0.9], edges, counts))

    def test_a_count_that_falls_is_raised_to_the_one_before(self) -> None:
        assert bucket_quantiles([0.5], [1, 2, 4, self.INF], [0, 10, 9, 10]) == [1.5]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(0.001, 100), min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
    def test_the_answer_lies_in_the_bucket_of_the_true_value(self, seen: list[float], quantile: float) -> None:
        edges = [0.01, 0.1, 1.0, 10.0, 100.0, self.INF]
        counts = [sum(value <= edge for value in seen) for edge in edges]
        (found,) = bucket_quantiles([quantile], edges, counts)
        exact = sorted(seen)[max(0, math.ceil(quantile * len(seen)) - 1)]
        upper = next(edge for edge in edges if exact <= edge)
        lower = max([0.0, *(edge for edge in edges if edge < exact)])
        assert lower <= found <= upper
