"""Reads YAML (JSON is a part of it) into plain values beside an index from each value's path to its line.

The limits are there because a file can come from anyone: nodes are counted after aliases are followed, so that a
"billion laughs" text is refused instead of filling the memory.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES = 8 << 20
MAX_NODES = 400_000
MAX_DEPTH = 64

Path = tuple[str | int, ...]
T = TypeVar("T")


class DocumentError(ValueError):
    """A text that cannot be used: what is wrong, in which file, line and field."""

    def __init__(self, name: str, line: int | None, path: Path, problem: str) -> None:
        self.name = name
        self.line = line
        self.path = path
        self.problem = problem
        where = name if line is None else f"{name}:{line}"
        field = format_path(path)
        super().__init__(f"{where}: {field}: {problem}" if field else f"{where}: {problem}")


def format_path(path: Path) -> str:
    """`("spec", "metrics", 0, "type")` as `spec.metrics[0].type`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class Document:
    """One document of a text: its plain value, and the line (from 1) at which each part of it begins."""

    def __init__(self, name: str, value: Any, lines: dict[Path, int]) -> None:
        self.name = name
        self.value = value
        self._lines = lines

    def line_of(self, path: Path) -> int | None:
        """The line of `path`, or of its nearest parent that stands in the text."""
        while path not in self._lines:
            if not path:
                return None
            path = path[:-1]
        return self._lines[path]

    def error(self, path: Path, problem: str) -> DocumentError:
        return DocumentError(self.name, self.line_of(path), path, problem)

    def convert(self, wanted: type[T], path: Path = ()) -> T:
        """The value at `path` as a msgspec type; raises DocumentError naming line and field where it does not fit."""
        value = self.value
        for part in path:
            value = value[part]
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            problem, _, where = str(error).partition(" - at `$")
            raise self.error(path + _parse_path(where.rstrip("`")), _friendly(problem)) from error


def load_documents(text: str | bytes, name: str) -> list[Document]:
    """All documents of a YAML or JSON text; empty ones are left out. Raises DocumentError."""
    if len(text) > MAX_BYTES:
        raise DocumentError(name, None, (), f"the file has {len(text)} bytes; at most {MAX_BYTES} are read")
    if isinstance(text, bytes):
        text = _decode(text, name)
    documents = []
    try:
        for node in _compose_all(text):
            builder = _Builder(name)
            value = builder.build(node, (), 0)
            if value is not None:
                documents.append(Document(name, value, builder.lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise DocumentError(name, mark.line + 1 if mark else None, (), f"not YAML: {what}") from error
    except yaml.YAMLError as error:
        raise DocumentError(name, None, (), f"not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise DocumentError(name, None, (), "nested too deeply") from error
    return documents


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DocumentError(name, line, (), "not UTF-8 text") from error


def _compose_all(text: str) -> Iterator[yaml.Node]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            yield loader.get_node()
    finally:
        loader.dispose()


class _Builder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()
        self.lines: dict[Path, int] = {}

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:
        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise DocumentError(
                self._name, line, path, f"more than {MAX_NODES} values (aliases counted as written out)"
            )
        if depth > MAX_DEPTH:
            raise DocumentError(self._name, line, path, f"nested more than {MAX_DEPTH} deep")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index), depth + 1) for index, child in enumerate(node.value)]
        return self._scalar(node, path, line)

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                raise DocumentError(self._name, line, path, "a key must be plain text (merge keys are not read)")
            key = str(key_node.value)
            if key in result:
                raise DocumentError(self._name, line, (*path, key), "the key stands here twice")
            self.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key), depth + 1)
        return result

    def _scalar(self, node: yaml.Node, path: Path, line: int) -> Any:
        tag = str(node.tag)
        if tag.endswith((":str", ":timestamp", ":binary", ":value")):
            return str(node.value)
        if not tag.endswith((":int", ":float", ":bool", ":null")):
            raise DocumentError(self._name, line, path, f"the tag {tag} is not read")
        try:
            value: Any = self._scalars.construct_object(node)
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            raise DocumentError(self._name, line, path, f"{str(node.value)[:40]!r} is no number") from error
        return value


def _parse_path(text: str) -> Path:
    path: list[str | int] = []
    for part in text.replace("[", ".[").split("."):
        if part.startswith("["):
            inside = part[1:-1]
            path.append(int(inside) if inside.isdigit() else inside)
        elif part:
            path.append(part)
    return tuple(path)


def _friendly(problem: str) -> str:
    problem = problem.removeprefix("Object ")
    if problem.startswith("missing required field"):
        return "the field " + problem.removeprefix("missing required field ") + " is missing"
    if problem.startswith("contains unknown field"):
        return "unknown field " + problem.removeprefix("contains unknown field ")
    return problem[:1].lower() + problem[1:]
