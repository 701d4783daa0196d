"""What may happen to a story besides its load; the counts are the upstream controller's own (conformance/decide)."""

from typing import Any

import pytest

from inflight.hpa.cases import answer_case

METRIC = {"metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "10"}}
WINDOW = {"scaleDown": {"stabilizationWindowSeconds": 40}}
PODS = [{"metadata": {"name": "a", "labels": {"app": "web", "x": "1"}}}]


def spec(**more: Any) -> dict[str, Any]:
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 50,
        "metrics": [{"type": "External", "external": METRIC}],
        "behavior": WINDOW,
        **more,
    }


def load(value: int, **more: Any) -> dict[str, Any]:
    return {"metrics": {"external/load": {"values": [str(value)]}}, **more}


def edit(**more: Any) -> dict[str, Any]:
    return {"hpa": {"spec": spec(**more)}}


def play(kubernetes: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return answer_case(
        {
            "id": "s",
            "kubernetes": kubernetes,
            "hpa": {"metadata": {"name": "web"}, "spec": spec()},
            "scale": {"replicas": 5, "selector": "app=web"},
            "steps": list(steps),
            **more,
        }
    )


def counts(kubernetes: str, *steps: dict[str, Any], **more: Any) -> list[int]:
    return [sync["replicas"] for sync in play(kubernetes, *steps, **more)["syncs"]]


def since(sync: dict[str, Any], kind: str) -> str:
    [time] = [each["lastTransitionTime"] for each in sync["conditions"] if each["type"] == kind]
    return str(time)


@pytest.mark.parametrize("kubernetes", ["1.36", "1.37"])
class TestBothReleases:
    def test_a_restart_forgets_the_window_and_begins_another(self, kubernetes: str) -> None:
        steps = [load(50), load(50), load(20), load(20, restart=True), *[load(20)] * 5]
        assert counts(kubernetes, *steps) == [5, 5, 5, 5, 5, 5, 2, 2, 2]

    def test_a_late_sync_moves_all_after_it(self, kubernetes: str) -> None:
        steps = [load(50, lateSeconds=3), load(50), load(20, lateSeconds=12.5), load(20), load(20), load(20), load(20)]
        assert counts(kubernetes, *steps) == [5, 5, 5, 2, 2, 2, 2]

    def test_a_conflict_is_overcome_four_times_and_not_five(self, kubernetes: str) -> None:
        steps = [
            load(50),
            load(100, scaleErrors={"conflicts": 2, "update": "conflict"}),
            load(200, scaleErrors={"conflicts": 5, "replicas": 7}),
            load(200, scaleErrors={"conflicts": 4, "replicas": 9}),
            load(200),
        ]
        assert counts(kubernetes, *steps) == [5, 10, 7, 14, 20]

    def test_a_status_that_cannot_be_written_stays_as_it_was(self, kubernetes: str) -> None:
        first, second, third = play(
            kubernetes, load(50, statusError="no"), load(100, statusError="no"), {"statusError": "no"}
        )["syncs"]
        assert (first["conditions"], first["events"]) == ([], ["Warning FailedUpdateStatus: no"])
        assert (second["replicas"], second["desiredReplicas"]) == (10, 0)
        assert [event.split(":")[0] for event in third["events"]] == [
            "Warning FailedGetExternalMetric",
            "Warning FailedUpdateStatus",
            "Warning FailedComputeMetricsReplicas",
        ]

    def test_another_hpa_on_the_same_pods_stops_both(self, kubernetes: str) -> None:
        same, other = [{"name": "o"}], [{"name": "o", "selector": "x=2"}]
        steps = [
            load(50, pods=PODS),
            load(100, pods=PODS, otherHpas=same),
            load(100, otherHpas=same),
            load(200, pods=PODS, otherHpas=other),
        ]
        assert counts(kubernetes, *steps, start="2001-01-01T00:00:00Z") == [5, 5, 10, 20]

    def test_an_edit_while_no_controller_runs_is_seen_by_the_next(self, kubernetes: str) -> None:
        assert counts(kubernetes, load(50), load(50, **edit(maxReplicas=3), restart=True), load(50)) == [5, 3, 3]

    @pytest.mark.parametrize(
        ("steps", "says"),
        [
            ([load(50), load(50, **edit(maxReplicas=0))], "maxReplicas"),
            ([load(50, **edit())], "before the first step"),
            ([load(50), load(50, hpa={})], "no spec"),
            ([load(50), load(50, **edit(maxReplicas=7), editedAfterSeconds=15)], "editedAfterSeconds"),
            ([load(50, lateSeconds=-1)], "lateSeconds"),
            ([load(50, scaleErrors={"conflicts": -1})], "conflicts"),
            ([load(50, otherHpas=[{"name": "o"}])], "after 2000"),
        ],
    )
    def test_what_would_be_uncertain_is_refused(self, kubernetes: str, steps: list[Any], says: str) -> None:
        assert says in play(kubernetes, *steps)["error"]


def test_an_edit_is_looked_at_at_once_from_1_37_on_and_waits_before() -> None:
    steps = [load(50), load(50, **edit(maxReplicas=3), editedAfterSeconds=4), load(50)]
    edited, after = play("1.37", *steps)["syncs"][1:]
    assert (edited["replicas"], since(edited, "ScaledToZero")) == (3, "2000-01-01T00:00:04Z")
    # The sync that was due all along.
    assert since(after, "ScalingLimited") == "2000-01-01T00:00:15Z"
    edited, after = play("1.36", *steps, featureGates={"HPAScaleToZero": True})["syncs"][1:]
    assert (edited["replicas"], since(edited, "ScaledToZero")) == (3, "2000-01-01T00:00:30Z")
    assert since(after, "ScalingLimited") == "2000-01-01T00:00:45Z"
    edited, _ = play("1.37", *steps, featureGates={"HPAGeneration": False})["syncs"][1:]
    assert since(edited, "ScaledToZero") == "2000-01-01T00:00:15Z"


def test_an_edit_that_says_the_same_waits() -> None:
    same = {"hpa": {"spec": spec(maxReplicas=50)}}
    first, second = play("1.37", load(50), load(60, **same))["syncs"]
    assert since(first, "ScalingActive") == "2000-01-01T00:00:00Z"
    assert since(second, "ScaledToZero") == "2000-01-01T00:00:15Z"


def test_of_other_hpas_nothing_may_be_uncertain() -> None:
    others = {"otherHpas": [{"name": "o"}]}
    for more in ({"lateSeconds": 1}, {"restart": True}, edit()):
        answer = play("1.37", load(50), load(50, **others), load(50, **more), start="2001-01-01T00:00:00Z")
        assert "with otherHpas" in answer["error"]
    for other in ({"name": "web"}, {"name": ""}, {"name": "a/b"}, {"name": "o", "selector": ""}):
        answer = play("1.37", load(50, otherHpas=[other]), start="2001-01-01T00:00:00Z")
        assert "otherHpas" in answer["error"]
