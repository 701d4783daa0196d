"""The engine against the upstream controller's own answers, drawn and judged by conformance/decide, without Go."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inflight.hpa import ScaleEvent
from inflight.hpa.cases import answer_case, compare

DATA = Path(__file__).parent / "data"
Pair = dict[str, dict[str, Any]]


def pairs() -> Iterator[Pair]:
    for path in sorted(DATA.glob("judged-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


@pytest.fixture(scope="module")
def corpus() -> list[Pair]:
    """Calls first: they are quick, and many a fault shows there."""
    return sorted(pairs(), key=lambda pair: "method" not in pair["case"])


def differing(corpus: list[Pair]) -> Iterator[str]:
    for pair in corpus:
        if found := compare(pair["case"], answer_case(pair["case"]), pair["answer"]):
            yield f"{pair['case']['id']}: {'; '.join(found)}"


def test_the_corpus_is_what_it_says(corpus: list[Pair]) -> None:
    assert {pair["answer"]["kubernetes"] for pair in corpus} == {"1.36", "1.37"}
    assert sum(len(pair["answer"].get("syncs") or ()) for pair in corpus) > 1500
    events = [event for pair in corpus for sync in pair["answer"].get("syncs") or () for event in sync["events"] or ()]
    for text in ("SuccessfulRescale", "FailedGetScale", "FailedRescale", "FailedComputeMetricsReplicas"):
        assert any(text in event for event in events), text
    assert len({pair["case"].get("method") for pair in corpus}) == 8, "seven methods and the stories"


def test_every_judged_case_is_answered_as_upstream_does(corpus: list[Pair]) -> None:
    assert list(differing(corpus)) == []


def test_a_case_answers_the_same_alone_and_among_others(corpus: list[Pair]) -> None:
    some = [pair["case"] for pair in corpus[-40:]]
    forwards = [answer_case(case) for case in some]
    backwards = [answer_case(case) for case in reversed(some)]
    assert forwards == backwards[::-1]


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
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, corpus: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
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
