# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Inputs that no judge needs to see: whatever comes, the engine answers or raises its own error, nothing else.

Lines with bytes changed, cases spoiled at many places and asked of any release and processor, records spoiled likewise,
decided, explained and decided anew with other settings, and HPAs on their way through defaults and rules.
"""

import json
import traceback
from collections import Counter
from typing import Any

import msgspec
from calls import call
from chunks import Chunk, Result
from mutants import mutant
from spelling import Draw
from stories import story

from inflight.hpa import Record, RecordError, SettingError, apply_settings, explain, parse_setting, read_record
from inflight.hpa.cases import CaseError, StoryLine, answer_case, decode_line, read_case, story_records
from inflight.hpa.record import differences
from inflight.objects import (
    ObjectError,
    ReleaseError,
    decode_hpa,
    known_releases,
    set_defaults,
    to_json,
    validate,
)

OWN_ERRORS = (CaseError, ObjectError, RecordError, ReleaseError, SettingError)
SETTINGS = (
    "max=3", "min=0", "target=40", "target=0", "value=7", "replicas=0", "replicas=9", "tolerance=0.3", "up-window=60",
    "down-window=0", "kubernetes=1.32", "memory=empty", "target:load=500u", "value:1=8Ei", "max=2147483647",
)  # fmt: skip


def fuzz(chunk: Chunk, count: int) -> Result:
    """`count` inputs; what escapes is a difference like any other."""
    draw = Draw(f"fuzz/{chunk.seed}/{chunk.number}")
    result = Result(Counter(), [])
    valid: dict[str, Any] = {}
    records: list[bytes] = []
    for index in range(count):
        if index % 20 == 0:
            release = draw.choice(["1.36", "1.37"])
            valid = {**(call if draw.chance(0.4) else story)(draw, f"fuzz-{index}", release), "kubernetes": release}
            records = lines_of_records(valid) or records
        try:
            data = spoiled_input(draw, valid, records)
            try:
                feed(draw, data)
                result.counts["fuzz answered"] += 1
            except OWN_ERRORS:
                result.counts["fuzz refused"] += 1
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            where = traceback.format_exception_only(error)[-1].strip()
            case = {"id": f"fuzz-{chunk.seed}-{chunk.number}-{index}", "input": repr(data)[:100_000]}
            trace = traceback.format_exc()[-2000:]
            result.differing.append({"differences": [where], "case": case, "engine": trace, "judge": None})
        result.counts["fuzz"] += 1
    return result


def lines_of_records(case: dict[str, Any]) -> list[bytes]:
    try:
        line = read_case(case)
        return [to_json(each) for each in story_records(line)] if isinstance(line, StoryLine) else []
    except CaseError:
        return []


def spoiled_input(draw: Draw, case: dict[str, Any], records: list[bytes]) -> bytes:
    kind = draw.weighted((3, "bytes"), (4, "case"), (4, "record"), (1, "hpa"))
    if kind == "record" and records:
        plain = json.loads(draw.choice(records))
        for _ in range(draw.choice([0, 1, 1, 2, 5])):
            plain = mutant(draw, plain)
        return b"R" + json.dumps(plain).encode()
    if kind == "hpa" and "hpa" in case:
        spoiled = mutant(draw, case["hpa"])
        return b"H" + json.dumps(spoiled).encode()
    spoiled = case
    for _ in range(draw.choice([0, 1, 2, 4, 12])):
        spoiled = mutant(draw, spoiled)
    text = json.dumps(spoiled).encode()
    if kind != "bytes":
        return b"C" + text
    text = draw.choice([text, *records[:3]])
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(text))
        piece = draw.choice(
            [b"", bytes([draw.randrange(256)]), b"null", b'"', b"{", b"9" * 30, b"1e999", b"\xff", b"[" * 9]
        )
        text = text[:at] + piece + text[at + draw.choice([0, 1, 1, 5, 50]) :]
    return draw.choice([b"C", b"R"]) + text


def feed(draw: Draw, data: bytes) -> None:
    """Everything that takes such a text. Raises the engine's own errors."""
    kind, text = data[:1], data[1:]
    if kind == b"R":
        feed_record(draw, read_record(text))
        return
    plain = decode_line(text)
    if kind == b"H":
        release = draw.choice(known_releases())
        hpa = set_defaults(decode_hpa(plain), release)
        to_json([str(each) for each in validate(hpa, release)])
        set_defaults(hpa, release, None, hpa)
        validate(hpa, release, None, hpa)
        to_json(hpa)
        return
    if draw.chance(0.5):
        plain["kubernetes"] = draw.choice([*known_releases(), "1.12"])
    answer = answer_case(plain, draw.choice(["amd64", "arm64"]))
    msgspec.json.decode(to_json(answer))
    if isinstance(plain.get("id"), str) and answer.get("error") is None and not plain.get("method"):
        assert len(answer["syncs"]) == len(plain["steps"]), "one sync a step"


def feed_record(draw: Draw, record: Record) -> None:
    decision = record.decide()
    to_json(decision)
    differences(record, decision)
    if draw.chance(0.2):
        to_json(explain(record, with_changes=draw.chance(0.2)))
    if draw.chance(0.5):
        settings = [parse_setting(text) for text in draw.sample(SETTINGS, draw.randint(1, 3))]
        to_json(apply_settings(record, settings).decide())
