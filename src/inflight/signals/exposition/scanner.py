"""Finds the wanted samples of a page whose layout was not seen before, in one pass over its bytes.

Lines are looked at by the bytes up to the first brace or blank; only a wanted line is taken apart. What is unusual (an
escape, blanks in odd places, quoted names, CRLF, a line that is no sample) goes to the grammar of `lines`, so that the
scanner and the complete reader always say the same.
"""

from collections.abc import Iterator, Mapping, Sequence

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
    lines: list[int]
    """Index of each sample's line, from 0."""
    starts: list[int]
    """Offset of each sample's value in its line."""
    sampled_at: float | None = None


def is_plain(body: bytes) -> bool:
    """Whether every sample line can be told apart by its first brace and blank."""
    return not (b"\t" in body or b"\r" in body or b" {" in body or b"\n " in body or body.startswith(b" "))


def scan(lines: Sequence[bytes], wanted: Mapping[bytes, str], plain: bool, open_metrics: bool) -> Scan:
    """The samples whose names are in `wanted`. Raises PageError beyond MAX_WANTED of them."""
    result = Scan([], [], [], {}, [], [])
    tails: list[bytes] = []
    known: dict[bytes, dict[str, str]] = {}
    pieces: dict[str, str] = {}
    find_lines = _plain_lines if plain else _odd_lines
    for index, name, line in find_lines(lines, wanted):
        if len(tails) >= MAX_WANTED:
            raise PageError(f"the page has more than {MAX_WANTED} samples of the catalogue")
        cut = len(name)
        usual = plain and line.startswith(name) and b"\\" not in line
        end = line.find(b'"} ', cut) if usual and line[cut : cut + 1] == b"{" else -1
        if end > 0:
            block = line[cut + 1 : end]
            labels = known.get(block)
            if labels is None:
                labels = _simple_labels(block, pieces)
                if labels is not None:
                    known[block] = labels
            start = end + 3
        elif usual and line[cut : cut + 1] == b" ":
            labels, start = {}, cut + 1
        else:
            labels = None
        if labels is None:
            try:
                parsed = parse_line(line, open_metrics)
            except LineError as error:
                result.broken.setdefault(error.name or wanted[name], f"line {index + 1}: {error}")
                continue
            labels, start = parsed.labels, parsed.value_start
        result.names.append(wanted[name])
        result.labels.append(labels)
        result.lines.append(index)
        result.starts.append(start)
        tails.append(line[start:])
    _take_values(result, tails, plain, open_metrics)
    return result


def read_values(tails: Sequence[bytes], plain: bool, open_metrics: bool) -> tuple[list[float], float | None]:
    """The numbers behind the labels, and the oldest explicit time. Raises LineError.

    A JSON number is a number of the formats too, and one decoder call for all is several times faster than one call each;
    what JSON does not allow (NaN, +Inf, a time, an exemplar, leading zeros) goes to the grammar.
    """
    if plain:
        try:
            values = _numbers.decode(b"[" + b",".join(tails) + b"]")
        except msgspec.DecodeError:
            pass
        else:
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


def _take_values(result: Scan, tails: list[bytes], plain: bool, open_metrics: bool) -> None:
    """Fills in the values; a sample without a readable one is taken out and its series marked as broken."""
    try:
        result.values, result.sampled_at = read_values(tails, plain, open_metrics)
        return
    except LineError:
        pass
    keep: list[int] = []
    for at, tail in enumerate(tails):
        try:
            value, timestamp, _ = parse_tail(tail, open_metrics)
        except LineError as error:
            result.broken.setdefault(result.names[at], f"line {result.lines[at] + 1}: {error}")
            continue
        keep.append(at)
        result.values.append(value)
        if timestamp is not None and (result.sampled_at is None or timestamp < result.sampled_at):
            result.sampled_at = timestamp
    result.names = [result.names[at] for at in keep]
    result.labels = [result.labels[at] for at in keep]
    result.lines = [result.lines[at] for at in keep]
    result.starts = [result.starts[at] for at in keep]


def _plain_lines(lines: Sequence[bytes], wanted: Mapping[bytes, str]) -> Iterator[tuple[int, bytes, bytes]]:
    for index, line in enumerate(lines):
        cut = line.find(b"{")
        if cut > 0:
            name = line[:cut]
        elif cut == 0:
            yield from _odd_line(index, line, wanted)
            continue
        else:
            name = line.partition(b" ")[0]
        if name in wanted:
            yield index, name, line
        elif b" " in name and line[:1] != b"#":
            yield from _odd_line(index, line, wanted)


def _odd_lines(lines: Sequence[bytes], wanted: Mapping[bytes, str]) -> Iterator[tuple[int, bytes, bytes]]:
    for index, line in enumerate(lines):
        start = line.lstrip(b" \t")
        if start and not start.startswith(b"#"):
            yield from _odd_line(index, line, wanted)


def _odd_line(index: int, line: bytes, wanted: Mapping[bytes, str]) -> Iterator[tuple[int, bytes, bytes]]:
    try:
        name: str | None = parse_line(line, open_metrics=True).name
    except LineError as error:
        name = error.name
    if name is not None:
        raw = name.encode()
        if raw in wanted:
            yield index, raw, line


def _simple_labels(block: bytes, pieces: dict[str, str]) -> dict[str, str] | None:
    """Labels written the usual way, `a="b",c="d` without the last quote; None where they are not.

    `pieces` remembers what stands between values (`",c="`) and passed as a label name.
    """
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        return None
    parts = text.split('"')
    if len(parts) % 2 or len(parts) > 256:
        return None
    labels: dict[str, str] = {}
    for at in range(0, len(parts), 2):
        piece = parts[at]
        name = pieces.get(piece)
        if name is None:
            name = piece.removesuffix("=") if at == 0 else piece.removeprefix(",").removesuffix("=")
            if piece != (name + "=" if at == 0 else "," + name + "=") or not _is_label_name(name):
                return None
            pieces[piece] = name
        if name in labels:
            return None
        labels[name] = parts[at + 1]
    return labels


def _is_label_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()
