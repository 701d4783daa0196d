# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Judges the judge: its answers may not depend on what else is in the file, and a wrong answer must be noticed."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chunks import Chunk, ask_judge, judge_of
from spelling import Draw

from inflight.hpa.cases import compare

STORIES, CALLS, ALONE = 120, 280, 20


def check_judge(release: str, seed: int) -> str:
    """All of it; what was seen as a sentence. Raises RuntimeError where the judge or the comparison is no good."""
    judge = judge_of(release)
    draw = Draw(seed)
    lines = [
        *Chunk("stories", release, seed, 1_000_000).lines(STORIES),
        *Chunk("calls", release, seed, 1_000_000).lines(CALLS),
    ]
    answers = check_order(judge, lines, draw)
    planted = check_planted(lines, answers, draw)
    check_bad_judges(lines[:20], answers)
    return (
        f"{len(lines)} cases answered the same forwards, backwards, shuffled, again and (of {ALONE}) alone; "
        f"{planted} of {planted} planted differences found; missing, doubled, foreign and cut answers refused"
    )


def check_order(judge: Path, lines: list[bytes], draw: Draw) -> dict[str, dict[str, Any]]:
    """The answers, which are the same in any order."""
    answers = ask_judge(judge, lines)
    shuffled = draw.sample(lines, len(lines))
    for order, text in ((lines[::-1], "backwards"), (shuffled, "shuffled"), (lines, "again")):
        others = ask_judge(judge, order)
        for line in lines:
            case = json.loads(line)
            if not same(case, answers[case["id"]], others[case["id"]]):
                raise RuntimeError(f"the judge answers {case['id']} differently {text}")
    for line in draw.sample(lines, ALONE):
        case = json.loads(line)
        if not same(case, answers[case["id"]], ask_judge(judge, [line])[case["id"]]):
            raise RuntimeError(f"the judge answers {case['id']} differently when it is alone")
    return answers


def same(case: dict[str, Any], left: dict[str, Any], right: dict[str, Any]) -> bool:
    """To the byte; where HPAs share pods, as far as their names' order goes, which upstream leaves to a map."""
    if any(step.get("otherHpas") for step in case.get("steps", ())):
        return compare(case, left, right) == []
    return left == right


def check_planted(lines: list[bytes], answers: dict[str, dict[str, Any]], draw: Draw) -> int:
    """How many differences were planted in right answers; the comparison finds each."""
    planted = 0
    for line in lines:
        case = json.loads(line)
        answer = answers[case["id"]]
        if compare(case, answer, answer):
            raise RuntimeError(f"{case['id']}: an answer differs from itself")
        if "method" not in case and not answer.get("syncs"):
            continue  # all error answers to a story are equal
        if "syncs" in answer:
            for cut in (answer["syncs"][:-1], [], None, [*answer["syncs"], answer["syncs"][-1]]):
                if not compare(case, answer, {**answer, "syncs": cut}):
                    raise RuntimeError(f"{case['id']}: an answer with another number of syncs passes")
        if not compare(case, answer, {"id": case["id"]}):
            raise RuntimeError(f"{case['id']}: an empty answer passes")
        kept = {key: value for key, value in answer.items() if key not in {"id", "kubernetes"}}
        # A name among several that may stand in any order is no difference.
        masked = any(step.get("otherHpas") for step in case.get("steps", ()))
        for path, wrong in spoiled(kept, draw):
            if masked and path[-2:][0] == "events":
                continue
            planted += 1
            if not compare(case, answer, {**answer, **wrong}):
                raise RuntimeError(f"{case['id']}: a difference planted at {path} passes")
    return planted


def spoiled(value: Any, draw: Draw) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The value with one small thing changed, once for each of a few places."""
    leaves = list(walk(value, ()))
    for path, leaf in draw.sample(leaves, min(8, len(leaves))):
        copy = json.loads(json.dumps(value))
        place = copy
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = leaf + 1 if isinstance(leaf, int) else f"{leaf}x"
        yield path, copy


def walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from walk(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from walk(each, (*path, index))
    elif value is not None:
        yield path, value


def check_bad_judges(lines: list[bytes], answers: dict[str, dict[str, Any]]) -> None:
    """A judge that says nothing, too little, twice, of another case, or fails at the end is not believed."""
    right = [json.dumps(answers[json.loads(line)["id"]]) for line in lines]
    foreign = json.dumps({"id": "of nobody", "kubernetes": "1.37", "error": "x"})
    with tempfile.TemporaryDirectory() as folder:
        for name, said, code in (
            ("says nothing", [], 0),
            ("says too little", right[:-1], 0),
            ("says it twice", [*right, right[0]], 0),
            ("says one for another", [*right[:-1], right[0]], 0),
            ("says it of nobody", [*right[:-1], foreign], 0),
            ("fails at the end", right, 3),
            ("is cut off", [*right[:-1], right[-1][:10]], 0),
        ):
            fake = Path(folder, name.replace(" ", "-"))
            body = "\n".join(said)
            fake.write_text(f"#!/bin/sh\ncat > /dev/null\ncat <<'EOF'\n{body}\nEOF\nexit {code}\n", encoding="utf-8")
            fake.chmod(0o755)
            try:
                ask_judge(fake, lines)
            except (RuntimeError, ValueError):
                continue
            raise RuntimeError(f"a judge that {name} is believed")
