# ruff: noqa: T201 - what it prints is what it is for.
"""What an autoscaler does in each data fault, told by each guard: the exact engine over a plant of pods, in model time.

    python conformance/reliability                                 Inflight with and without its floor, 100 seeds
    python conformance/reliability --seeds 1 --everyone            one seed; also the usual chain and the controls
    python conformance/reliability --fault "50 % lost" --seeds 5   one fault
    python conformance/reliability --show "50 % lost/rise/3/External/300/0"    one cell, sync by sync

A run that was cut off goes on where it was. Progress goes to stderr, tables to stdout. Exit code 0: no unsafe decrease
with the floor and every control fails; 1: otherwise; 2: it could not run; 3: cut off before the end.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reliability.faults import BY_NAME, FAULTS
from reliability.loads import SHAPES
from reliability.matrix import POLICIES, run_matrix
from reliability.policies import OURS
from reliability.report import as_json, markdown, problems
from reliability.show import show


def main(arguments: list[str] | None = None) -> int:
    """The one command."""
    parser = argparse.ArgumentParser(
        prog="python conformance/reliability", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, help="seeds of each fault and load shape (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--fault", action="append", help="only this fault; may be given again")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="only this load shape; may be given again")
    parser.add_argument("--policy", action="append", choices=list(POLICIES), help="only this; may be given again")
    parser.add_argument("--everyone", action="store_true", help="also the first rule, the usual chain and the controls")
    parser.add_argument("--tolerance", action="append", type=float, help="of the HPA (default 0 and 0.1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--fresh", action="store_true", help="neither use nor keep earlier results")
    parser.add_argument("-o", "--output", choices=("markdown", "json"), default="markdown")
    parser.add_argument("--show", metavar="CELL", help="FAULT/SHAPE/SEED/KIND/WINDOW/TOLERANCE, sync by sync")
    given = parser.parse_args(arguments)
    if given.show:
        return show(given.show, (given.policy or ["table and floor"])[0])
    names = given.fault or [fault.name for fault in FAULTS]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown or given.seeds < 1:
        print(
            f"there is no fault {unknown[0]!r}; known are: {', '.join(BY_NAME)}" if unknown else "no seeds",
            file=sys.stderr,
        )
        return 2
    policies = given.policy or list(POLICIES if given.everyone else OURS)
    chunks = [
        (name, shape, seed, tolerance)
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for tolerance in given.tolerance or (0.0, 0.1)
        for shape in given.shape or SHAPES
        for name in names
    ]
    done = run_matrix(chunks, policies, given.jobs, kept=not given.fresh)
    print(json.dumps(as_json(done), indent=1) if given.output == "json" else markdown(done, policies))
    found = problems(done)
    for problem in found:
        print(problem, file=sys.stderr)
    if len(done) < len(chunks):
        return 3
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
