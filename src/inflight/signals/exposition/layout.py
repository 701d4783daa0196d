"""A page's layout, remembered: on the next page only the values are new, and that is proven line by line.

Every line of the new page is compared with the remembered one: a comment as a whole, a sample up to its value, a
sample that nobody wants up to the end of its name. One difference (a restart, a new label, another order, one line
more) and the page is scanned as if never seen. So a remembered layout gives the scanner's result or none.
"""

from collections.abc import Callable, Sequence
from operator import getitem, itemgetter, le, lt
from typing import Any, cast

from inflight.signals.exposition.lines import LineError
from inflight.signals.exposition.scanner import Scan, read_values

_cut = cast("Callable[[bytes, slice], bytes]", getitem)


class Layout:
    """Where the wanted values of a page stand, and the bytes that prove it."""

    def __init__(self, lines: Sequence[bytes], scan: Scan) -> None:
        self.line_count = len(lines)
        wanted = set(scan.lines)
        fixed = [index for index, end in enumerate(scan.ends) if not end]
        unwanted = [index for index, end in enumerate(scan.ends) if end and index not in wanted]
        self._fixed_lines = _picker(fixed)
        self._fixed = _pick(self._fixed_lines, lines)
        self._sample_lines = _picker([*unwanted, *scan.lines])
        shared: dict[bytes, bytes] = {}
        names = [lines[index][: scan.ends[index]] for index in unwanted]
        self._heads = [shared.setdefault(name, name) for name in names]
        self._heads += [lines[index][:start] for index, start in zip(scan.lines, scan.starts, strict=True)]
        # no byte of UTF-8 is 0xff: what lies between a head and this begins with the head
        beyond: dict[bytes, bytes] = {}
        self._beyond = [beyond.setdefault(head, head + b"\xff") for head in self._heads]
        self._unwanted = len(unwanted)
        self._tails = [slice(start, None) for start in scan.starts]

    def values(self, lines: Sequence[bytes], open_metrics: bool) -> tuple[list[float], float | None] | None:
        """The wanted values of a page of this layout, in the scan's order, and their oldest time; None for another
        page.
        """
        if len(lines) != self.line_count or _pick(self._fixed_lines, lines) != self._fixed:
            return None
        samples = _pick(self._sample_lines, lines)
        # two comparisons in C are faster than one call of startswith
        if not (all(map(le, self._heads, samples)) and all(map(lt, samples, self._beyond))):
            return None
        try:
            return read_values(list(map(_cut, samples[self._unwanted :], self._tails)), True, open_metrics)
        except LineError:
            return None


def _picker(indexes: list[int]) -> Callable[[Sequence[bytes]], Any] | None:
    """An itemgetter; it gives a bare item for one index and refuses none, which `_pick` evens out."""
    if not indexes:
        return None
    return itemgetter(*indexes, indexes[0])


def _pick(picker: Callable[[Sequence[bytes]], Any] | None, lines: Sequence[bytes]) -> tuple[bytes, ...]:
    if picker is None:
        return ()
    picked: tuple[bytes, ...] = picker(lines)
    return picked[:-1]
