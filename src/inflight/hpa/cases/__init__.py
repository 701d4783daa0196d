"""Decision cases: one JSON object a line, played by the engine and compared with another player's answers."""

from typing import Any

from inflight.hpa.cases.call import CallTrace, answer_of_call, trace_call
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
from inflight.hpa.cases.story import StoryPlayer, play_story, story_records
from inflight.hpa.controller import NEWEST_JUDGED
from inflight.hpa.decision import Decision

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
    "explain_case",
    "play_story",
    "read_case",
    "story_records",
    "trace_call",
]


def answer_case(plain: dict[str, Any], architecture: str = "amd64") -> dict[str, Any]:
    """The answer to one case, an error answer where it cannot be played. Raises nothing for any input."""
    return explain_case(plain, architecture)[0]


def explain_case(
    plain: dict[str, Any], architecture: str = "amd64"
) -> tuple[dict[str, Any], list[Decision], CallTrace | None]:
    """The answer with what it was made of: the decisions of a story, or the trace of a call. Raises nothing."""
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
            trace = trace_call(case, architecture)
            return answer | answer_of_call(trace), [], trace
        syncs, decisions = play_story(case, architecture)
    except CaseError as error:
        return answer | {"error": str(error)}, [], None
    return answer | {"syncs": syncs}, decisions, None
