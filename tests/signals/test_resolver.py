"""Other pages of the engines: releases, processes, ranks, roles, routers, lies. Each test states only what differs."""

import pytest

from inflight.signals import Gauge, Histogram, Missing, PageReader, PageReading, derive, shipped


def read(page: str, engine: str | None = None) -> PageReading:
    return PageReader(shipped(), engine).read(page.encode())


def value(page: str, signal: str, engine: str | None = None) -> float:
    found = read(page, engine).signals[signal]
    assert isinstance(found, Gauge), found
    return found.value


def reason(page: str, signal: str) -> str:
    found = read(page).signals[signal]
    assert isinstance(found, Missing), found
    return found.reason


def vllm(*lines: str) -> str:
    return "".join(f"vllm:{line}\n" for line in lines)


def sglang(*lines: str) -> str:
    return "".join(f"sglang:{line}\n" for line in lines)


BASE = ('num_requests_running{engine="0"} 5', 'num_requests_waiting{engine="0"} 2')
SGLANG = ("num_running_reqs{} 4", "num_queue_reqs{} 3")


class TestWhichEngine:
    @pytest.mark.parametrize(
        ("page", "engine"),
        [
            ("vllm:num_requests_running 1\n", "vllm"),
            ("ray_vllm_num_requests_running 1\n", "vllm_ray"),
            ("sglang:num_running_reqs 1\n", "sglang"),
            ("tgi_queue_size 1\n", "tgi"),
            ('nv_inference_request_success{model="m"} 1\nnv_trt_llm_request_metrics{model="m"} 1\n', "triton_trtllm"),
            ('nv_inference_request_success{model="m"} 1\n', "triton"),
            ("trtllm_num_requests_running 1\n", "trtllm_serve"),
            ("dynamo_frontend_active_requests 1\n", "dynamo_frontend"),
            ("dynamo_component_requests_total 1\n", "dynamo_worker"),
            ("num_request_max 1\nnum_requests_running 1\n", "nim_1"),
            ("num_request_max 1\n", None),
            ("num_requests_running 1\n", None),
            ("llamacpp:requests_processing 1\n", "llamacpp"),
            ("lmdeploy:num_requests_running 1\n", "lmdeploy"),
            ("te_queue_size 1\n", "tei"),
            ("inference_pool_ready_pods 1\n", "gaie_epp"),
            ("llm_d_epp_request_running 1\n", "llmd_epp"),
            ("litellm_in_flight_requests 1\n", "litellm"),
            ("DCGM_FI_DEV_GPU_UTIL 1\n", "dcgm"),
            ("up 1\n", None),
            ("my_vllm:num_requests_running 1\n", None),
            ("vllm:num_requests_running_created 1.7e9\n", None),
            ("vllm: 1\n", "vllm"),
            ("  vllm:num_requests_running 1\n", "vllm"),
            ('{"vllm:num_requests_running"} 1\n', "vllm"),
        ],
    )
    def test_by_the_names_of_samples_in_the_catalogues_order(self, page: str, engine: str | None) -> None:
        assert read(page).engine == engine

    def test_a_dynamo_worker_that_passes_vllm_through_is_read_as_vllm(self) -> None:
        page = 'dynamo_component_inflight_requests{dynamo_endpoint="generate"} 9\n' + vllm(*BASE)
        assert read(page).engine == "vllm"
        assert value(page, "in_flight") == 7.0

    def test_families_announced_without_a_sample_tell_the_engine_and_nothing_else(self) -> None:
        page = "# HELP dynamo_frontend_active_requests x\n# TYPE dynamo_frontend_active_requests gauge\nup 1\n"
        assert read(page).engine == "dynamo_frontend"
        assert "dynamo_frontend_active_requests is not on the page" in reason(page, "in_flight")

    def test_created_samples_alone_are_no_engine(self) -> None:
        assert read("vllm:prompt_tokens_created 1.7e9\nllamacpp:requests_deferred 1\n").engine == "llamacpp"


class TestVllm:
    def test_waiting_by_reason_does_not_double_the_queue(self) -> None:
        page = vllm(
            *BASE,
            'num_requests_waiting_by_reason{engine="0",reason="capacity"} 1.5',
            'num_requests_waiting_by_reason{engine="0",reason="deferred"} 0.5',
        )
        assert value(page, "waiting") == 2.0
        assert value(page, "waiting_capacity") == 1.5
        assert value(page, "waiting_deferred") == 0.5

    def test_eight_engines_are_added_and_their_cache_averaged(self) -> None:
        lines = []
        for engine in range(8):
            lines += [
                f'num_requests_running{{engine="{engine}"}} {engine}',
                f'num_requests_waiting{{engine="{engine}"}} 1',
                f'kv_cache_usage_perc{{engine="{engine}"}} 0.{engine}',
                f'cache_config_info{{engine="{engine}",kv_cache_size_tokens="1000"}} 1',
            ]
        page = vllm(*lines)
        assert value(page, "in_flight") == 36.0
        assert value(page, "kv_utilization") == pytest.approx(0.35)
        assert value(page, "kv_capacity_tokens") == 8000.0
        assert value(page, "engines_in_pod") == 8.0

    def test_of_several_api_server_processes_the_largest_row_of_an_engine_counts(self) -> None:
        page = vllm(
            *BASE,
            'kv_cache_usage_perc{engine="0",pid="10"} 0.0',
            'kv_cache_usage_perc{engine="0",pid="11"} 0.4',
            'kv_cache_usage_perc{engine="1",pid="10"} 0.2',
            'kv_cache_usage_perc{engine="1",pid="11"} 0.1',
        )
        assert value(page, "kv_utilization") == pytest.approx(0.3)
        found = read(page).signals["kv_utilization"]
        assert isinstance(found, Gauge)
        assert found.source.rows == ((("engine", "0"),), (("engine", "1"),))

    def test_a_routers_rows_with_a_server_label_are_not_the_engines(self) -> None:
        page = vllm(*BASE, 'num_requests_running{server="http://a"} 5', 'num_requests_waiting{server="http://a"} 2')
        assert value(page, "in_flight") == 7.0
        assert "carries the label server" in reason(vllm('num_requests_running{server="http://a"} 5'), "running")

    def test_an_empty_server_label_is_no_router(self) -> None:
        assert value(vllm('num_requests_running{server=""} 5'), "running") == 5.0

    def test_the_old_name_of_the_cache_gauge_is_used_where_the_new_one_is_absent_or_useless(self) -> None:
        old = 'gpu_cache_usage_perc{engine="0"} 0.5'
        assert value(vllm(old), "kv_utilization") == 0.5
        assert value(vllm(old, 'kv_cache_usage_perc{engine="0"} 0.6'), "kv_utilization") == 0.6
        assert value(vllm(old, 'kv_cache_usage_perc{engine="0"} NaN'), "kv_utilization") == 0.5
        both = reason(
            vllm('gpu_cache_usage_perc{engine="0"} 7', 'kv_cache_usage_perc{engine="0"} NaN'), "kv_utilization"
        )
        assert "vllm:kv_cache_usage_perc reads nan" in both
        assert "vllm:gpu_cache_usage_perc reads 7" in both

    def test_capacity_falls_back_to_blocks_where_a_label_is_missing_or_says_none(self) -> None:
        blocks = 'num_gpu_blocks="100",block_size="16"'
        assert value(vllm(f'cache_config_info{{kv_cache_size_tokens="999",{blocks}}} 1'), "kv_capacity_tokens") == 999.0
        assert value(vllm(f"cache_config_info{{{blocks}}} 1"), "kv_capacity_tokens") == 1600.0
        said_none = vllm(f'cache_config_info{{kv_cache_size_tokens="None",{blocks}}} 1')
        assert value(said_none, "kv_capacity_tokens") == 1600.0
        missing = reason(vllm('cache_config_info{block_size="16",num_gpu_blocks="None"} 1'), "kv_capacity_tokens")
        assert "no number in the label kv_cache_size_tokens" in missing
        assert "no number in the label num_gpu_blocks" in missing

    def test_one_engine_without_the_label_takes_the_whole_sum(self) -> None:
        page = vllm(
            'cache_config_info{engine="0",kv_cache_size_tokens="999",num_gpu_blocks="10",block_size="16"} 1',
            'cache_config_info{engine="1",num_gpu_blocks="10",block_size="16"} 1',
        )
        assert value(page, "kv_capacity_tokens") == 320.0

    def test_swapped_requests_of_the_old_engine_are_in_flight(self) -> None:
        assert value(vllm(*BASE, 'num_requests_swapped{engine="0"} 4'), "in_flight") == 11.0

    def test_without_a_queue_gauge_the_work_in_flight_is_unknown(self) -> None:
        said = reason(vllm('num_requests_running{engine="0"} 5'), "in_flight")
        assert said == "its part waiting is missing: vllm:num_requests_waiting is not on the page"

    def test_the_rust_front_end_lacks_some_series_and_the_rest_is_read(self) -> None:
        reading = read(vllm(*BASE))
        assert isinstance(reading.signals["awake_engines"], Missing)
        assert isinstance(reading.signals["rejected_rate"], Missing)
        assert value(vllm(*BASE), "in_flight") == 7.0

    def test_under_ray_the_whole_catalogue_holds_with_other_names_and_more_labels(self) -> None:
        labels = 'ReplicaId="{0}",WorkerId="w{0}",deployment="d",engine="0"'
        page = "".join(
            f"ray_{line}\n"
            for replica in (1, 2)
            for line in (
                f"vllm_num_requests_running{{{labels.format(replica)}}} 3",
                f"vllm_num_requests_waiting{{{labels.format(replica)}}} 1",
                f"vllm_kv_cache_usage_perc{{{labels.format(replica)}}} 0.{replica}",
                f"vllm_generation_tokens_total{{{labels.format(replica)}}} 100",
            )
        )
        assert value(page, "in_flight") == 8.0
        assert value(page, "kv_utilization") == pytest.approx(0.15)
        assert not isinstance(read(page).signals["generation_tokens_rate"], Missing)
        assert set(read(page).signals) == set(read(vllm(*BASE)).signals)

    def test_custom_buckets_of_one_engine_cannot_be_added_to_anothers(self) -> None:
        page = vllm(
            *BASE,
            'time_to_first_token_seconds_bucket{engine="0",le="1"} 1',
            'time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 2',
            'time_to_first_token_seconds_bucket{engine="1",le="2"} 1',
            'time_to_first_token_seconds_bucket{engine="1",le="+Inf"} 2',
            'time_to_first_token_seconds_sum{engine="0"} 1',
            'time_to_first_token_seconds_sum{engine="1"} 4',
        )
        reading = read(page)
        assert isinstance(reading.signals["ttft"], Histogram)
        values = derive(reading, read(vllm(*BASE)), 1.0)
        ttft, mean = values["ttft_p95"], values["ttft_mean"]
        assert isinstance(ttft, Missing)
        assert "different buckets" in ttft.reason
        assert not isinstance(mean, Missing)
        assert mean.value == pytest.approx(5 / 4)


class TestSglang:
    def test_work_in_flight_has_the_grammar_queue_where_the_release_has_one(self) -> None:
        assert value(sglang(*SGLANG), "in_flight") == 7.0
        assert value(sglang(*SGLANG, "num_grammar_queue_reqs{} 2"), "in_flight") == 9.0

    def test_a_grammar_queue_that_lies_is_not_taken_for_absent(self) -> None:
        assert "waiting_grammar" in reason(sglang(*SGLANG, "num_grammar_queue_reqs{} -2"), "in_flight")

    @pytest.mark.parametrize(
        ("role", "queues", "total"),
        [
            ("prefill", ("num_prefill_bootstrap_queue_reqs", "num_prefill_inflight_queue_reqs"), 7 + 10 + 20),
            ("prefill", ("num_prefill_prealloc_queue_reqs", "num_prefill_infight_queue_reqs"), 7 + 10 + 20),
            ("decode", ("num_decode_prealloc_queue_reqs", "num_decode_transfer_queue_reqs"), 7 + 10 + 20),
            ("unified", ("num_prefill_bootstrap_queue_reqs", "num_decode_transfer_queue_reqs"), 7),
            ("dynamic", ("num_prefill_bootstrap_queue_reqs", "num_decode_transfer_queue_reqs"), 7),
        ],
    )
    def test_the_role_decides_which_queues_count(self, role: str, queues: tuple[str, str], total: float) -> None:
        label = f'{{engine_type="{role}"}}'
        page = sglang(
            f"num_running_reqs{label} 4",
            f"num_queue_reqs{label} 3",
            f"{queues[0]}{label} 10",
            f"{queues[1]}{label} 20",
        )
        assert value(page, "in_flight") == total

    def test_a_prefill_server_without_its_queues_is_unknown(self) -> None:
        page = sglang('num_running_reqs{engine_type="prefill"} 4', 'num_queue_reqs{engine_type="prefill"} 3')
        assert "waiting_prefill_role is missing" in reason(page, "in_flight")

    def test_only_the_first_pipeline_stage_counts(self) -> None:
        page = sglang('num_running_reqs{pp_rank="0"} 4', 'num_running_reqs{pp_rank="1"} 4', "num_queue_reqs{} 3")
        assert value(page, "running") == 4.0
        assert 'no row of sglang:num_running_reqs has pp_rank="0"' in reason(
            sglang('num_running_reqs{pp_rank="1"} 4'), "running"
        )

    def test_tensor_parallel_ranks_repeat_the_numbers(self) -> None:
        page = sglang(*(f'num_running_reqs{{tp_rank="{rank}"}} 4' for rank in (10, 9, 2, 3)), "num_queue_reqs{} 3")
        assert value(page, "running") == 4.0
        found = read(page).signals["running"]
        assert isinstance(found, Gauge)
        assert found.source.rows == ((("tp_rank", "2"),),)

    def test_under_data_parallel_attention_each_rank_of_data_has_its_own_lowest_tensor_rank(self) -> None:
        rows = [("0", "0", 1), ("0", "1", 1), ("1", "2", 10), ("1", "3", 10)]
        page = sglang(*(f'num_running_reqs{{dp_rank="{dp}",tp_rank="{tp}"}} {count}' for dp, tp, count in rows))
        assert value(page, "running") == 11.0

    def test_rows_of_one_priority_repeat_the_total(self) -> None:
        page = sglang(
            'num_running_reqs{priority=""} 5',
            'num_running_reqs{priority="0"} 3',
            'num_running_reqs{priority="1"} 2',
            'num_queue_reqs{priority="0"} 3',
        )
        assert value(page, "running") == 5.0
        assert "one priority" in reason(page, "waiting")

    def test_capacity_of_the_ranks_is_added_and_their_usage_averaged(self) -> None:
        page = sglang(
            'token_usage{dp_rank="0",tp_rank="0"} 0.2',
            'token_usage{dp_rank="1",tp_rank="1"} 0.4',
            'max_total_num_tokens{dp_rank="0",tp_rank="0"} 1000',
            'max_total_num_tokens{dp_rank="1",tp_rank="1"} 1000',
        )
        assert value(page, "kv_utilization") == pytest.approx(0.3)
        assert value(page, "kv_capacity_tokens") == 2000.0

    def test_the_batch_limit_is_elsewhere_and_the_reason_says_where(self) -> None:
        assert "GET /v1/loads, field max_running_requests" in reason(sglang(*SGLANG), "batch_limit")

    def test_the_generation_rate_of_an_old_release_is_a_gauge(self) -> None:
        found = derive(read(sglang(*SGLANG, "gen_throughput{} 250.5")), None, None)["generation_tokens_rate"]
        assert not isinstance(found, Missing)
        assert (found.value, found.unit) == (250.5, "tokens/s")

    def test_utilization_gauges_that_read_nan_or_minus_one_do_no_harm(self) -> None:
        page = sglang(*SGLANG, "utilization{} -1", "fwd_occupancy{} NaN")
        assert value(page, "in_flight") == 7.0


class TestOthers:
    def test_an_ensemble_repeats_requests_under_other_model_names(self) -> None:
        page = "".join(
            f'nv_inference_request_success{{model="{model}",version="1"}} 100\n'
            for model in ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing")
        )
        page += 'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active"} 7\n'
        page += 'nv_gpu_utilization{gpu_uuid="a"} 0.5\nnv_gpu_utilization{gpu_uuid="b"} 0.7\n'
        found = read(page).signals["finished_rate"]
        assert getattr(found, "values", None) == (100.0,)
        assert value(page, "running") == 7.0
        assert value(page, "gpu_utilization") == pytest.approx(0.6)
        assert 'no row with request_type="waiting"' in reason(page, "waiting")

    def test_microseconds_become_seconds(self) -> None:
        def page(spent: int, count: int) -> str:
            return (
                f'nv_inference_queue_duration_us{{model="tensorrt_llm"}} {spent}\n'
                f'nv_inference_request_success{{model="tensorrt_llm"}} {count}\n'
                'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active"} 1\n'
            )

        found = derive(read(page(5_000_000, 20)), read(page(1_000_000, 10)), 1.0)["queue_time"]
        assert not isinstance(found, Missing)
        assert found.value == pytest.approx(0.4)

    def test_edges_in_milliseconds_become_seconds(self) -> None:
        page = (
            'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active"} 1\n'
            'nv_inference_first_response_histogram_ms_bucket{model="tensorrt_llm",le="100"} 0\n'
            'nv_inference_first_response_histogram_ms_bucket{model="tensorrt_llm",le="200"} 10\n'
            'nv_inference_first_response_histogram_ms_bucket{model="tensorrt_llm",le="+Inf"} 10\n'
            'nv_inference_first_response_histogram_ms_sum{model="tensorrt_llm"} 1500\n'
        )
        empty = 'nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active"} 1\n'
        values = derive(read(page), read(empty), 1.0)
        p50, mean = values["ttft_p50"], values["ttft_mean"]
        assert not isinstance(p50, Missing)
        assert not isinstance(mean, Missing)
        assert (p50.value, mean.value) == (pytest.approx(0.15), pytest.approx(0.15))

    def test_a_stale_process_row_of_trtllm_serve_does_not_make_two_engines(self) -> None:
        page = (
            'trtllm_num_requests_running{pid="1"} 3\ntrtllm_num_requests_running{pid="2"} 5\n'
            'trtllm_num_requests_waiting{pid="1"} 1\ntrtllm_max_batch_size_runtime{pid="2"} 64\n'
        )
        assert value(page, "in_flight") == 6.0
        assert value(page, "batch_limit") == 64.0

    def test_two_rows_where_one_is_expected_are_no_value(self) -> None:
        page = 'trtllm_num_requests_running{model_name="a"} 3\ntrtllm_num_requests_running{model_name="b"} 5\n'
        assert "2 rows where one is expected" in reason(page, "running")

    def test_the_batch_limit_is_found_by_its_second_name(self) -> None:
        assert value("trtllm_max_num_active_requests 2048\n", "batch_limit") == 2048.0

    def test_dynamo_counts_by_stage_or_by_the_old_gauge(self) -> None:
        stages = "".join(
            f'dynamo_frontend_stage_requests{{stage="{stage}"}} {count}\n'
            for stage, count in (("preprocess", 1), ("route", 2), ("dispatch", 4), ("decode", 100), ("reroute", 50))
        )
        old = "dynamo_frontend_queued_requests 9\ndynamo_frontend_inflight_requests 20\n"
        assert value(stages + old, "waiting") == 7.0
        assert value(old, "waiting") == 9.0
        assert value(old, "in_flight") == 20.0

    def test_a_dynamo_worker_counts_its_generate_endpoint_only(self) -> None:
        page = (
            'dynamo_component_inflight_requests{dynamo_endpoint="generate"} 4\n'
            'dynamo_component_inflight_requests{dynamo_endpoint="clear_kv_blocks"} 1\n'
        )
        assert value(page, "in_flight") == 4.0

    def test_lmdeploy_adds_requests_that_wait_in_its_api_server(self) -> None:
        base = "lmdeploy:num_requests_running 3\nlmdeploy:num_requests_waiting 2\n"
        assert value(base, "in_flight") == 5.0
        assert value(base + "lmdeploy:num_api_requests_waiting 4\n", "in_flight") == 9.0

    def test_llamacpp_of_an_older_build_still_shows_its_cache(self) -> None:
        page = "llamacpp:requests_processing 3\nllamacpp:requests_deferred 0\nllamacpp:kv_cache_usage_ratio 0.25\n"
        assert value(page, "kv_utilization") == 0.25
        assert "GET /props, field total_slots" in reason(page, "batch_limit")

    def test_dcgm_values_that_mean_not_available_are_dropped_before_averaging(self) -> None:
        page = (
            'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 40\nDCGM_FI_DEV_GPU_UTIL{gpu="1"} 9223372036854775794\n'
            'DCGM_FI_DEV_FB_USED{gpu="0"} 9223372036854775792\n'
        )
        assert value(page, "gpu_utilization") == pytest.approx(0.4)
        assert "not available" in reason(page, "gpu_memory_used_mib")
        assert "core" not in read(page).signals
        assert "running" not in read(page).signals

    def test_a_picker_says_which_release_it_is(self) -> None:
        page = 'llm_d_epp_info{build_ref="v0.11.0",commit="abc"} 1\nllm_d_epp_request_running{model_name="m"} 3\n'
        assert read(page).version == "v0.11.0"
        assert read("llm_d_epp_request_running 3\n").version is None

    def test_pool_wide_values_are_one_row_of_one_pool(self) -> None:
        page = 'inference_pool_average_queue_size{name="a"} 1.5\ninference_pool_average_queue_size{name="b"} 2\n'
        assert "2 rows where one is expected" in reason(page, "waiting_mean")

    def test_an_engine_without_a_metrics_page_can_be_named_and_says_why_there_is_nothing(self) -> None:
        found = read("up 1\n", engine="ollama").signals["in_flight"]
        assert isinstance(found, Missing)
        assert "no metrics endpoint" in found.reason

    def test_embedding_servers_have_no_running_gauge_and_say_so(self) -> None:
        assert value("te_queue_size 4\n", "waiting") == 4.0
        assert reason("te_queue_size 4\n", "in_flight") == "the catalogue knows no series of it for tei"


class TestLies:
    @pytest.mark.parametrize(
        ("said", "because"),
        [
            ("-1", "reads -1, below 0"),
            ("-0.5", "below 0"),
            ("NaN", "no finite number"),
            ("+Inf", "no finite number"),
            ("-Inf", "no finite number"),
            ("1e300", "more than any server has"),
            ("1e400", "no finite number"),
        ],
    )
    def test_a_count_that_cannot_be_is_no_count(self, said: str, because: str) -> None:
        page = vllm(f'num_requests_running{{engine="0"}} {said}', 'num_requests_waiting{engine="0"} 2')
        assert because in reason(page, "running")
        assert because in reason(page, "in_flight")
        assert value(page, "waiting") == 2.0

    def test_one_lying_engine_takes_the_sum(self) -> None:
        page = vllm('num_requests_running{engine="0"} 5', 'num_requests_running{engine="1"} -1')
        assert "below 0" in reason(page, "running")

    def test_a_lying_process_is_not_hidden_behind_the_largest(self) -> None:
        for order in (("NaN", "0.4"), ("0.4", "NaN")):
            page = vllm(*(f'kv_cache_usage_perc{{engine="0",pid="{pid}"}} {said}' for pid, said in enumerate(order)))
            assert "no finite number" in reason(page, "kv_utilization")

    @pytest.mark.parametrize("said", ["1.01", "58.7", "-0.1"])
    def test_a_ratio_out_of_range_is_not_cut_to_size(self, said: str) -> None:
        assert "reads" in reason(vllm(f'kv_cache_usage_perc{{engine="0"}} {said}'), "kv_utilization")

    def test_minus_zero_and_one_are_in_range(self) -> None:
        assert value(vllm('kv_cache_usage_perc{engine="0"} -0.0'), "kv_utilization") == 0.0
        assert value(vllm('kv_cache_usage_perc{engine="0"} 1'), "kv_utilization") == 1.0

    def test_a_row_that_stands_twice_counts_for_nothing(self) -> None:
        page = vllm('num_requests_running{engine="0",a="b"} 5', 'num_requests_running{a="b",engine="0"} 5')
        assert "two rows with the same labels" in reason(page, "running")

    @pytest.mark.parametrize("said", ["-1", "NaN", "+Inf", "1e300"])
    def test_a_total_that_cannot_be_is_no_total(self, said: str) -> None:
        found = read(vllm(*BASE, f'generation_tokens_total{{engine="0"}} {said}')).signals["generation_tokens_rate"]
        assert isinstance(found, Missing)
        assert "no counter of a server" in found.reason

    @pytest.mark.parametrize(
        ("buckets", "because"),
        [
            ((("1", "5"), ("+Inf", "3")), "do not grow"),
            ((("1", "-1"), ("+Inf", "3")), "do not grow from 0"),
            ((("1", "NaN"), ("+Inf", "3")), "do not grow"),
            ((("1", "2"), ("+Inf", "NaN")), "do not grow"),
            ((("1", "2"), ("+Inf", "+Inf")), "do not grow"),
            ((("1", "2"), ("2", "3")), 'no le="+Inf" row'),
            ((("+Inf", "3"),), 'no le="+Inf" row above another'),
            ((("1", "2"), ("1.0", "2"), ("+Inf", "3")), "two rows with the same edge"),
            ((("x", "2"), ("+Inf", "3")), "no number in the label le"),
            ((("NaN", "2"), ("+Inf", "3")), "no number in the label le"),
        ],
    )
    def test_buckets_that_cannot_be_are_no_distribution(
        self, buckets: tuple[tuple[str, str], ...], because: str
    ) -> None:
        rows = (f'time_to_first_token_seconds_bucket{{engine="0",le="{le}"}} {count}' for le, count in buckets)
        assert because in reason(vllm(*BASE, *rows), "ttft")

    def test_buckets_in_any_order_are_sorted_by_their_edge(self) -> None:
        rows = (
            f'time_to_first_token_seconds_bucket{{engine="0",le="{le}"}} {count}'
            for le, count in (("+Inf", 9), ("10", 5), ("2", 1), ("1e1", 0))[:3]
        )
        found = read(vllm(*BASE, *rows)).signals["ttft"]
        assert isinstance(found, Histogram)
        assert found.edges[0][:2] == (2.0, 10.0)
        assert found.counts[0] == (1.0, 5.0, 9.0)

    def test_a_summary_under_the_histograms_name_has_no_buckets(self) -> None:
        page = vllm(*BASE, 'time_to_first_token_seconds{quantile="0.5"} 1', "time_to_first_token_seconds_count 4")
        assert "vllm:time_to_first_token_seconds_bucket is not on the page" in reason(page, "ttft")

    def test_a_capacity_in_a_label_is_checked_too(self) -> None:
        page = vllm('cache_config_info{kv_cache_size_tokens="1e300"} 1')
        assert "more than any server has" in reason(page, "kv_capacity_tokens")
