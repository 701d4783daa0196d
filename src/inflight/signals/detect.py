"""Which engine wrote a page, told by the names of its samples: the first engine of the catalogue that fits.

`_created` samples do not count (a counter that is gone may leave one behind), and a page that names families but has no
sample of them yet (an engine before its first request) is told by its TYPE lines.
"""

import re
from collections.abc import Iterable, Sequence

from inflight.signals.catalogue import Catalogue, Detect, Engine

_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*(?=[{ \t])")
_PREFIX = re.compile(r"[a-zA-Z0-9]+[_:]?")
MAX_PREFIXES = 12


def names_on(lines: Sequence[bytes]) -> list[str]:
    """The distinct sample names on a page, in its order; lines that begin with no name have none."""
    names: dict[bytes, None] = {}
    for line in lines:
        match = _NAME.match(line.lstrip(b" \t"))
        if match is not None:
            names[match.group()] = None
    return [name.decode("ascii") for name in names]


def typed_families(lines: Sequence[bytes]) -> list[str]:
    """The names that TYPE lines announce."""
    return [
        line.split()[2].decode("utf-8", "replace")
        for line in lines
        if line.startswith(b"# TYPE ") and len(line.split()) > 2
    ]


def detect(catalogue: Catalogue, lines: Sequence[bytes]) -> Engine | None:
    """The engine of the page, or None where the catalogue knows none."""
    for names in (names_on(lines), typed_families(lines)):
        found = {name for name in names if not name.endswith("_created")}
        for engine in catalogue.engines.values():
            if engine.detect is not None and _fits(engine.detect, found):
                return engine
    return None


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """How the names on a page begin: what to tell a person whose engine is unknown."""
    found: dict[str, None] = {}
    for name in names:
        match = _PREFIX.match(name)
        if match is not None:
            found[match.group()] = None
    return tuple(found)[:MAX_PREFIXES]


def _fits(rule: Detect, names: set[str]) -> bool:
    if rule.prefix:
        return any(name.startswith(rule.prefix) for name in names)
    return any(name in names for name in rule.any_of) and (not rule.together_with or rule.together_with in names)
