# ruff: noqa: T201 - what it prints is what it is for.
"""The matrix: every fault x load shape x seed, each with windows of 300, 60 and 0 s and with Pods, External and Value.

Work is cut into chunks of one fault, shape, seed and tolerance. What is done is kept in a file that belongs to this
harness, guard, floor and engine: a run that was cut off (Ctrl-C) goes on where it was, and a change starts over.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reliability.chain import Chain
from reliability.faults import BY_NAME
from reliability.hpas import KINDS, Setting
from reliability.play import Cell, Outcome, play
from reliability.policies import CONTROLS, EARLIER, OURS, Policy

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATE = ROOT / "conformance" / ".cache" / "reliability"
WINDOWS = (300, 60, 0)
KEPT_MISSES = 3
"""Of a chunk and policy: enough to find the cell again."""

RIVALS: dict[str, Callable[[int], Policy]] = {
    "adapter, Pods rule": Chain,
    "adapter, External rule": Chain,
    "KEDA": lambda seed: Chain(seed, null_is_zero=True),
}
POLICIES: dict[str, Callable[[int], Policy]] = {**OURS, **EARLIER, **RIVALS, **CONTROLS}
ONLY: dict[str, tuple[str, ...]] = {
    "adapter, Pods rule": ("Pods",),
    "adapter, External rule": ("External", "Value"),
    "KEDA": ("External", "Value"),
}
"""The kinds of metric that a policy can answer, where not all."""

Chunk = tuple[str, str, int, float]
"""Fault, shape, seed, tolerance."""
Result = dict[str, dict[str, Any]]
"""By policy: counts, sums and the first misses."""


def cells(chunk: Chunk) -> Iterator[Cell]:
    """The runs of a chunk."""
    fault, shape, seed, tolerance = chunk
    for kind in KINDS:
        for window in WINDOWS:
            yield Cell(fault, shape, seed, Setting(kind, window, tolerance, BY_NAME[fault].from_zero))


def run_chunk(task: tuple[Chunk, tuple[str, ...]]) -> tuple[Chunk, Result]:
    """Every cell of a chunk with every policy."""
    chunk, policies = task
    results: Result = {name: {"counts": Counter(), "sums": Counter(), "most": 0.0, "misses": []} for name in policies}
    for cell in cells(chunk):
        for name in policies:
            if cell.setting.kind in ONLY.get(name, KINDS):
                _add(results[name], cell, play(cell, POLICIES[name](cell.seed)))
    return chunk, results


def _add(result: dict[str, Any], cell: Cell, outcome: Outcome) -> None:
    counts, sums = result["counts"], result["sums"]
    counts["runs"] += 1
    counts["syncs"] += outcome.syncs
    counts["decreases"] += outcome.decreases
    counts["unseen syncs"] += outcome.unseen_syncs
    for miss in outcome.misses:
        counts[f"{miss.by} syncs"] += 1
        if len(result["misses"]) < KEPT_MISSES:
            result["misses"].append([cell.setting.kind, cell.setting.window, *_as_list(miss)])
    for by in {miss.by for miss in outcome.misses}:
        counts[f"{by} runs"] += 1
        counts[f"{by} runs, {cell.setting.kind}"] += 1
    sums["inside"] += outcome.hours_inside
    sums["whole"] += outcome.hours_whole
    sums["model seconds"] += outcome.model_seconds
    result["most"] = max(result["most"], outcome.hours_whole)


def _as_list(miss: Any) -> list[Any]:
    """A miss as JSON keeps it."""
    return [miss.by, round(miss.at), miss.replicas, miss.bound, miss.note]


def fingerprint() -> str:
    """Of everything that a result depends on."""
    digest = hashlib.sha256()
    rooms = [ROOT / "src" / "inflight" / room for room in ("guard", "laws", "hpa", "objects")]
    files = [*HERE.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    files.append(ROOT / "src" / "inflight" / "signals" / "series.py")
    for path in sorted(files):
        if path.name in {"__main__.py", "report.py", "matrix.py"}:
            continue
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class State:
    """Results of chunks, on disk as soon as they are there."""

    def __init__(self, policies: Sequence[str], *, kept: bool) -> None:
        self.done: dict[Chunk, Result] = {}
        self._file = None
        if not kept:
            return
        name = hashlib.sha256("/".join(sorted(policies)).encode()).hexdigest()[:8]
        STATE.mkdir(parents=True, exist_ok=True)
        path = STATE / f"{fingerprint()}-{name}.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                chunk, result = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was cut off
            self.done[tuple(chunk)] = result
        self._file = path.open("a", encoding="utf-8")

    def add(self, chunk: Chunk, result: Result) -> None:
        self.done[chunk] = result
        if self._file is not None:
            self._file.write(json.dumps([chunk, result]) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def run_matrix(chunks: Sequence[Chunk], policies: Sequence[str], jobs: int, *, kept: bool) -> dict[Chunk, Result]:
    """All chunks; what is cut off by Ctrl-C is kept and the rest left out."""
    state = State(policies, kept=kept)
    todo = [(chunk, tuple(policies)) for chunk in chunks if chunk not in state.done]
    started = time.monotonic()
    told = 0.0
    with multiprocessing.get_context("spawn").Pool(jobs, _begin) as pool:
        try:
            for count, (chunk, result) in enumerate(pool.imap_unordered(run_chunk, todo), 1):
                state.add(chunk, result)
                now = time.monotonic()
                if now - told >= 5.0 or count == len(todo):
                    told = now
                    left = (now - started) / count * (len(todo) - count)
                    print(f"{count} of {len(todo)} chunks, about {left / 60:.0f} min to go", file=sys.stderr)
        except KeyboardInterrupt:
            pool.terminate()
            print("cut off; the same command goes on from here", file=sys.stderr)
    state.close()
    return {chunk: state.done[chunk] for chunk in chunks if chunk in state.done}


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent and the machine to others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
