"""Differences from the upstream controller that were found by drawn and mutated cases, one test each.

The expected numbers are upstream's own (conformance/decide).
"""

from typing import Any

import pytest

from inflight.hpa.cases import answer_case


def call(method: str, **more: Any) -> dict[str, Any]:
    """One call of the calculator about one pod `a` that is old and ready."""
    case = {"id": "c", "method": method, "current": 3, "target": 50, "metrics": {"a": 300}, "pods": [pod("a")], **more}
    return answer_case(case)


def pod(name: str, *containers: dict[str, Any]) -> dict[str, Any]:
    main = {"name": "main", "resources": {"requests": {"cpu": "1"}}}
    return {
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": list(containers or (main,))},
        "status": {
            "phase": "Running",
            "startTime": "1999-12-31T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1999-12-31T00:00:10Z"}],
        },
    }


def story(**more: Any) -> dict[str, Any]:
    metric = {"metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 20,
        "metrics": [{"type": "External", "external": metric}],
    }
    return {
        "id": "s",
        "hpa": {"metadata": {"name": "web"}, "spec": spec},
        "scale": {"replicas": 5, "selector": "app=web"},
        "steps": [{"metrics": {"external/load": {"values": ["100"]}}}],
        **more,
    }


@pytest.mark.parametrize(("kubernetes", "percent"), [("1.34", 20), ("1.35", 30), ("1.37", 30)])
def test_a_container_without_a_name_ends_the_sum_of_requests(kubernetes: str, percent: int) -> None:
    """From 1.35 on a container called like the one that is asked for ends the search, also where none is asked for."""
    unnamed = {"resources": {"requests": {"cpu": "1"}}}
    side = {"name": "side", "resources": {"requests": {"cpu": "500m"}}}
    answer = call("GetResourceReplicas", kubernetes=kubernetes, pods=[pod("a", unnamed, side)])
    assert answer["utilization"] == percent


def test_a_null_in_a_list_or_a_map_is_a_zero() -> None:
    nothing = pod("a")
    nothing["spec"]["containers"].append(None)
    assert "missing request for cpu in container  of Pod a" in call("GetResourceReplicas", pods=[nothing])["error"]
    labelled = pod("a")
    labelled["metadata"]["labels"]["app"] = None
    assert call("GetMetricReplicas", pods=[labelled], selector="app=")["replicas"] == 6
    assert call("GetExternalPerPodMetricReplicas", metrics=[None, 100])["usage"] == 34
    free = pod("a")
    free["spec"]["containers"][0]["resources"]["requests"]["cpu"] = None
    assert call("GetResourceReplicas", pods=[free])["error"] == "no metrics returned matched known pods"


def test_an_hour_may_have_one_digit() -> None:
    early = pod("a")
    early["status"]["startTime"] = "1999-12-31T1:13:21Z"
    assert call("GetResourceReplicas", pods=[early])["replicas"] == 1


def test_an_empty_time_is_none() -> None:
    assert "error" not in call("GetMetricReplicas", now="")
    answer = answer_case(story(start=""))
    assert answer["syncs"][0]["conditions"][0]["lastTransitionTime"] == "2000-01-01T00:00:00Z"


def test_an_old_status_may_hold_a_metric_without_a_type() -> None:
    case = story()
    case["hpa"]["status"] = {"desiredReplicas": 9, "currentMetrics": [{}]}
    assert answer_case(case)["syncs"][0]["replicas"] == 10


def test_a_story_needs_a_name_even_where_one_could_be_generated() -> None:
    case = story()
    case["hpa"]["metadata"] = {"generateName": "web-"}
    assert answer_case(case)["error"] == "hpa: it has no name"


def test_with_the_old_selector_store_all_hpas_on_the_pods_are_named() -> None:
    others = [{"name": name} for name in ("a", "b", "c")]
    case = story(start="2001-01-01T00:00:00Z")
    case["steps"][0].update(otherHpas=others, pods=[pod("web-1")])
    for gates, named in (({}, 2), ({"HPAOptimizedSelectorStore": False}, 4)):
        [sync] = answer_case({**case, "featureGates": gates})["syncs"]
        assert sync["events"][0].count("default/") == named


def test_a_window_longer_than_a_duration_is_refused() -> None:
    answer = call("GetMetricReplicas", metrics={"a": {"value": 1, "windowSeconds": 1.55e10}})
    assert "more than a duration holds" in answer["error"]
