"""Where a pod's metrics page may be, from its annotations and the ports that it declares.

Annotations are the operator's word; without them the ports that are an engine's default are looked at, in the order of
the catalogue. What is looked at is always the pod's own address, with a port and a path that were checked: whoever may
annotate a pod must not make this process ask another server.
"""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from inflight.discovery.pods import Annotations
from inflight.signals import Catalogue
from inflight.signals.foreign import printable

MAX_PATH = 256
MAX_PAGES = 16
"""Places looked at for one pod."""
USUAL_PATH = "/metrics"
_SHOWN = 60

# The characters of RFC 3986 for a path, without `@`: nothing that could be read as another host, a query or a line end.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:/]|%[0-9A-Fa-f]{2})*")

Page = tuple[int, str]
"""Port and path."""


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no page of a pod to look for; `why` goes on after "the pod x is not scraped: "."""

    kind: Literal["not_scraped", "bad_annotation", "no_port"]
    why: str


Pages = tuple[Page, ...] | Refusal
"""The places in the order in which they are tried, or why there are none."""


class PageFinder:
    """Answers for equal annotations and ports once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._defaults = default_pages(catalogue)
        self._paths = catalogue.paths()
        self._known: dict[tuple[Annotations, tuple[int, ...]], Pages] = {}

    def find(self, annotations: Annotations, ports: tuple[int, ...]) -> Pages:
        key = (annotations, ports)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= 1_024:
                self._known.clear()
            found = self._known[key] = self._find(annotations, ports)
        return found

    def _find(self, annotations: Annotations, ports: tuple[int, ...]) -> Pages:
        scrape = annotations.scrape.strip().lower()
        if scrape not in {"", "true"}:
            shown = _shown(annotations.scrape)
            return Refusal("not_scraped", f"its annotation prometheus.io/scrape is {shown}")
        problem = _scheme_problem(annotations.scheme) or _port_problem(annotations.port)
        problem = problem or _path_problem(annotations.path)
        if problem:
            return Refusal("bad_annotation", problem)
        if annotations.port:
            return self._at([int(annotations.port.strip())], annotations.path)
        if annotations.path or scrape:
            pages = self._declared(ports, annotations.path)
        else:
            pages = tuple(page for page in self._defaults if page[0] in ports)
        if not pages:
            return Refusal("no_port", f"it {_declares(ports)}; annotate it with prometheus.io/port")
        return _first(pages)

    def _declared(self, ports: tuple[int, ...], path: str) -> tuple[Page, ...]:
        """The operator says that there is a page, but not at which port: engines' defaults first."""
        defaults = list(dict.fromkeys(port for port, _ in self._defaults if port in ports))
        return self._at(dict.fromkeys((*defaults, *ports)), path)

    def _at(self, ports: Iterable[int], path: str) -> tuple[Page, ...]:
        """Under the path that is given; else, port by port, under the engines' of this port and then every other."""
        pages: list[Page] = []
        for port in ports:
            if path:
                pages.append((port, path))
                continue
            pages += [page for page in self._defaults if page[0] == port]
            pages += [(port, other) for other in self._paths or (USUAL_PATH,)]
        return _first(pages)


def default_pages(catalogue: Catalogue) -> tuple[Page, ...]:
    """The default port and path of every engine that has a page, in the order of the catalogue, each pair once."""
    engines = catalogue.engines.values()
    return tuple(dict.fromkeys((engine.port, engine.path) for engine in engines if engine.port and engine.path))


def _first(pages: Iterable[Page]) -> tuple[Page, ...]:
    return tuple(dict.fromkeys(pages))[:MAX_PAGES]


def _declares(ports: tuple[int, ...]) -> str:
    if not ports:
        return "declares no port"
    shown = ", ".join(str(port) for port in ports[:5]) + (", ..." if len(ports) > 5 else "")
    return f"declares no port of a known engine, only {shown}"


def _scheme_problem(text: str) -> str:
    if text.strip().lower() in {"", "http"}:
        return ""
    return (
        f"its annotation prometheus.io/scheme is {_shown(text)}, and pods that are found in the cluster are read over"
        " http alone: list it in a file with --targets"
    )


def _port_problem(text: str) -> str:
    digits = text.strip()
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 65536
    if not text or is_number:
        return ""
    return f"its annotation prometheus.io/port is {_shown(text)}, which is no port: write a number from 1 to 65535"


def _path_problem(text: str) -> str:
    if not text:
        return ""
    if len(text) > MAX_PATH:
        return f"its annotation prometheus.io/path has more than {MAX_PATH} characters"
    if text.startswith("//") or not _PATH.fullmatch(text):
        return (
            f"its annotation prometheus.io/path is {_shown(text)}, which is no path of a page: write one such as"
            " /metrics, without a host, query, fragment or blanks"
        )
    return ""


def _shown(text: str) -> str:
    return f"{printable(text[:_SHOWN])!r}" + ("..." if len(text) > _SHOWN else "")
