# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""Whether a recording is enough to make the controller's decisions again, and what comes of doing so.

    python conformance/cluster/recording_check.py [FILE]

For every scale that was written it holds the scale that was read, and an answer for each metric, of that very sync and
before the write. Then every sync is decided anew by `inflight.hpa`, each with the memory that the one before left, and
compared with what the controller wrote. An empty recording is no good one.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from recording import Header, RecordingError, read_recording
from syncs import Reader, Sync

from inflight.hpa import Memory, decide

TIE_NS = 50_000_000
"""What happened within 50 ms of a window's edge may fall on either side: the controller reads its clock several times
in a sync, and a recording has only the answers' times."""


class Report(msgspec.Struct):
    syncs: int = 0
    writes: int = 0
    """Scales that were written and taken."""
    complete: int = 0
    """Of these, how many have all that they were decided on."""
    metrics: Counter[int] = msgspec.field(default_factory=Counter)
    """Metric answers by status."""
    agreed: int = 0
    """Syncs that come out the same when they are decided anew."""
    differing: list[str] = msgspec.field(default_factory=list)
    ties: list[str] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        answers = ", ".join(f"{count} x {status or 'none'}" for status, count in sorted(self.metrics.items()))
        return [
            f"{self.syncs} syncs, {self.writes} scale writes, {self.complete} of them complete;"
            f" metric answers: {answers}",
            f"decided anew: {self.agreed} syncs as the controller did, {len(self.differing)} otherwise,"
            f" {len(self.ties)} ties",
        ]


def check_recording(file: Path) -> Report:
    """Raises RecordingError where it cannot be read."""
    header, lines = read_recording(file)
    report = Report()
    report.metrics.update(line["status"] for line in lines if line["kind"] == "Metric")
    replay = Replay(header)
    for sync in Reader().read(lines):
        report.syncs += 1
        if sync.write is not None:
            _check_write(sync, report)
        replay.play(sync, report)
    written = sum(line["kind"] == "ScaleWrite" and line["status"] == 200 for line in lines)
    if written != report.writes:
        report.problems.append(f"{written} scale writes are recorded, but {report.writes} belong to a sync")
    if not report.writes:
        report.problems.append("no scale write is recorded: the controller did not pass the proxy, or nothing scaled")
    return report


def _check_write(sync: Sync, report: Report) -> None:
    write: dict[str, Any] = sync.write or {}
    if write["status"] != 200:
        return
    report.writes += 1
    asked, missing = write["asked_ns"], []
    if sync.scale["at_ns"] > asked:
        missing.append("the scale was read after it was written")
    # With a count outside of the bounds none is asked.
    if any(sync.metrics):
        for index, line in enumerate(sync.metrics):
            if line is None or line["at_ns"] > asked:
                missing.append(f"there is no answer for metric {index}")
    elif _within_bounds(sync):
        missing.append("there is no metric answer")
    if missing:
        report.problems.append(f"{sync.name} at {asked}: {'; '.join(missing)}")
    else:
        report.complete += 1


def _within_bounds(sync: Sync) -> bool:
    spec, replicas = sync.hpa.spec, sync.observation().replicas
    return (spec.min_replicas if spec.min_replicas is not None else 1) <= replicas <= spec.max_replicas


class Replay:
    """The memories of the autoscalers, as far as they went on."""

    def __init__(self, header: Header) -> None:
        self._controller = header.controller
        self._memories: dict[tuple[str, str], Memory] = {}

    def play(self, sync: Sync, report: Report) -> None:
        key = (sync.name, str(sync.hpa.metadata.uid))
        memory = self._memories.get(key) or Memory(status=sync.hpa.status)
        seen = sync.observation()
        decided = decide(sync.hpa, seen, memory, sync.now_ns, self._controller)
        self._memories[key] = decided.memory
        wrote = sync.write["body"]["spec"].get("replicas", 0) if sync.write is not None else None
        computed = decided.replicas if decided.rescaled else None
        if wrote == computed:
            report.agreed += 1
            return
        where = (
            f"{sync.name} at {sync.now_ns}: wrote {_shown(wrote)}, computed {_shown(computed)} ({decided.summary()})"
        )
        shifted = (sync.now_ns - TIE_NS, sync.now_ns + TIE_NS)
        others = [decide(sync.hpa, seen, memory, now, self._controller) for now in shifted]
        if wrote in {other.replicas if other.rescaled else None for other in others}:
            report.ties.append(where)
        else:
            report.differing.append(where)


def _shown(count: int | None) -> str:
    return "nothing" if count is None else str(count)


def main() -> int:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / ".cache" / "recording.jsonl"
    try:
        report = check_recording(file)
    except RecordingError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(report.sentences))
    for line in (*report.problems, *report.differing, *report.ties):
        print(f"  {line}")
    return 1 if report.problems or report.differing else 0


if __name__ == "__main__":
    sys.exit(main())
