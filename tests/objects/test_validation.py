"""Every rule of the API server, each broken alone in an object that is otherwise fine."""

from typing import Any

import msgspec
import pytest

from inflight.objects import (
    Cause,
    HorizontalPodAutoscaler,
    decode_hpa,
    format_path,
    known_releases,
    set_defaults,
    validate,
)

EXTERNAL = {"metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "5"}}
PODS = {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "5"}}
OBJECT = {
    "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"},
    "metric": {"name": "rate"},
    "target": {"type": "Value", "value": "2k"},
}
RESOURCE = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
OWNER = {"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "u"}
CONTAINER = {"name": "cpu", "container": "vllm", "target": {"type": "Utilization", "averageUtilization": 80}}


def hpa(path: str = "", value: Any = None) -> HorizontalPodAutoscaler:
    """A good object with one value set (or, if None, taken out) at a dotted path; numbers are list positions."""
    plain: dict[str, Any] = {
        "metadata": {"name": "vllm", "namespace": "inference"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "minReplicas": 1,
            "maxReplicas": 10,
            "metrics": [
                {"type": "External", "external": dict(EXTERNAL)},
                {"type": "Pods", "pods": dict(PODS)},
                {"type": "Object", "object": dict(OBJECT)},
                {"type": "Resource", "resource": dict(RESOURCE)},
                {"type": "ContainerResource", "containerResource": dict(CONTAINER)},
            ],
            "behavior": {
                "scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]},
                "scaleDown": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
            },
        },
    }
    *parents, last = path.split(".") if path else [""]
    place: Any = plain
    for part in parents:
        child = place[int(part)] if part.isdigit() else place[part]
        copied = list(child) if isinstance(child, list) else dict(child)
        place[int(part) if part.isdigit() else part] = copied
        place = copied
    if path and value is None:
        del place[last]
    elif path:
        place[int(last) if last.isdigit() else last] = value
    return decode_hpa(plain)


def findings(given: HorizontalPodAutoscaler, kubernetes: str = "1.37", **options: Any) -> dict[str, str]:
    return {
        format_path(error.path): error.problem
        for error in validate(set_defaults(given, kubernetes), kubernetes, **options)
    }


@pytest.mark.parametrize("kubernetes", known_releases())
def test_a_good_object_is_accepted(kubernetes: str) -> None:
    assert validate(set_defaults(hpa(), kubernetes), kubernetes) == []


# What is put where (None: taken out), and what is said about that very place.
BROKEN: list[tuple[str, Any, str]] = [
    ("metadata.name", None, "name or generateName is required"),
    ("metadata.name", "Vllm_1", "lowercase RFC 1123 subdomain"),
    ("metadata.name", "a" * 254, "no more than 253 characters"),
    ("metadata.namespace", "a.b", "must not contain dots"),
    ("metadata.annotations", {"a": "x" * (256 << 10)}, "not be more than 262144 bytes"),
    ("metadata.generation", -1, "greater than or equal to 0"),
    ("metadata.generateName", "A--x", "lowercase RFC 1123 subdomain"),
    ("metadata.finalizers", ["orphan", "foregroundDeletion"], "cannot be both set"),
    ("spec.minReplicas", -1, "must be greater than or equal to 0"),
    ("spec.scaleTargetRef.kind", None, "must be set"),
    ("spec.scaleTargetRef.kind", "a/b", "may not contain '/'"),
    ("spec.scaleTargetRef.name", None, "must be set"),
    ("spec.scaleTargetRef.name", "..", "may not be '..'"),
    ("spec.scaleTargetRef.name", "50%", "may not contain '%'"),
    ("spec.scaleTargetRef.apiVersion", "a/b/c", "unexpected GroupVersion string"),
    ("spec.scaleTargetRef.apiVersion", "v1", "must specify API group"),
    ("spec.scaleTargetRef.apiVersion", None, "must specify API group"),
    ("spec.metrics.0.type", "Externals", "'Externals' is not supported"),
    ("spec.metrics.0.pods", PODS, "must populate the given metric source only"),
    ("spec.metrics.0.external.metric.name", None, "must specify a metric name"),
    ("spec.metrics.0.external.metric.name", "a/b", "may not contain '/'"),
    ("spec.metrics.0.external.target.type", "Average", "must be either"),
    ("spec.metrics.0.external.target.value", "1", "may not set both"),
    ("spec.metrics.0.external.target.averageValue", "0", "must be positive"),
    ("spec.metrics.0.external.target.averageUtilization", 0, "must be greater than 0"),
    ("spec.metrics.0.external.target.averageValue", None, "must set either a target value for metric or a per-pod"),
    ("spec.metrics.1.pods.target.averageValue", None, "must specify a positive target averageValue"),
    ("spec.metrics.1.pods.target.averageValue", "-1m", "must be positive"),
    ("spec.metrics.2.object.target.value", "-5", "must be positive"),
    ("spec.metrics.2.object.describedObject.name", None, "must be set"),
    ("spec.metrics.2.object.describedObject.apiVersion", "a/b/c", "unexpected GroupVersion string"),
    ("spec.metrics.3.resource.name", None, "must specify a resource name"),
    ("spec.metrics.3.resource.target.averageUtilization", None, "must set either a target raw value"),
    ("spec.metrics.3.resource.target.averageValue", "1", "may not set both a target raw value"),
    ("spec.metrics.4.containerResource.name", "gpu", "must be a standard resource for containers"),
    ("spec.metrics.4.containerResource.name", "requests.x.com/gpu", "extended resource name"),
    ("spec.metrics.4.containerResource.container", None, "must specify a container"),
    ("spec.metrics.4.containerResource.container", "V", "lowercase RFC 1123 label"),
    ("spec.behavior.scaleUp.stabilizationWindowSeconds", -1, "greater than or equal to zero"),
    ("spec.behavior.scaleDown.stabilizationWindowSeconds", 3601, "less than or equal to 3600"),
    ("spec.behavior.scaleUp.selectPolicy", "max", "'max' is not supported"),
    ("spec.behavior.scaleUp.policies", [], "must specify at least one Policy"),
    ("spec.behavior.scaleUp.policies.0.type", "Pod", "is not supported"),
    ("spec.behavior.scaleUp.policies.0.value", 0, "greater than zero"),
    ("spec.behavior.scaleUp.policies.0.periodSeconds", None, "greater than zero"),
    ("spec.behavior.scaleUp.policies.0.periodSeconds", 1801, "less than or equal to 1800"),
    ("spec.behavior.scaleDown.tolerance", "-0.1", "greater than or equal to 0"),
]

# The same, where the finding stands at another place than the change.
BROKEN_ELSEWHERE: list[tuple[str, Any, str, str]] = [
    ("metadata.labels", {"a b": "c"}, "metadata.labels.a b", "must consist of alphanumeric"),
    ("metadata.labels", {"a": "b c"}, "metadata.labels.a", "a valid label must be an empty string or consist"),
    ("metadata.annotations", {"/a": "x"}, "metadata.annotations./a", "prefix part must be non-empty"),
    ("metadata.finalizers", ["done"], "metadata.finalizers[0]", "neither a standard finalizer name"),
    ("metadata.ownerReferences", [OWNER | {"uid": ""}], "metadata.ownerReferences[0].uid", "must not be empty"),
    (
        "metadata.ownerReferences",
        [OWNER | {"apiVersion": "a/b/c"}],
        "metadata.ownerReferences[0].apiVersion",
        "must be",
    ),
    ("metadata.ownerReferences", [OWNER | {"kind": "Event"}], "metadata.ownerReferences[0]", "disallowed from being"),
    ("metadata.ownerReferences", [OWNER | {"controller": True}] * 2, "metadata.ownerReferences", "Only one reference"),
    ("spec.minReplicas", 11, "spec.maxReplicas", "must be greater than or equal to `minReplicas`"),
    ("spec.metrics.0", {"type": "External"}, "spec.metrics[0].external", "must populate information"),
    ("spec.metrics.0.type", "Pods", "spec.metrics[0].pods", "must populate information"),
    ("spec.metrics.2.object.target.value", None, "spec.metrics[2].object.target.averageValue", "either a target value"),
]


def as_path(dotted: str) -> str:
    return format_path(tuple(int(part) if part.isdigit() else part for part in dotted.split(".")))


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [(path, value, as_path(path), says) for path, value, says in BROKEN] + BROKEN_ELSEWHERE,
)
def test_one_broken_rule_is_one_finding(path: str, value: Any, where: str, says: str) -> None:
    found = findings(hpa(path, value))
    assert list(found) == [where]
    assert says in found[where]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("spec.metrics.0.type", [Cause.REQUIRED, Cause.NOT_SUPPORTED]),
        ("spec.metrics.0.external.target.type", [Cause.REQUIRED, Cause.INVALID]),
    ],
)
def test_an_empty_type_is_missing_and_wrong_as_upstream_says_it(path: str, says: list[Cause]) -> None:
    found = validate(hpa(path, None))
    assert [(error.field, error.reason) for error in found] == [(as_path(path), reason) for reason in says]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("spec.minReplicas", -1, Cause.INVALID),
        ("spec.scaleTargetRef.kind", None, Cause.REQUIRED),
        ("spec.metrics.0.pods", PODS, Cause.FORBIDDEN),
        ("spec.behavior.scaleUp.selectPolicy", "max", Cause.NOT_SUPPORTED),
        ("spec.behavior.scaleUp.policies", [], Cause.REQUIRED),
        ("metadata.annotations", {"a": "x" * (256 << 10)}, Cause.TOO_LONG),
    ],
)
def test_a_finding_has_the_reason_of_the_api_servers_cause(path: str, value: Any, reason: Cause) -> None:
    assert [error.reason for error in validate(hpa(path, value))] == [reason]


def test_a_label_is_named_to_people_and_its_map_to_programs_as_upstream_does() -> None:
    [found] = validate(hpa("metadata.labels", {"a b": "c"}))
    assert (found.field, str(found).split(":")[0]) == ("metadata.labels", "metadata.labels.a b")


@pytest.mark.parametrize(
    ("kubernetes", "where", "reason"),
    [
        ("1.36", "metadata.ownerReferences.uid", Cause.INVALID),
        ("1.37", "metadata.ownerReferences[0].uid", Cause.REQUIRED),
    ],
)
def test_owners_have_positions_from_1_37_on(kubernetes: str, where: str, reason: Cause) -> None:
    [found] = validate(hpa("metadata.ownerReferences", [OWNER | {"uid": ""}]), kubernetes)
    assert (found.field, found.reason) == (where, reason)


def test_a_generated_name_is_a_name() -> None:
    generated = hpa("metadata.name", None)
    named = msgspec.structs.replace(generated, metadata=msgspec.structs.replace(generated.metadata, generate_name="w-"))
    assert validate(named) == []
    wrong = msgspec.structs.replace(named, metadata=msgspec.structs.replace(named.metadata, generate_name="W_x"))
    assert [error.field for error in validate(wrong)] == ["metadata.generateName", "metadata.name"]


def test_a_negative_maximum_is_also_below_the_minimum() -> None:
    problems = [
        error.problem for error in validate(hpa("spec.maxReplicas", -1)) if error.path == ("spec", "maxReplicas")
    ]
    assert [problem.split(",")[0] for problem in problems] == [
        "must be greater than or equal to 1",
        "must be greater than or equal to `minReplicas`",
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.behavior.scaleDown.tolerance", "5"),
        ("spec.metrics.4.containerResource.name", "nvidia.com/gpu"),
        ("spec.metrics.4.containerResource.name", "hugepages-2Mi"),
        ("spec.metrics.2.object.describedObject.apiVersion", None),
        ("spec.metrics.0.external.target.type", "Utilization"),
        ("spec.metrics.3.resource.target.averageUtilization", 500),
        ("spec.scaleTargetRef", {"kind": "ReplicationController", "name": "rc", "apiVersion": "v1"}),
        ("metadata.generateName", "a-"),
        ("metadata.finalizers", ["orphan", "example.com/done"]),
    ],
)
def test_what_the_api_server_lets_pass_is_no_finding(path: str, value: Any) -> None:
    assert findings(hpa(path, value)) == {}


def test_all_errors_come_at_once() -> None:
    broken = decode_hpa(
        {"spec": {"minReplicas": -1, "metrics": [{}, {"type": "Pods"}], "behavior": {"scaleUp": {"policies": []}}}}
    )
    assert set(findings(broken)) == {
        "metadata.name",
        "spec.minReplicas",
        "spec.maxReplicas",
        "spec.scaleTargetRef.kind",
        "spec.scaleTargetRef.name",
        "spec.scaleTargetRef.apiVersion",
        "spec.metrics[0].type",
        "spec.metrics[1].pods",
        "spec.behavior.scaleUp.policies",
    }


@pytest.mark.parametrize(
    ("kubernetes", "gates", "accepted"),
    [
        ("1.36", {}, False),
        ("1.36", {"HPAScaleToZero": True}, True),
        ("1.37", {}, True),
        ("1.37", {"HPAScaleToZero": False}, False),
    ],
)
def test_zero_replicas_hang_on_their_gate(kubernetes: str, gates: dict[str, bool], accepted: bool) -> None:
    errors = validate(hpa("spec.minReplicas", 0), kubernetes, gates)
    assert [format_path(error.path) for error in errors] == ([] if accepted else ["spec.minReplicas"])


def test_zero_replicas_need_a_metric_that_exists_without_pods() -> None:
    zero = hpa("spec.minReplicas", 0)
    only_pods = decode_hpa(
        {
            "metadata": {"name": "a"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                "minReplicas": 0,
                "maxReplicas": 3,
                "metrics": [{"type": "Pods", "pods": PODS}],
            },
        }
    )
    assert validate(zero) == []
    assert findings(only_pods) == {
        "spec.metrics": "must specify at least one Object or External metric to support scaling to zero replicas"
    }


def test_an_update_may_keep_what_would_be_refused_in_a_new_object() -> None:
    zero = hpa("spec.minReplicas", 0)
    assert validate(zero, "1.36", old=zero) == []
    core = hpa("spec.scaleTargetRef.apiVersion", "v1")
    assert validate(core, old=core) == []
    assert validate(core, old=hpa()) != []
    described = hpa("spec.metrics.2.object.describedObject.apiVersion", "a/b/c")
    assert validate(described, old=described) == []
    assert validate(described, old=hpa()) != []


def test_releases_before_1_34_let_any_api_version_pass() -> None:
    core = hpa("spec.scaleTargetRef.apiVersion", "v1")
    assert [bool(findings(core, release)) for release in known_releases()] == [False, False, True, True, True, True]


def test_the_message_about_a_missing_maximum_changed_with_1_36() -> None:
    missing = hpa("spec.maxReplicas", 0)
    old, new = findings(missing, "1.35"), findings(missing, "1.36")
    assert set(old) == set(new) == {"spec.maxReplicas"}
    texts = [
        [error.problem for error in validate(missing, release) if error.path == ("spec", "maxReplicas")]
        for release in ("1.35", "1.36")
    ]
    assert texts[0][0].startswith("must be greater than 0")
    assert texts[1][0] == "must be set and greater than 0"
