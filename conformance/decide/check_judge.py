# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Judges the judge: its answers may not depend on what else is in the file, and a wrong answer must be noticed.

python conformance/decide/check_judge.py --kubernetes 1.37
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from run import HERE, ask_judge, draw_chunk
from spelling import Draw

from inflight.hpa.cases import compare


def check_order(judge: Path, lines: list[bytes], draw: Draw) -> dict[str, dict[str, Any]]:
    """The answers, which are the same forwards, backwards, shuffled and alone."""
    answers = ask_judge(judge, lines)
    shuffled = draw.sample(lines, len(lines))
    for order, text in ((lines[::-1], "backwards"), (shuffled, "shuffled"), (lines * 1, "again")):
        if ask_judge(judge, order) != answers:
            raise SystemExit(f"the judge answers differently {text}")
    for line in draw.sample(lines, 20):
        for name, answer in ask_judge(judge, [line]).items():
            if answer != answers[name]:
                raise SystemExit(f"the judge answers {name} differently when it is alone")
    return answers


def spoiled(value: Any, draw: Draw) -> Iterator[Any]:
    """The value with one small thing changed, once for each of a few places."""
    leaves = list(walk(value, ()))
    for path, leaf in draw.sample(leaves, min(8, len(leaves))):
        copy = json.loads(json.dumps(value))
        place = copy
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = leaf + 1 if isinstance(leaf, int) else f"{leaf}x"
        yield copy


def walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from walk(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from walk(each, (*path, index))
    elif value is not None:
        yield path, value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubernetes", choices=("1.36", "1.37"), default="1.37")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    judge = HERE / f"judge-{options.kubernetes}"
    draw = Draw(options.seed)
    lines = [
        *draw_chunk("stories", options.seed, 7000, 150, options.kubernetes),
        *draw_chunk("calls", options.seed, 7000, 300, options.kubernetes),
    ]
    answers = check_order(judge, lines, draw)
    planted = found = 0
    for line in lines:
        case = json.loads(line)
        answer = answers[case["id"]]
        if compare(case, answer, answer):
            raise SystemExit(f"{case['id']}: an answer differs from itself")
        part = "syncs" if answer.get("syncs") else None
        if part is None and "method" not in case:
            continue  # all error answers to a story are equal
        kept = {key: value for key, value in answer.items() if key not in {"id", "kubernetes"}}
        for wrong in spoiled(kept, draw):
            planted += 1
            found += bool(compare(case, answer, {**answer, **wrong}))
        if part and compare(case, answer, {**answer, "syncs": answer["syncs"][:-1]}) == []:
            raise SystemExit(f"{case['id']}: a truncated answer passes")
    sys.stdout.write(
        f"Kubernetes {options.kubernetes}: {len(lines)} cases answered the same forwards, backwards, shuffled and "
        f"alone; {found} of {planted} planted differences found\n"
    )
    return 0 if found == planted else 1


if __name__ == "__main__":
    sys.exit(main())
