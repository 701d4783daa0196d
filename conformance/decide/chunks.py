# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""A run is made of chunks, each drawn from (kind, release, seed, number) alone.

A chunk is played by the judge and by the engine, compared and counted.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from calls import call
from mutants import mutant
from nearness import is_near
from spelling import Draw
from stories import story
from tally import count_call, count_story

from inflight.hpa.cases import METHODS, compare, decode_line, explain_case

HERE = Path(__file__).resolve().parent
RELEASES = ("1.36", "1.37")
SIZES = {"stories": 200, "calls": 300 * len(METHODS), "mutants": 600}
"""Cases in a chunk; of calls as many of each method."""


CALCULATOR_SAYS = (
    "no pods returned by selector",
    "unable to ",
    "did not receive metrics",
    "missing request for ",
    "missing pod-level request for ",
    "container ",
    "no metrics returned",
)
"""How the texts of calls begin that failed in the calculator itself."""


class Chunk(NamedTuple):
    """What a chunk is drawn from."""

    kind: str
    release: str
    seed: int
    number: int

    def lines(self, count: int | None = None) -> Iterator[bytes]:
        draw = Draw(f"{self.kind}/{self.release}/{self.seed}/{self.number}")
        for index in range(SIZES[self.kind] if count is None else count):
            case = self._case(draw, index)
            # A mutant may hold integers of more than 64 bits, which the faster encoder refuses.
            yield json.dumps(case).encode() if self.kind == "mutants" else msgspec.json.encode(case)

    def _case(self, draw: Draw, index: int) -> dict[str, Any]:
        name = f"{self.kind}-{self.seed}-{self.number}-{index}"
        match self.kind:
            case "stories":
                return story(draw, name, self.release)
            case "calls":
                return call(draw, name, self.release, METHODS[index % len(METHODS)])
        valid = call(draw, name, self.release) if draw.chance(0.5) else story(draw, name, self.release)
        return mutant(draw, {**valid, "kubernetes": self.release})


class Result(NamedTuple):
    """What came of a chunk."""

    counts: Counter[str]
    differing: list[dict[str, Any]]
    """Cases with both answers and where these differ."""


class Named(msgspec.Struct):
    """What is read of a case to know its answer."""

    id: str


def judge_of(release: str) -> Path:
    return HERE / f"judge-{release}"


def ask_judge(judge: Path, lines: list[bytes]) -> dict[str, dict[str, Any]]:
    """The judge's answers by id. Raises RuntimeError where it does not answer every case exactly once."""
    done = subprocess.run([judge], input=b"\n".join(lines) + b"\n", capture_output=True, check=False)  # noqa: S603
    answers = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    by_id = {answer["id"]: answer for answer in answers}
    asked = {msgspec.json.decode(line, type=Named).id for line in lines}
    if done.returncode or len(answers) != len(lines) or by_id.keys() != asked:
        raise RuntimeError(
            f"the judge ended with {done.returncode} and {len(answers)} answers to {len(lines)} cases: "
            f"{done.stderr.decode(errors='replace')[-2000:]}"
        )
    return by_id


def refuses(answer: dict[str, Any]) -> bool:
    """Whether the judge has not even asked the calculator."""
    error = answer.get("error")
    return error is not None and (error.startswith("unable to parse") or not error.startswith(CALCULATOR_SAYS))


def play(chunk: Chunk, judge: Path | None = None) -> Result:
    """Draws, plays, compares and counts one chunk."""
    lines = list(chunk.lines())
    judged = ask_judge(judge or judge_of(chunk.release), lines)
    result = Result(Counter(), [])
    for line in lines:
        case = decode_line(line)
        mine, decisions, trace = explain_case(case)
        theirs = judged[case["id"]]
        differences = compare(case, mine, theirs)
        if chunk.kind == "mutants" and trace is None and case.get("method") and "error" in mine and refuses(theirs):
            # Of a call that is refused, unlike one that fails, the text does not count.
            differences = []
        if differences:
            result.differing.append({"differences": differences, "case": case, "engine": mine, "judge": theirs})
        match chunk.kind:
            case "stories":
                count_story(result.counts, case, theirs, decisions)
            case "calls":
                count_call(result.counts, case, trace, trace is not None and is_near(case, trace))
            case _:
                result.counts["mutants"] += 1
                result.counts["mutants refused by both"] += "error" in theirs and "error" in mine
                result.counts["syncs of mutants"] += len(theirs.get("syncs") or ())
    return result
