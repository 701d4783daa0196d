# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Writes the corpus that `make test` plays without Go: drawn cases with the upstream controller's answers.

python conformance/decide/freeze.py --seed 2026 --stories 150 --calls 250
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

from chunks import HERE, Chunk, ask_judge

DATA = HERE.parents[1] / "tests" / "hpa" / "data"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--stories", type=int, default=150)
    parser.add_argument("--calls", type=int, default=250)
    parser.add_argument("--into", type=Path, default=DATA)
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for release in ("1.36", "1.37"):
        lines = [
            line
            for kind in ("stories", "calls")
            for line in draw_chunk(kind, options.seed, 0, getattr(options, kind), release)
        ]
        judged = ask_judge(HERE / f"judge-{release}", lines)
        path = options.into / f"judged-{release}.jsonl.gz"
        # Without a name and a time in the header the same cases give the same bytes.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            for line in lines:
                case = json.loads(line)
                pair = {"case": case, "answer": judged[case["id"]]}
                file.write(json.dumps(pair, separators=(",", ":")).encode() + b"\n")
        sys.stdout.write(f"{path}: {len(lines)} cases, {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
