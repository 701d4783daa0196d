"""A page's layout, remembered: on the next page only the values are new, and that is proven line by line.

Every line of the new page is compared with the remembered one: a comment as a whole, a sample up to its value, a sample
that nobody wants up to the end of its name. One difference (a restart, a new label, another order, one line more) and the
page is scanned as if never seen. So a remembered layout gives the scanner's result or none.
"""

from collections.abc import Callable, Sequence
from operator import getitem, itemgetter
from typing import Any

from inflight.signals.exposition.lines import LineError
from inflight.signals.exposition.scanner import Scan, read_values


class Layout:
    """Where the wanted values of a page stand, and the bytes that prove it."""

    def __init__(self, lines: Sequence[bytes], scan: Scan) -> None:
        self.line_count = len(lines)
        wanted = dict(zip(scan.lines, scan.starts, strict=True))
        fixed: list[int] = []
        heads: list[tuple[int, int]] = []
        for index, line in enumerate(lines):
            if index in wanted:
                continue
            end = _name_end(line)
            if end == 0:
                fixed.append(index)
            else:
                heads.append((index, end))
        heads += wanted.items()
        self._fixed_lines = _picker(fixed)
        self._fixed = _pick(self._fixed_lines, lines)
        self._sample_lines = _picker([index for index, _ in heads])
        self._head_slices = [slice(0, end) for _, end in heads]
        self._heads = [lines[index][:end] for index, end in heads]
        self._unwanted = len(heads) - len(wanted)
        self._tail_slices = [slice(start, None) for start in scan.starts]

    def values(self, lines: Sequence[bytes], open_metrics: bool) -> tuple[list[float], float | None] | None:
        """The wanted values of a page of this layout, in the scan's order, and the oldest time; None for another page."""
        if len(lines) != self.line_count or _pick(self._fixed_lines, lines) != self._fixed:
            return None
        samples = _pick(self._sample_lines, lines)
        if list(map(getitem, samples, self._head_slices)) != self._heads:
            return None
        try:
            return read_values(list(map(getitem, samples[self._unwanted :], self._tail_slices)), True, open_metrics)
        except LineError:
            return None


def _name_end(line: bytes) -> int:
    """The length of a sample's name and the byte behind it; 0 for a line that must stay as it is."""
    if line[:1] in (b"#", b"{", b" ", b""):
        return 0
    brace, blank = line.find(b"{"), line.find(b" ")
    if brace < 0:
        return blank + 1
    return min(brace, blank) + 1 if blank >= 0 else brace + 1


def _picker(indexes: list[int]) -> Callable[[Sequence[bytes]], Any] | None:
    """itemgetter gives a bare item for one index and refuses none: both are evened out in `_pick`."""
    if not indexes:
        return None
    return itemgetter(*indexes, indexes[0])


def _pick(picker: Callable[[Sequence[bytes]], Any] | None, lines: Sequence[bytes]) -> tuple[bytes, ...]:
    if picker is None:
        return ()
    picked: tuple[bytes, ...] = picker(lines)
    return picked[:-1]
