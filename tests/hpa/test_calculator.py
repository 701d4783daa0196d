"""The replica calculator: the vectors of upstream's own unit tests and its quirks.

Numbers: kubernetes pkg/controller/podautoscaler/replica_calculator_test.go (initialisation period 2 min, readiness
delay 10 s, tolerance 0.1).
"""

import math
from typing import Any

import pytest

from inflight.hpa import Controller, PodMetric, Reason
from inflight.hpa.calculator import (
    NO_MATCHING_PODS,
    NO_PODS,
    NO_USABLE_PODS,
    average_of_pods,
    external_average,
    external_value,
    object_average,
    ratio_of_value,
    utilization,
)
from inflight.hpa.numbers import MAX_INT32, MAX_INT64, MIN_INT64
from inflight.objects import Pod

from .builders import SECOND, START, pod, pods, situation, values

NOW_TEXT = "2000-01-01T00:00:00Z"


def unready(index: int, cpu: str = "2") -> Pod:
    """Not ready, and never was."""
    return pod(f"pod-{index}", ready="False", cpu=cpu, started=NOW_TEXT, ready_since=NOW_TEXT)


def hot(index: int, cpu: str = "2") -> Pod:
    """Ready since a moment: its sample is older than a window after that."""
    return pod(f"pod-{index}", cpu=cpu, started=NOW_TEXT, ready_since=NOW_TEXT)


def fleet(count: int, cpu: str = "2", **special: Any) -> list[Pod]:
    """`count` pods; `_0=...` puts another pod in the place of pod-0."""
    replaced = {int(key[1:]): value for key, value in special.items()}
    return [replaced.get(index) or pod(f"pod-{index}", cpu=cpu) for index in range(count)]


@pytest.mark.parametrize(
    ("members", "current", "usage", "target", "replicas", "percent", "average"),
    [
        (fleet(3), 3, (600, 1000, 1400), 30, 5, 50, 1000),
        (fleet(3, _0=unready(0)), 3, (600, 1000, 1400), 30, 4, 60, 1200),
        (fleet(3, _0=hot(0)), 3, (600, 1000, 1400), 30, 4, 60, 1200),
        (fleet(3, _1=unready(1), _2=unready(2)), 3, (800, 1000, 1400), 30, 3, 40, 800),
        (
            fleet(4, _2=pod("pod-2", phase="Failed"), _3=pod("pod-3", phase="Failed")),
            2,
            (1000, 1400),
            30,
            4,
            60,
            1200,
        ),
        (fleet(4, _2=pod("pod-2", deleting=True), _3=pod("pod-3", deleting=True)), 2, (1000, 1400), 30, 4, 60, 1200),
        (fleet(5), 5, (200, 600, 1000, 500, 500), 50, 3, 28, 560),
        (fleet(5, _3=unready(3), _4=unready(4)), 5, (200, 600, 1000, 500, 500), 50, 2, 30, 600),
        (fleet(5, _3=hot(3), _4=hot(4)), 5, (200, 600, 1000, 500, 500), 50, 2, 30, 600),
        (
            [pod("pod-0", cpu="2"), *(pod(f"pod-{index}", cpu="2", phase="Pending") for index in range(1, 5))],
            5,
            (200,),
            50,
            1,
            10,
            200,
        ),
        # Missing pods: filled with 0 on the way up, with max(100, target) percent of the request on the way down.
        (fleet(4), 4, (8000, 19000, 6000, 14000, 6400, 4000), 100, 24, 587, 11750),
        (fleet(4), 4, (800, 190), 100, 3, 24, 495),
        (fleet(2), 2, (2000,), 100, 2, 100, 2000),
        (fleet(2), 2, (3800,), 100, 2, 190, 3800),
        (fleet(2), 2, (1200,), 100, 2, 60, 1200),
        (fleet(3, _0=unready(0)), 3, (200, 900), 50, 3, 45, 900),
        (fleet(3, _0=hot(0)), 3, (200, 900), 50, 3, 45, 900),
        (fleet(3, _0=unready(0)), 3, (200, 4000), 50, 4, 200, 4000),
        (fleet(3, _0=hot(0)), 3, (200, 4000), 50, 4, 200, 4000),
        (fleet(4, _0=unready(0)), 4, (200, 200, 200), 50, 3, 10, 200),
        (
            [unready(0), pod("pod-1", cpu="2"), pod("pod-2", cpu="4"), pod("pod-3", cpu="4")],
            4,
            (400, 200, 200),
            300,
            2,
            6,
            200,
        ),
        (fleet(3), 2, (200, 200), 50, 2, 10, 200),
    ],
)
def test_cpu_utilization(
    *,
    members: list[Pod],
    current: int,
    usage: tuple[int, ...],
    target: int,
    replicas: int,
    percent: int,
    average: int,
) -> None:
    result = utilization(situation(members), values(*usage), current, target, resource="cpu")
    assert result.error == ""
    assert (result.replicas, result.utilization_percent, result.usage_milli) == (replicas, percent, average)


@pytest.mark.parametrize(
    ("down", "up", "usage", "replicas", "percent", "average"),
    [
        (0.1, 0.1, (2020, 2060, 2040), 3, 102, 2040),
        (0.0, 0.0, (1818, 2020, 2222), 4, 101, 2020),
        (0.1, 2.0, (3780, 3820, 3800), 3, 190, 3800),
        (2.0, 0.08, (2200, 2160, 2180), 4, 109, 2180),
        (0.36, 0.1, (1320, 1280, 1300), 3, 65, 1300),
        (0.34, 0.1, (1320, 1280, 1300), 2, 65, 1300),
    ],
)
def test_tolerances_of_each_direction(
    *, down: float, up: float, usage: tuple[int, ...], replicas: int, percent: int, average: int
) -> None:
    members = [pod("pod-0", cpu="1800m"), pod("pod-1", cpu="2000m"), pod("pod-2", cpu="2200m")]
    result = utilization(situation(members, down=down, up=up), values(*usage), 3, 100, resource="cpu")
    assert (result.replicas, result.utilization_percent, result.usage_milli) == (replicas, percent, average)


def test_a_named_container_is_measured_against_its_own_request() -> None:
    result = utilization(situation(pods(3, cpu="1")), values(300, 500, 700), 3, 30, resource="cpu", container="main")
    assert (result.replicas, result.utilization_percent, result.usage_milli) == (5, 50, 500)


def test_utilization_below_one_percent_is_none() -> None:
    result = utilization(situation(pods(2, cpu="2")), values(19, 19), 2, 50, resource="cpu")
    assert (result.replicas, result.utilization_percent) == (0, 0)


@pytest.mark.parametrize(
    ("members", "usage", "error"),
    [
        ([], (100,), NO_PODS),
        (pods(2), (), NO_USABLE_PODS),
        (fleet(1, _0=unready(0)), (100,), NO_USABLE_PODS),
        ([pod("other")], (100,), NO_MATCHING_PODS),
        ([pod("pod-0", cpu=None)], (100,), "missing request for cpu in container main of Pod pod-0"),
        ([pod("pod-0", cpu="0")], (100,), NO_MATCHING_PODS),
    ],
)
def test_what_cannot_be_computed(members: list[Pod], usage: tuple[int, ...], error: str) -> None:
    result = utilization(situation(members), values(*usage), 2, 50, resource="cpu")
    assert result.error == error
    assert result.verdict is Reason.RECOMMENDATION_FAILED


def test_a_container_that_a_pod_lacks_is_an_error_from_1_35_on() -> None:
    result = utilization(situation(pods(1)), values(100), 1, 50, resource="cpu", container="sidecar")
    assert result.error == "container sidecar not found in Pod pod-0"
    old = situation(pods(1), controller=Controller(kubernetes="1.34"))
    assert utilization(old, values(100), 1, 50, resource="cpu", container="sidecar").error == NO_MATCHING_PODS


def test_sidecars_count_and_other_init_containers_do_not() -> None:
    request = {"requests": {"cpu": "500m"}}
    init = [
        {"name": "migrate", "resources": request},
        {"name": "proxy", "restartPolicy": "Always", "resources": request},
    ]
    result = utilization(situation([pod("pod-0", cpu="1", initContainers=init)]), values(1500), 1, 50, resource="cpu")
    assert result.utilization_percent == 100


def test_pod_level_requests_stand_before_those_of_containers() -> None:
    member = pod("pod-0", cpu="1", resources={"requests": {"cpu": "4"}})
    assert utilization(situation([member]), values(2000), 1, 50, resource="cpu").utilization_percent == 50
    assert (
        utilization(situation([member]), values(2000), 1, 50, resource="cpu", container="main").utilization_percent
        == 200
    )
    closed = Controller(feature_gates={"PodLevelResources": False})
    assert (
        utilization(situation([member], controller=closed), values(2000), 1, 50, resource="cpu").utilization_percent
        == 200
    )


def test_pod_level_requests_of_another_resource_leave_the_containers_sum() -> None:
    member = pod("pod-0", cpu="1", resources={"requests": {"memory": "1Gi"}})
    assert utilization(situation([member]), values(2000), 1, 50, resource="cpu").utilization_percent == 200
    bare = pod("pod-0", cpu=None, resources={"requests": {"memory": "1Gi"}})
    assert utilization(situation([bare]), values(2000), 1, 50, resource="cpu").error == (
        "missing pod-level request for cpu in Pod pod-0"
    )


@pytest.mark.parametrize(
    ("started", "since", "ready", "age_seconds", "why"),
    [
        ("1999-12-31T23:59:00Z", "1999-12-31T23:59:00Z", "False", 0, Reason.NOT_READY),
        ("1999-12-31T23:59:00Z", "1999-12-31T23:59:30Z", "True", 0, Reason.SAMPLE_BEFORE_READY),
        ("1999-12-31T23:59:00Z", "1999-12-31T23:59:00Z", "True", 0, None),
        ("1999-12-31T23:59:00Z", "1999-12-31T23:59:00Z", "True", 1, Reason.SAMPLE_BEFORE_READY),
        ("1999-12-31T23:59:00Z", "1999-12-31T23:59:00Z", "Unknown", 0, None),
        ("1999-12-31T23:58:00Z", "1999-12-31T23:58:09Z", "False", 0, Reason.NEVER_READY),
        ("1999-12-31T23:58:00Z", "1999-12-31T23:58:10Z", "False", 0, None),
        ("1999-12-31T23:58:00Z", "1999-12-31T23:59:59Z", "True", 0, None),
        (None, "1999-12-31T23:58:00Z", "True", 0, Reason.NO_START_TIME),
        ("1999-12-31T23:58:00Z", None, None, 0, Reason.NO_READY_CONDITION),
    ],
)
def test_a_young_pods_cpu_counts_only_when_it_tells_about_a_ready_pod(
    started: str | None, since: str | None, ready: str | None, age_seconds: int, why: Reason | None
) -> None:
    member = pod("pod-0", ready=ready, started=started, ready_since=since)
    sample = {"pod-0": PodMetric(1000, START - age_seconds * SECOND), "pod-1": PodMetric(1000, START)}
    result = utilization(situation([member, pod("pod-1")]), sample, 2, 50, resource="cpu")
    assert result.pods is not None
    assert [aside.why for aside in result.pods.unready] == ([] if why is None else [why])
    memory = utilization(situation([member, pod("pod-1")]), sample, 2, 50, resource="memory")
    assert memory.error.startswith("missing request for memory")


@pytest.mark.parametrize(
    ("members", "current", "usage", "target", "replicas", "average"),
    [
        (pods(3), 3, (20000, 10000, 30000), 15000, 4, 20000),
        (fleet(3, _2=unready(2)), 3, (50000, 10000, 30000), 15000, 6, 30000),
        (fleet(3, _0=unready(0), _2=unready(2)), 3, (50000, 15000, 30000), 15000, 7, 31666),
        (pods(5), 5, (12000,) * 5, 20000, 3, 12000),
        (pods(3), 3, (20000, 21000, 21000), 20000, 3, 20666),
        (pods(5), 5, (20000, 19000, 21000, 20000, 20000), 20000, 5, 20000),
        (pods(5), 5, (20000, 19000, 21000), 20000, 5, 20000),
        (pods(3), 2, (10000, 10000), 17000, 2, 10000),
        (pods(4), 4, (3000,), 1000, 4, 3000),
        (pods(4), 4, (0, 0), 1000, 2, 0),
        (pods(4), 4, (0,), 1000, 3, 0),
    ],
)
def test_pods_metric(
    *, members: list[Pod], current: int, usage: tuple[int, ...], target: int, replicas: int, average: int
) -> None:
    result = average_of_pods(situation(members), values(*usage), current, target)
    assert (result.replicas, result.usage_milli) == (replicas, average)


def test_pods_metric_with_a_tolerance_of_its_own() -> None:
    result = average_of_pods(situation(pods(3), up=0.01), values(20000, 21000, 21000), 3, 20000)
    assert (result.replicas, result.usage_milli) == (4, 20666)


def test_the_second_pass_says_what_it_filled_in() -> None:
    result = average_of_pods(situation(pods(4)), values(0, 0), 4, 1000)
    assert result.second_pass is not None
    assert (result.second_pass.missing_filled, result.second_pass.counted, result.second_pass.ratio) == (
        "target",
        4,
        0.5,
    )
    assert result.pods is not None
    assert result.pods.missing == ("pod-2", "pod-3")


@pytest.mark.parametrize(
    ("current", "ready", "usage", "target", "replicas"),
    [
        (3, 3, 20000, 15000, 4),
        (3, 3, MAX_INT64, 1, MAX_INT32),
        (3, 1, 50000, 10000, 5),
        (5, 5, 12000, 20000, 3),
        (3, 3, 20666, 20000, 3),
        (4, 1, 2000, 1000, 2),
        (4, 0, 2000, 1000, 0),
        (0, 0, 2500, 1000, 3),
    ],
)
def test_object_value(current: int, ready: int, usage: int, target: int, replicas: int) -> None:
    members = [pod(f"pod-{index}", ready="True" if index < ready else "False") for index in range(max(current, 1))]
    result = ratio_of_value(situation(members), usage, current, target)
    assert (result.replicas, result.usage_milli) == (replicas, usage)


def test_object_value_with_a_tolerance_of_its_own() -> None:
    assert ratio_of_value(situation(pods(3), up=0.01), 20666, 3, 20000).replicas == 4


def test_a_terminating_pod_that_is_still_ready_counts_for_a_value() -> None:
    members = [pod("pod-0"), pod("pod-1", deleting=True)]
    assert ratio_of_value(situation(members), 3000, 2, 1000).replicas == 6


@pytest.mark.parametrize(
    ("up", "status", "usage", "target", "replicas", "average"),
    [
        (0.1, 1, MAX_INT64, MAX_INT64, 1, MAX_INT64),
        (0.1, 3, 20000, 5000, 4, 6667),
        (0.1, 5, 6000, 2000, 3, 1200),
        (0.1, 4, 20166, 5000, 4, 5042),
        (0.01, 5, 20208, 5000, 5, 4042),
        (0.01, 4, 20208, 5000, 5, 5052),
        (0.1, 0, 20000, 5000, 4, MIN_INT64),
        (0.1, 0, 0, 5000, 0, MIN_INT64),
    ],
)
def test_object_average(*, up: float, status: int, usage: int, target: int, replicas: int, average: int) -> None:
    if average == MAX_INT64:
        average = MIN_INT64  # the double 2**63 does not fit an int64 on amd64
    result = object_average(situation(up=up), usage, status, target)
    assert (result.replicas, result.usage_milli) == (replicas, average)


@pytest.mark.parametrize(
    ("up", "current", "ready", "usage", "target", "replicas"),
    [
        (0.1, 3, 1, (8600,), 4400, 2),
        (0.1, 5, 5, (8600,), 14334, 3),
        (0.1, 3, 3, (8600,), 8888, 3),
        (0.01, 3, 3, (8900,), 8800, 4),
        (0.1, 3, 3, (MAX_INT64 // 2 + 1, MAX_INT64 // 2 + 1), MAX_INT64, 3),
        (0.1, 8, 8, (600,) * 8, 800, 48),
    ],
)
def test_external_value(
    *, up: float, current: int, ready: int, usage: tuple[int, ...], target: int, replicas: int
) -> None:
    members = [pod(f"pod-{index}", ready="True" if index < ready else "False") for index in range(current)]
    assert external_value(situation(members, up=up), usage, current, target).replicas == replicas


def test_external_value_without_pods_is_an_error() -> None:
    result = external_value(situation(), (8600,), 3, 4400)
    assert result.error == f"unable to calculate ready pods: {NO_PODS}"


@pytest.mark.parametrize(
    ("up", "status", "usage", "target", "replicas", "average"),
    [
        (0.1, 1, (MAX_INT64,), 1, MAX_INT32, MAX_INT64),
        (0.1, 1, (MAX_INT64,), MAX_INT64, 1, MAX_INT64),
        (0.1, 0, (20000,), 5000, 4, MIN_INT64),
        (0.1, 0, (0,), 5000, 0, MIN_INT64),
        (0.1, 3, (8600,), 2150, 4, 2867),
        (0.1, 5, (8600,), 2867, 3, 1720),
        (0.1, 3, (8600,), 2900, 3, 2867),
        (0.01, 3, (8600,), 2800, 4, 2867),
        (0.1, 4, (4200,), 1000, 4, 1050),
        (0.1, 12, (11000,), 1000, 12, 917),
        (0.1, 3, (-1,), 1000, MAX_INT32, MAX_INT64),
        (0.1, 8, (600,) * 8, 800, 6, 600),
        (0.1, 3, (1000,), 1000, 1, 334),
    ],
)
def test_external_average(
    *, up: float, status: int, usage: tuple[int, ...], target: int, replicas: int, average: int
) -> None:
    result = external_average(situation(up=up), usage, status, target)
    assert (result.replicas, result.usage_milli) == (replicas, average)


def test_the_upper_edge_of_the_tolerance_moved_inside_with_1_33() -> None:
    members = pods(10)
    new = average_of_pods(situation(members), values(*(1100,) * 10), 10, 1000)
    assert (new.replicas, new.verdict) == (10, Reason.WITHIN_TOLERANCE)
    old = situation(members, controller=Controller(kubernetes="1.32"))
    assert average_of_pods(old, values(*(1100,) * 10), 10, 1000).replicas == 11


def test_the_lower_edge_is_inside_in_all_releases() -> None:
    for kubernetes in ("1.32", "1.37"):
        before = situation(pods(10), controller=Controller(kubernetes=kubernetes))
        assert average_of_pods(before, values(*(900,) * 10), 10, 1000).replicas == 10


def test_overflow_is_that_of_the_processor() -> None:
    huge = values(*(MAX_INT64 // 4,) * 3)
    amd64 = average_of_pods(situation(pods(3)), huge, 3, 1)
    assert amd64.replicas == -(2**31)
    arm64 = average_of_pods(situation(pods(3), controller=Controller(architecture="arm64")), huge, 3, 1)
    assert arm64.replicas == MAX_INT32


def test_caps_came_release_by_release() -> None:
    def at(kubernetes: str) -> Any:
        return situation(pods(1), controller=Controller(kubernetes=kubernetes))

    assert external_average(at("1.33"), (MAX_INT64,), 1, 1).replicas == -(2**31)
    assert external_average(at("1.34"), (MAX_INT64,), 1, 1).replicas == MAX_INT32
    assert ratio_of_value(at("1.34"), MAX_INT64, 1, 1).replicas == -(2**31)
    assert ratio_of_value(at("1.35"), MAX_INT64, 1, 1).replicas == MAX_INT32
    assert external_value(at("1.34"), (MAX_INT64, 1), 1, 1).usage_milli == MIN_INT64
    assert external_value(at("1.35"), (MAX_INT64, 1), 1, 1).usage_milli == MAX_INT64


def test_a_target_of_zero_is_no_division_by_zero() -> None:
    assert external_average(situation(), (0,), 1, 0).replicas == -(2**31)
    ratio = average_of_pods(situation(pods(1)), values(0), 1, 0).ratio
    assert ratio is not None
    assert math.isnan(ratio)
