"""Reads the pages of one pod, one after the other: the scanner for a new layout, the remembered one for the next page.

Layouts can be shared: the pods of one deployment write pages of one layout, and a layout with its plan is the big part
of what a reader keeps (about 200 KiB for a vLLM page). A collector hands one `LayoutCache` to all its readers.
"""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import ReferenceType, ref

from inflight.signals.catalogue import Catalogue, Engine, detect, prefixes_on
from inflight.signals.exposition.layout import Layout, whole_lines
from inflight.signals.exposition.page import (
    MAX_PAGE_BYTES,
    Page,
    check_page,
    ends_with_eof,
    may_be_remembered,
    split_lines,
)
from inflight.signals.exposition.scanner import Scan, scan
from inflight.signals.layouts import Known, LayoutCache
from inflight.signals.plan import make_plan
from inflight.signals.readings import PageReading
from inflight.signals.select import Rows
from inflight.signals.sizes import kept_bytes


class Learned(NamedTuple):
    """What a page says, and the layout by which the next one is read; None where there is none to remember."""

    reading: PageReading
    known: Known | None
    kept_bytes: int
    """What keeping the reading takes of memory."""


class PageReader:
    """The reader of one pod's page. `engine` names the engine instead of looking for it.

    `read` is the whole. Who reads beside an event loop takes it in three steps: `candidates` and `keep` belong to the
    thread that owns the reader and its layouts, `read_by` changes neither and may run in any.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        engine: str | None = None,
        layouts: LayoutCache | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
        owner: str = "",
    ) -> None:
        self._catalogue = catalogue
        self._engine = find_engine(catalogue, engine)
        self._forced = engine
        self._layouts = LayoutCache() if layouts is None else layouts
        self._max_bytes = max_bytes
        self._owner = owner
        self._last: ReferenceType[Known] | None = None
        """Weak, so that what is kept of a layout is bounded by the cache, however many readers there are."""
        self.kept_bytes = 0
        """What keeping the reading of the last page takes of memory."""
        self.changed = True
        """Whether the last page had another layout than the one before, so that they share nothing."""

    def read(self, body: bytes, open_metrics: bool | None = None) -> PageReading:
        """What the page says. Raises PageError for a body that is no usable page.

        `open_metrics` is what the Content-Type said (True for application/openmetrics-text), None where unknown.
        """
        return self.keep(self.read_by(self.candidates(body), body, open_metrics))

    def remembered(self, body: bytes, open_metrics: bool | None = None) -> PageReading | None:
        """What the page says, where its layout is known; None where that is not so or the page cannot be used."""
        if not may_be_remembered(body, open_metrics, self._max_bytes):
            return None
        lines = whole_lines(body)
        found = _read_known(self._candidates(len(lines)), lines, ends_with_eof(body))
        return None if found is None else self.keep(found)

    def candidates(self, body: bytes) -> list[Known]:
        """The layouts that the page may have."""
        return self._candidates(body.count(b"\n") + (body[-1:] != b"\n"))

    def _candidates(self, lines: int) -> list[Known]:
        found = self._layouts.candidates(self._owner, lines, self._catalogue, self._forced)
        last = self._last() if self._last is not None else None
        if last is not None and last.layout.line_count == lines:
            found = [last, *(known for known in found if known is not last)]
        return found

    def keep(self, learned: Learned) -> PageReading:
        """Remember how this page was read."""
        known, self.kept_bytes = learned.known, learned.kept_bytes
        self.changed = known is None or self._last is None or self._last() is not known
        if known is not None:
            if self.changed:
                self._last = ref(known)
            if known.is_new:
                known.is_new = False
                self._layouts.add(self._owner, known)
            else:
                self._layouts.used(self._owner, known)
        return learned.reading

    def read_by(self, candidates: Sequence[Known], body: bytes, open_metrics: bool | None = None) -> Learned:
        """What the page says, by one of the layouts or without. Raises PageError as `read` does."""
        if candidates and may_be_remembered(body, open_metrics, self._max_bytes):
            remembered = _read_known(candidates, whole_lines(body), ends_with_eof(body))
            if remembered is not None:
                return remembered
        dialect = check_page(body, open_metrics, self._max_bytes)
        engine = self._engine or detect(self._catalogue, body)
        if engine is None:
            return Learned(PageReading(None, {}, prefixes=prefixes_on(body)), None, 0)
        lines = split_lines(body)
        found = scan(lines, engine.wanted, dialect, plain=b"\t" not in body and b"\r" not in body)
        plan = make_plan(self._catalogue, engine, rows_of(found))
        reading = plan.read(found.values, found.sampled_at)
        kept, known = kept_bytes(reading), None
        if not found.broken and b"\r" not in body:
            layout = Layout(whole_lines(body), found)
            size = _size_bytes(body, found)
            known = Known(layout, plan, self._catalogue, self._forced, size_bytes=size, reading_bytes=kept)
        return Learned(reading, known, kept)


def _read_known(candidates: Sequence[Known], lines: list[bytes], dialect: bool) -> Learned | None:
    for known in candidates:
        found = known.layout.values(lines, dialect)
        if found is not None:
            return Learned(known.plan.read(*found), known, known.reading_bytes)
    return None


def _size_bytes(body: bytes, found: Scan) -> int:
    """What a layout of this page keeps in memory at most; of a page as engines write it, two thirds of that."""
    labels = sum(map(len, found.labels))
    return len(body) + 100 * len(found.ends) + 180 * labels


def read_page(catalogue: Catalogue, page: Page, body: bytes, engine: str | None = None) -> PageReading:
    """What a completely parsed page says: the slow way to the same reading, and the judge of the fast one."""
    chosen = find_engine(catalogue, engine) or detect(catalogue, body)
    if chosen is None:
        return PageReading(None, {}, prefixes=prefixes_on(body))
    wanted = [sample for sample in page.samples if sample.name.encode() in chosen.wanted]
    times = [sample.timestamp_seconds for sample in wanted if sample.timestamp_seconds is not None]
    rows = Rows(
        names=[sample.name for sample in wanted],
        labels=[sample.labels for sample in wanted],
        values=[sample.value for sample in wanted],
        broken={},
        sampled_at=min(times, default=None),
    )
    for problem in page.problems:
        if problem.name is not None and problem.name.encode() in chosen.wanted:
            rows.broken.setdefault(problem.name, f"line {problem.line}: {problem.problem}")
    rows.index()
    return make_plan(catalogue, chosen, rows).read(rows.values, rows.sampled_at)


def find_engine(catalogue: Catalogue, name: str | None) -> Engine | None:
    """The engine of that name; None for None. Raises ValueError naming those there are."""
    if name is None:
        return None
    engine = catalogue.engines.get(name)
    if engine is None:
        raise ValueError(f"no engine {name!r} in the catalogue; it has {', '.join(catalogue.engines)}")
    return engine


def rows_of(found: Scan) -> Rows:
    rows = Rows(found.names, found.labels, found.values, found.broken, found.sampled_at)
    rows.index()
    return rows
