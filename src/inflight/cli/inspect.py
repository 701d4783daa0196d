"""`inflight inspect`: what Inflight reads on a server's metrics page, with the reason for everything that it does not.

Rates and quantiles need two pages: a URL is read twice, of files two may be given. Data goes to stdout, complaints to
stderr. Exit codes: 0 read, 1 the target failed or its engine is unknown, 2 could not run.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from inflight.signals import Catalogue, PageReading, SignalValue

_ADDRESS = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}(?:/\S*)?")
_PART_OF_DISTRIBUTION = re.compile(r"_(?:p\d\d|mean)$")
_ACCEPT = "text/plain; version=0.0.4, text/plain; q=0.5, */*; q=0.1"


class TargetError(Exception):
    """The target gave no usable page: a sentence for the person who asked."""


class _Fetched(msgspec.Struct, frozen=True):
    """A page as it came: its bytes, whether it was announced as OpenMetrics, and when (seconds of a steady clock)."""

    body: bytes
    open_metrics: bool | None
    at: float
    address: str


class _Access(msgspec.Struct, frozen=True):
    """How to reach servers behind TLS or a token."""

    timeout_seconds: float
    ca_file: str | None
    insecure: bool
    token_file: str | None


class Report(msgspec.Struct, frozen=True):
    """What is printed."""

    source: str
    reading: "PageReading"
    pages: int
    seconds: float | None
    values: "dict[str, SignalValue]"
    missing: dict[str, str]
    totals: "dict[str, SignalValue]"
    parts: frozenset[str]
    """Names of quantiles and means, which share the line of their signal."""


_HELP = """What Inflight reads on a server's metrics page: engine, each signal with its series, what is missing and why.

A URL is read twice, for rates and quantiles need two pages. HOST:PORT alone tries the paths that engines use. Of files
(- is standard input) two may be given, the earlier first; one file gives totals only.

Exit codes: 0 read, 1 the target failed or its engine is unknown, 2 could not run.

\b
Examples:
  inflight inspect http://10.0.3.7:8000/metrics
  inflight inspect localhost:8000 -o json
  inflight inspect at-0s.txt at-15s.txt --interval 15
"""


@click.command(name="inspect", help=_HELP)
@click.argument("source", metavar="URL|FILE")
@click.argument("later", metavar="[FILE]", required=False)
@click.option(
    "--interval",
    type=click.FloatRange(min=0),
    help="Seconds between the readings of a URL (default 3; 0: read once), or how far apart two files were taken.",
)
@click.option("--engine", help="Read the page as this engine's instead of recognizing it.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds for one answer of a server.",
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificates (PEM) to trust for https.")
@click.option("--insecure-skip-tls-verify", is_flag=True, help="Accept any certificate.")
@click.option("--bearer-token-file", type=click.Path(exists=True, dir_okay=False), help="File with the token to send.")
def command(
    *,
    source: str,
    later: str | None,
    interval: float | None,
    engine: str | None,
    output: str,
    timeout: float,
    ca_file: str | None,
    insecure_skip_tls_verify: bool,
    bearer_token_file: str | None,
) -> None:
    from inflight.signals import PageError, shipped

    catalogue = shipped()
    if engine is not None and engine not in catalogue.engines:
        raise click.BadParameter(
            f"{engine!r} is not in the catalogue; it has {', '.join(catalogue.engines)}", param_hint="--engine"
        )
    access = _Access(timeout, ca_file, insecure_skip_tls_verify, bearer_token_file)
    try:
        if _is_address(source):
            if later is not None:
                raise click.UsageError("a URL is read twice by itself; a second page can be given for a file only")
            report = _inspect_url(source, 3.0 if interval is None else interval, engine, access, catalogue)
        else:
            report = _inspect_files(source, later, interval, engine, catalogue)
    except (TargetError, PageError) as error:
        _fail(str(error), source, output)
    if report.reading.engine is None:
        _fail(_unknown(report), source, output)
    click.echo(as_json(report) if output == "json" else "\n".join(as_table(report)))


def _is_address(source: str) -> bool:
    if source == "-" or Path(source).is_file():
        return False
    return "://" in source or _ADDRESS.fullmatch(source) is not None


def _inspect_files(
    first: str, second: str | None, interval: float | None, engine: str | None, catalogue: "Catalogue"
) -> Report:
    from inflight.signals import PageReader

    if first == second == "-":
        raise click.UsageError("standard input holds one page; give a file for the other")
    reader = PageReader(catalogue, engine)
    readings = [_read(reader, _file(name), name) for name in (first, second) if name is not None]
    if len(readings) == 1:
        return _report(first, readings[0], None, None, catalogue)
    earlier, later = readings
    if not interval and earlier.sampled_at is not None and later.sampled_at is not None:
        interval = later.sampled_at - earlier.sampled_at
    return _report(second or first, later, earlier, interval or None, catalogue)


def _file(name: str) -> _Fetched:
    from inflight.signals.exposition.page import MAX_PAGE_BYTES

    try:
        if name == "-":
            body = sys.stdin.buffer.read(MAX_PAGE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                body = file.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read {name}: {error.strerror or error}") from error
    return _Fetched(body, None, 0.0, name)


def _read(reader: Any, page: _Fetched, name: str) -> "PageReading":
    from inflight.signals import PageError

    try:
        reading: PageReading = reader.read(page.body, page.open_metrics)
    except PageError as error:
        raise TargetError(f"{name}: {error}") from error
    return reading


def _report(
    source: str, later: "PageReading", earlier: "PageReading | None", seconds: float | None, catalogue: "Catalogue"
) -> Report:
    from inflight.signals import SignalValue, derive, totals

    order = {signal: at for at, signal in enumerate(catalogue.signals)}

    def place(item: tuple[str, Any]) -> int:
        name = item[0]
        return order.get(name, order.get(_PART_OF_DISTRIBUTION.sub("", name), len(order)))

    found = dict(sorted(derive(later, earlier, seconds).items(), key=place))
    return Report(
        source=source,
        reading=later,
        pages=1 if earlier is None else 2,
        seconds=seconds,
        values={name: value for name, value in found.items() if isinstance(value, SignalValue)},
        missing={name: value.reason for name, value in found.items() if not isinstance(value, SignalValue)},
        totals=dict(sorted(totals(later).items(), key=place)) if earlier is None else {},
        parts=frozenset(name for name in found if name not in order and _PART_OF_DISTRIBUTION.search(name)),
    )


def _inspect_url(source: str, interval: float, engine: str | None, access: _Access, catalogue: "Catalogue") -> Report:
    import asyncio

    return asyncio.run(_read_twice(source, interval, engine, access, catalogue))


async def _read_twice(
    source: str, interval: float, engine: str | None, access: _Access, catalogue: "Catalogue"
) -> Report:
    import asyncio

    import aiohttp

    from inflight.signals import PageReader

    address = source if "://" in source else f"http://{source}"
    timeout = aiohttp.ClientTimeout(total=access.timeout_seconds)
    connector = aiohttp.TCPConnector(ssl=_tls(access))
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=_headers(access)) as session:
        reader = PageReader(catalogue, engine)
        first, earlier = await _find(session, _candidates(address, catalogue), reader)
        if interval == 0 or earlier.engine is None:
            return _report(first.address, earlier, None, None, catalogue)
        if sys.stderr.isatty():
            click.echo(f"reading {first.address} again in {interval:g} s ...", err=True)
        await asyncio.sleep(interval)
        second = await _fetch(session, first.address)
        later = _read(reader, second, first.address)
        return _report(first.address, later, earlier, second.at - first.at, catalogue)


def _candidates(address: str, catalogue: "Catalogue") -> list[str]:
    """The address itself; without a path, the paths under which engines have their pages."""
    import yarl

    try:
        url = yarl.URL(address)
    except ValueError as error:
        raise click.UsageError(f"{address} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise click.UsageError(f"{address} is no http or https URL")
    if url.path not in ("", "/") or url.query_string:
        return [address]
    return [str(url.with_path(path)) for path in catalogue.paths()]


async def _find(session: Any, addresses: list[str], reader: Any) -> "tuple[_Fetched, PageReading]":
    """The first address with a page of a known engine; else the first that answered, else its failure."""
    failure: TargetError | None = None
    answered: tuple[_Fetched, PageReading] | None = None
    for address in addresses:
        try:
            page = await _fetch(session, address)
            reading = _read(reader, page, address)
        except TargetError as error:
            failure = failure or error
            if isinstance(error.__cause__, OSError):
                break
            continue
        if reading.engine is not None:
            return page, reading
        answered = answered or (page, reading)
    if answered is not None:
        return answered
    assert failure is not None
    raise failure


async def _fetch(session: Any, address: str) -> _Fetched:
    import aiohttp

    from inflight.signals.exposition.page import MAX_PAGE_BYTES

    try:
        async with session.get(address, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                where = response.headers.get("Location", "an address it does not name")
                raise TargetError(
                    f"{address} redirects to {where[:200]}; redirects are not followed, give that address instead"
                )
            if response.status != 200:
                raise TargetError(
                    f"{address} answered {response.status} {response.reason or ''}".rstrip() + _hint(response.status)
                )
            body = b""
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_PAGE_BYTES:
                    raise TargetError(f"{address} sends more than {MAX_PAGE_BYTES} bytes: not read")
            announced = response.content_type == "application/openmetrics-text"
            return _Fetched(body, True if announced else None, time.monotonic(), address)
    except TimeoutError as error:
        raise TargetError(f"{address} did not answer in time (--timeout)") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise TargetError(
            f"{address}: its certificate is not trusted ({error.certificate_error}); see --ca-file"
        ) from error
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno or 0
        why = os.strerror(number) if number > 0 else error.os_error.strerror or error.os_error
        raise TargetError(f"{address} cannot be reached: {why}") from error
    except aiohttp.ClientPayloadError as error:
        raise TargetError(f"{address}: the answer was cut off on the way") from error
    except (aiohttp.ClientError, OSError) as error:
        raise TargetError(f"{address} cannot be read: {error}") from error


def _hint(status: int) -> str:
    return {
        401: ": it asks for a token, see --bearer-token-file",
        403: ": the token may not read it",
        404: ": no page there; engines use /metrics, /prometheus/metrics or /v1/metrics",
    }.get(status, "")


def _headers(access: _Access) -> dict[str, str]:
    headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity", "User-Agent": "inflight-inspect"}
    if access.token_file is not None:
        try:
            token = Path(access.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise click.UsageError(f"cannot read a token from {access.token_file}") from error
        if not token or not token.isprintable():
            raise click.UsageError(f"{access.token_file} does not hold a token")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _tls(access: _Access) -> "ssl.SSLContext":
    import ssl

    try:
        context = ssl.create_default_context(cafile=access.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise click.UsageError(f"{access.ca_file} holds no certificates (PEM)") from error
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _fail(sentence: str, source: str, output: str) -> None:
    if output == "json":
        empty: dict[str, Any] = {"source": source, "engine": None, "version": None, "signals": {}, "missing": {}}
        click.echo(json.dumps({**empty, "error": sentence}, indent=2))
    click.echo(sentence, err=True)
    sys.exit(1)


def _unknown(report: Report) -> str:
    seen = ", ".join(report.reading.prefixes)
    names = f"the names on it begin with {seen}" if seen else "there is no sample on it"
    advice = "If you know the engine, say --engine NAME."
    return f"{report.source}: no engine of the catalogue is recognized; {names}. {advice}"


def as_json(report: Report) -> str:
    """The report for programs: stable names, numbers as they are."""
    result: dict[str, Any] = {
        "source": report.source,
        "engine": report.reading.engine,
        "version": report.reading.version,
        "pages": report.pages,
        "seconds": report.seconds,
        "signals": {name: _plain(found) for name, found in report.values.items()},
        "missing": report.missing,
    }
    if report.totals:
        result["totals"] = {name: _plain(found) for name, found in report.totals.items()}
    return json.dumps(result, indent=2)


def _plain(found: "SignalValue") -> dict[str, Any]:
    return {
        "value": found.value,
        "unit": found.unit,
        "series": list(found.series),
        "rows": found.rows,
        "fold": found.fold,
        "how": found.how,
        "across": found.across,
    }


def as_table(report: Report) -> Iterator[str]:
    """The report for people: values, then totals where there was one page, then what is missing and why."""
    reading = report.reading
    yield f"ENGINE {reading.engine}   VERSION {reading.version or 'not on the page'}   SOURCE {report.source}"
    if report.pages == 1:
        yield "one page: values as they stand, and totals; rates and quantiles need a second page"
    elif report.seconds is None:
        yield "two pages; how far apart is not known, say --interval SECONDS for rates"
    else:
        yield f"two pages, {report.seconds:.3g} s apart"
    for title, values in (("SIGNAL", report.values), ("TOTAL OF", report.totals)):
        if values:
            yield ""
            yield from _rows([(title, "VALUE", "UNIT", "HOW", "FROM"), *_lines(values, report.parts)])
    reasons: dict[str, list[str]] = {}
    for name, reason in report.missing.items():
        if name not in report.parts:
            reasons.setdefault(reason, []).append(name)
    if reasons:
        yield ""
        yield "MISSING"
        for reason, names in reasons.items():
            yield f"  {', '.join(names)}: {reason}"


def _lines(values: "Mapping[str, SignalValue]", parts_of_others: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """A line for each value; the quantiles and the mean of a distribution share one."""
    for name, found in values.items():
        if name in parts_of_others and _PART_OF_DISTRIBUTION.sub("", name) in values:
            continue
        shown = f"{found.value:.6g}"
        parts = [f"{name}_{end}" for end in ("p50", "p95", "p99", "mean")]
        if all(part in values for part in parts):
            shown = ", ".join(f"{part[len(name) + 1 :]} {values[part].value:.4g}" for part in parts)
        yield name, shown, found.unit, found.how.removeprefix("95 % "), ", ".join(found.series)


def _rows(table: list[tuple[str, ...]]) -> Iterator[str]:
    """Columns that line up, two blanks apart, the last one ragged."""
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]) - 1)]
    for row in table:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
