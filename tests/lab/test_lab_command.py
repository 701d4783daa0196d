"""`inflight lab` as a person runs it: short runs, over the real sockets, and every way to end it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHORT = ["--ramp", "2:30", "--speed", "30", "--no-page", "-o", "json"]


def lab(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("inflight")), "lab", "--report", str(tmp_path / "report.html"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_is_gone(group: int) -> bool:
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_short_run_measures_both_fleets_and_those_beside_them(tmp_path: Path) -> None:
    process = lab(tmp_path, *SHORT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    document = json.loads(out)
    names = [policy["name"] for policy in document["policies"]]
    assert names[:2] == ["cpu", "in-flight"]
    assert {"cpu-1-core", "cpu-2-cores", "cpu-6-cores", "running", "fixed-1", "fixed-2"} <= set(names)
    for policy in document["policies"]:
        assert policy["requests"] > 100
        assert 0 <= policy["slo_attainment"] <= 1
        assert set(policy["ttft_seconds"]) == {"p50", "p95", "p99"}
        assert policy["replica_hours"] > 0
    assert len({policy["requests"] for policy in document["policies"]}) == 1, "every policy gets the same requests"
    assert document["run"]["horizon_seconds"] == 30
    assert "report.html" in err
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert group_is_gone(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_what_was_measured_is_printed(tmp_path: Path, number: signal.Signals) -> None:
    process = lab(tmp_path, "--ramp", "3:3000", "--speed", "20", "-o", "json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("live page: http://127.0.0.1:")
    time.sleep(3)
    # As a terminal does it: to the whole group.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert [policy["name"] for policy in document["policies"][:2]] == ["cpu", "in-flight"]
    assert document["policies"][1]["requests"] > 0
    assert document["run"]["interrupted"] is True
    assert "Traceback" not in err
    assert group_is_gone(process.pid)


def test_a_run_that_would_take_too_long_is_shortened_and_says_so(tmp_path: Path) -> None:
    process = lab(tmp_path, "--ramp", "1:9000", "--speed", "10", "--wall-limit", "8", "--no-page", "-o", "json")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    run = json.loads(out)["run"]
    assert run["horizon_seconds"] < run["planned_seconds"] == 9000
    assert any("shortened" in remark for remark in run["remarks"])
    assert "shortened" in err


HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: vllm-hpa, namespace: inference}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: vllm-deployment}
  minReplicas: 1
  maxReplicas: 10
  metrics:
  - type: External
    external:
      metric:
        name: vllm_requests_running
        selector:
          matchLabels:
            app: vllm-deployment
      target:
        type: AverageValue
        averageValue: "5"
"""


def test_an_hpa_that_people_copy_runs_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "hpa.yaml"
    path.write_text(HPA)
    process = lab(tmp_path, "--hpa", str(path), "--ramp", "3:90", "--speed", "30", "--no-page", "-o", "json")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    in_flight = json.loads(out)["policies"][1]
    assert in_flight["label"] == "The given HPA"
    assert in_flight["replicas"]["peak"] > 2, "five running requests a replica are far below this load"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--ramp", "4"], "has to look like 4:600"),
        (["--preset", "gpt-9"], "there is no preset 'gpt-9'"),
        (["--cold-start", "9:3"], "--cold-start"),
        (["--speed", "0"], "--speed"),
        (["--min", "5", "--max", "2"], "1 <= min <= max"),
        (["--report", "/nowhere/at/all.html"], "there is no folder"),
        (["--report", "/dev/null"], "is there and is no file"),
        (["--hpa", "/dev/zero"], "/dev/zero: more than 1 MiB"),
        (["--trace", "{tmp}/bad.csv"], "bad.csv"),
        (["--hpa", "{tmp}/bad.yaml"], "bad.yaml:12: spec.metrics[0].external.metric.name: 'load' is no metric"),
        (["--hpa", "{tmp}/two.yaml"], "one HorizontalPodAutoscaler is wanted here, 2 are"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence_before_anything_starts(
    tmp_path: Path, arguments: list[str], wanted: str
) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.yaml").write_text(HPA.replace("vllm_requests_running", "load"))
    (tmp_path / "two.yaml").write_text(HPA + "---\n" + HPA)
    process = lab(tmp_path, *(argument.format(tmp=tmp_path) for argument in arguments))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert wanted in err.replace("\n  ", " ")
    assert out == ""
    assert "Traceback" not in err


def test_the_records_of_a_run_explain_themselves(tmp_path: Path) -> None:
    process = lab(tmp_path, "--ramp", "5:60", "--speed", "20", "--no-page", "--record", str(tmp_path))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    inflight = str(Path(sys.executable).with_name("inflight"))
    for name, wanted in (("cpu", "resource cpu"), ("in-flight", "external metric inflight_requests")):
        record = tmp_path / f"{name}.jsonl"
        assert len(record.read_bytes().splitlines()) == 3, "syncs at 15, 30 and 45 s"
        said = subprocess.run(
            [inflight, "explain", str(record), "--at", "+30s"], capture_output=True, text=True, timeout=60, check=False
        )
        assert said.returncode == 0, said.stderr
        assert wanted in said.stdout


def test_a_simulating_process_that_dies_costs_its_rows_and_nothing_else(tmp_path: Path) -> None:
    process = lab(tmp_path, "--ramp", "2:60", "--speed", "10", "-o", "json")
    assert process.stderr is not None
    process.stderr.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert [policy["name"] for policy in document["policies"]] == ["cpu", "in-flight"]
    assert any("Not simulated" in remark for remark in document["run"]["remarks"])
    assert "Traceback" not in err
    assert group_is_gone(process.pid)
