"""The frozen corpus: cases with the upstream controller's own answers, drawn and judged by conformance/decide."""

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

DATA = Path(__file__).parent / "data"
RELEASES = ("1.36", "1.37")

Pair = dict[str, dict[str, Any]]
"""`case` and `answer`."""


def judged_lines(release: str) -> list[bytes]:
    """The pairs of a release as they are written: calls of the calculator, then stories."""
    return lzma.decompress((DATA / f"judged-{release}.jsonl.xz").read_bytes()).splitlines()


def pairs_of(lines: list[bytes]) -> Iterator[Pair]:
    """Decoded one at a time: all together they would fill half a gigabyte."""
    for line in lines:
        yield msgspec.json.decode(line)
