"""`inflight explain` and `inflight decide --kubernetes`: records in, sentences or JSON out, exit codes."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from inflight.cli.decide import command as decide_command
from inflight.cli.explain import command as explain_command
from inflight.cli.main import group
from inflight.hpa import Memory, PodMetric, PodsAnswer, decide
from inflight.hpa.record import record_line
from inflight.objects import HorizontalPodAutoscaler

from .builders import SECOND, START, external, hpa, observe, pods, pods_metric, total

CASE = {
    "id": "ramp",
    "hpa": {
        "metadata": {"name": "llm", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
            "maxReplicas": 10,
            "metrics": [external("30")],
        },
    },
    "scale": {"replicas": 3, "selector": "app=llm"},
    "steps": [{"metrics": {"external/load": {"values": [str(load)]}}} for load in (90, 150, 400)],
}

CALL = {
    "id": "call",
    "method": "GetMetricReplicas",
    "kubernetes": "1.36",
    "current": 3,
    "target": 10_000,
    "selector": "app=llm",
    "pods": [
        {"metadata": {"name": name, "labels": {"app": "llm"}}, "status": {"phase": phase}}
        for name, phase in (("a", "Running"), ("b", "Running"), ("c", "Pending"))
    ],
    "metrics": {"a": 30_000, "b": 30_000},
}


def explain(*arguments: str, text: bytes = b"") -> Result:
    return CliRunner().invoke(explain_command, [*arguments], input=text)


def lines(
    loads: list[int], spec: HorizontalPodAutoscaler | None = None, known: bool = True, start_ns: int = START
) -> list[bytes]:
    """A controller's own record, or (not `known`) that of somebody who watches."""
    spec, memory, replicas, now_ns = spec or hpa(), Memory(), 3, start_ns
    written = []
    for load in loads:
        seen = observe(replicas, total(load))
        decision = decide(spec, seen, memory, now_ns)
        if known:
            written.append(record_line(spec, seen, memory, now_ns, decision=decision))
        else:
            written.append(record_line(spec, seen, None, now_ns))
        memory, replicas, now_ns = decision.memory, decision.replicas, now_ns + 15 * SECOND
    return written


def plain(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def record(tmp_path: Path) -> str:
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(lines([90, 150, 400, 100])))
    return str(path)


def test_both_commands_are_in_the_list() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert "explain" in result.output
    assert "decide" in result.output
    assert "--set" in CliRunner().invoke(group, ["explain", "--help"]).output


def test_the_last_sync_is_told_in_sentences(record: str) -> None:
    result = explain(record)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for part in (
        "default/web at 2000-01-01T00:00:45Z, Kubernetes 1.37",
        "Step by step",
        "* stabilization 14 Held at 14 by higher recommendations of the last 300 s",
        "* limits 10 Limited to 10 by maxReplicas.",
        "The record holds what the controller remembered: the decision is exact.",
        "What would change it (one step less would not)",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        (["--at", "2000-01-01T00:00:20Z"], "2000-01-01T00:00:15Z"),
        (["--at", "2000-01-01T00:00:30Z"], "2000-01-01T00:00:30Z"),
        (["--at", "+15s"], "2000-01-01T00:00:15Z"),
        (["--at", "+1m"], "2000-01-01T00:00:45Z"),
        (["--sync", "1"], "2000-01-01T00:00:00Z"),
        ([], "2000-01-01T00:00:45Z"),
    ],
)
def test_the_sync_is_chosen(record: str, arguments: list[str], at: str) -> None:
    assert plain(explain(record, "-o", "json", *arguments))["explanation"]["at"] == at


def test_what_if_shows_both_decisions(record: str) -> None:
    answer = plain(explain(record, "--sync", "3", "--set", "target=40", "--set", "max=20", "-o", "json"))
    assert answer["settings"] == ["target=40", "max=20"]
    assert answer["recorded"]["replicas_after"] == 10
    assert answer["explanation"]["replicas_after"] == 10
    assert answer["recorded"]["bound_by"] != answer["explanation"]["bound_by"]
    result = explain(record, "--sync", "3", "--set", "max=20")
    assert "as recorded: 5 -> 10" in result.stdout
    assert "with max=20: 5 -> 10" in result.stdout


def test_standard_input_and_json_with_stable_codes() -> None:
    answer = plain(explain("-", "-o", "json", text=b"".join(lines([231]))))["explanation"]
    assert (answer["version"], answer["outcome"], answer["memory"]["certainty"]) == (1, "Rescaled", "Exact")
    assert [step["code"] for step in answer["steps"]][:2] == ["Computed", "MetricRecommendation"]
    assert {each["change"]["input"] for each in answer["changes"]} >= {"MetricValue", "Target", "MaxReplicas"}


def test_changes_can_be_left_out(record: str) -> None:
    assert plain(explain(record, "--no-changes", "-o", "json"))["explanation"]["changes"] == []


def test_a_watched_record_says_what_is_not_known() -> None:
    few, many = lines([180, 60], known=False), lines([180] + [60] * 30, known=False)
    answer = plain(explain("-", "-o", "json", text=b"".join(few)))["explanation"]
    assert answer["memory"]["source"] == "Partial"
    assert answer["memory"]["certainty"] == "Range"
    assert ", if nothing unknown holds the count" in explain("-", text=b"".join(few)).stdout
    assert plain(explain("-", "-o", "json", text=b"".join(many)))["explanation"]["memory"]["source"] == "Rebuilt"


def test_of_several_hpas_one_is_chosen() -> None:
    other = hpa(external("10"))
    other = with_name(other, "other")
    text = b"".join([*lines([90]), *lines([90], other)])
    result = explain("-", text=text)
    assert result.exit_code == 2
    assert "choose one with --hpa: default/web, default/other" in result.stderr
    answer = plain(explain("-", "--hpa", "default/other", "-o", "json", text=text))
    assert answer["explanation"]["hpa"] == "default/other"
    result = explain("-", "--hpa", "default/third", text=text)
    assert (result.exit_code, "no record of default/third in it; it has default/web" in result.stderr) == (2, True)


def with_name(spec: HorizontalPodAutoscaler, name: str) -> HorizontalPodAutoscaler:
    return msgspec.structs.replace(spec, metadata=msgspec.structs.replace(spec.metadata, name=name))


def test_a_broken_line_is_named_the_rest_goes_on_and_the_exit_code_tells() -> None:
    whole = lines([90, 150])
    newer = whole[0].replace(b'"record":1', b'"record":9', 1)
    result = explain("-", text=b"".join([whole[0], b"{cut off\n", newer, b"\n", whole[1]]))
    assert result.exit_code == 2
    assert "-:2: the record is damaged or cut off" in result.stderr
    assert "-:3: the record has version 9" in result.stderr
    assert "2 lines of - were no records" in result.stderr
    assert "default/web at 2000-01-01T00:00:15Z" in result.stdout


def test_a_record_that_says_something_else_than_is_computed_is_told() -> None:
    [line] = lines([231])
    altered = json.loads(line)
    altered["outcome"]["replicas"] = 4
    result = explain("-", text=json.dumps(altered).encode())
    assert result.exit_code == 1
    assert "replicas: recorded 4, computed 6" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "text", "problem"),
    [
        ([], b"", "give an HPA as hpa/NAME, a record, or a case with --case"),
        (["hpa/llm", "--sync", "3"], b"", "--sync is for a record or a case"),
        (["-", "--watch"], b"", "--watch is for an HPA of a cluster (hpa/NAME)"),
        (["no/such/file"], b"", "no/such/file cannot be read: No such file or directory"),
        (["-"], b"", "there is no record in it"),
        (["-", "--at", "noon"], lines([90])[0], "'noon' is no time"),
        (
            ["-", "--at", "1999-01-01T00:00:00Z"],
            lines([90])[0],
            "the first sync is at 2000-01-01T00:00:00Z, later than",
        ),
        (["-", "--sync", "7"], lines([90])[0], "there are 1 syncs, not 7"),
        (["-", "--at", "+1s", "--sync", "1"], lines([90])[0], "give one"),
        (["-", "--id", "x"], lines([90])[0], "it goes with --case"),
        (["-", "--set", "max"], lines([90])[0], "is no setting"),
        (["-", "--set", "max=0"], lines([90])[0], "would be refused: spec.maxReplicas"),
        (["--case", "-"], b'{"id": "c", "method": "GetMetricReplicas"}', "the case has no metrics"),
        (["--case", "-"], b'{"id": "c", "method": "GetRumour"}', "there is no method GetRumour"),
        (["--case", "-", "--set", "max=3"], json.dumps(CALL).encode(), "it has no syncs, no HPA, no settings"),
        (["--case", "-"], b'{"id": "c"}', "the case cannot be read"),
        (["--case", "-"], b"{broken", "not JSON"),
        (["--case", "-", "--id", "other"], json.dumps(CASE).encode(), "there is no case 'other'"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_the_reason(arguments: list[str], text: bytes, problem: str) -> None:
    result = explain(*arguments, text=text)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stdout == ""


def test_a_case_is_explained_spread_over_lines_or_one_of_many() -> None:
    one = explain("--case", "-", "-o", "json", text=json.dumps(CASE, indent=2).encode())
    assert plain(one)["explanation"]["hpa"] == "shop/llm"
    assert plain(one)["explanation"]["at"] == "2000-01-01T00:00:30Z"
    many = "\n".join(json.dumps(CASE | {"id": name}) for name in ("a", "b")).encode()
    assert plain(explain("--case", "-", "--id", "b", "-o", "json", text=many))["explanation"]["replicas_before"] == 5
    result = explain("--case", "-", text=many)
    assert (result.exit_code, "say with --id which" in result.stderr) == (2, True)


def test_a_call_of_the_calculator_is_explained_in_its_one_step() -> None:
    answer = plain(explain("--case", "-", "-o", "json", text=json.dumps(CALL).encode()))
    assert (answer["kubernetes"], answer["judged"]) == ("1.36", True)
    assert (answer["step"]["replicas"], answer["calculation"]["replicas"]) == (6, 6)
    assert answer["step"]["pods"] == [{"name": "c", "code": "Pending", "counts_as": "0"}]
    result = explain("--case", "-", text=json.dumps(CALL | {"metrics": None, "metricsError": "away"}).encode())
    assert "no proposal" in result.stdout
    assert "Pods metric m gives no proposal: unable to get metric m: away." in result.stdout


def compare(text: bytes, *arguments: str) -> Result:
    return CliRunner().invoke(decide_command, ["-", *arguments], input=text)


def edge() -> bytes:
    seen = observe(3, PodsAnswer({f"pod-{index}": PodMetric(110_000, START) for index in range(3)}), pods=pods(3))
    return record_line(hpa(pods_metric("100")), seen, Memory(), START)


def test_decisions_that_differ_between_releases_are_printed_with_who_was_judged() -> None:
    result = compare(edge() + lines([90])[0], "--kubernetes", "1.32,1.33,1.36,1.37")
    assert result.exit_code == 1
    assert "line 1, default/web at 2000-01-01T00:00:00Z: replicas, desired_replicas, rescaled" in result.stdout
    assert "  1.32 (not judged): 3 -> 4" in result.stdout
    assert "  1.33 (not judged), 1.36, 1.37: stays at 3" in result.stdout
    assert "line 2" not in result.stdout
    assert "1 of 2 decisions differ in their count, 0 more only in what is reported" in result.stderr


def test_differing_decisions_as_json_lines() -> None:
    result = compare(edge(), "--kubernetes", "1.32,1.37", "-o", "json")
    [line] = result.stdout.splitlines()
    answer = json.loads(line)
    assert (answer["line"], answer["kind"], answer["hpa"]) == (1, "count", "default/web")
    assert [(each["kubernetes"], each["judged"], each["replicas"]) for each in answer["releases"]] == [
        ("1.32", False, 4),
        ("1.37", True, 3),
    ]


def test_words_that_differ_are_quoted() -> None:
    result = compare(lines([180])[0], "--kubernetes", "1.35,1.37")
    assert result.exit_code == 1
    assert "conditions differ" in result.stdout
    assert "  1.37: ScaledToZero=False NotScaledToZero" in result.stdout


def test_agreeing_releases_print_nothing_and_broken_lines_are_named() -> None:
    assert compare(lines([90])[0], "--kubernetes", "1.36,1.37").exit_code == 0
    result = compare(b"{\n" + json.dumps(CASE).encode(), "--kubernetes", "1.36,1.37")
    assert result.exit_code == 2
    assert "-:1: the record is damaged" in result.stderr
    assert "-:2: this is a decision case" in result.stderr


@pytest.mark.parametrize(
    ("releases", "problem"), [("1.12,1.37", "'1.12' is not known"), ("1.37", "at least two"), ("", "at least two")]
)
def test_releases_that_cannot_be_compared_are_refused(releases: str, problem: str) -> None:
    result = compare(edge(), "--kubernetes", releases)
    assert result.exit_code == 2
    assert problem in result.stderr
