"""Reads the pages of one pod, one after the other: the scanner for a new layout, the remembered one for the next page.

Layouts can be shared: the pods of one deployment write pages of one layout, and a layout with its plan is the big part
of what a reader keeps (about 200 KiB for a vLLM page). A collector hands one `LayoutCache` to all its readers.
"""

from collections import OrderedDict

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
from inflight.signals.plan import Plan, make_plan
from inflight.signals.readings import PageReading
from inflight.signals.select import Rows

MAX_LAYOUTS = 128
MAX_PER_SHAPE = 4


class Known:
    """A layout and what to do with its values. `forced`: the engine that the reader was told, None where it looked."""

    def __init__(self, layout: Layout, plan: Plan, catalogue: Catalogue, forced: str | None) -> None:
        self.layout = layout
        self.plan = plan
        self.catalogue = catalogue
        self.forced = forced


class LayoutCache:
    """Layouts seen lately, found by their number of lines; bounded, the longest unused go first."""

    def __init__(self, max_layouts: int = MAX_LAYOUTS) -> None:
        self._max = max_layouts
        self._by_lines: OrderedDict[int, list[Known]] = OrderedDict()
        self._count = 0

    def candidates(self, line_count: int, catalogue: Catalogue, forced: str | None) -> list[Known]:
        found = self._by_lines.get(line_count)
        if not found:
            return []
        self._by_lines.move_to_end(line_count)
        return [known for known in found if known.catalogue is catalogue and known.forced == forced]

    def add(self, known: Known) -> None:
        shape = self._by_lines.setdefault(known.layout.line_count, [])
        self._by_lines.move_to_end(known.layout.line_count)
        shape.insert(0, known)
        self._count += 1
        if len(shape) > MAX_PER_SHAPE:
            shape.pop()
            self._count -= 1
        while self._count > self._max:
            _, dropped = self._by_lines.popitem(last=False)
            self._count -= len(dropped)

    def __len__(self) -> int:
        return self._count


class PageReader:
    """The reader of one pod's page. `engine` names the engine instead of looking for it."""

    def __init__(
        self,
        catalogue: Catalogue,
        engine: str | None = None,
        layouts: LayoutCache | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._catalogue = catalogue
        self._engine = find_engine(catalogue, engine)
        self._forced = engine
        self._layouts = LayoutCache() if layouts is None else layouts
        self._max_bytes = max_bytes
        self._last: Known | None = None

    def read(self, body: bytes, open_metrics: bool | None = None) -> PageReading:
        """What the page says. Raises PageError for a body that is no usable page.

        `open_metrics` is what the Content-Type said (True for application/openmetrics-text), None where unknown.
        """
        if may_be_remembered(body, open_metrics, self._max_bytes):
            remembered = self._remembered(whole_lines(body), ends_with_eof(body))
            if remembered is not None:
                return remembered
        dialect = check_page(body, open_metrics, self._max_bytes)
        engine = self._engine or detect(self._catalogue, body)
        if engine is None:
            return PageReading(None, {}, prefixes=prefixes_on(body))
        lines = split_lines(body)
        found = scan(lines, engine.wanted, dialect, plain=b"\t" not in body and b"\r" not in body)
        plan = make_plan(self._catalogue, engine, rows_of(found))
        if not found.broken and b"\r" not in body:
            self._last = Known(Layout(whole_lines(body), found), plan, self._catalogue, self._forced)
            self._layouts.add(self._last)
        return plan.read(found.values, found.sampled_at)

    def _remembered(self, lines: list[bytes], dialect: bool) -> PageReading | None:
        last = self._last
        if last is not None:
            found = last.layout.values(lines, dialect)
            if found is not None:
                return last.plan.read(*found)
        for known in self._layouts.candidates(len(lines), self._catalogue, self._forced):
            if known is last:
                continue
            found = known.layout.values(lines, dialect)
            if found is not None:
                self._last = known
                return known.plan.read(*found)
        return None


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
