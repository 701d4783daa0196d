"""CPU of a serving pod, and how metrics-server reports it."""

import pytest

from inflight.sim.cpu import CpuModel, CpuPoint, MetricsServer


def point(at: float, core_seconds: float, started_at: float = 0.0, name: str = "pod") -> CpuPoint:
    return CpuPoint(name, started_at, at, core_seconds)


def test_a_busy_pod_burns_its_engine_loop_and_something_for_each_token():
    model = CpuModel(busy_cores=1, idle_cores=0.1, seconds_per_prompt_token=1e-6, seconds_per_output_token=50e-6)
    used = model.serving_core_seconds(100, busy_seconds=60, prompt_tokens=1_000_000, output_tokens=10_000)
    assert used == pytest.approx(60 + 4 + 1 + 0.5)


def test_at_the_default_a_pod_that_never_idles_uses_little_more_than_one_core():
    used = CpuModel().serving_core_seconds(15, 15, prompt_tokens=15 * 5 * 1_155, output_tokens=15 * 5 * 211)
    assert 1.0 < used / 15 < 1.1


def test_numbers_that_cannot_be_are_refused_by_name():
    with pytest.raises(ValueError, match="idle_cores of the CPU model is -1"):
        CpuModel(idle_cores=-1)
    with pytest.raises(ValueError, match="busy_cores"):
        CpuModel(busy_cores=float("nan"))


def test_the_usage_is_the_slope_between_two_points_and_carries_the_later_time():
    server = MetricsServer()
    server.scrape([point(100, 50)])
    assert server.usage() == {}
    server.scrape([point(115, 62)])
    usage = server.usage()["pod"]
    assert usage.cores == pytest.approx(0.8)
    assert (usage.at, usage.window_seconds) == (115, 15)


def test_a_container_that_started_ten_seconds_before_the_first_scrape_is_listed_at_once():
    server = MetricsServer()
    server.scrape([point(112, 6, started_at=100, name="old enough"), point(112, 3, started_at=103, name="too young")])
    assert set(server.usage()) == {"old enough"}
    usage = server.usage()["old enough"]
    assert (usage.cores, usage.window_seconds) == (pytest.approx(0.5), 12)
    server.scrape([point(127, 21, started_at=100, name="old enough"), point(127, 18, started_at=103, name="too young")])
    assert {name: each.window_seconds for name, each in server.usage().items()} == {"old enough": 15, "too young": 15}


def test_a_pod_that_is_gone_is_not_listed_any_more():
    server = MetricsServer()
    server.scrape([point(100, 1), point(100, 1, name="other")])
    server.scrape([point(115, 2), point(115, 2, name="other")])
    server.scrape([point(130, 3)])
    assert set(server.usage()) == {"pod"}


def test_a_pod_that_comes_back_begins_anew():
    server = MetricsServer()
    server.scrape([point(100, 1)])
    server.scrape([])
    server.scrape([point(130, 3)])
    assert server.usage() == {}
