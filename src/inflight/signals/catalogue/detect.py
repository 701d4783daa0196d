"""Which engine wrote a page, told by the names of its samples: the first engine of the catalogue that fits.

`_created` samples do not count (a counter that is gone may leave one behind). A page that announces families but has no
sample of them yet (an engine before its first request) is told by its TYPE lines.
"""

import re
from collections.abc import Iterable

from inflight.signals.catalogue.records import Catalogue, Engine

_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*(?=[{ \t])")
_LINE_NAME = re.compile(rb'^[ \t]*(?:\{[ \t]*")?([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{ \t"])', re.MULTILINE)
_TYPE_NAME = re.compile(rb"^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) ", re.MULTILINE)
_SAMPLE_NAME = re.compile(rb"^[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\}[ \t]*|[ \t]+)[-+.0-9NnIi]", re.MULTILINE)
_BEGINNING = re.compile(r"[a-zA-Z0-9]+[_:]?")
MAX_PREFIXES = 12


def detect(catalogue: Catalogue, body: bytes) -> Engine | None:
    """The engine of the page, or None where the catalogue knows none."""
    # as a rule a line begins with its name; only where that finds nothing, names in quotes or behind blanks are read
    for look in (lambda: _Page(body), lambda: _Names(_LINE_NAME, body), lambda: _Names(_TYPE_NAME, body)):
        names = look()
        for engine in catalogue.engines.values():
            if _fits(engine, names):
                return engine
    return None


def prefixes_on(body: bytes) -> tuple[str, ...]:
    """How the names on a page begin: what to tell a person whose engine is unknown."""
    found: dict[str, None] = {}
    for name in _SAMPLE_NAME.finditer(body):
        match = _BEGINNING.match(name.group(1).decode("ascii"))
        if match is not None:
            found[match.group()] = None
        if len(found) == MAX_PREFIXES:
            break
    return tuple(found)


class _Names:
    """The names that a pattern finds."""

    def __init__(self, pattern: re.Pattern[bytes], body: bytes) -> None:
        self._names = {name for name in pattern.findall(body) if not name.endswith(b"_created")}

    def begins(self, prefix: bytes) -> bool:
        return any(name.startswith(prefix) for name in self._names)

    def has(self, name: bytes) -> bool:
        return name in self._names


class _Page:
    """Sample names of a page whose lines begin with them: looked for in the bytes, without listing them."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def begins(self, prefix: bytes) -> bool:
        return any(not name.endswith(b"_created") for name in self._found(prefix))

    def has(self, name: bytes) -> bool:
        return any(found == name for found in self._found(name))

    def _found(self, prefix: bytes) -> Iterable[bytes]:
        body, mark = self._body, b"\n" + prefix
        at = -1 if body.startswith(prefix) else body.find(mark)
        while at >= 0 or body.startswith(prefix):
            match = _NAME.match(body, at + 1)
            if match is not None:
                yield match.group()
            at = body.find(mark, at + 1)
            if at < 0:
                return


def _fits(engine: Engine, names: _Names | _Page) -> bool:
    rule = engine.detect
    if rule is None:
        return False
    if rule.prefix:
        return names.begins(rule.prefix.encode())
    if rule.together_with and not names.has(rule.together_with.encode()):
        return False
    return any(names.has(name.encode()) for name in rule.any_of)
