"""`inflight inspect`: what Inflight reads on a server's metrics page, with the reason for everything that it does not.

Rates and quantiles need two pages: a URL is read twice, of files two may be given. Data goes to stdout, complaints to
stderr. Exit codes: 0 read, 1 the target failed or its engine is unknown, 2 could not run.
"""

import json
import math
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp
    import yarl

    from inflight.signals import Catalogue, PageReader, PageReading, SignalValue
    from inflight.sources import Target
    from inflight.sources.scrape import Failure

_ADDRESS = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}(?:/\S*)?")
_PART_OF_DISTRIBUTION = re.compile(r"_(?:p\d\d|mean)$")
_ADVICE = {
    "timeout": "; --timeout gives it longer than serve does",
    "tls": "; see --ca-file and --server-name",
    "unauthorized": "; see --bearer-token-file",
}


class TargetError(Exception):
    """The target gave no usable page: a sentence for the person who asked."""


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
    default=5.0,
    show_default=True,
    help="Seconds for one page of a server; serve gives it the default.",
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificates (PEM) to trust for https.")
@click.option("--insecure-skip-tls-verify", is_flag=True, help="Accept any certificate.")
@click.option("--server-name", help="The name that the certificate must carry, where it is not the URL's host.")
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
    server_name: str | None,
    bearer_token_file: str | None,
) -> None:
    from inflight.signals import shipped
    from inflight.sources import Target

    for option, seconds in (("--interval", interval), ("--timeout", timeout)):
        # The ranges of click let nan pass, and what has no upper end lets infinity pass too.
        if seconds is not None and not math.isfinite(seconds):
            raise click.BadParameter(f"{seconds:g} is not a finite number", param_hint=option)
    catalogue = shipped()
    if engine is not None and engine not in catalogue.engines:
        raise click.BadParameter(
            f"{engine!r} is not in the catalogue; it has {', '.join(catalogue.engines)}", param_hint="--engine"
        )
    try:
        if _is_address(source):
            if later is not None:
                raise click.UsageError("a URL is read twice by itself; a second page can be given for a file only")
            target = Target(
                namespace="default",
                name="inspected",
                labels={},
                url=source if "://" in source else f"http://{source}",
                engine=engine,
                ca_file=ca_file,
                insecure_skip_tls_verify=insecure_skip_tls_verify,
                server_name=server_name,
                bearer_token_file=bearer_token_file,
            )
            _check(target)
            report = _inspect_url(target, 3.0 if interval is None else interval, timeout, catalogue)
        else:
            report = _inspect_files(source, later, interval, engine, catalogue)
    except TargetError as error:
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
    readings = [_read(reader, name) for name in (first, second) if name is not None]
    if len(readings) == 1:
        return _report(first, readings[0], None, None, catalogue)
    earlier, later = readings
    if not interval and earlier.sampled_at is not None and later.sampled_at is not None:
        interval = later.sampled_at - earlier.sampled_at
    return _report(second or first, later, earlier, interval or None, catalogue)


def _read(reader: "PageReader", name: str) -> "PageReading":
    """The page of a file. Where it came from says nothing about its format, so the content decides."""
    from inflight.signals.foreign import printable
    from inflight.sources.attempt import read_page
    from inflight.sources.connections import MAX_PAGE_BYTES
    from inflight.sources.scrape import Failure, FetchedPage

    try:
        if name == "-":
            body = sys.stdin.buffer.read(MAX_PAGE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                body = file.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read {printable(name)}: {error.strerror or error}") from error
    if len(body) > MAX_PAGE_BYTES:
        raise TargetError(f"{name}: the page has more than {MAX_PAGE_BYTES} bytes")
    reading = read_page(reader, FetchedPage(body, None))
    if isinstance(reading, Failure):
        raise TargetError(f"{name}: {reading.text}")
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


def _check(target: "Target") -> None:
    """What a targets file may not say either. The URL is not repeated: it may carry a secret."""
    from inflight.sources.target import url_problem

    problem = url_problem(target.url)
    if problem:
        raise click.UsageError(problem.replace("bearerTokenFile", "--bearer-token-file"))
    tls = {
        "--ca-file": target.ca_file is not None,
        "--server-name": target.server_name is not None,
        "--insecure-skip-tls-verify": target.insecure_skip_tls_verify,
    }
    given = [option for option, is_given in tls.items() if is_given]
    if given and target.url[:6].lower() != "https:":
        raise click.UsageError(f"{' and '.join(given)}: for https, and the URL is not; give it with https://")
    if target.ca_file is not None and target.insecure_skip_tls_verify:
        raise click.UsageError("--ca-file has no meaning with --insecure-skip-tls-verify; leave one of them out")


def _inspect_url(target: "Target", interval: float, timeout: float, catalogue: "Catalogue") -> Report:
    import asyncio

    return asyncio.run(_read_twice(target, interval, timeout, catalogue))


async def _read_twice(target: "Target", interval: float, timeout_seconds: float, catalogue: "Catalogue") -> Report:
    import asyncio

    from inflight.signals import PageReader
    from inflight.sources.attempt import page_urls
    from inflight.sources.connections import new_session

    async with new_session(interval) as session:
        visit = _Visit(session, target, timeout_seconds, PageReader(catalogue, target.engine))
        url, at, earlier = await visit.find(page_urls(target, catalogue))
        if interval == 0 or earlier.engine is None:
            return _report(str(url), earlier, None, None, catalogue)
        if sys.stderr.isatty():
            click.echo(f"reading {url} again in {interval:g} s ...", err=True)
        await asyncio.sleep(interval)
        again, later = await visit.page(url)
        return _report(str(url), later, earlier, again - at, catalogue)


class _Visit:
    """One server, read the way the collector reads it."""

    def __init__(
        self, session: "aiohttp.ClientSession", target: "Target", timeout_seconds: float, reader: "PageReader"
    ) -> None:
        from inflight.sources.credentials import Credentials

        self._session = session
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._reader = reader
        self._credentials = Credentials()

    async def find(self, urls: "list[yarl.URL]") -> "tuple[yarl.URL, float, PageReading]":
        """The first place that shows an engine's page, else the first that has a page at all. Raises TargetError with
        what the first place said, or the server itself.
        """
        from inflight.sources.attempt import LOOK_ELSEWHERE
        from inflight.sources.scrape import Failure

        first: TargetError | None = None
        unknown: tuple[yarl.URL, float, PageReading] | None = None
        for url in urls:
            at, outcome = await self._attempt(url)
            if not isinstance(outcome, Failure):
                if outcome.engine is not None:
                    return url, at, outcome
                unknown = unknown or (url, at, outcome)
                continue
            error = _told(url, outcome)
            first = first or error
            if outcome.reason not in LOOK_ELSEWHERE:
                first = error
                break
        if unknown is not None:
            return unknown
        assert first is not None
        raise first

    async def page(self, url: "yarl.URL") -> "tuple[float, PageReading]":
        """When the page was there (seconds of a steady clock), and what it says. Raises TargetError."""
        from inflight.sources.scrape import Failure

        at, outcome = await self._attempt(url)
        if isinstance(outcome, Failure):
            raise _told(url, outcome)
        return at, outcome

    async def _attempt(self, url: "yarl.URL") -> "tuple[float, PageReading | Failure]":
        from inflight.sources.attempt import fetch_page, read_page
        from inflight.sources.scrape import Failure

        fetched = await fetch_page(
            self._session, self._target, url, self._credentials, deadline_seconds=self._timeout_seconds
        )
        at = time.monotonic()
        return at, fetched if isinstance(fetched, Failure) else read_page(self._reader, fetched)


def _told(url: "yarl.URL", failure: "Failure") -> TargetError:
    """The sentence for a person; what is wrong here and not with the server ends the command."""
    if failure.reason == "credentials":
        raise click.UsageError(failure.text)
    advice = _ADVICE.get(failure.reason, "")
    if failure.text == "HTTP 404":
        advice = ": no page there; engines use /metrics, /prometheus/metrics or /v1/metrics"
    return TargetError(f"{url}: {failure.text}{advice}")


def _fail(sentence: str, source: str, output: str) -> NoReturn:
    from inflight.signals.foreign import printable

    if output == "json":
        empty: dict[str, Any] = {"source": source, "engine": None, "version": None, "signals": {}, "missing": {}}
        click.echo(json.dumps({**empty, "error": sentence}, indent=2))
    click.echo(printable(sentence), err=True)
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
    """The report for people: values, then totals where there was one page, then what is missing and why.

    A page's words among it are made printable: they go to a terminal.
    """
    from inflight.signals.foreign import printable

    yield from map(printable, _table(report))


def _table(report: Report) -> Iterator[str]:
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
