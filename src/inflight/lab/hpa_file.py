"""Reads the HPA manifest that a run of the lab is given, with the complaints of the API server beside file and line."""

from inflight.documents import Document, DocumentError, load_documents
from inflight.documents.yaml import Path
from inflight.lab.settings import KUBERNETES
from inflight.objects import (
    FieldError,
    HorizontalPodAutoscaler,
    MetricSpec,
    ObjectError,
    read_hpa,
    set_defaults,
    validate,
)
from inflight.signals.metric_names import find_metric


def read_hpa_file(text: bytes, name: str) -> HorizontalPodAutoscaler:
    """The one HPA of the file, with defaults set. Raises DocumentError with every reason, each with its line."""
    documents = [
        document
        for document in load_documents(text, name)
        if isinstance(document.value, dict) and document.value.get("kind") == "HorizontalPodAutoscaler"
    ]
    if len(documents) != 1:
        raise DocumentError(
            name, None, (), f"one HorizontalPodAutoscaler is wanted here, {len(documents)} are in the file"
        )
    (document,) = documents
    version = document.value.get("apiVersion")
    if version != "autoscaling/v2":
        raise document.error(("apiVersion",), f"must be autoscaling/v2, not {version!r}")
    try:
        hpa = set_defaults(read_hpa(document.value), KUBERNETES)
    except ObjectError as error:
        raise _joined(document, list(error.errors)) from error
    errors = [*validate(hpa, KUBERNETES), *_not_for_the_lab(hpa)]
    if errors:
        raise _joined(document, errors)
    return hpa


def _joined(document: Document, errors: list[FieldError]) -> DocumentError:
    first, *others = errors
    if not others:
        return document.error(first.path, first.problem)
    lines = "".join(f"\n  {document.error(error.path, error.problem)}" for error in errors[:20])
    return DocumentError(document.name, document.line_of(first.path), (), f"{len(errors)} fields are wrong:{lines}")


def _not_for_the_lab(hpa: HorizontalPodAutoscaler) -> list[FieldError]:
    errors = []
    if hpa.spec.min_replicas == 0:
        errors.append(FieldError(("spec", "minReplicas"), "the lab has no gateway that could wake a fleet from 0"))
    if hpa.spec.max_replicas > 256:
        errors.append(FieldError(("spec", "maxReplicas"), "the lab emulates at most 256 replicas"))
    for index, metric in enumerate(hpa.spec.metrics):
        found = _unknown_metric(metric, ("spec", "metrics", index))
        if found is not None:
            errors.append(found)
    return errors


def _unknown_metric(metric: MetricSpec, path: Path) -> FieldError | None:
    if metric.type == "Resource" and metric.resource is not None:
        if metric.resource.name == "cpu":
            return None
        return FieldError((*path, "resource", "name"), f"{metric.resource.name!r} is not emulated; cpu is")
    source = metric.external if metric.type == "External" else metric.pods if metric.type == "Pods" else None
    if source is None:
        return FieldError((*path, "type"), f"{metric.type!r} is not emulated; External, Pods and Resource cpu are")
    field = (*path, metric.type.lower(), "metric")
    if find_metric(source.metric.name) is None:
        return FieldError(
            (*field, "name"), f"{source.metric.name!r} is no metric of Inflight (docs/metrics.md lists them)"
        )
    selector = source.metric.selector
    if metric.type == "External" and selector is not None and selector.match_expressions:
        return FieldError(
            (*field, "selector", "matchExpressions"),
            "the lab gives its pods the labels of matchLabels; expressions say no labels to give",
        )
    return None
