"""Finds the wanted samples of a page whose layout was not seen before, in one pass over its lines.

A line is cut at its first brace; only a wanted one is taken apart further. What is unusual (an escape, blanks in odd
places, quoted names, CRLF, a line that is no sample) goes to the grammar of `lines`, so that the scanner and the
complete reader always say the same.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat

import msgspec

from inflight.signals.exposition.lines import LineError, parse_line, parse_tail
from inflight.signals.exposition.page import PageError

MAX_WANTED = 20_000
"""Samples of one page that are kept. A pod of 64 engines has about 15,000."""

_numbers = msgspec.json.Decoder(list[float])


class Scan(msgspec.Struct):
    """The wanted samples of a page, side by side in its order, and where in the page they stand."""

    names: list[str]
    labels: list[dict[str, str]]
    values: list[float]
    broken: dict[str, str]
    """Series with a line that cannot be read, and which."""
    lines: list[int]
    """Index of each sample's line, from 0."""
    starts: list[int]
    """Offset of each sample's value in its line."""
    ends: list[int]
    """For each line of the page: how many bytes of it tell what it is. 0: all of them."""
    sampled_at: float | None = None


def scan(lines: Sequence[bytes], wanted: Mapping[bytes, str], open_metrics: bool, plain: bool = True) -> Scan:
    """The samples whose names are in `wanted`. Raises PageError beyond MAX_WANTED of them.

    `plain` says that the page holds neither tabs nor carriage returns, as all known servers write it.
    """
    scanner = _Scanner(wanted, open_metrics)
    if plain:
        scanner.plain(lines)
    else:
        for index, line in enumerate(lines):
            scanner.odd(index, line)
    return scanner.result(plain)


def read_values(tails: Sequence[bytes], plain: bool, open_metrics: bool) -> tuple[list[float], float | None]:
    """The numbers behind the labels, and the oldest explicit time. Raises LineError.

    A JSON number is a number of the formats too, and one decoder call for all is several times faster than one call
    each; what JSON does not allow (NaN, +Inf, a time, an exemplar, leading zeros) goes to the grammar.
    """
    if plain:
        try:
            values = _numbers.decode(b"[" + b",".join(tails) + b"]")
        except msgspec.DecodeError:
            values = []
        if len(values) == len(tails):
            return values, None
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
        self._scan = Scan([], [], [], {}, [], [], [])
        self._tails: list[bytes] = []
        self._broken_lines: dict[str, int] = {}
        self._blocks: dict[bytes, dict[str, str]] = {}
        self._pieces: dict[str, str] = {}

    def plain(self, lines: Sequence[bytes]) -> None:
        wanted, blocks, ends = self._wanted, self._blocks, self._scan.ends
        for index, (name, brace, rest) in enumerate(map(bytes.partition, lines, repeat(b"{"))):
            if brace and name in wanted:
                block, end, tail = rest.partition(b'"} ')
                labels = blocks.get(block)
                if labels is None:
                    labels = self._simple_labels(block)
                if labels is None or not end:
                    self.odd(index, lines[index])
                else:
                    self._keep(index, wanted[name], labels, len(name) + len(block) + 4, tail)
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
                elif name and tail[:1] != b" ":
                    self._keep(index, wanted[name], {}, len(name) + 1, tail)
                else:
                    self.odd(index, lines[index])

    def odd(self, index: int, line: bytes) -> None:
        """A line for the grammar."""
        start = line.lstrip(b" \t")
        if not start or start.startswith(b"#"):
            self._scan.ends.append(0)
            return
        try:
            parsed = parse_line(line, self._open_metrics)
        except LineError as error:
            self._scan.ends.append(0)
            if error.name is not None and error.name.encode() in self._wanted:
                self._mark(error.name, index, error)
            return
        if parsed.name.encode() in self._wanted:
            self._keep(index, parsed.name, parsed.labels, parsed.value_start, line[parsed.value_start :])
        else:
            self._scan.ends.append(parsed.value_start)

    def result(self, plain: bool) -> Scan:
        found = self._scan
        try:
            found.values, found.sampled_at = read_values(self._tails, plain, self._open_metrics)
        except LineError:
            self._values_one_by_one()
        return found

    def _keep(self, index: int, name: str, labels: dict[str, str], start: int, tail: bytes) -> None:
        if len(self._tails) >= MAX_WANTED:
            raise PageError(f"the page has more than {MAX_WANTED} samples of the catalogue")
        found = self._scan
        found.names.append(name)
        found.labels.append(labels)
        found.lines.append(index)
        found.starts.append(start)
        found.ends.append(start)
        self._tails.append(tail)

    def _mark(self, name: str, index: int, error: LineError) -> None:
        """Marks a series as broken by the first of its lines that cannot be read."""
        if index < self._broken_lines.get(name, index + 1):
            self._broken_lines[name] = index
            self._scan.broken[name] = f"line {index + 1}: {error}"

    def _values_one_by_one(self) -> None:
        """A sample without a readable value is taken out, and its series is broken."""
        found = self._scan
        keep: list[int] = []
        values: list[float] = []
        for at, tail in enumerate(self._tails):
            try:
                value, timestamp, _ = parse_tail(tail, self._open_metrics)
            except LineError as error:
                self._mark(found.names[at], found.lines[at], error)
                continue
            keep.append(at)
            values.append(value)
            if timestamp is not None and (found.sampled_at is None or timestamp < found.sampled_at):
                found.sampled_at = timestamp
        found.values = values
        found.names = [found.names[at] for at in keep]
        found.labels = [found.labels[at] for at in keep]
        found.lines = [found.lines[at] for at in keep]
        found.starts = [found.starts[at] for at in keep]

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
