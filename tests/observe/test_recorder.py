"""Records of looks: appended to, refused where they are damaged, and the memory that they give."""

import json
import time
from pathlib import Path

import pytest

from inflight.hpa import read_record
from inflight.hpa.record import make_record
from inflight.objects import to_json

from .asking import answer_of, ask, text_of
from .fake_cluster import SECOND, FakeCluster


def test_a_look_is_appended_and_can_be_explained_offline(cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "llm.jsonl"
    live = answer_of(cluster, "--record", str(path))
    again = answer_of(cluster, "--record", str(path))
    lines = path.read_bytes().splitlines()
    assert len(lines) == 2
    first = read_record(lines[0])
    assert (first.name, first.memory, first.outcome) == ("shop/llm", None, None)
    assert first.now_ns == live["explanation"]["now_ns"]
    trace = json.loads(to_json(first.decide().trace))
    assert trace["metrics"] == live["explanation"]["trace"]["metrics"]
    assert again["explanation"]["now_ns"] == read_record(lines[1]).now_ns


def test_looks_of_a_record_give_the_memory_of_the_time_that_they_cover(cluster: FakeCluster, tmp_path: Path) -> None:
    """As a watch leaves it: a look for each sync, the load high until 30 s ago."""
    path = tmp_path / "llm.jsonl"
    cluster.put_hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 120}})
    cluster.put_status(desired=5, able="ScaleDownStabilized")
    ask(cluster, "--record", str(path))
    seen = read_record(path.read_bytes().splitlines()[0])
    now_ns = time.time_ns()
    lines = []
    for age in range(150, 0, -15):
        cluster.put_external("150" if age > 30 else "20")
        value = 150_000 if age > 30 else 20_000
        answer = type(seen.observation.answers[0])((value,))  # type: ignore[call-arg]
        observation = type(seen.observation)(
            **{
                field: getattr(seen.observation, field)
                for field in seen.observation.__struct_fields__
                if field != "answers"
            },
            answers=(answer,),
        )
        record = make_record(seen.hpa, observation, None, now_ns - age * SECOND, seen.controller)
        lines.append(to_json(record) + b"\n")
    path.write_bytes(b"".join(lines))
    answer_ = answer_of(cluster, "--record", str(path))
    memory = answer_["explanation"]["memory"]
    assert (memory["source"], memory["certainty"], memory["lowest"]) == ("Rebuilt", "Exact", 5)
    hold = answer_["live"]["hold"]
    assert hold["at_least_ns"] == hold["at_most_ns"] == now_ns - 45 * SECOND + 120 * SECOND
    text = text_of(cluster, "--record", str(path))
    assert "The looks of the record cover the last 120 s without a gap" in text
    assert "The last recommendation that holds it leaves at" in text


def test_a_controller_that_took_over_meanwhile_has_forgotten_what_the_record_knows(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    from inflight.objects import format_time

    path = tmp_path / "llm.jsonl"
    cluster.put_hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 120}})
    cluster.put_status(desired=5)
    ask(cluster, "--record", str(path))
    seen = read_record(path.read_bytes().splitlines()[0])
    now_ns = time.time_ns()
    cluster.lease = {"spec": {"holderIdentity": "n", "acquireTime": format_time(now_ns - 20 * SECOND, 6)}}
    looks = [
        make_record(seen.hpa, seen.observation, None, now_ns - age * SECOND, seen.controller)
        for age in range(150, 0, -15)
    ]
    path.write_bytes(b"".join(to_json(look) + b"\n" for look in looks))
    cluster.put_external("20")
    memory = answer_of(cluster, "--record", str(path))["explanation"]["memory"]
    assert "it remembers nothing from before, and began with the count that it found, 5" in memory["text"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"record":2}\n', "the record has version 2, this program reads version 1: take a newer Inflight"),
        (b'{"record":1}\n', "the record is damaged"),
        (b"not json\n", "the record is damaged or cut off"),
        (b'{"id": "case", "steps": []}\n', "this is a decision case, not a record"),
    ],
)
def test_a_damaged_or_newer_record_is_refused_before_anything_is_written(
    cluster: FakeCluster, tmp_path: Path, line: bytes, problem: str
) -> None:
    path = tmp_path / "llm.jsonl"
    answer_of(cluster, "--record", str(path))
    content = path.read_bytes() + line
    path.write_bytes(content)
    result = ask(cluster, "--record", str(path))
    assert result.exit_code == 2
    assert f"{path}:2: " in result.stderr
    assert problem in result.stderr
    assert "nothing was written" in result.stderr
    assert path.read_bytes() == content


def test_a_line_that_was_cut_off_is_refused(cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "llm.jsonl"
    answer_of(cluster, "--record", str(path))
    path.write_bytes(path.read_bytes()[:-1])
    assert "the last line is cut off" in ask(cluster, "--record", str(path)).stderr


def test_a_file_that_cannot_be_written_is_said_so(cluster: FakeCluster, tmp_path: Path) -> None:
    result = ask(cluster, "--record", str(tmp_path / "no" / "such" / "folder"))
    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.stderr
