"""`inflight decide`: lines in, lines out."""

import json

from click.testing import CliRunner, Result

from inflight.cli.decide import command
from inflight.hpa.cases import compare

from .judged import judged_lines, pairs_of


def run(text: bytes, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["-", *arguments], input=text)


def test_every_case_is_answered_once_and_as_upstream_does() -> None:
    lines = judged_lines("1.37")
    pairs = list(pairs_of([*lines[:10], *lines[-10:]]))
    result = run("\n".join(json.dumps(pair["case"]) for pair in pairs).encode())
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == 20
    for pair, answer in zip(pairs, answers, strict=True):
        assert compare(pair["case"], answer, pair["answer"]) == []


def test_a_broken_line_is_named_and_the_rest_goes_on() -> None:
    call = {"id": "c", "method": "GetExternalPerPodMetricReplicas", "current": 3, "target": 2150, "metrics": [8600]}
    lines = [b"{broken", b"", b"[1]", b'{"no": "id"}', json.dumps(call).encode()]
    result = run(b"\n".join(lines))
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "id": "c",
        "kubernetes": "1.37",
        "replicas": 4,
        "usage": 2867,
        "utilization": None,
    }
    for text in ("1: not JSON", "3: a case is a JSON object", "4: the case has no id", "3 of 4 lines were no cases"):
        assert text in result.stderr


def test_a_case_that_cannot_be_played_gets_an_error_answer() -> None:
    result = run(json.dumps({"id": "x", "kubernetes": "1.12", "method": "GetMetricReplicas", "metrics": {}}).encode())
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["id"], answer["kubernetes"]) == ("x", "1.12")
    assert "1.12" in answer["error"]


def test_the_processor_can_be_chosen() -> None:
    call = {"id": "c", "method": "GetMetricReplicas", "current": 1, "target": 1, "metrics": {"a": 2**62}}
    call["pods"] = [{"metadata": {"name": "a"}, "status": {"phase": "Running"}}]
    text = json.dumps(call).encode()
    assert json.loads(run(text).stdout)["replicas"] == -(2**31)
    assert json.loads(run(text, "--architecture", "arm64").stdout)["replicas"] == 2**31 - 1
