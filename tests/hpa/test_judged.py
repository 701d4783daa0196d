"""The engine against the upstream controller's own answers, drawn and judged by conformance/decide, without Go."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from inflight.hpa import Memory, ScaleEvent, decide
from inflight.hpa.cases import StoryLine, answer_case, compare, read_case, story_records

from .judged import DATA, RELEASES, judged_lines, pairs_of


@pytest.fixture(scope="module")
def corpus() -> list[bytes]:
    """Calls first: they are quick, and many a fault shows there. Then stories, short ones first."""
    lines = [line for release in RELEASES for line in judged_lines(release)]
    return sorted(lines, key=lambda line: (b'"method":' not in line[:400], len(line)))


def differing(corpus: list[bytes]) -> Iterator[str]:
    for pair in pairs_of(corpus):
        if found := compare(pair["case"], answer_case(pair["case"]), pair["answer"]):
            yield f"{pair['case']['id']}: {'; '.join(found)}"


def test_the_corpus_is_what_it_says(corpus: list[bytes]) -> None:
    releases: set[str] = set()
    methods: set[str | None] = set()
    syncs = 0
    events: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for pair in pairs_of(corpus):
        case, answer = pair["case"], pair["answer"]
        releases.add(answer["kubernetes"])
        methods.add(case.get("method"))
        for sync in answer.get("syncs") or ():
            syncs += 1
            events.update(event.split(" ")[1].rstrip(":") for event in sync["events"] or ())
        for step in case.get("steps", ()):
            steps.update(step.keys())
    assert releases == {"1.36", "1.37"}
    assert syncs >= 20_000
    assert len(methods) == 8, "seven methods and the stories"
    for name in ("SuccessfulRescale", "FailedGetScale", "FailedRescale", "FailedUpdateStatus", "AmbiguousSelector"):
        assert events[name] > 20, name
    for key in ("restart", "hpa", "lateSeconds", "otherHpas", "statusError", "scaleErrors", "scale", "statusReplicas"):
        assert steps[key] > 50, key
    assert sum(path.stat().st_size for path in DATA.glob("judged-*")) < 1_000_000


def test_every_judged_case_is_answered_as_upstream_does(corpus: list[bytes]) -> None:
    assert list(differing(corpus)) == []


def test_a_case_answers_the_same_alone_and_among_others(corpus: list[bytes]) -> None:
    some = [pair["case"] for pair in pairs_of(corpus[-40:])]
    forwards = [answer_case(case) for case in some]
    backwards = [answer_case(case) for case in reversed(some)]
    assert forwards == backwards[::-1]


def test_a_decision_without_its_trace_is_the_same(corpus: list[bytes]) -> None:
    """Of records, which hold all that a decision was made of."""
    compared = 0
    for pair in pairs_of(corpus[::15]):
        if "method" in pair["case"] or "syncs" not in pair["answer"]:
            continue
        line = read_case(pair["case"])
        assert isinstance(line, StoryLine)
        for record in story_records(line):
            with_trace = record.decide()
            assert record.memory is not None
            without = decide(
                record.hpa, record.observation, record.memory, record.now_ns, record.controller, with_trace=False
            )
            bare = msgspec.structs.replace(
                with_trace.trace, metrics=(), combination=None, stabilization=None, limits=None
            )
            assert without == msgspec.structs.replace(with_trace, trace=bare)
            compared += 1
    assert compared > 300


FAULTS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "the edges of the tolerance lie outside": (
        "calculator",
        "Situation.tolerates",
        lambda _: lambda self, ratio: 1.0 - self.scale_down_tolerance < ratio < 1.0 + self.scale_up_tolerance,
    ),
    "the tolerance's edge is that of 1.32": (
        "calculator",
        "Situation.tolerates",
        lambda _: lambda self, ratio: abs(1.0 - ratio) <= self.scale_up_tolerance,
    ),
    "averages are rounded down": ("calculator", "quotient", lambda _: lambda total, count: total // count),
    "averages are not cut to thousandths": ("calculator", "quotient", lambda _: lambda total, count: total / count),
    "sums do not wrap": ("calculator", "wrap_int64", lambda _: lambda number: number),
    "floats saturate as on arm64": ("calculator", "ceiling_int32", lambda real: lambda number, _: real(number, True)),
    "a scale event of exactly one period ago counts": (
        "limits",
        "_changes_after",
        lambda real: lambda events, cutoff: real(events, cutoff - 1),
    ),
    "percentages are those of rational numbers": (
        "limits",
        "to_int32",
        lambda real: lambda number, saturate: real(round(number, 6), saturate),
    ),
    "scale events are forgotten": ("decide", "store_scale_event", lambda _: lambda *_: ()),
    "flagged scale events are not overwritten": (
        "decide",
        "store_scale_event",
        lambda _: lambda events, change, rules, now: (*events, ScaleEvent(change, now)),
    ),
    "pods that are not ready count for a Value": (
        "calculator",
        "is_running_and_ready",
        lambda _: lambda pod: pod.status.phase == "Running",
    ),
    "the cpu of young pods counts": ("pods", "_unready_for_cpu", lambda _: lambda *_: None),
    "a Ready condition of Unknown is one of False": (
        "pods",
        "ready_condition",
        lambda real: (
            lambda pod: (
                found and msgspec.structs.replace(found, status="True" if found.status == "True" else "False")
                if (found := real(pod))
                else None
            )
        ),
    ),
    "sidecars do not count": ("pods", "_running_containers", lambda _: lambda pod: pod.spec.containers),
    "pod-level requests do not count": ("pods", "_is_pod_level", lambda _: lambda resource: False),
    "every setting moves a condition's time": (
        "status",
        "StatusDraft.set",
        lambda real: lambda self, kind, *rest: (self.remove(kind), real(self, kind, *rest)),
    ),
    "zero is left whoever set it": ("decide", "_Sync._is_disabled", lambda _: lambda self: False),
    "a scale-down with a failed metric is allowed": (
        "decide",
        "_Sync._combine",
        lambda real: (
            lambda self: (
                setattr(self, "outcomes", [each for each in self.outcomes if not each.reason] or self.outcomes),
                real(self),
            )[1]
        ),
    ),
    "an HPA's own tolerance is not read": (
        "decide",
        "_Sync._tolerances",
        lambda _: lambda self: (self.rules.tolerance, self.rules.tolerance),
    ),
    "spec.replicas is taken for status.replicas": (
        "decide",
        "Question",
        lambda real: lambda situation, namespace, current, _: real(situation, namespace, current, current),
    ),
    "no replicas are taken for one": (
        "calculator",
        "_spread",
        lambda real: lambda *arguments, **more: real(*arguments[:2], max(arguments[2], 1), *arguments[3:], **more),
    ),
    "Succeeded pods are ignored": (
        "calculator",
        "group_pods",
        lambda real: lambda pods, *rest: real([each for each in pods if each.status.phase != "Succeeded"], *rest),
    ),
    "missing pods are filled with what they request": (
        "calculator",
        "max",
        lambda _: lambda first, second: first,
    ),
    "a restarted controller remembers": ("memory", "Memory.after_restart", lambda _: lambda self: self),
    "a restarted controller forgets the status": ("memory", "Memory.after_restart", lambda _: lambda self: Memory()),
    "an edited HPA is another one to the controller": (
        "cases.story",
        "StoryPlayer._replace",
        lambda real: (
            lambda self, written: (real(self, written), setattr(self, "memory", self.memory.after_restart()))[0]
        ),
    ),
    "every edit waits for the next sync": (
        "cases.story",
        "StoryPlayer._replace",
        lambda real: lambda self, written: real(self, written) and False,
    ),
    "a late sync does not move those after it": (
        "cases.story",
        "StoryPlayer.go_on",
        lambda real: (
            lambda self, decision: (
                real(self, decision),
                setattr(self, "due_ns", min(self.due_ns, self.now_ns + self._period_ns - 1_000_000)),
            )
        ),
    ),
    "a status that cannot be written is remembered": (
        "status",
        "StatusDraft.differs",
        lambda _: lambda self, after: False,
    ),
    "other HPAs are not seen": ("cases.story", "StoryPlayer._selecting", lambda _: lambda self, others, pods: ()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, corpus: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    module_name, attribute, make = FAULTS[fault]
    place: Any = sys.modules[f"inflight.hpa.{module_name}"]
    *owner, name = attribute.split(".")
    for part in owner:
        place = getattr(place, part)
    monkeypatch.setattr(place, name, make(getattr(place, name, None)), raising=False)
    assert next(differing(corpus), None) is not None


def test_the_comparator_tells_apart() -> None:
    metrics = [{"type": "External", "external": {"metric": {"name": "x", "selector": {"matchLabels": {"a": "1"}}}}}]
    case = {"id": "a", "hpa": {"spec": {"metrics": metrics}}, "steps": [{"metrics": {"external/x": {"error": "boom"}}}]}
    sync = {
        "replicas": 3,
        "desiredReplicas": 3,
        "conditions": [{"type": "A", "status": "True", "reason": "R", "message": "m"}, {"type": "B", "status": "True"}],
        "currentMetrics": [],
        "events": ["Warning X: it said boom", "Warning Y: no answer for external/x"],
    }
    answer = {"id": "a", "kubernetes": "1.37", "syncs": [sync]}
    assert compare(case, answer, {**answer, "error": None}) == []
    same = {
        **sync,
        "currentMetrics": None,
        "conditions": [{**sync["conditions"][1], "reason": None}, sync["conditions"][0]],
        "events": ["Warning X: it said boom", "Warning Y: no answer for external/x?a=1"],
    }
    assert compare(case, answer, {**answer, "syncs": [same]}) == []
    for change in (
        {"replicas": 4},
        {"desiredReplicas": 2},
        {"currentMetrics": [{"type": ""}]},
        {"events": ["Warning Y: no answer for external/x", "Warning X: it said boom"]},
        {"events": ["Warning X: it says boom", "Warning Y: no answer for external/x"]},
        {"events": ["Warning X: it said boom", "Warning Y: no answer for external/xy"]},
        {"conditions": sync["conditions"][:1]},
        {"conditions": [{**sync["conditions"][0], "message": "n"}, sync["conditions"][1]]},
    ):
        assert compare(case, answer, {**answer, "syncs": [{**sync, **change}]}), change
    assert compare(case, answer, {**answer, "syncs": []}) == ["an answer has 0 syncs for 1 steps"]
    assert compare(case, answer, {"id": "a", "kubernetes": "1.37", "error": "x"})
    assert compare(case, {"id": "a", "error": "x"}, {"id": "a", "error": "y"}) == []
    call = {"id": "c", "method": "GetMetricReplicas", "metricsError": "boom"}
    assert compare(call, {"id": "c", "error": "unable: boom"}, {"id": "c", "error": "cannot: boom"})
    assert (
        compare(
            call, {"id": "c", "replicas": 1, "usage": 2}, {"id": "c", "replicas": 1, "usage": 2, "utilization": None}
        )
        == []
    )
