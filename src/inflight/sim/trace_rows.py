"""One row of each trace format: which fields it has, and what may stand in them.

A builder takes the header and gives a reader of rows, or None when the header is another format's. Sources of the
formats: Azure/AzurePublicDataset (`TIMESTAMP` in UTC with up to seven decimals; the 2024 files add `+00:00` and leave
out a zero fraction), kvcache-ai/Mooncake (`timestamp` in milliseconds), HPMLL/BurstGPT (`Timestamp` in seconds; a
failed request has no response tokens).
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

MAX_TOKENS = 10_000_000
MAX_SECONDS = 100 * 366 * 86_400.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)


class RowError(ValueError):
    """A field that cannot be used."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class Row(msgspec.Struct, frozen=True, gc=False):
    """A request: seconds on the trace's own clock, and its lengths. A length of 0 is a request that failed."""

    at_seconds: float
    prompt_tokens: int
    output_tokens: int
    time_field: str


class _Mooncake(msgspec.Struct, gc=False):
    timestamp: float
    input_length: int
    output_length: int


_mooncake = msgspec.json.Decoder(_Mooncake)

Reader = Callable[[list[str]], Row]


def azure_row(header: list[str]) -> Reader | None:
    """`TIMESTAMP,ContextTokens,GeneratedTokens`, in any order."""
    return _reader(header, "TIMESTAMP", _stamp, "ContextTokens", "GeneratedTokens")


def plain_row(header: list[str]) -> Reader | None:
    """`arrival_s,prompt_tokens,output_tokens`, in any order."""
    return _reader(header, "arrival_s", _seconds, "prompt_tokens", "output_tokens")


def burstgpt_row(header: list[str]) -> Reader | None:
    """`Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, newer files with more columns."""
    return _reader(header, "Timestamp", _seconds, "Request tokens", "Response tokens")


def mooncake_row(line: str) -> Row:
    """`{"timestamp": 27482, "input_length": 6955, "output_length": 52, ...}`; raises RowError."""
    try:
        row = _mooncake.decode(line)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        field = where.strip(".`")
        raise RowError(field, problem[:1].lower() + problem[1:]) from error
    except msgspec.DecodeError as error:
        raise RowError("", f"not a JSON object: {error}") from error
    return Row(
        _bounded_seconds("timestamp", row.timestamp / 1_000),
        _bounded_tokens("input_length", row.input_length),
        _bounded_tokens("output_length", row.output_length),
        "timestamp",
    )


def _reader(
    header: list[str], time_field: str, parse_time: Callable[[str, str], float], prompt_field: str, output_field: str
) -> Reader | None:
    try:
        when, prompt, output = (header.index(field) for field in (time_field, prompt_field, output_field))
    except ValueError:
        return None

    def read(fields: list[str]) -> Row:
        return Row(
            parse_time(time_field, fields[when]),
            _tokens(prompt_field, fields[prompt]),
            _tokens(output_field, fields[output]),
            time_field,
        )

    return read


def _tokens(field: str, text: str) -> int:
    text = text.strip()
    # Some writers of CSV files turn whole numbers into 374.0 when a column has a gap.
    digits = text.removesuffix(".0")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise RowError(field, f"{text[:40]!r} is not a number of tokens (a whole number from 0)")
    return _bounded_tokens(field, int(digits))


def _bounded_tokens(field: str, tokens: int) -> int:
    if not 0 <= tokens <= MAX_TOKENS:
        raise RowError(field, f"{tokens} tokens; it has to be from 0 to {MAX_TOKENS}")
    return tokens


def _seconds(field: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise RowError(field, f"{text.strip()[:40]!r} is not a number of seconds")
    return _bounded_seconds(field, seconds)


def _bounded_seconds(field: str, seconds: float) -> float:
    if not abs(seconds) <= MAX_SECONDS:
        raise RowError(field, f"{seconds:g} s is no time of arrival (at most 100 years)")
    return seconds


def _stamp(field: str, text: str) -> float:
    """Unix seconds of `2023-11-16 18:15:46.6805900` or `2024-05-10 00:00:00+00:00`; UTC where no zone is given."""
    text = text.strip()
    parts = _STAMP.fullmatch(text)
    try:
        if parts is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(parts[1] + (parts[3] or "+00:00"))
    except ValueError as error:
        raise RowError(field, f"{text[:40]!r} is not a time like 2023-11-16 18:15:46.6805900") from error
    return (moment - _EPOCH) // timedelta(seconds=1) + float(f"0.{parts[2] or 0}")
