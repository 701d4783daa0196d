"""docs/explain.md names every code and key that an answer about a running cluster may have."""

import re
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from inflight.observe.agreement import Agreement
from inflight.observe.answer import Live
from inflight.observe.assumptions import AssumptionCode
from inflight.observe.evidence import EvidenceCode
from inflight.observe.hold import Hold
from inflight.observe.looking.errors import Failure
from inflight.observe.notes import NoteCode

WORDS = set(re.findall(r"[\w-]+", (Path(__file__).resolve().parents[2] / "docs" / "explain.md").read_text("utf-8")))


@pytest.mark.parametrize("codes", [Agreement, AssumptionCode, EvidenceCode, Failure, NoteCode])
def test_every_code_is_documented(codes: type[StrEnum]) -> None:
    assert {each.value for each in codes} <= WORDS


@pytest.mark.parametrize("struct", [Live, Hold])
def test_every_key_is_documented(struct: type[msgspec.Struct]) -> None:
    assert {field.name for field in msgspec.structs.fields(struct)} <= WORDS
