"""One attempt to get a pod's page: where it may be, with which credentials, and what is made of it.

The collector and `inflight inspect` both go this way: a person who looks at a server sees what is scraped of it.
"""

from collections.abc import Sequence

import aiohttp
from yarl import URL

from inflight.signals import Catalogue, ForeignPageError, Missing, PageError, PageReader, PageReading
from inflight.signals.layouts import Known
from inflight.signals.reader import Learned
from inflight.sources.connections import MAX_PAGE_BYTES
from inflight.sources.credentials import CredentialError, Credentials
from inflight.sources.room import Slot
from inflight.sources.scrape import HEADERS, Failure, FailureReason, FetchedPage, fetch
from inflight.sources.target import Target

MAX_PLACES = 32
"""Of one pod; what lies beyond is not asked."""

LOOK_ELSEWHERE: frozenset[FailureReason] = frozenset({"status", "redirect", "content"})
"""Failures that say that the page is not here, though perhaps under another path of the same server."""


def page_urls(target: Target, catalogue: Catalogue) -> list[URL]:
    """Where the page of `url` may be: as given, or under the engine's path, or under each path of the catalogue."""
    return _paths_of(URL(target.url), target.engine, catalogue)


def candidate_urls(target: Target, catalogue: Catalogue) -> list[URL]:
    """All places where the target's page may be, in the order in which they are asked: `url`, then the alternatives."""
    urls = [URL(text) for text in (target.url, *target.alternatives)]
    places = dict.fromkeys(place for url in urls for place in _paths_of(url, target.engine, catalogue))
    return list(places)[:MAX_PLACES]


def shows_engine(reading: PageReading, engine: str | None) -> bool:
    """Whether this is the page that is looked for. Any page can be read as that of a given engine: there it takes a
    signal to tell it from a sidecar's.
    """
    if engine is None:
        return reading.engine is not None
    return any(not isinstance(found, Missing) for found in reading.signals.values())


def _paths_of(url: URL, engine_name: str | None, catalogue: Catalogue) -> list[URL]:
    if url.raw_path not in ("", "/"):
        return [url]
    engine = catalogue.engines.get(engine_name) if engine_name is not None else None
    paths = [engine.path] if engine is not None and engine.path else list(catalogue.paths())
    return [url.with_path(path, keep_query=True) for path in paths or ["/metrics"]]


async def fetch_page(
    session: aiohttp.ClientSession,
    target: Target,
    url: URL,
    credentials: Credentials,
    *,
    deadline_seconds: float,
    max_bytes: int = MAX_PAGE_BYTES,
    slot: Slot | None = None,
) -> FetchedPage | Failure:
    """The target's page from one of its URLs; no connection is made where its token or certificates cannot be used."""
    headers = HEADERS
    tls = None
    try:
        if target.bearer_token_file is not None:
            headers = {**HEADERS, "Authorization": credentials.bearer(target.bearer_token_file)}
        if url.scheme == "https":
            tls = credentials.context(target.ca_file, target.insecure_skip_tls_verify)
    except CredentialError as error:
        return Failure("credentials", str(error))
    return await fetch(
        session,
        url,
        headers=headers,
        tls=tls,
        server_name=target.server_name,
        deadline_seconds=deadline_seconds,
        max_bytes=max_bytes,
        slot=slot,
    )


def read_page(reader: PageReader, page: FetchedPage) -> PageReading | Failure:
    """What the page says, or why it is none."""
    learned = learn_page(reader, reader.candidates(page.body), page)
    return learned if isinstance(learned, Failure) else reader.keep(learned)


def learn_page(reader: PageReader, candidates: Sequence[Known], page: FetchedPage) -> Learned | Failure:
    """What the page says, with its layout for the reader to keep. Changes nothing, so that it may run in a thread."""
    try:
        return reader.read_by(candidates, page.body, page.open_metrics)
    except PageError as error:
        # One that is cut off or too large may well be an engine's.
        return Failure("content", str(error), "no_engine" if isinstance(error, ForeignPageError) else "unreadable")
