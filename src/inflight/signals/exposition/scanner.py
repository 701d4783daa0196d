"""Finds the wanted samples of a page whose layout was not seen before, in one pass over its lines.

A line is cut at its first brace; only a wanted one is taken apart further. What is unusual (an escape, blanks in odd
places, quoted names, CRLF, a line that is no sample) goes to the grammar of `lines`, so that the scanner and the
complete reader always say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import msgspec

from inflight.signals.exposition.lines import MAX_LINE_BYTES, LineError, parse_line, parse_tail
from inflight.signals.exposition.page import PageError

MAX_WANTED = 20_000
"""Samples of one page that are kept. A pod of 64 engines has about 15,000."""
MAX_LABELS_KEPT = 100_000
"""Of all those samples together. A pod of 64 engines has about 45,000."""
MAX_ODD_LINES = 20_000
MAX_ODD_BYTES = 1 << 20
"""Of lines that are not written as all known servers write them: the grammar takes twenty times as long, so that a page
of nothing else would take four seconds."""

_numbers = msgspec.json.Decoder(list[float])


class Scan(msgspec.Struct):
    """The wanted samples of a page, side by side in its order, and where in the page they stand."""

    names: Sequence[str]
    labels: Sequence[dict[str, str]]
    values: Sequence[float]
    broken: dict[str, str]
    """Series with a line that cannot be read, and which."""
    lines: Sequence[int]
    """Index of each sample's line, from 0."""
    starts: Sequence[int]
    """Offset of each sample's value in its line."""
    ends: Sequence[int]
    """For each line of the page: how many bytes of it tell what it is. 0: all of them."""
    sampled_at: float | None = None


def scan(lines: Sequence[bytes], wanted: Mapping[bytes, str], open_metrics: bool, plain: bool = True) -> Scan:
    """The samples whose names are in `wanted`. Raises PageError at the first that is one too many, of MAX_WANTED
    samples, MAX_LABELS_KEPT labels, or MAX_ODD_LINES lines or MAX_ODD_BYTES bytes in an unusual form.

    `plain` says that the page holds neither tabs nor carriage returns, as all known servers write it.
    """
    scanner = _Scanner(wanted, open_metrics)
    if plain:
        scanner.plain(lines)
    else:
        for index, line in enumerate(lines):
            scanner.odd(index, line)
    return scanner.result(plain)


def json_numbers(joined: bytes, count: int) -> list[float] | None:
    """Numbers between commas; None where they are not `count` numbers of JSON.

    A number of JSON is a number of the formats too, and one decoder call for all is several times faster than one call
    each; what JSON does not allow (NaN, +Inf, a time, an exemplar, leading zeros) is left to the grammar.
    """
    try:
        values = _numbers.decode(b"[" + joined + b"]")
    except msgspec.DecodeError:
        return None
    return values if len(values) == count else None


def grammar_values(tails: Iterable[bytes], open_metrics: bool) -> tuple[list[float], float | None]:
    """The numbers behind the labels, and the oldest explicit time. Raises LineError."""
    values = []
    oldest: float | None = None
    for tail in tails:
        value, timestamp, _ = parse_tail(tail, open_metrics)
        values.append(value)
        if timestamp is not None and (oldest is None or timestamp < oldest):
            oldest = timestamp
    return values, oldest


class _Scanner:
    def __init__(self, wanted: Mapping[bytes, str], open_metrics: bool) -> None:
        self._wanted = wanted
        self._open_metrics = open_metrics
        # name, labels, line, start of the value, the text from there on
        self._found: list[tuple[str, dict[str, str], int, int, bytes]] = []
        self._ends: list[int] = []
        self._broken: dict[str, tuple[int, str]] = {}
        self._blocks: dict[bytes, dict[str, str]] = {}
        self._pieces: dict[str, str] = {}
        self._labels_left = MAX_LABELS_KEPT
        self._odd_lines_left = MAX_ODD_LINES
        self._odd_bytes_left = MAX_ODD_BYTES

    def plain(self, lines: Sequence[bytes]) -> None:
        wanted, blocks, ends = self._wanted, self._blocks, self._ends
        for index, (name, brace, rest) in enumerate(map(bytes.partition, lines, repeat(b"{"))):
            if brace and name in wanted:
                block, end, tail = rest.partition(b'"} ')
                labels = blocks.get(block)
                if labels is None:
                    labels = self._simple_labels(block)
                if labels is None or not end or len(rest) > MAX_LINE_BYTES - len(name) - 1:
                    self.odd(index, lines[index])
                else:
                    start = len(name) + len(block) + 4
                    self._take((wanted[name], labels, index, start, tail))
                    ends.append(start)
            elif name[:1] == b"#":
                ends.append(0)
            elif brace:
                # a quoted name, a blank before the brace, or a brace in an exemplar behind an unlabelled value
                if b" " in name or not name:
                    self.odd(index, lines[index])
                else:
                    ends.append(len(name) + 1)
            else:
                name, blank, tail = name.partition(b" ")
                if name not in wanted and name:
                    ends.append(len(name) + 1 if blank else 0)
                elif name and tail[:1] != b" " and len(lines[index]) <= MAX_LINE_BYTES:
                    self._take((wanted[name], {}, index, len(name) + 1, tail))
                    ends.append(len(name) + 1)
                else:
                    self.odd(index, lines[index])

    def odd(self, index: int, line: bytes) -> None:
        """A line for the grammar."""
        start = line.lstrip(b" \t")
        if not start or start.startswith(b"#"):
            self._ends.append(0)
            return
        self._odd_lines_left -= 1
        self._odd_bytes_left -= len(line)
        if self._odd_lines_left < 0 or self._odd_bytes_left < 0:
            raise PageError(
                f"the page has more than {MAX_ODD_LINES} lines or {MAX_ODD_BYTES} bytes that are written in an unusual"
                " form (tabs, blanks before a brace, quoted names, escapes)"
            )
        try:
            parsed = parse_line(line, self._open_metrics)
        except LineError as error:
            self._ends.append(0)
            if error.name is not None and error.name.encode() in self._wanted:
                self._mark(error.name, index, error)
            return
        if parsed.name.encode() in self._wanted:
            tail = line[parsed.value_start :]
            self._take((parsed.name, parsed.labels, index, parsed.value_start, tail))
        self._ends.append(parsed.value_start)

    def result(self, plain: bool) -> Scan:
        tails = [row[-1] for row in self._found]
        sampled_at: float | None = None
        values = json_numbers(b",".join(tails), len(tails)) if plain else None
        if values is None:
            try:
                values, sampled_at = grammar_values(tails, self._open_metrics)
            except LineError:
                values, sampled_at = self._values_one_by_one()
        names, labels, lines, starts, _ = zip(*self._found, strict=True) if self._found else ((), (), (), (), ())
        broken = {name: f"line {index + 1}: {problem}" for name, (index, problem) in self._broken.items()}
        return Scan(names, labels, values, broken, lines, starts, self._ends, sampled_at)

    def _take(self, row: tuple[str, dict[str, str], int, int, bytes]) -> None:
        """One more sample."""
        self._labels_left -= len(row[1])
        if len(self._found) >= MAX_WANTED:
            raise PageError(f"the page has more than {MAX_WANTED} samples of the catalogue")
        if self._labels_left < 0:
            raise PageError(f"the page's samples of the catalogue have more than {MAX_LABELS_KEPT} labels")
        self._found.append(row)

    def _mark(self, name: str, index: int, error: LineError) -> None:
        """Marks a series as broken by the first of its lines that cannot be read."""
        if name not in self._broken or index < self._broken[name][0]:
            self._broken[name] = index, str(error)

    def _values_one_by_one(self) -> tuple[list[float], float | None]:
        """A sample without a readable value is taken out, and its series is broken."""
        keep: list[tuple[str, dict[str, str], int, int, bytes]] = []
        values: list[float] = []
        oldest: float | None = None
        for row in self._found:
            try:
                value, timestamp, _ = parse_tail(row[-1], self._open_metrics)
            except LineError as error:
                self._mark(row[0], row[2], error)
                continue
            keep.append(row)
            values.append(value)
            if timestamp is not None and (oldest is None or timestamp < oldest):
                oldest = timestamp
        self._found = keep
        return values, oldest

    def _simple_labels(self, block: bytes) -> dict[str, str] | None:
        """Labels written the usual way, `a="b",c="d` without the last quote; None where they are not.

        `_pieces` remembers what stands between values (`,c=`) and passed as a label name.
        """
        if b"\\" in block:
            return None
        try:
            parts = block.decode("utf-8").split('"')
        except UnicodeDecodeError:
            return None
        if len(parts) % 2 or len(parts) > 256:
            return None
        pieces = self._pieces
        labels: dict[str, str] = {}
        for piece, value in zip(parts[::2], parts[1::2], strict=True):
            if (piece[:1] == ",") is not bool(labels):
                return None
            name = pieces.get(piece)
            if name is None:
                name = piece.removeprefix(",")
                if name[-1:] != "=" or not _is_label_name(name[:-1]):
                    return None
                name = pieces[piece] = name[:-1]
            if name in labels:
                return None
            labels[name] = value
        self._blocks[block] = labels
        return labels


def _is_label_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()
