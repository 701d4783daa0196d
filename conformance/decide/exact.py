# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""`make exact`: the engine against the unmodified upstream controller, until the numbers are reached.

    python conformance/decide/exact.py                          all of it, both releases, seeds 236 and 237
    python conformance/decide/exact.py --fresh --minutes 1      as much as fits, from seeds that nobody has seen
    python conformance/decide/exact.py --kubernetes 1.37 --seed 5 --syncs 20000 --calls 20000 --mutants 2000

Golden vectors, the judge judged, stories, calls of the calculator, mutants, then inputs that only the engine sees. What
is done is kept in a file that belongs to this generator, engine and judge: a run that was cut off (Ctrl-C) goes on
where it was, and a change of any of them starts over. Progress goes to stderr, the result to stdout. Exit code 0: all
numbers reached, nothing differs, no hole; 1: a difference or a hole; 2: it could not run; 3: cut off before the end, or
before anything of a kind was compared.
"""

import argparse
import hashlib
import json
import multiprocessing
import multiprocessing.pool
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from check_judge import check_judge
from chunks import HERE, RELEASES, Chunk, Result, judge_of, play
from fuzz import fuzz
from golden import check_golden
from tally import expected_of_calls, expected_of_stories

from inflight.hpa.cases import METHODS

ROOT = HERE.parents[1]
STATE = ROOT / "conformance" / ".cache" / "exact"
SEEDS = {"1.36": 236, "1.37": 237}
BUILD = {
    "1.36": ["-modfile=go.1.36.mod", "-tags", "waits", "-ldflags", "-X main.kubernetes=1.36"],
    "1.37": ["-ldflags", "-X main.kubernetes=1.37"],
}
ONLY_EXPLAINING = {
    "change.py", "counterfactuals.py", "explanation.py", "remembered.py", "sentences.py", "settings.py", "summary.py",
    "upgrade.py",
}  # fmt: skip
"""Modules that speak about decisions and make none."""
UNITS = {"stories": "syncs", "calls": "calls", "mutants": "mutants"}
"""What is counted up to a chunk kind's number."""
FUZZED = 2000
"""Inputs in a chunk that only the engine sees."""
QUIET_SECONDS = 30
"""So often progress is said where stderr is no terminal."""


class State:
    """Results of chunks, on disk as soon as they are there."""

    def __init__(self, folder: Path | None) -> None:
        self.done: set[Chunk] = set()
        self.totals: dict[tuple[str, str, int], Counter[str]] = {}
        self.differing = 0
        self._file: TextIO | None = None
        self._differences: TextIO | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "chunks.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                kept = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was cut off
            self._count(Chunk(*kept["chunk"]), Counter(kept["counts"]), kept["differing"])
        self._file = path.open("a", encoding="utf-8")
        self.differences_path = folder / "differences.jsonl"
        self._differences = self.differences_path.open("a", encoding="utf-8")

    def add(self, chunk: Chunk, result: Result) -> None:
        self._count(chunk, result.counts, len(result.differing))
        for each in result.differing:
            sys.stdout.write(
                f"{each['case']['id']} (Kubernetes {chunk.release}): {'; '.join(each['differences'][:3])}\n"
            )
            if self._differences:
                self._differences.write(json.dumps(each) + "\n")
                self._differences.flush()
        if self._file:
            kept = {"chunk": chunk, "counts": result.counts, "differing": len(result.differing)}
            self._file.write(json.dumps(kept) + "\n")
            self._file.flush()

    def _count(self, chunk: Chunk, counts: Counter[str], differing: int) -> None:
        self.done.add(chunk)
        self.totals.setdefault(chunk[:3], Counter()).update(counts)
        self.differing += differing

    def counts(self, kind: str, release: str, seed: int) -> Counter[str]:
        return self.totals.get((kind, release, seed), Counter())


class Progress:
    """One line on stderr, written over on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = 0.0

    def say(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            sys.stderr.write(f"{text}\n")

    def clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")


def build(release: str) -> None:
    """The judge, if its sources are newer. Raises OSError or CalledProcessError."""
    judge = judge_of(release)
    sources = [*HERE.glob("*.go"), *HERE.glob("go*.mod")]
    if judge.exists() and judge.stat().st_mtime > max(each.stat().st_mtime for each in sources):
        return
    if shutil.which("go") is None:
        raise OSError("there is no `go` on PATH; the judge needs Go 1.26 or newer")
    sys.stderr.write(f"building the judge of Kubernetes {release} (minutes the first time)\n")
    subprocess.run(["go", "build", *BUILD[release], "-o", str(judge), "."], cwd=HERE, check=True)  # noqa: S603, S607


def fingerprint() -> str:
    """Of all that decides what is drawn and how it is answered."""
    digest = hashlib.sha256()
    package = ROOT / "src" / "inflight"
    files = [*HERE.glob("*.py"), *HERE.glob("*.go"), *HERE.glob("go*.mod")]
    files += [*(package / "hpa").rglob("*.py"), *(package / "objects").rglob("*.py")]
    files = [path for path in files if path.name not in ONLY_EXPLAINING]
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def leave_to_the_parent() -> None:
    """In a worker: Ctrl-C is the parent's matter, and others on the machine come first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)


def play_any(chunk: Chunk) -> tuple[Chunk, Result]:
    if chunk.kind == "fuzz":
        return chunk, fuzz(chunk, FUZZED)
    return chunk, play(chunk)


def wanted_chunks(state: State, kind: str, release: str, seed: int, goal: int) -> Iterator[Chunk]:
    """The chunks that are not there, in order, until their counts reach the goal; looks again before each."""
    unit = UNITS.get(kind, kind)
    number = 0
    while state.counts(kind, release, seed)[unit] < goal:
        chunk = Chunk(kind, release, seed, number)
        number += 1
        if chunk not in state.done:
            yield chunk


def drive(
    pool: multiprocessing.pool.Pool,
    state: State,
    chunks: Iterator[Chunk],
    *,
    jobs: int,
    said: Callable[[], None],
    until: float,
) -> bool:
    """Keeps all workers busy until there are no chunks left; False where the time was up before."""
    running: list[Any] = []
    more = True
    while more or running:
        while more and len(running) < jobs + 1:
            if time.monotonic() > until:
                return False
            try:
                running.append(pool.apply_async(play_any, (next(chunks),)))
            except StopIteration:
                more = False
        if running:
            running[0].wait(0.5)
            for each in [each for each in running if each.ready()]:
                running.remove(each)
                state.add(*each.get())
            said()
    return True


def run(options: argparse.Namespace) -> int:
    releases = options.kubernetes or list(RELEASES)
    for release in releases:
        build(release)
    seeds = {release: options.seed or SEEDS[release] for release in releases}
    if options.fresh:
        seeds = {release: secrets.randbelow(10**9) for release in releases}
    sys.stdout.write("".join(f"Kubernetes {release}: seed {seed}\n" for release, seed in seeds.items()))
    sys.stdout.flush()
    progress = Progress()
    state = State(None if options.fresh else STATE / fingerprint())
    began = time.monotonic()
    until = began + 60 * options.minutes if options.minutes else float("inf")
    complete = True
    for release in releases:
        progress.say(f"Kubernetes {release}: golden vectors, and the judge judged")
        golden = check_golden(release)
        judged = check_judge(release, seeds[release])
        progress.clear()
        sys.stdout.write(f"Kubernetes {release}: {golden}\nKubernetes {release}: {judged}\n")
    goals = {"stories": options.syncs, "calls": options.calls, "mutants": options.mutants, "fuzz": options.fuzz}
    with multiprocessing.get_context("spawn").Pool(options.jobs, leave_to_the_parent) as pool:
        try:
            for kind, goal in goals.items():
                for release in releases if kind != "fuzz" else releases[-1:]:
                    seed = seeds[release]

                    def said(kind: str = kind, release: str = release, seed: int = seed, goal: int = goal) -> None:
                        so_far = state.counts(kind, release, seed)[UNITS.get(kind, kind)]
                        minutes = (time.monotonic() - began) / 60
                        progress.say(
                            f"{minutes:.1f} min: Kubernetes {release}: {so_far:,} of {goal:,} {UNITS.get(kind, kind)},"
                            f" {state.differing} cases differ"
                        )

                    share = until
                    if options.minutes:
                        # Each kind and release gets its part of the time.
                        share = min(until, time.monotonic() + 60 * options.minutes / (3 * len(releases) + 1))
                    chunks = wanted_chunks(state, kind, release, seed, goal)
                    complete &= drive(pool, state, chunks, jobs=options.jobs, said=said, until=share)
        except KeyboardInterrupt:
            progress.clear()
            sys.stderr.write("cut off; the same command goes on from here\n")
            pool.terminate()
            complete = False
    progress.clear()
    return report(options, state, seeds, complete, time.monotonic() - began)


def report(options: argparse.Namespace, state: State, seeds: dict[str, int], complete: bool, seconds: float) -> int:
    holes = []
    write = sys.stdout.write
    compared = True
    for release, seed in seeds.items():
        stories = state.counts("stories", release, seed)
        calls = state.counts("calls", release, seed)
        mutants = state.counts("mutants", release, seed)
        least = min((calls[f"call {method}"] for method in METHODS), default=0)
        nearest = min(calls[f"call {method} at a boundary"] / (calls[f"call {method}"] or 1) for method in METHODS)
        near = sum(calls[f"call {method} at a boundary"] for method in METHODS)
        write(
            f"Kubernetes {release}, seed {seed}: {stories['stories']:,} stories with {stories['syncs']:,} syncs and"
            f" {stories['event SuccessfulRescale']:,} rescales; {calls['calls']:,} calls, {least:,} or more of each"
            f" method, {near:,} at a boundary ({nearest:.0%} or more of each method); {mutants['mutants']:,} mutants,"
            f" {mutants['mutants refused by both']:,} of them refused by both\n"
        )
        compared &= (stories["syncs"] > 0 or not options.syncs) and (calls["calls"] > 0 or not options.calls)
        if options.coverage:
            for name, count in sorted((stories + calls).items()):
                write(f"  {count:>10,}  {name}\n")
        if complete and options.syncs >= 200_000:
            holes += [f"{release}: {name}" for name in expected_of_stories(release) if not stories[name]]
        if complete and options.calls >= 200_000:
            holes += [f"{release}: {name}" for name in expected_of_calls() if not calls[name]]
    fuzzed = state.counts("fuzz", list(seeds)[-1], list(seeds.values())[-1])
    write(f"{fuzzed['fuzz']:,} inputs that only the engine saw\n")
    for hole in holes:
        write(f"never occurred: {hole}\n")
    write(f"{state.differing} cases differ; {seconds / 60:.1f} minutes in this run, {options.jobs} at once\n")
    if state.differing or holes:
        return 1
    return 0 if complete or (options.minutes and compared) else 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubernetes", action="append", choices=RELEASES, help="one release; may be repeated")
    parser.add_argument("--seed", type=int, help="instead of 236 and 237")
    parser.add_argument("--fresh", action="store_true", help="seeds drawn now and printed; nothing is kept")
    parser.add_argument("--syncs", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--mutants", type=int, default=30_000)
    parser.add_argument("--fuzz", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever was reached")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="chunks at once (all processors)")
    parser.add_argument("--coverage", action="store_true", help="print how often everything was hit")
    options = parser.parse_args()
    try:
        return run(options)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"exact: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("cut off before anything was played\n")
        return 3


if __name__ == "__main__":
    sys.exit(main())
