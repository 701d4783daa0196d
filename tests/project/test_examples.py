"""The examples are copied as they stand: each is accepted, names a metric that is served, and selects its own pods."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from inflight.documents import load_documents
from inflight.objects import (
    HorizontalPodAutoscaler,
    LabelSelector,
    MetricIdentifier,
    known_releases,
    read_hpa,
    set_defaults,
    validate,
)
from inflight.signals.metric_names import find_metric

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml") if path.name != "targets.yaml")
SHAPES = {
    "article.yaml",
    "external-metric.yaml",
    "object-metric.yaml",
    "pods-metric.yaml",
    "token-rate.yaml",
    "two-metrics.yaml",
}
ARTICLE_SPEC = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm-deployment"},
    "minReplicas": 1,
    "maxReplicas": 10,
    "metrics": [
        {
            "type": "External",
            "external": {
                "metric": {
                    "name": "vllm_requests_running",
                    "selector": {"matchLabels": {"app": "vllm-deployment"}},
                },
                "target": {"type": "AverageValue", "averageValue": "5"},
            },
        }
    ],
    "behavior": {
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        }
    },
}
"""What guides tell people to write; it has to run without a change."""


def objects_of(name: str) -> dict[str, dict[str, Any]]:
    """By kind; an example has one of each."""
    values = [document.value for document in load_documents((EXAMPLES / name).read_bytes(), name)]
    found = {value["kind"]: value for value in values}
    assert len(found) == len(values)
    return found


def autoscaler_of(name: str) -> HorizontalPodAutoscaler:
    return read_hpa(objects_of(name)["HorizontalPodAutoscaler"])


def identifiers_of(hpa: HorizontalPodAutoscaler) -> list[MetricIdentifier]:
    sources = [metric.pods or metric.external or metric.object for metric in hpa.spec.metrics]
    return [source.metric for source in sources if source is not None]


def test_there_is_an_example_of_each_shape() -> None:
    assert set(FILES) == SHAPES


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_a_deployment_and_its_autoscaler_in_the_namespace_of_all_examples(name: str) -> None:
    found = objects_of(name)
    assert set(found) == {"Deployment", "HorizontalPodAutoscaler"}
    assert {value["metadata"]["namespace"] for value in found.values()} == {"inference"}


def test_examples_can_be_applied_side_by_side() -> None:
    names = Counter((kind, value["metadata"]["name"]) for file in FILES for kind, value in objects_of(file).items())
    labels = Counter(objects_of(file)["Deployment"]["spec"]["selector"]["matchLabels"]["app"] for file in FILES)
    assert set(names.values()) == {1}
    assert set(labels.values()) == {1}


@pytest.mark.parametrize("release", known_releases())
@pytest.mark.parametrize("name", FILES)
def test_the_autoscaler_is_accepted(name: str, release: str) -> None:
    assert validate(set_defaults(autoscaler_of(name), release), release) == []


@pytest.mark.parametrize("name", FILES)
def test_every_metric_is_one_that_is_served(name: str) -> None:
    hpa = autoscaler_of(name)
    identifiers = identifiers_of(hpa)
    assert len(identifiers) == len(hpa.spec.metrics) > 0
    assert [each.name for each in identifiers if find_metric(each.name) is None] == []


@pytest.mark.parametrize("name", FILES)
def test_the_target_has_the_form_that_fits_how_the_metric_is_combined(name: str) -> None:
    for metric in autoscaler_of(name).spec.metrics:
        source = metric.pods or metric.external or metric.object
        assert source is not None
        assert source.target.type == "AverageValue"
        assert source.target.average_value is not None
        assert source.target.value is None
        served = find_metric(source.metric.name)
        if metric.pods is None:
            # Divided by the replicas, so that anything but a sum would mean nothing.
            assert served is not None
            assert served.across == "sum"


@pytest.mark.parametrize("name", FILES)
def test_the_autoscaler_scales_the_deployment_beside_it(name: str) -> None:
    hpa, deployment = autoscaler_of(name), objects_of(name)["Deployment"]
    target = hpa.spec.scale_target_ref
    assert (target.api_version, target.kind) == (deployment["apiVersion"], "Deployment")
    assert target.name == deployment["metadata"]["name"]
    for metric in hpa.spec.metrics:
        if metric.object is not None:
            described = metric.object.described_object
            assert (described.api_version, described.kind, described.name) == ("apps/v1", "Deployment", target.name)


@pytest.mark.parametrize("name", FILES)
def test_selectors_match_the_labels_of_the_pods(name: str) -> None:
    deployment = objects_of(name)["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert LabelSelector(match_labels=deployment["spec"]["selector"]["matchLabels"]).to_selector().matches(labels)
    for identifier in identifiers_of(autoscaler_of(name)):
        if identifier.selector is not None:
            assert identifier.selector.to_selector().matches(labels)


@pytest.mark.parametrize("name", FILES)
def test_an_external_metric_has_a_selector_since_without_one_it_is_the_whole_namespace(name: str) -> None:
    for metric in autoscaler_of(name).spec.metrics:
        if metric.external is not None:
            assert metric.external.metric.selector is not None
            assert metric.external.metric.selector.match_labels


@pytest.mark.parametrize("name", FILES)
def test_the_deployment_leaves_its_replicas_to_the_autoscaler(name: str) -> None:
    assert "replicas" not in objects_of(name)["Deployment"]["spec"]


@pytest.mark.parametrize("name", FILES)
def test_the_engine_has_a_port_a_readiness_probe_and_a_gpu(name: str) -> None:
    (container,) = objects_of(name)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}


def test_some_pods_are_found_by_annotations_and_some_by_the_default_port() -> None:
    annotated = set()
    for name in FILES:
        template = objects_of(name)["Deployment"]["spec"]["template"]
        annotations = template["metadata"].get("annotations")
        if annotations is not None:
            annotated.add(name)
            (port,) = template["spec"]["containers"][0]["ports"]
            assert annotations == {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(port["containerPort"]),
                "prometheus.io/path": "/metrics",
            }
    assert set() < annotated < set(FILES)


def test_the_autoscaler_of_the_guides_stands_as_they_write_it() -> None:
    found = objects_of("article.yaml")["HorizontalPodAutoscaler"]
    assert found["metadata"] == {"name": "vllm-hpa", "namespace": "inference"}
    assert found["spec"] == ARTICLE_SPEC


@pytest.mark.parametrize("name", FILES)
def test_an_example_says_when_to_use_it_when_not_and_what_is_computed(name: str) -> None:
    head = (EXAMPLES / name).read_text(encoding="utf-8").split("apiVersion:", 1)[0]
    assert all(line.startswith("#") for line in head.splitlines())
    for word in ("# When: ", "# When not: ", "# The HPA computes"):
        assert word in head, f"{name} does not say {word!r}"


@pytest.mark.parametrize("name", FILES)
def test_the_guide_lists_the_example(name: str) -> None:
    assert f"](../examples/{name})" in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
