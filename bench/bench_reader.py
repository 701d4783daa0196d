"""Reads metrics pages for the catalogue's samples with their labels, against prometheus_client's parser.

    python bench/bench_reader.py [rounds]

Pages are the engines' own (tests/data/metrics-pages), with fresh values in every reading. Both sides take bytes and
give name, labels and value of every sample that the catalogue wants; that they are equal is checked before the clock
runs. "seen" is a layout read before, with other values; "never seen" has a model name that no page had. What is called
"signals" is `PageReader.read` as a whole: the samples, and from them every canonical signal, which the peer does not
do. Processor time; of all rounds the fastest counts, for both sides; rounds alternate, so that caches and a busy
machine are unfair to nobody.
"""

import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from inflight.signals import PageReader, derive, parse_page, shipped
from inflight.signals.catalogue import detect
from inflight.signals.exposition.layout import Layout, whole_lines
from inflight.signals.exposition.page import check_page, ends_with_eof, may_be_remembered
from inflight.signals.exposition.scanner import Scan, scan

PAGES = Path(__file__).parents[1] / "tests" / "data" / "metrics-pages"
NAMES = ("vllm-0.33.0-busy", "vllm-0.33.0-dp2-lora", "sglang-0.5.23", "tgi-3.3")
LIMIT = 8 << 20
VALUE = re.compile(rb"(?m)^([^#\n].* )([0-9.e+]+)$")

Row = tuple[str, tuple[tuple[str, str], ...], float]


def with_new_values(body: bytes, luck: random.Random) -> bytes:
    """The page a little later: every total and gauge has grown, buckets still grow with le, times and edges stay."""
    factor = 1 + luck.random() / 4

    def grown(match: re.Match[bytes]) -> bytes:
        head, value = match.group(1), float(match.group(2))
        if b"_created" in head or b"_info" in head or b"start_time" in head or 0 < value < 1:
            return match.group()
        return head + repr(float(round(value * factor) if value > 1 else value)).encode()

    return VALUE.sub(grown, body)


def with_new_labels(body: bytes, luck: random.Random) -> bytes:
    """A page of a layout that nobody has seen: another model, or another engine where the page names no model."""
    mark = b"m%d" % luck.getrandbits(60)
    changed = body.replace(b"Llama", mark)
    return changed if changed != body else body + b'x{a="%s"} 1\n' % mark


def peer_samples(body: bytes, wanted: frozenset[str]) -> list[Row]:
    """What prometheus_client finds. It appends _total to counters that lack it, so both spellings are looked up."""
    return [
        (sample.name, tuple(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name in wanted or sample.name.removesuffix("_total") in wanted
    ]


def our_samples(found: Scan, values: list[float]) -> list[Row]:
    return [
        (name, tuple(labels.items()), value)
        for name, labels, value in zip(found.names, found.labels, values, strict=True)
    ]


def as_set(rows: list[Row]) -> list[str]:
    return sorted(repr((name.removesuffix("_total"), sorted(labels), float(value))) for name, labels, value in rows)


class Page:
    """One page and the ways to read it."""

    def __init__(self, name: str) -> None:
        luck = random.Random(name)
        self.body = (PAGES / f"{name}.txt").read_bytes()
        engine = detect(shipped(), self.body)
        assert engine is not None
        self.engine = engine
        self.names = frozenset(engine.wanted.values())
        self.seen = [with_new_values(self.body, luck) for _ in range(16)]
        self.unseen = [with_new_labels(self.body, luck) for _ in range(16)]
        self.found = scan(self.body.split(b"\n"), engine.wanted, open_metrics=False)
        self.layout = Layout(whole_lines(self.body), self.found)

    def remembered(self, body: bytes) -> list[float]:
        """Values of the wanted samples; names and labels are those of the layout, which is proven to be the same."""
        assert may_be_remembered(body, None, LIMIT)
        values = self.layout.values(whole_lines(body), ends_with_eof(body))
        assert values is not None
        return values[0]

    def scanned(self, body: bytes) -> Scan:
        check_page(body)
        engine = detect(shipped(), body)
        assert engine is not None
        return scan(body.split(b"\n"), engine.wanted, open_metrics=False)

    def check(self) -> int:
        """Compares both sides on every page of this run; returns the number of wanted samples."""
        for body in self.seen:
            assert as_set(our_samples(self.found, self.remembered(body))) == as_set(peer_samples(body, self.names))
        for body in self.unseen:
            found = self.scanned(body)
            assert as_set(our_samples(found, list(found.values))) == as_set(peer_samples(body, self.names))
        return len(self.found.names)


def best(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Microseconds of each, the fastest of some alternating rounds."""
    fastest = [float("inf")] * len(works)
    for _ in range(rounds):
        for at, work in enumerate(works):
            begin = time.thread_time()
            work()
            fastest[at] = min(fastest[at], time.thread_time() - begin)
    return [seconds * 1e6 for seconds in fastest]


def measure(page: Page, rounds: int) -> Iterator[str]:
    catalogue = shipped()
    seen, unseen, repeated = cycle(page.seen), cycle(page.unseen), cycle(page.seen)
    reader = PageReader(catalogue)
    earlier = reader.read(page.body)
    later = reader.read(page.seen[0])
    peer, samples, signals, samples_new, signals_new, everything, derived = best(
        rounds,
        lambda: peer_samples(next(repeated), page.names),
        lambda: page.remembered(next(seen)),
        lambda: reader.read(next(seen)),
        lambda: page.scanned(next(unseen)),
        lambda: PageReader(catalogue).read(next(unseen)),
        lambda: parse_page(page.body),
        lambda: derive(later, earlier, 5.0),
    )
    yield f"  prometheus_client          {peer:9.0f} us"
    for title, found in (
        ("seen: samples", samples),
        ("seen: signals", signals),
        ("never seen: samples", samples_new),
        ("never seen: signals", signals_new),
        ("every sample (parse_page)", everything),
    ):
        yield f"  {title:26} {found:9.0f} us  {peer / found:6.1f}x"
    yield f"  rates, quantiles of a pair {derived:9.0f} us"


def main(rounds: int = 60) -> None:
    for name in NAMES:
        page = Page(name)
        wanted = page.check()
        size, lines = len(page.body) / 1024, page.body.count(b"\n")
        print(f"{name}: {size:.0f} KiB, {lines} lines, {wanted} samples of the catalogue, equal to the peer's")
        for line in measure(page, rounds):
            print(line)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
