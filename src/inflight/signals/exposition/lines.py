"""The grammar of one sample line, in bytes, so that the reader knows where its value begins.

Both dialects are read here: Prometheus text (0.0.4 and 1.0.0: names in quotes, blanks around every token, a time in
milliseconds) and OpenMetrics 1.0 (a time in seconds, an exemplar behind it). Sources: "Exposition formats" of the
Prometheus documentation, the OpenMetrics 1.0.0 specification, and Prometheus' own lexer where both are silent:
an unknown escape stays as it stands, numbers follow Go's ParseFloat without underscores and hexadecimal.
"""

import re

import msgspec

MAX_LABELS = 128
MAX_LINE_BYTES = 64 << 10
"""The longest lines of real pages, vLLM's cache_config_info, have about 1.5 KiB."""

_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(rb"[a-zA-Z_][a-zA-Z0-9_]*")
_QUOTED = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_BLANKS = re.compile(rb"[ \t]*")
_TOKEN = re.compile(rb"[^ \t]+")
_NUMBER = re.compile(
    rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
_ESCAPE = re.compile(r'\\([\\"n])')
_MEANING = {"\\": "\\", '"': '"', "n": "\n"}


class LineError(ValueError):
    """A line that is not a sample: what is wrong, and the series it speaks of where that can be told."""

    def __init__(self, problem: str, name: str | None = None) -> None:
        super().__init__(problem)
        self.name = name


class ParsedLine(msgspec.Struct, frozen=True, gc=False):
    """One sample line, taken apart. `value_start` is the offset of the value's first byte in the line."""

    name: str
    labels: dict[str, str]
    value_start: int
    value: float
    timestamp_seconds: float | None = None
    exemplar: bool = False


def parse_number(token: bytes) -> float:
    """A number as the formats write it. Raises LineError."""
    if _NUMBER.fullmatch(token) is None:
        raise LineError(f"{_shown(token)} is no number")
    return float(token)


def parse_tail(tail: bytes, open_metrics: bool) -> tuple[float, float | None, bool]:
    """What stands behind the labels: value, time in unix seconds, whether an exemplar follows. Raises LineError."""
    start = _skip(tail, 0)
    token = _TOKEN.match(tail, start)
    if token is None:
        raise LineError("the value is missing")
    value = parse_number(token.group())
    position = _skip(tail, token.end())
    timestamp: float | None = None
    if position < len(tail) and tail[position : position + 1] != b"#":
        token = _TOKEN.match(tail, position)
        assert token is not None
        timestamp = _timestamp(token.group(), open_metrics)
        position = _skip(tail, token.end())
    if position >= len(tail):
        return value, timestamp, False
    if tail[position : position + 1] != b"#":
        raise LineError(f"{_shown(tail[position:])} stands behind the value")
    _check_exemplar(tail, position)
    return value, timestamp, True


def parse_line(line: bytes, open_metrics: bool) -> ParsedLine:
    """One sample line. Raises LineError, which knows the series' name where the line begins with one."""
    position = _skip(line, 0)
    name: str | None = None
    match = _NAME.match(line, position)
    if match is not None:
        end = match.end()
        if end < len(line) and line[end : end + 1] not in (b"{", b" ", b"\t"):
            raise LineError(f"{_shown(line)} does not begin with a metric name")
        name = match.group().decode("ascii")
        position = _skip(line, end)
        if len(line) > MAX_LINE_BYTES:
            raise LineError(f"it has {len(line)} bytes; at most {MAX_LINE_BYTES} are read", name)
    elif len(line) > MAX_LINE_BYTES:
        raise LineError(f"it has {len(line)} bytes; at most {MAX_LINE_BYTES} are read")
    elif line[position : position + 1] != b"{":
        raise LineError(f"{_shown(line)} does not begin with a metric name")
    try:
        labels: dict[str, str] = {}
        if line[position : position + 1] == b"{":
            quoted_name, labels, position = _parse_labels(line, position + 1, name is None)
            name = name or quoted_name
        if not name:
            raise LineError("the metric name is missing")
        start = _skip(line, position)
        value, timestamp, exemplar = parse_tail(line[start:], open_metrics)
    except LineError as error:
        raise LineError(str(error), name or None) from None
    return ParsedLine(name, labels, start, value, timestamp, exemplar)


def _parse_labels(line: bytes, position: int, name_allowed: bool) -> tuple[str | None, dict[str, str], int]:
    """Labels up to and with the closing brace; a quoted text without `=` is the metric's UTF-8 name."""
    name: str | None = None
    labels: dict[str, str] = {}
    while True:
        position = _skip(line, position)
        here = line[position : position + 1]
        if here == b"}":
            return name, labels, position + 1
        if here == b'"':
            key, position = _parse_quoted(line, position)
            position = _skip(line, position)
            if line[position : position + 1] != b"=":
                if not name_allowed or name is not None:
                    raise LineError(f"the quoted text {key!r} is neither a name nor a label", name)
                name = key
                position = _after_comma(line, position, name)
                continue
        else:
            match = _LABEL.match(line, position)
            if match is None:
                raise LineError("the labels are not closed" if not here else "a label name is expected", name)
            key = match.group().decode("ascii")
            position = _skip(line, match.end())
        if line[position : position + 1] != b"=":
            raise LineError(f"label {key!r} has no value", name)
        value, position = _parse_quoted(line, _skip(line, position + 1))
        if key in labels:
            raise LineError(f"label {key!r} stands twice", name)
        labels[key] = value
        if len(labels) > MAX_LABELS:
            raise LineError(f"more than {MAX_LABELS} labels", name)
        position = _after_comma(line, position, name)


def _after_comma(line: bytes, position: int, name: str | None) -> int:
    position = _skip(line, position)
    here = line[position : position + 1]
    if here == b",":
        return position + 1
    if here != b"}":
        raise LineError("a comma or the closing brace is missing behind a label", name)
    return position


def _parse_quoted(line: bytes, position: int) -> tuple[str, int]:
    match = _QUOTED.match(line, position)
    if match is None:
        raise LineError("a quote is not opened or not closed")
    raw = match.group(1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise LineError("a quoted text is not UTF-8") from None
    if "\\" in text:
        text = _ESCAPE.sub(lambda found: _MEANING[found.group(1)], text)
    return text, match.end()


def _timestamp(token: bytes, open_metrics: bool) -> float:
    try:
        number = parse_number(token)
    except LineError:
        raise LineError(f"{_shown(token)} behind the value is no time") from None
    return number if open_metrics else number / 1000.0


def _check_exemplar(tail: bytes, position: int) -> None:
    start = _skip(tail, position + 1)
    if tail[start : start + 1] != b"{":
        raise LineError("an exemplar begins with labels")
    _, _, end = _parse_labels(tail, start + 1, False)
    tokens = tail[end:].split()
    if len(tokens) not in (1, 2):
        raise LineError("an exemplar has a value and at most a time")
    for token in tokens:
        parse_number(token)


def _skip(line: bytes, position: int) -> int:
    match = _BLANKS.match(line, position)
    return position if match is None else match.end()


def _shown(raw: bytes) -> str:
    """Foreign bytes as a short, printable text."""
    text = raw[:40].decode("utf-8", "backslashreplace")
    return ascii(text) if len(raw) <= 40 else ascii(text) + "..."
