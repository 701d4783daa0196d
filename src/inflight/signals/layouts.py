"""Layouts of pages that were seen, kept within a number of bytes and shared out among their owners."""

from collections import OrderedDict

from inflight.signals.catalogue import Catalogue
from inflight.signals.exposition.layout import Layout
from inflight.signals.plan import Plan

MAX_LAYOUT_BYTES = 96 << 20
MAX_PER_SHAPE = 4
"""Layouts of one number of lines that a page is held against; each pod's own last one comes before them."""
_ADMITTED = 8
"""Where there is no more room, one layout in so many is taken up: were it each of them, pages that come in turn and are
a few more than fit would drive each other out before they come again."""


class Known:
    """A layout and what to do with its values. `forced`: the engine that the reader was told, None where it looked."""

    def __init__(
        self,
        layout: Layout,
        plan: Plan,
        catalogue: Catalogue,
        forced: str | None,
        *,
        size_bytes: int,
        reading_bytes: int,
    ) -> None:
        self.layout = layout
        self.plan = plan
        self.catalogue = catalogue
        self.forced = forced
        self.size_bytes = size_bytes
        """What is kept of it in memory, at most."""
        self.reading_bytes = reading_bytes
        """What each page's reading keeps."""
        self.is_new = True


class LayoutCache:
    """Layouts seen lately, of each owner (a namespace) by their number of lines; within a number of bytes.

    When these are used up, the owner who holds most gives way, with the one unused longest: whoever writes pages that
    are different each time drives out their own.
    """

    def __init__(self, max_bytes: int = MAX_LAYOUT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._owners: dict[str, _Owned] = {}
        self.size_bytes = 0

    def candidates(self, owner: str, line_count: int, catalogue: Catalogue, forced: str | None) -> list[Known]:
        owned = self._owners.get(owner)
        found = owned.by_lines.get(line_count, ()) if owned is not None else ()
        return [known for known in found if known.catalogue is catalogue and known.forced == forced]

    def used(self, owner: str, known: Known) -> None:
        """It has just fitted a page."""
        owned = self._owners.get(owner)
        if owned is not None and known in owned.kept:
            owned.kept.move_to_end(known)

    def add(self, owner: str, known: Known) -> None:
        owned = self._owners.setdefault(owner, _Owned())
        if self.size_bytes + known.size_bytes > self._max_bytes and not self._admits(owned, known):
            if not owned.kept:
                del self._owners[owner]
            return
        owned.add(known)
        self.size_bytes += known.size_bytes
        while self.size_bytes > self._max_bytes:
            name, largest = max(self._owners.items(), key=lambda item: item[1].size_bytes)
            self.size_bytes -= largest.drop_oldest()
            if not largest.kept:
                del self._owners[name]

    def _admits(self, owned: "_Owned", known: Known) -> bool:
        """Whether others give way; who holds less than an equal share is always taken up."""
        if owned.size_bytes + known.size_bytes <= self._max_bytes / len(self._owners):
            return True
        owned.turned_away += 1
        return owned.turned_away % _ADMITTED == 0

    def __len__(self) -> int:
        return sum(len(owned.kept) for owned in self._owners.values())


class _Owned:
    """One owner's layouts."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Known, None] = OrderedDict()
        """The longest unused first."""
        self.by_lines: dict[int, list[Known]] = {}
        self.size_bytes = 0
        self.turned_away = 0

    def add(self, known: Known) -> None:
        self.kept[known] = None
        self.size_bytes += known.size_bytes
        shape = self.by_lines.setdefault(known.layout.line_count, [])
        shape.insert(0, known)
        del shape[MAX_PER_SHAPE:]

    def drop_oldest(self) -> int:
        known, _ = self.kept.popitem(last=False)
        self.size_bytes -= known.size_bytes
        shape = self.by_lines[known.layout.line_count]
        if known in shape:
            shape.remove(known)
        if not shape:
            del self.by_lines[known.layout.line_count]
        return known.size_bytes
