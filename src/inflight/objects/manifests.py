"""Reads a HorizontalPodAutoscaler from where it comes: an API server (tolerant) or a person's file (strict)."""

from collections.abc import Mapping
from typing import Any

from inflight.objects.autoscaling import API_VERSION, KIND, HorizontalPodAutoscaler
from inflight.objects.wire import FieldError, ObjectError, convert, decode

_NOT_SERVED_SINCE = {"autoscaling/v2beta1": "1.25", "autoscaling/v2beta2": "1.26"}


def decode_hpa(data: bytes | str | Mapping[str, Any]) -> HorizontalPodAutoscaler:
    """From JSON or plain values as an API server or a program gives them: unknown fields are passed over.

    apiVersion and kind may be absent; if they are there they must be autoscaling/v2 and HorizontalPodAutoscaler.
    Raises ObjectError.
    """
    hpa = decode(data, HorizontalPodAutoscaler, KIND)
    errors = _type_errors(hpa.api_version, hpa.kind)
    if errors:
        raise ObjectError(KIND, errors)
    return hpa


def read_hpa(value: Any) -> HorizontalPodAutoscaler:
    """From the plain value of a document that a person wrote: unknown fields and an absent apiVersion are errors.

    Raises ObjectError with all errors; their paths fit `Document.line_of` and `Document.error`. What the values mean is
    not judged here: see `set_defaults` and `validate`.
    """
    if isinstance(value, dict):
        errors = _header_errors(value)
        if errors:
            # Of another kind of object nearly every field would be unknown: say the one thing that helps.
            raise ObjectError(KIND, errors)
    return convert(value, HorizontalPodAutoscaler, KIND, strict=True)


def _header_errors(value: dict[Any, Any]) -> tuple[FieldError, ...]:
    missing = tuple(
        FieldError((name,), f"the field is missing: write {name}: {wanted}")
        for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND))
        if value.get(name) in (None, "")
    )
    api_version, kind = value.get("apiVersion"), value.get("kind")
    of_type = _type_errors(api_version or "", kind or "") if _are_texts(api_version, kind) else ()
    return missing + of_type


def _are_texts(*values: object) -> bool:
    return all(value is None or isinstance(value, str) for value in values)


def _type_errors(api_version: str, kind: str) -> tuple[FieldError, ...]:
    """Against an object of another kind or version; empty texts pass."""
    errors = []
    if kind not in {"", KIND}:
        errors.append(FieldError(("kind",), f"{kind[:60]!r} is another kind of object; {KIND} is read here"))
    elif api_version not in {"", API_VERSION}:
        errors.append(FieldError(("apiVersion",), _version_problem(api_version)))
    return tuple(errors)


def _version_problem(api_version: str) -> str:
    since = _NOT_SERVED_SINCE.get(api_version)
    if since:
        return f"{api_version} is not served since Kubernetes {since}; write {API_VERSION}"
    if api_version == "autoscaling/v1":
        return (
            f"autoscaling/v1 keeps its metrics in annotations; {API_VERSION} is read here"
            " (`kubectl get hpa.v2.autoscaling NAME -o yaml` shows it)"
        )
    return f"{api_version[:60]!r} is no version of a {KIND}; write {API_VERSION}"
