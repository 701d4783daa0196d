# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Plays freshly drawn cases with the engine and with the judge, and says where the answers differ.

    python conformance/decide/run.py --kubernetes 1.37 --seed 1 --stories 1000 --calls 1000

A run is made of chunks, each drawn from (seed, kind, chunk) alone: `--first-chunk` goes on where another run ended.
Differing cases are written to `--keep` with both answers. Exit code 1 where something differed.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calls import call
from spelling import Draw
from stories import story

from inflight.hpa.cases import answer_case, compare, decode_line

HERE = Path(__file__).resolve().parent
CHUNK = {"stories": 200, "calls": 2000}


def draw_chunk(kind: str, seed: int, chunk: int, count: int, release: str) -> Iterator[bytes]:
    make = story if kind == "stories" else call
    draw = Draw(f"{kind}/{release}/{seed}/{chunk}")
    for index in range(count):
        yield json.dumps(make(draw, f"{kind}-{seed}-{chunk}-{index}", release), separators=(",", ":")).encode()


def ask_judge(judge: Path, lines: list[bytes]) -> dict[str, dict[str, Any]]:
    """The judge's answers by id. Raises RuntimeError where it does not answer every case exactly once."""
    done = subprocess.run([judge], input=b"\n".join(lines) + b"\n", capture_output=True, check=False)  # noqa: S603
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    by_id = {answer["id"]: answer for answer in answers}
    if done.returncode or len(answers) != len(lines) or len(by_id) != len(lines):
        raise RuntimeError(
            f"the judge ended with {done.returncode} and {len(answers)} answers to {len(lines)} cases: "
            f"{done.stderr.decode(errors='replace')[-2000:]}"
        )
    return by_id


def run(options: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    keep = open(options.keep, "w", encoding="utf-8") if options.keep else None  # noqa: SIM115 - open for the whole run
    judge = options.judge or HERE / f"judge-{options.kubernetes}"
    began = time.monotonic()
    for kind in ("stories", "calls"):
        wanted, chunk = getattr(options, kind), options.first_chunk
        while wanted > 0:
            count = min(CHUNK[kind], wanted)
            lines = list(draw_chunk(kind, options.seed, chunk, count, options.kubernetes))
            judged = ask_judge(judge, lines)
            for line in lines:
                case = decode_line(line)
                mine, theirs = answer_case(case), judged[case["id"]]
                count_case(counts, kind, case, theirs)
                differences = compare(case, mine, theirs)
                if differences:
                    counts[f"{kind} that differ"] += 1
                    if counts[f"{kind} that differ"] <= options.show:
                        sys.stdout.write(f"{case['id']}: {'; '.join(differences[:4])}\n")
                    if keep:
                        keep.write(json.dumps({"case": case, "engine": mine, "judge": theirs}) + "\n")
            wanted -= count
            chunk += 1
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{kind}: {wanted} to go, {counts[f'{kind} that differ']} differ   ")
    summary = ", ".join(f"{value} {name}" for name, value in sorted(counts.items()))
    sys.stdout.write(
        f"Kubernetes {options.kubernetes}, seed {options.seed}, chunks from {options.first_chunk}: {summary}; "
        f"{time.monotonic() - began:.0f} s\n"
    )
    return 1 if any(name.endswith("differ") for name in counts) else 0


def count_case(counts: Counter[str], kind: str, case: dict[str, Any], answer: dict[str, Any]) -> None:
    counts[kind] += 1
    if kind == "stories":
        counts["syncs"] += len(answer.get("syncs") or ())
        counts["rescales"] += sum(
            event.startswith("Normal") for sync in answer.get("syncs") or () for event in sync["events"] or ()
        )
    else:
        counts[case["method"]] += 1
    if answer.get("error"):
        counts[f"{kind} with an error for answer"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubernetes", choices=("1.36", "1.37"), default="1.37")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--first-chunk", type=int, default=0)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--show", type=int, default=20)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
