"""The check of the real cluster's recording finds what is wrong with one. It needs no cluster."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "conformance" / "cluster"
if not SCRIPTS.is_dir():
    pytest.skip("conformance/ is not part of the source distribution", allow_module_level=True)
sys.path.insert(0, str(SCRIPTS))

from recording import Header, RecordingError, hpa_settings, write_header  # noqa: E402  # type: ignore[import-not-found]
from recording_check import check_recording  # noqa: E402  # type: ignore[import-not-found]

SECOND = 10**9
START = 1_795_573_256 * SECOND
CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
SCALE = "/apis/apps/v1/namespaces/ns/deployments/llm/scale"
METRIC = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/inflight_requests"
HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "llm", "namespace": "ns", "uid": "1"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [
            {
                "type": "External",
                "external": {
                    "metric": {"name": "inflight_requests", "selector": {"matchLabels": {"app": "llm"}}},
                    "target": {"type": "AverageValue", "averageValue": "8"},
                },
            }
        ],
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "llm-1", "namespace": "ns", "labels": {"app": "llm"}},
    "spec": {"containers": [{"name": "engine"}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}

Line = dict[str, Any]


def told(kind: str, plain: Line) -> Line:
    return {"kind": "Object", "change": "ADDED", "of": kind, "object": plain}


def scale(replicas: int) -> Line:
    return {"spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": "app=llm"}}


def asked(kind: str, path: str, body: Line, status: int = 200, **more: Any) -> Line:
    return {"kind": kind, "path": path, "by": CONTROLLER, "status": status, "body": body, **more}


def answer(value: str, status: int = 200) -> Line:
    body = {"items": [{"value": value}]} if status == 200 else {"message": "not known", "code": status}
    return asked("Metric", METRIC, body, status, query={"labelSelector": "app=llm"})


def lines() -> list[Line]:
    """24 requests at 8 a replica: 1, then 3. The second sync finds what it wants."""
    return [
        told("Pod", POD),
        told("HorizontalPodAutoscaler", HPA),
        asked("ScaleRead", SCALE, scale(1)),
        answer("24"),
        asked("ScaleWrite", SCALE, scale(3), answer=scale(3)),
        asked("ScaleRead", SCALE, scale(3)),
        answer("24"),
    ]


@pytest.fixture
def recorded(tmp_path: Path) -> Any:
    def write(them: list[Line], cut: bytes = b"") -> Any:
        file = tmp_path / "recording.jsonl"
        write_header(file, Header(flags=(), feature_gates={}, controller=hpa_settings((), {})))
        with file.open("ab") as out:
            for number, line in enumerate(them):
                at = START + number * SECOND // 10
                out.write(json.dumps({"at_ns": at, "asked_ns": at - 10**6, **line}).encode() + b"\n")
            out.write(cut)
        return check_recording(file)

    return write


def test_a_good_one(recorded: Any) -> None:
    report = recorded(lines())
    assert (report.syncs, report.writes, report.complete, report.agreed) == (2, 1, 1, 2)
    assert not report.problems
    assert not report.differing


def test_a_line_that_was_cut_off_is_left_out(recorded: Any) -> None:
    assert recorded(lines(), cut=b'{"at_ns": 12').agreed == 2


def test_an_empty_one_is_no_good_one(recorded: Any) -> None:
    assert recorded([]).problems


def test_a_write_without_its_answer_is_found(recorded: Any) -> None:
    without = [line for number, line in enumerate(lines()) if number != 3]
    report = recorded(without)
    assert report.complete == 0
    assert "metric" in report.problems[0]


def test_an_answer_that_came_after_the_write_does_not_count(recorded: Any) -> None:
    late = lines()
    late[3], late[4] = late[4], late[3]
    assert recorded(late).complete == 0


def test_an_answer_for_other_labels_does_not_count(recorded: Any) -> None:
    other = lines()
    other[3]["query"] = {"labelSelector": "app=other"}
    assert recorded(other).complete == 0


@pytest.mark.parametrize("count", [2, 4])
def test_a_count_that_was_not_decided_is_found(recorded: Any, count: int) -> None:
    wrong = lines()
    wrong[4]["body"] = scale(count)
    report = recorded(wrong)
    assert report.problems == []
    assert f"wrote {count}, computed 3" in report.differing[0]


def test_a_write_that_is_missing_is_found(recorded: Any) -> None:
    report = recorded([line for number, line in enumerate(lines()) if number != 4])
    assert "wrote nothing, computed 3" in report.differing[0]


def test_an_answer_that_was_another_is_found(recorded: Any) -> None:
    other = lines()
    other[3] = answer("7")
    assert recorded(other).differing


def test_a_refused_metric_stays_a_refusal(recorded: Any) -> None:
    refused = [*lines()[:3], answer("", 503), *lines()[5:]]
    refused[4] = asked("ScaleRead", SCALE, scale(1))
    refused[5] = answer("8")
    report = recorded(refused)
    assert (report.syncs, report.agreed, report.metrics) == (2, 2, {503: 1, 200: 1})


def test_a_conflict_and_what_follows_are_one_sync(recorded: Any) -> None:
    again = lines()
    refused = {"message": "the object has been modified", "code": 409}
    again[4:4] = [
        asked("ScaleWrite", SCALE, scale(3), 409, answer=refused),
        asked("ScaleRead", SCALE, scale(1)),
    ]
    report = recorded(again)
    assert (report.syncs, report.writes, report.complete, report.agreed) == (2, 1, 1, 2)


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"kind": "Run", "version": 2}\n', b"not JSON\n"])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "recording.jsonl"
    file.write_bytes(content)
    with pytest.raises(RecordingError, match=r"recording\.jsonl:1"):
        check_recording(file)


def test_a_broken_line_is_named(recorded: Any, tmp_path: Path) -> None:
    recorded(lines())
    file = tmp_path / "recording.jsonl"
    content = file.read_bytes().split(b"\n")
    content[3] = b"{broken"
    file.write_bytes(b"\n".join(content))
    with pytest.raises(RecordingError, match=r"recording\.jsonl:4: no JSON"):
        check_recording(file)
