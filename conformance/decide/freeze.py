# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Writes the corpus that `make test` plays without Go: drawn cases with the upstream controller's answers.

python conformance/decide/freeze.py --seed 2026 --stories 770 --calls 700
"""

import argparse
import lzma
import sys
from pathlib import Path

import msgspec
from chunks import HERE, RELEASES, Chunk, Named, ask_judge, judge_of

DATA = HERE.parents[1] / "tests" / "hpa" / "data"
# Stories repeat themselves from step to step: a long memory and more context for each byte.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26, "lc": 4, "pb": 0}]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--stories", type=int, default=770, help="of each release")
    parser.add_argument("--calls", type=int, default=700, help="of each release")
    parser.add_argument("--into", type=Path, default=DATA)
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for release in RELEASES:
        lines = [
            line
            for kind, count in (("calls", options.calls), ("stories", options.stories))
            for line in Chunk(kind, release, options.seed, 0).lines(count)
        ]
        judged = ask_judge(judge_of(release), lines)
        pairs = [
            b'{"case":'
            + line
            + b',"answer":'
            + msgspec.json.encode(judged[msgspec.json.decode(line, type=Named).id])
            + b"}\n"
            for line in lines
        ]
        path = options.into / f"judged-{release}.jsonl.xz"
        path.write_bytes(lzma.compress(b"".join(pairs), format=lzma.FORMAT_XZ, filters=FILTERS))
        syncs = sum(len(answer.get("syncs") or ()) for answer in judged.values())
        sys.stdout.write(f"{path.name}: {len(lines)} cases, {syncs} syncs, {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
