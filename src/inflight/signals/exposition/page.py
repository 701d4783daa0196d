"""A whole metrics page: every sample, every type, and each line that cannot be read.

This is the complete, unhurried reader. `check_page` holds what makes a page unusable as a whole, so that the fast and
the complete reader refuse the same pages in the same words.
"""

import re

import msgspec

from inflight.signals.exposition.lines import LineError, parse_line

MAX_PAGE_BYTES = 8 << 20
"""The largest page met in the field has 0.35 MiB (eight engines behind one port)."""
MAX_LINES = 200_000
MAX_PROBLEMS = 1000

_UNIT_LINE = re.compile(rb"^# UNIT ", re.MULTILINE)
_JSON_OBJECT = re.compile(rb'\{\s*(?:"[^"]*"\s*:|\})')
_OPEN_METRICS_TYPES = (b" info\n", b" stateset\n")


class PageError(ValueError):
    """A body that is no usable metrics page: what it is instead, and what to do."""


class ForeignPageError(PageError):
    """A body that is no metrics page at all: whatever serves it, it is not the page of an engine."""


class Sample(msgspec.Struct, frozen=True):
    """One sample as it stands on the page; `timestamp_seconds` is unix time where the line carries one."""

    name: str
    labels: dict[str, str]
    value: float
    line: int
    timestamp_seconds: float | None = None


class Problem(msgspec.Struct, frozen=True):
    """A line that could not be read. `name` is the series it speaks of, where that can be told."""

    line: int
    problem: str
    name: str | None = None


class Page(msgspec.Struct, frozen=True):
    """What stands on a page, in its order. `families` are names with a TYPE line, which may have no sample yet."""

    samples: tuple[Sample, ...]
    types: dict[str, str]
    problems: tuple[Problem, ...]
    open_metrics: bool


def check_page(body: bytes, open_metrics: bool | None = None, max_bytes: int = MAX_PAGE_BYTES) -> bool:
    """Whether the page is OpenMetrics. Raises PageError where it cannot be used as a whole.

    `open_metrics` is what the Content-Type said, None where there was none: then the content decides.
    """
    if len(body) > max_bytes:
        raise PageError(f"the page has {len(body)} bytes; at most {max_bytes} are read")
    if not body or body.isspace():
        raise ForeignPageError("the page is empty")
    if body[:2] == b"\x1f\x8b":
        raise PageError("the page is compressed (gzip); ask for it with Accept-Encoding: identity")
    if b"\0" in body:
        raise ForeignPageError("the page is not text: it holds NUL bytes")
    head = body[:256].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ForeignPageError("the page is HTML, not metrics: check the path, /metrics on most servers")
    if head.startswith(b"[") or _JSON_OBJECT.match(head):
        raise ForeignPageError(
            "the page is JSON, not metrics: check the path (trtllm-serve has its page at /prometheus/metrics)"
        )
    if len(body) > MAX_LINES and body.count(b"\n") > MAX_LINES:
        raise PageError(f"the page has more than {MAX_LINES} lines")
    if ends_with_eof(body):
        return True
    if open_metrics or (open_metrics is None and _looks_open_metrics(body)):
        raise PageError("the page was cut off: it is OpenMetrics and does not end with # EOF")
    if not body.endswith(b"\n"):
        number = body.count(b"\n") + 1
        raise PageError(f"the page was cut off: line {number}, its last, does not end with a newline")
    return False


def may_be_remembered(body: bytes, open_metrics: bool | None, max_bytes: int) -> bool:
    """Whether the lines of the page alone decide if it is usable: then a layout that fits them line by line has passed
    `check_page`, but for what is asked here. It takes a tenth of the time.
    """
    if len(body) > max_bytes or b"\0" in body or b"\r" in body:
        return False
    return ends_with_eof(body) or (not open_metrics and body.endswith(b"\n"))


def ends_with_eof(body: bytes) -> bool:
    """Whether the last line is `# EOF`, the end mark of OpenMetrics (its newline may be missing)."""
    tail = body[-8:].rstrip(b"\r\n")
    return tail.endswith(b"\n# EOF") or (len(body) <= 8 and tail == b"# EOF")


def split_lines(body: bytes) -> list[bytes]:
    """The page's lines without their ends; the text behind the last newline is the list's last item."""
    lines = body.split(b"\n")
    if b"\r" in body:
        lines = [line.rstrip(b"\r") for line in lines]
    return lines


def parse_page(body: bytes, open_metrics: bool | None = None, max_bytes: int = MAX_PAGE_BYTES) -> Page:
    """Everything on the page. Raises PageError for a body that is no page; a bad line becomes a Problem."""
    dialect = check_page(body, open_metrics, max_bytes)
    samples: list[Sample] = []
    types: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(split_lines(body), 1):
        start = line.lstrip(b" \t")
        if not start:
            continue
        if start.startswith(b"#"):
            _note_type(start, types)
            continue
        try:
            parsed = parse_line(line, dialect)
        except LineError as error:
            if len(problems) < MAX_PROBLEMS:
                problems.append(Problem(number, str(error), error.name))
            continue
        samples.append(Sample(parsed.name, parsed.labels, parsed.value, number, parsed.timestamp_seconds))
    return Page(tuple(samples), types, tuple(problems), dialect)


def _note_type(comment: bytes, types: dict[str, str]) -> None:
    words = comment.split(None, 3)
    if len(words) == 4 and words[0] == b"#" and words[1] == b"TYPE":
        name = words[2].decode("utf-8", "replace").strip('"')
        types.setdefault(name, words[3].strip().decode("utf-8", "replace"))


def _looks_open_metrics(body: bytes) -> bool:
    """Marks that the text format does not have: UNIT lines and type words of its own."""
    if b"# UNIT " in body and _UNIT_LINE.search(body):
        return True
    return any(_type_line_has(body, word) for word in _OPEN_METRICS_TYPES)


def _type_line_has(body: bytes, word: bytes) -> bool:
    found = body.find(word)
    while found >= 0:
        if body.startswith(b"# TYPE ", body.rfind(b"\n", 0, found) + 1):
            return True
        found = body.find(word, found + 1)
    return False
