"""Reads request traces: when each request came, how long its prompt was and how long its answer.

Four formats, told apart by their first line: the Azure LLM inference traces (CSV), Mooncake (JSON lines), BurstGPT
(CSV) and a plain CSV with the header `arrival_s,prompt_tokens,output_tokens`; each plain or compressed with gzip. Bytes
in, a value out. A trace can come from anyone: bytes, rows, line lengths and numbers are bounded, and every complaint
names file, line and field. Times are seconds after the first request.
"""

import csv
import zlib
from array import array
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import pairwise

import msgspec

from inflight.sim.streams import uniform
from inflight.sim.trace_rows import Row, RowError, azure_row, burstgpt_row, mooncake_row, plain_row

MAX_BYTES = 256 << 20
MAX_ROWS = 3_000_000
MAX_LINE_BYTES = 1 << 20
SHIPPED = "azure-llm-2023-conv.csv.gz"

_MOONCAKE_BIN_SECONDS = 3.0
_BURSTGPT_BIN_SECONDS = 1.0


class TraceError(ValueError):
    """A trace that cannot be used: what is wrong, in which file, line and field."""

    def __init__(self, name: str, line: int | None, field: str, problem: str) -> None:
        self.name = name
        self.line = line
        self.field = field
        where = name if line is None else f"{name}:{line}"
        super().__init__(f"{where}: {field}: {problem}" if field else f"{where}: {problem}")


class Trace(msgspec.Struct, frozen=True):
    """Three columns of the same length, in the order of arrival; `skipped` rows had no prompt or no answer."""

    name: str
    at_seconds: "array[float]"
    prompt_tokens: "array[int]"
    output_tokens: "array[int]"
    skipped: int = 0

    @property
    def requests(self) -> int:
        return len(self.at_seconds)

    @property
    def mean_gap_seconds(self) -> float:
        """0 when there is one request only, or when all came at once."""
        return self.at_seconds[-1] / (self.requests - 1) if self.requests > 1 else 0.0

    @property
    def requests_per_second(self) -> float:
        gap = self.mean_gap_seconds
        return 1 / gap if gap else 0.0


def shipped_trace() -> Trace:
    """The conversation trace of the Azure LLM inference dataset 2023 (its attribution lies beside the file)."""
    file = resources.files("inflight.sim").joinpath("data", SHIPPED)
    return read_trace(file.read_bytes(), SHIPPED)


def read_trace(raw: bytes | str, name: str, seed: int = 0) -> Trace:
    """The trace in `raw`; `name` is what complaints call it, `seed` spreads arrivals that share a time stamp.

    Mooncake's stamps are rounded to about 3 s and BurstGPT's to 1 s: their requests are spread evenly over that time,
    or the burst at each stamp would be an artefact of the rounding. Raises TraceError.
    """
    lines = _lines(raw.encode() if isinstance(raw, str) else raw, name)
    _, first = next(lines, (0, ""))
    if first.lstrip().startswith("{"):
        rows = _json_rows(first, lines, name)
        return _collect(rows, name, seed, _MOONCAKE_BIN_SECONDS)
    header = [field.strip() for field in _fields(first, 1, name)]
    build, bin_seconds = _csv_format(header, name)
    return _collect(_csv_rows(lines, build, len(header), name), name, seed, bin_seconds)


def _csv_format(header: list[str], name: str) -> tuple[Callable[[list[str]], Row], float]:
    for build, bin_seconds in ((azure_row, 0.0), (plain_row, 0.0), (burstgpt_row, _BURSTGPT_BIN_SECONDS)):
        row = build(header)
        if row is not None:
            return row, bin_seconds
    raise TraceError(
        name,
        1 if header else None,
        "",
        "not a trace that is known: the first line has to be the header of a CSV file"
        " (TIMESTAMP,ContextTokens,GeneratedTokens or Timestamp,...,Request tokens,Response tokens,... or"
        " arrival_s,prompt_tokens,output_tokens) or a JSON object with timestamp, input_length and output_length;"
        f" it is {','.join(header)[:80]!r}",
    )


def _csv_rows(
    lines: Iterator[tuple[int, str]], build: Callable[[list[str]], Row], width: int, name: str
) -> Iterator[tuple[int, Row]]:
    for number, line in lines:
        if not line.strip():
            continue
        fields = _fields(line, number, name)
        if len(fields) != width:
            raise TraceError(name, number, "", f"{len(fields)} fields where the header has {width}")
        try:
            yield number, build(fields)
        except RowError as error:
            raise TraceError(name, number, error.field, error.problem) from error


def _fields(line: str, number: int, name: str) -> list[str]:
    if '"' not in line:
        return line.split(",") if line else []
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise TraceError(name, number, "", f"not a line of a CSV file: {error}") from error


def _json_rows(first: str, lines: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, Row]]:
    number, line = 1, first
    while True:
        if line.strip():
            try:
                yield number, mooncake_row(line)
            except RowError as error:
                raise TraceError(name, number, error.field, error.problem) from error
        following = next(lines, None)
        if following is None:
            return
        number, line = following


def _collect(rows: Iterator[tuple[int, Row]], name: str, seed: int, bin_seconds: float) -> Trace:
    at, prompt, output = array("d"), array("q"), array("q")
    skipped = 0
    begin, latest = 0.0, float("-inf")
    for number, row in rows:
        if row.at_seconds < latest:
            raise TraceError(
                name, number, row.time_field, "earlier than the line before; sort the requests by time of arrival"
            )
        latest = row.at_seconds
        if not row.prompt_tokens or not row.output_tokens:
            skipped += 1
            continue
        if not at:
            begin = row.at_seconds
        if len(at) == MAX_ROWS:
            raise TraceError(name, number, "", f"more than {MAX_ROWS} requests; use a shorter part of the trace")
        at.append(row.at_seconds - begin)
        prompt.append(row.prompt_tokens)
        output.append(row.output_tokens)
    if not at:
        raise TraceError(name, None, "", "there is no request with a prompt and an answer in it")
    if bin_seconds:
        at = _spread(at, bin_seconds, seed)
    return Trace(name, at, prompt, output, skipped)


def _spread(at: "array[float]", bin_seconds: float, seed: int) -> "array[float]":
    """Rounded stamps made fine again: each request somewhere between its stamp and the next, `bin_seconds` at the most.

    A trace in which most requests have a stamp of their own is not a rounded one and stays as it is.
    """
    stamps = sorted(set(at))
    if 2 * len(stamps) > len(at):
        return at
    following = dict(pairwise([*stamps, stamps[-1] + bin_seconds]))
    spread = sorted(
        stamp + min(bin_seconds, following[stamp] - stamp) * uniform(seed, "trace", index)
        for index, stamp in enumerate(at)
    )
    return array("d", (moment - spread[0] for moment in spread))


def _lines(raw: bytes, name: str) -> Iterator[tuple[int, str]]:
    """The lines from 1, without their ends."""
    rest, number, total = b"", 0, 0
    for chunk in _chunks(raw, name):
        total += len(chunk)
        if total > MAX_BYTES:
            raise TraceError(name, number + 1, "", f"more than {MAX_BYTES >> 20} MiB; use a shorter part of the trace")
        whole = (rest + chunk).split(b"\n")
        rest = whole.pop()
        for line in whole:
            number += 1
            yield number, _decode(line, number, name)
        if len(rest) > MAX_LINE_BYTES:
            raise TraceError(name, number + 1, "", f"the line is longer than {MAX_LINE_BYTES} bytes")
    if rest:
        yield number + 1, _decode(rest, number + 1, name)


def _chunks(raw: bytes, name: str) -> Iterator[bytes]:
    if raw[:2] != b"\x1f\x8b":
        for start in range(0, len(raw), 1 << 16):
            yield raw[start : start + (1 << 16)]
        return
    while raw:
        stream = zlib.decompressobj(wbits=31)
        try:
            chunk = stream.decompress(raw, 1 << 16)
            while chunk:
                yield chunk
                chunk = stream.decompress(stream.unconsumed_tail, 1 << 16)
        except zlib.error as error:
            raise TraceError(name, None, "", f"damaged: {error}") from error
        if not stream.eof:
            raise TraceError(name, None, "", "the gzip file ends too early; fetch it again")
        raw = stream.unused_data


def _decode(line: bytes, number: int, name: str) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise TraceError(name, number, "", f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        return line.rstrip(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise TraceError(name, number, "", "not UTF-8 text") from error
