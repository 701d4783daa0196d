"""Decision cases: one JSON object a line, played by the engine and compared with another player's answers."""

from typing import Any

from inflight.hpa.cases.call import CallTrace, play_call, trace_call
from inflight.hpa.cases.compare import compare
from inflight.hpa.cases.lines import (
    MAX_LINE_BYTES,
    METHODS,
    CallLine,
    CaseError,
    Step,
    StoryLine,
    decode_line,
    read_case,
)
from inflight.hpa.cases.story import StoryPlayer, play_story, story_decisions, story_records
from inflight.hpa.controller import NEWEST_JUDGED

__all__ = [
    "MAX_LINE_BYTES",
    "METHODS",
    "CallLine",
    "CallTrace",
    "CaseError",
    "Step",
    "StoryLine",
    "StoryPlayer",
    "answer_case",
    "compare",
    "decode_line",
    "play_call",
    "play_story",
    "read_case",
    "story_decisions",
    "story_records",
    "trace_call",
]


def answer_case(plain: dict[str, Any], architecture: str = "amd64") -> dict[str, Any]:
    """The answer to one case, an error answer where it cannot be played. Raises nothing for any input."""
    name = plain.get("id")
    kubernetes = plain.get("kubernetes")
    answer: dict[str, Any] = {
        "id": name if isinstance(name, str) else "",
        "kubernetes": kubernetes if isinstance(kubernetes, str) else NEWEST_JUDGED,
    }
    try:
        if not isinstance(name, str):
            raise CaseError("the case has no id")
        case = read_case(plain)
        if isinstance(case, CallLine):
            return answer | play_call(case, architecture)
        return answer | {"syncs": play_story(case, architecture)}
    except CaseError as error:
        return answer | {"error": str(error)}
