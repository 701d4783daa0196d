"""What the API server fills in and drops, release by release; and its own answers for 120 random objects."""

import json
from pathlib import Path
from typing import Any

import pytest

from inflight.objects import (
    HorizontalPodAutoscaler,
    ObjectError,
    ReleaseError,
    decode_hpa,
    format_path,
    known_releases,
    set_defaults,
    to_plain,
    validate,
)

# Made with Kubernetes 1.36.3 and 1.37.2: defaults, the strategy's PrepareForCreate and Validate, and JSON.
VECTORS = [json.loads(line) for line in (Path(__file__).parent / "data" / "autoscalers.jsonl").read_text().splitlines()]


def hpa(**spec: Any) -> HorizontalPodAutoscaler:
    return decode_hpa(
        {
            "metadata": {"name": "a"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                "maxReplicas": 10,
                **spec,
            },
        }
    )


def tolerances(given: HorizontalPodAutoscaler) -> dict[str, float]:
    behavior = given.spec.behavior
    rules = {"up": behavior and behavior.scale_up, "down": behavior and behavior.scale_down}
    return {name: rule.tolerance.as_float() for name, rule in rules.items() if rule and rule.tolerance is not None}


def answer(vector: dict[str, Any]) -> dict[str, Any]:
    """In the form of a vector, where findings on metadata have no list positions: releases differ in giving them."""
    asked = {key: vector[key] for key in ("kubernetes", "featureGates", "hpa")}
    try:
        stored = set_defaults(decode_hpa(vector["hpa"]), vector["kubernetes"], vector["featureGates"])
    except ObjectError:
        return {**asked, "unreadable": True}
    errors = validate(stored, vector["kubernetes"], vector["featureGates"])
    refused = {format_path(_as_upstream(error.path)) for error in errors}
    answered = {**asked, "refused": sorted(refused)}
    if not errors:
        answered["spec"] = to_plain(stored)["spec"]
    if tolerances(stored):
        answered["tolerances"] = tolerances(stored)
    return answered


def _as_upstream(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    if path[:2] in {("metadata", "labels"), ("metadata", "annotations")}:
        return path[:2]
    return tuple(part for part in path if not isinstance(part, int)) if path[0] == "metadata" else path


@pytest.mark.parametrize("kubernetes", ["1.36", "1.37"])
def test_objects_are_stored_and_refused_as_the_api_server_does(kubernetes: str) -> None:
    vectors = [vector for vector in VECTORS if vector["kubernetes"] == kubernetes]
    assert len(vectors) == 60
    assert [answer(vector) for vector in vectors] == vectors


def test_an_empty_spec_gets_one_replica_and_a_cpu_target() -> None:
    assert to_plain(set_defaults(hpa()).spec) == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    }


def test_absent_behavior_stays_absent_and_an_empty_one_is_filled() -> None:
    assert set_defaults(hpa()).spec.behavior is None
    assert to_plain(set_defaults(hpa(behavior={})).spec.behavior) == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
    }


def test_a_direction_is_filled_field_by_field() -> None:
    down = {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]}
    behavior = to_plain(set_defaults(hpa(behavior={"scaleDown": down})).spec.behavior)
    assert behavior["scaleDown"] == {**down, "selectPolicy": "Max"}
    assert behavior["scaleUp"]["policies"][0] == {"type": "Pods", "value": 4, "periodSeconds": 15}


def test_an_explicit_empty_list_of_policies_is_left_for_validation() -> None:
    stored = set_defaults(hpa(behavior={"scaleUp": {"policies": []}}))
    assert stored.spec.behavior is not None
    assert stored.spec.behavior.scale_up is not None
    assert stored.spec.behavior.scale_up.policies == ()
    assert [format_path(error.path) for error in validate(stored)] == ["spec.behavior.scaleUp.policies"]


def test_zero_replicas_are_not_taken_for_none() -> None:
    assert set_defaults(hpa(minReplicas=0)).spec.min_replicas == 0


@pytest.mark.parametrize(
    ("kubernetes", "gates", "kept"),
    [
        ("1.32", {}, False),
        ("1.33", {}, False),
        ("1.33", {"HPAConfigurableTolerance": True}, True),
        ("1.34", {}, False),
        ("1.35", {}, True),
        ("1.36", {"HPAConfigurableTolerance": False}, False),
        ("1.36", {}, True),
        ("1.37", {}, True),
    ],
)
def test_a_tolerance_is_dropped_behind_a_closed_gate(kubernetes: str, gates: dict[str, bool], kept: bool) -> None:
    stored = set_defaults(hpa(behavior={"scaleUp": {"tolerance": "0.3"}}), kubernetes, gates)
    assert tolerances(stored) == ({"up": 300 * 1e-3} if kept else {})


def test_an_update_keeps_a_tolerance_that_was_there() -> None:
    old = hpa(behavior={"scaleDown": {"tolerance": "0.1"}})
    stored = set_defaults(hpa(behavior={"scaleUp": {"tolerance": "0.3"}}), "1.34", old=old)
    assert tolerances(stored) == {"up": 300 * 1e-3}


def test_quantities_take_the_form_in_which_they_come_back() -> None:
    target = {"type": "AverageValue", "averageValue": "0.3"}
    stored = set_defaults(hpa(metrics=[{"type": "External", "external": {"metric": {"name": "m"}, "target": target}}]))
    assert to_plain(stored)["spec"]["metrics"][0]["external"]["target"]["averageValue"] == "300m"


def test_the_status_of_an_earlier_controller_is_kept_and_a_namespace_given() -> None:
    given = decode_hpa({"metadata": {"name": "a"}, "spec": {"maxReplicas": 1}, "status": {"desiredReplicas": 4}})
    stored = set_defaults(given)
    assert stored.status == given.status
    assert stored.metadata.namespace == "default"


@pytest.mark.parametrize("kubernetes", known_releases())
def test_defaults_are_final(kubernetes: str) -> None:
    once = set_defaults(hpa(behavior={"scaleUp": {"tolerance": "0.05"}}), kubernetes)
    assert set_defaults(once, kubernetes) == once


@pytest.mark.parametrize("kubernetes", ["1.31", "1.38", "2.0", "", "1.37.2", "v1.37", "newest"])
def test_unknown_releases_are_refused(kubernetes: str) -> None:
    with pytest.raises(ReleaseError, match=r"1\.32, 1\.33, 1\.34, 1\.35, 1\.36, 1\.37"):
        set_defaults(hpa(), kubernetes)
    with pytest.raises(ReleaseError):
        validate(hpa(), kubernetes)
