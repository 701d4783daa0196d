"""The file of targets that a person writes: its schema (explained in docs/sources.md) and its reader.

Everything that is wrong with a file is said at once, each with its line and field.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from inflight.documents import Document, DocumentError, load_documents
from inflight.objects.names import dns_label_problems, dns_subdomain_problems, label_key_problems, label_value_problems
from inflight.sources.target import Target, url_problem

MAX_TARGETS = 20_000
MAX_LABELS = 64
_SHOWN_ERRORS = 20

Path = tuple[str | int, ...]


class TargetTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`tls` of an entry."""

    ca_file: str | None = None
    insecure_skip_tls_verify: bool = msgspec.field(name="insecureSkipTLSVerify", default=False)
    server_name: str | None = None


class TargetEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One entry of `targets`."""

    name: str
    url: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    engine: str | None = None
    tls: TargetTls = TargetTls()
    bearer_token_file: str | None = None


class TargetsError(DocumentError):
    """Everything that is wrong with a targets file. Itself the first of `errors`; its text lists them all."""

    def __init__(self, errors: list[DocumentError]) -> None:
        first = errors[0]
        super().__init__(first.name, first.line, first.path, first.problem)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        shown = [str(error.args[0]) for error in self.errors[:_SHOWN_ERRORS]]
        if len(self.errors) > len(shown):
            shown.append(f"{self.name}: and {len(self.errors) - len(shown)} more errors")
        return "\n".join(shown)


def load_targets(text: str | bytes, name: str, engines: Iterable[str] | None = None) -> list[Target]:
    """The targets of a file called `name`, in its order; relative file names are looked up beside it.

    `engines` are the names that an entry's `engine` may have; without them any is taken. Raises DocumentError: a
    TargetsError with everything that is wrong, or the one error that keeps the text from being read as YAML.
    """
    documents = load_documents(text, name)
    if len(documents) != 1:
        count = "is empty" if not documents else f"has {len(documents)} documents"
        raise DocumentError(name, None, (), f"the file {count}; it must be one document with a list `targets`")
    return _Reader(documents[0], None if engines is None else frozenset(engines)).read()


class _Reader:
    """Collects what is wrong while it reads, field by field, so that one wrong field does not hide the others."""

    def __init__(self, document: Document, engines: frozenset[str] | None) -> None:
        self._document = document
        self._engines = engines
        self._folder = FilePath(document.name).parent
        self._errors: list[DocumentError] = []

    def read(self) -> list[Target]:
        targets = []
        first_seen: dict[tuple[str, str], int] = {}
        for index, value in enumerate(self._entries()):
            path: Path = ("targets", index)
            before = len(self._errors)
            fields = self._fields(TargetEntry, value, path)
            self._check(fields, path)
            self._check_first(fields, path, first_seen)
            if len(self._errors) == before:
                targets.append(self._target(TargetEntry(**fields)))
        if self._errors:
            raise TargetsError(sorted(self._errors, key=lambda error: error.line or 0))
        return targets

    def _entries(self) -> list[Any]:
        value = self._document.value
        if not isinstance(value, dict):
            raise self._document.error((), "expected a mapping with a list `targets`")
        for key in value:
            if key != "targets":
                self._error((key,), f"unknown field `{key}`; the file has one field, `targets`")
        entries = value.get("targets")
        if not isinstance(entries, list):
            problem = "expected a list of pods" if "targets" in value else "the field `targets` is missing"
        elif len(entries) > MAX_TARGETS:
            problem = f"{len(entries)} targets; at most {MAX_TARGETS} are scraped by one process"
        else:
            return entries
        self._error(("targets",), problem)
        raise TargetsError(self._errors)

    def _fields(self, wanted: type[msgspec.Struct], value: Any, path: Path) -> dict[str, Any]:
        """Those fields of a struct that are there and right, by their Python names."""
        if not isinstance(value, dict):
            self._error(path, f"expected a mapping, got {_kind(value)}")
            return {}
        fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}
        for key in value:
            if key not in fields:
                self._error((*path, key), f"unknown field `{key}`; known are {', '.join(fields)}")
        found: dict[str, Any] = {}
        for key, field in fields.items():
            where = (*path, key)
            if key not in value:
                if field.required:
                    self._error(path, f"the field `{key}` is missing")
            elif field.type is TargetTls:
                before = len(self._errors)
                inner = self._fields(TargetTls, value[key], where)
                if len(self._errors) == before:
                    found[field.name] = TargetTls(**inner)
            elif key == "labels" and isinstance(value[key], dict):
                labels = {label: self._converted(str, (*where, label)) for label in value[key]}
                found[field.name] = {label: text for label, text in labels.items() if text is not None}
            else:
                before = len(self._errors)
                converted = self._converted(field.type, where)
                if len(self._errors) == before:
                    found[field.name] = converted
        return found

    def _converted(self, wanted: Any, path: Path) -> Any:
        try:
            return self._document.convert(wanted, path)
        except DocumentError as error:
            self._errors.append(_with_hint(error))
            return None

    def _check(self, fields: Mapping[str, Any], path: Path) -> None:
        if "namespace" in fields:
            self._names((*path, "namespace"), dns_label_problems, fields["namespace"])
        if "name" in fields:
            self._names((*path, "name"), dns_subdomain_problems, fields["name"])
        self._check_labels(fields.get("labels", {}), (*path, "labels"))
        problem = url_problem(fields["url"]) if "url" in fields else ""
        if problem:
            self._error((*path, "url"), problem)
        self._check_files(fields, path)
        engine = fields.get("engine")
        if engine is not None and self._engines is not None and engine not in self._engines:
            known = ", ".join(sorted(self._engines))
            self._error((*path, "engine"), f"the engine {engine[:80]!r} is not in the catalogue; known are {known}")

    def _check_labels(self, labels: Mapping[str, str], path: Path) -> None:
        if len(labels) > MAX_LABELS:
            self._error(path, f"{len(labels)} labels; at most {MAX_LABELS} are kept for a pod")
        for key, value in labels.items():
            self._names((*path, key), label_key_problems, key, "the key ")
            self._names((*path, key), label_value_problems, value)

    def _check_files(self, fields: Mapping[str, Any], path: Path) -> None:
        tls: TargetTls = fields.get("tls", TargetTls())
        if tls != TargetTls() and fields.get("url", "https:")[:6].lower() != "https:":
            self._error((*path, "tls"), "tls is for https, and the URL is not")
        if tls.ca_file is not None and tls.insecure_skip_tls_verify:
            self._error((*path, "tls"), "caFile has no meaning with insecureSkipTLSVerify; leave one of them out")
        for keys, file in ((("tls", "caFile"), tls.ca_file), (("bearerTokenFile",), fields.get("bearer_token_file"))):
            if file is not None and (not file or not file.isprintable()):
                self._error((*path, *keys), "expected the name of a file")

    def _check_first(self, fields: Mapping[str, Any], path: Path, first_seen: dict[tuple[str, str], int]) -> None:
        """HPAs and users tell pods apart by namespace and name."""
        if "name" not in fields:
            return
        pod = (fields.get("namespace", "default"), fields["name"])
        index = int(path[1])
        earlier = first_seen.setdefault(pod, index)
        if earlier != index:
            line = self._document.line_of(("targets", earlier))
            self._error((*path, "name"), f"{pod[0]}/{pod[1]} is a target already (line {line})")

    def _names(self, path: Path, problems_of: Callable[[str], Iterable[str]], text: str, what: str = "") -> None:
        for problem in problems_of(text):
            self._error(path, f"{what}{text[:80]!r}: {problem}")

    def _target(self, entry: TargetEntry) -> Target:
        return Target(
            namespace=entry.namespace,
            name=entry.name,
            labels=entry.labels,
            url=entry.url,
            engine=entry.engine,
            ca_file=self._beside(entry.tls.ca_file),
            insecure_skip_tls_verify=entry.tls.insecure_skip_tls_verify,
            server_name=entry.tls.server_name,
            bearer_token_file=self._beside(entry.bearer_token_file),
        )

    def _beside(self, file: str | None) -> str | None:
        return None if file is None else str(self._folder / file)

    def _error(self, path: Path, problem: str) -> None:
        self._errors.append(self._document.error(path, problem))


def _with_hint(error: DocumentError) -> DocumentError:
    if error.problem.startswith("expected `str`, got `") and error.problem.endswith(("int`", "float`", "bool`")):
        return DocumentError(error.name, error.line, error.path, f"{error.problem}; put it in quotes")
    return error


def _kind(value: Any) -> str:
    names = {"str": "text", "NoneType": "nothing", "list": "a list", "int": "a number", "float": "a number"}
    return names.get(type(value).__name__, type(value).__name__)
