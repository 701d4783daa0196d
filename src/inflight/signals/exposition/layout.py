"""A page's layout, remembered: on the next page only the values are new, and that is proven line by line.

Every line of the new page is compared with the remembered one: a comment as a whole, a sample up to its value, a
sample that nobody wants up to the end of its name. One difference (a restart, a new label, another order, one line
more) and the page is scanned as if never seen. So a remembered layout gives the scanner's result or none.
"""

import io
from collections.abc import Callable, Sequence
from operator import getitem, itemgetter, le, lt
from typing import Any, cast

from inflight.signals.exposition.lines import LineError
from inflight.signals.exposition.scanner import Scan, grammar_values, json_numbers

_LONGEST_TAIL_BYTES = 1024
"""A value, a time and an exemplar are far shorter; whether a longer line is one at all is for the scanner to say."""

_cut = cast("Callable[[bytes, slice], bytes]", getitem)


def whole_lines(body: bytes) -> list[bytes]:
    """The page's lines with their ends: twice as fast as `split`, and the ends do no harm here."""
    return io.BytesIO(body).readlines()


class Layout:
    """Where the wanted values of a page stand, and the bytes that prove it."""

    def __init__(self, lines: Sequence[bytes], scan: Scan) -> None:
        """`lines` are the `whole_lines` of the page that was scanned."""
        self.line_count = len(lines)
        wanted = set(scan.lines)
        ends = scan.ends[: len(lines)]
        fixed = [index for index, end in enumerate(ends) if not end]
        unwanted = [index for index, end in enumerate(ends) if end and index not in wanted]
        self._fixed_lines = _picker(fixed)
        self._fixed = _pick(self._fixed_lines, lines)
        self._sample_lines = _picker([*unwanted, *scan.lines])
        shared: dict[bytes, bytes] = {}
        names = [lines[index][: ends[index]] for index in unwanted]
        self._heads = [shared.setdefault(name, name) for name in names]
        self._heads += [lines[index][:start] for index, start in zip(scan.lines, scan.starts, strict=True)]
        # no byte of UTF-8 is 0xff: what lies between a head and this begins with the head
        beyond: dict[bytes, bytes] = {}
        self._beyond = [beyond.setdefault(head, head + b"\xff") for head in self._heads]
        self._unwanted = len(unwanted)
        # One slice for each start: Python's garbage collector has to look at every slice that there is.
        slices = {start: slice(start, None) for start in set(scan.starts)}
        self._tails = [slices[start] for start in scan.starts]

    def values(self, lines: Sequence[bytes], open_metrics: bool) -> tuple[list[float], float | None] | None:
        """The wanted values of a page of this layout, in the scan's order, and their oldest time; else None."""
        if len(lines) != self.line_count or _pick(self._fixed_lines, lines) != self._fixed:
            return None
        samples = _pick(self._sample_lines, lines)
        # two comparisons in C are faster than one call of startswith
        if not (all(map(le, self._heads, samples)) and all(map(lt, samples, self._beyond))):
            return None
        tails = list(map(_cut, samples[self._unwanted :], self._tails))
        joined = b",".join(tails)
        if len(joined) > _LONGEST_TAIL_BYTES * 16 and max(map(len, tails)) > _LONGEST_TAIL_BYTES:
            return None
        values = json_numbers(joined, len(tails))
        if values is not None:
            return values, None
        try:
            return grammar_values([tail.rstrip(b"\n") for tail in tails], open_metrics)
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
