"""What the API server refuses in an object's metadata.

Left out: managedFields, which only an API server writes, and that the namespace must be set, which clients see to.
Source: k8s.io/apimachinery pkg/api/validation/objectmeta.go, 0.37.
"""

from collections.abc import Iterator
from typing import Final

from inflight.objects.meta import ObjectMeta, OwnerReference
from inflight.objects.names import (
    dns_label_problems,
    dns_subdomain_problems,
    label_key_problems,
    label_value_problems,
)
from inflight.objects.wire import Cause, FieldError, Path

MAX_ANNOTATION_BYTES: Final = 256 * 1024
_GENERATED: Final = 5
"""Random characters that the API server adds to generateName, cut so that all have 63."""
_LONGEST_STEM: Final = 58
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_EVENT = "/v1, Kind=Event is disallowed from being an owner"
_FIRST_RELEASE_WITH_NUMBERED_OWNERS = 37


def validate_metadata(
    metadata: ObjectMeta, path: Path = ("metadata",), minor: int = _FIRST_RELEASE_WITH_NUMBERED_OWNERS
) -> Iterator[FieldError]:
    """What release 1.`minor` says against the metadata of an object whose name is a DNS subdomain, as most are."""
    if metadata.generate_name:
        stem = metadata.generate_name
        # What is generated continues it, so a dash at its end is no matter. Upstream masks two characters.
        masked = f"{stem[:-2]}a" if len(stem) > 1 and stem.endswith("-") else stem
        for problem in dns_subdomain_problems(masked):
            yield FieldError((*path, "generateName"), f"{problem}: {stem[:80]!r}")
    name = metadata.name
    if not name and metadata.generate_name:
        # What the API server would make of it, with other letters.
        name = metadata.generate_name[:_LONGEST_STEM] + "x" * _GENERATED
    if not name:
        yield FieldError((*path, "name"), "name or generateName is required", Cause.REQUIRED)
    else:
        for problem in dns_subdomain_problems(name):
            yield FieldError((*path, "name"), f"{problem}: {name[:80]!r}")
    if metadata.namespace:
        for problem in dns_label_problems(metadata.namespace):
            yield FieldError((*path, "namespace"), f"{problem}: {metadata.namespace[:80]!r}")
    if metadata.generation < 0:
        yield FieldError((*path, "generation"), f"must be greater than or equal to 0, not {metadata.generation}")
    yield from _labels(metadata.labels, (*path, "labels"))
    yield from _annotations(metadata.annotations, (*path, "annotations"))
    owners = (*path, "ownerReferences")
    if minor >= _FIRST_RELEASE_WITH_NUMBERED_OWNERS:
        yield from _owners(metadata.owner_references, owners)
    else:
        yield from _unnumbered_owners(metadata.owner_references, owners)
    if sum(bool(owner.controller) for owner in metadata.owner_references) > 1:
        yield FieldError(owners, "Only one reference can have Controller set to true")
    yield from _finalizers(metadata.finalizers, (*path, "finalizers"))


def _labels(labels: dict[str, str], path: Path) -> Iterator[FieldError]:
    for key, value in labels.items():
        for problem in label_key_problems(key):
            yield FieldError((*path, key), f"{problem}: the key {key[:80]!r}")
        for problem in label_value_problems(value):
            yield FieldError((*path, key), f"{problem}: {value[:80]!r}")


def _annotations(annotations: dict[str, str], path: Path) -> Iterator[FieldError]:
    for key in annotations:
        for problem in label_key_problems(key.lower()):
            yield FieldError((*path, key), f"{problem}: the key {key[:80]!r}")
    size = sum(_bytes(key) + _bytes(value) for key, value in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        problem = f"may not be more than {MAX_ANNOTATION_BYTES} bytes, not {size}"
        yield FieldError(path, problem, Cause.TOO_LONG)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _owners(owners: tuple[OwnerReference, ...], path: Path) -> Iterator[FieldError]:
    for index, owner in enumerate(owners):
        for name, text in (
            ("apiVersion", owner.api_version),
            ("kind", owner.kind),
            ("name", owner.name),
            ("uid", owner.uid),
        ):
            if not text:
                yield FieldError((*path, index, name), "must not be empty", Cause.REQUIRED)
        if owner.api_version and not _has_version(owner):
            yield FieldError((*path, index, "apiVersion"), "must be <group>/<version> or <version>")
        if _is_event(owner):
            yield FieldError((*path, index), _EVENT)


def _unnumbered_owners(owners: tuple[OwnerReference, ...], path: Path) -> Iterator[FieldError]:
    """Up to 1.36 the list has no positions, and what is missing is invalid."""
    for owner in owners:
        if not _has_version(owner):
            yield FieldError((*path, "apiVersion"), "version must not be empty")
        for name, text in (("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)):
            if not text:
                yield FieldError((*path, name), "must not be empty")
        if _is_event(owner):
            yield FieldError(path, _EVENT)


def _has_version(owner: OwnerReference) -> bool:
    return owner.api_version.count("/") <= 1 and bool(owner.api_version.rpartition("/")[2])


def _is_event(owner: OwnerReference) -> bool:
    return (owner.api_version.removeprefix("/"), owner.kind) == ("v1", "Event")


def _finalizers(finalizers: tuple[str, ...], path: Path) -> Iterator[FieldError]:
    for index, finalizer in enumerate(finalizers):
        # Of a malformed one upstream does not say which it is.
        for problem in label_key_problems(finalizer):
            yield FieldError(path, f"{problem}: {finalizer[:80]!r}")
        if "/" not in finalizer and finalizer not in {_ORPHAN, _FOREGROUND, "kubernetes"}:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            yield FieldError((*path, index), f"{problem}: {finalizer[:80]!r}")
    if {_ORPHAN, _FOREGROUND} <= set(finalizers):
        yield FieldError(path, f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set")
