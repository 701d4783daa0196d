# ruff: noqa: T201 - what it prints is what it is for.
"""One cell, sync by sync: what was said, what was decided, and what complete data would have asked for."""

import sys

from inflight.hpa import ExternalAnswer, FailedAnswer, MetricAnswer, PodsAnswer
from reliability.faults import BY_NAME
from reliability.hpas import KINDS, Setting
from reliability.loads import SHAPES
from reliability.matrix import POLICIES
from reliability.play import Cell, SyncNote, play


def parse_cell(text: str) -> Cell | str:
    """`FAULT/SHAPE/SEED/KIND/WINDOW/TOLERANCE`, or a sentence that says what is wrong with it."""
    parts = text.split("/")
    if len(parts) != 6:
        return f"{text!r} is no cell: write FAULT/SHAPE/SEED/KIND/WINDOW/TOLERANCE; 50 % lost/rise/3/External/300/0"
    fault, shape, seed, kind, window, tolerance = parts
    if fault not in BY_NAME:
        return f"there is no fault {fault!r}; known are: {', '.join(BY_NAME)}"
    if shape not in SHAPES:
        return f"there is no load shape {shape!r}; known are: {', '.join(SHAPES)}"
    found = next((each for each in KINDS if each == kind), None)
    if found is None:
        return f"there is no kind of metric {kind!r}; known are: {', '.join(KINDS)}"
    try:
        return Cell(fault, shape, int(seed), Setting(found, int(window), float(tolerance), BY_NAME[fault].from_zero))
    except ValueError:
        return f"{text!r}: seed and window are whole numbers, the tolerance is a number"


def show(text: str, policy: str) -> int:
    """Prints the run; 2 where the cell is none."""
    cell = parse_cell(text)
    if isinstance(cell, str):
        print(cell, file=sys.stderr)
        return 2
    notes: list[SyncNote] = []
    outcome = play(cell, POLICIES[policy](cell.seed), notes)
    print(f"{cell.fault}: {BY_NAME[cell.fault].about}. Seconds since it began; {policy}.")
    print(f"{'at':>6} {'from':>4} {'to':>3} {'S':>3} {'F':>3} {'seen':>5}  said")
    for note in notes:
        said = "; ".join(f"{role}: {_said(answer)}" for role, answer in note.answers)
        print(f"{note.at:6.0f} {note.before:4} {note.after:3} {note.s:3} {note.f:3} {note.seen:5.0%}  {said}")
    for miss in outcome.misses:
        print(f"{miss.by} at {miss.at:.0f} s: {miss.replicas}, measured against {miss.bound:g} {miss.note}")
    if not outcome.misses:
        print("nothing is missed")
    return 0


def _said(answer: MetricAnswer) -> str:
    match answer:
        case FailedAnswer():
            return f"error ({answer.text})"
        case ExternalAnswer():
            return ", ".join(f"{value / 1000:g}" for value in answer.values_milli)
        case PodsAnswer():
            values = [metric.value_milli / 1000 for metric in answer.values.values()]
            return f"{len(values)} pods, {sum(values):g} in all"
    return str(answer)
