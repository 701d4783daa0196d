"""Harness one: it finds what breaks each promise, and Inflight's guard and floor keep them in a sample of its cells.

The whole matrix is `python conformance/reliability`; here stands what shows that it judges at all.
"""

import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[2] / "conformance"
if not SUITE.is_dir():
    pytest.skip("conformance/ is not part of the source distribution", allow_module_level=True)
sys.path.insert(0, str(SUITE))

from reliability import matrix, truth  # noqa: E402  # type: ignore[import-not-found]
from reliability.faults import BY_NAME, FAULTS  # noqa: E402  # type: ignore[import-not-found]
from reliability.hpas import Setting  # noqa: E402  # type: ignore[import-not-found]
from reliability.loads import SHAPES  # noqa: E402  # type: ignore[import-not-found]
from reliability.matrix import POLICIES, State, cells, run_chunk  # noqa: E402  # type: ignore[import-not-found]
from reliability.plant import Plant  # noqa: E402  # type: ignore[import-not-found]
from reliability.play import Cell, Outcome, play, script_of, twin_f  # noqa: E402  # type: ignore[import-not-found]
from reliability.policies import CONTROLS, FAILS_BY  # noqa: E402  # type: ignore[import-not-found]
from reliability.report import as_json, markdown, problems  # noqa: E402  # type: ignore[import-not-found]
from reliability.show import parse_cell, show  # noqa: E402  # type: ignore[import-not-found]

OURS = "table and floor"


def run(policy: str, fault: str, shape: str, seed: int = 1, *, kind: str = "External", window: int = 300) -> Outcome:
    cell = Cell(fault, shape, seed, Setting(kind, window, 0.0, BY_NAME[fault].from_zero))
    return play(cell, POLICIES[policy](seed))


def missed(outcome: Outcome) -> set[str]:
    return {miss.by for miss in outcome.misses}


def test_an_outage_longer_than_the_window_shrinks_the_fleet_without_the_floor_and_not_with_it() -> None:
    assert "unsafe" in missed(run("table alone", "outage longer than the window", "steady"))
    assert "unsafe" in missed(run("adapter, External rule", "outage longer than the window", "steady"))
    held = run(OURS, "outage longer than the window", "steady")
    assert "unsafe" not in missed(held)


@pytest.mark.parametrize(
    ("control", "fault", "shape"),
    [
        ("always error", "50 % lost", "rise"),
        ("always max", "50 % lost", "steady"),
        ("samples never age", "50 % lost", "rise"),
        ("floor always errs", "50 % lost", "fall"),
        ("error on every partial", "50 % lost", "rise"),
    ],
)
def test_each_control_fails_by_the_definition_that_it_breaks(control: str, fault: str, shape: str) -> None:
    assert set(FAILS_BY) == set(CONTROLS)
    found: set[str] = set()
    for seed in range(4):
        for kind in ("External", "Value"):
            found |= missed(run(control, fault, shape, seed, kind=kind, window=0))
            if FAILS_BY[control] in found:
                return
    pytest.fail(f"{control} fails by {found or 'nothing'}")


DECIDABLE = [fault for fault in FAULTS if not fault.undecidable]


@pytest.mark.parametrize("index", range(len(DECIDABLE)))
def test_no_fault_takes_capacity_away_in_a_sample_of_cells(index: int) -> None:
    fault = DECIDABLE[index]
    kind, window = ("Pods", "External", "Value")[index % 3], (0, 60, 300)[index // 3 % 3]
    outcome = run(OURS, fault.name, SHAPES[index % len(SHAPES)], 7, kind=kind, window=window)
    assert missed(outcome) <= {"load", "stated"}, outcome.misses
    assert outcome.syncs > 40


def test_before_the_fault_the_guarded_fleet_is_the_twin_that_no_fault_hits() -> None:
    outcome = run(OURS, "rollout with surge", "square")
    assert outcome.hours_whole == pytest.approx(1.0)
    assert not outcome.misses


def test_a_run_is_the_same_whenever_it_is_made() -> None:
    first = run(OURS, "hostile numbers", "spike")
    script_of.cache_clear()
    twin_f.cache_clear()
    assert run(OURS, "hostile numbers", "spike") == first


def test_complete_data_count_a_leaving_pod_only_while_it_is_seen() -> None:
    plant = Plant(1, 3)
    plant.pods[0].in_flight, plant.pods[1].in_flight, plant.pods[2].in_flight = 5.0, 7.0, 9.0
    plant.evict([plant.pods[2]], 0.0)
    here, there, leaving = plant.pods[:3]
    assert truth.complete(plant, {here.uid: 4.0}, 1.0) == {here.name: 4.0, there.name: 7.0}
    assert truth.complete(plant, {leaving.uid: 8.0}, 1.0)[leaving.name] == 8.0
    assert truth.complete(plant, None, 1.0)[leaving.name] == 9.0


def test_what_was_done_is_kept_and_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "STATE", tmp_path)
    monkeypatch.setattr(matrix, "KINDS", ("External",))
    monkeypatch.setattr(matrix, "WINDOWS", (0,))
    chunk = ("30 % lost", "steady", 0, 0.0)
    assert len(list(cells(chunk))) == 1
    _, result = run_chunk((chunk, (OURS, "KEDA")))
    state = State([OURS, "KEDA"], kept=True)
    state.add(chunk, result)
    state.close()
    with next(tmp_path.glob("*.jsonl")).open("a", encoding="utf-8") as file:
        file.write('[["cut off')
    again = State(["KEDA", OURS], kept=True)
    again.close()
    assert set(again.done) == {chunk}
    others = State([OURS], kept=True)
    others.close()
    assert others.done == {}, "other policies, other results"
    table = markdown(again.done, [OURS, "KEDA"])
    assert "| 30 % lost | 0 of 1 | " in table
    assert problems(again.done) == []
    rows = as_json(again.done)["rows"]
    assert [row["counts"]["runs"] for row in rows] == [1, 1]


def test_an_unsafe_decrease_with_the_floor_is_a_problem_and_a_blind_judge_is_one() -> None:
    part = {"counts": {"runs": 1, "unsafe runs": 1}, "sums": {"inside": 1.0, "whole": 1.0, "model seconds": 1.0}, "most": 1.0, "misses": []}  # fmt: skip  # noqa: E501
    blind = {**part, "counts": {"runs": 1}}
    done = {("50 % lost", "steady", 0, 0.0): {OURS: part, "always error": blind}}
    assert problems(done) == [
        "table and floor: 50 % lost: 1 runs fail by unsafe",
        "the control 'always error' does not fail by growth: the judge is blind",
    ]
    assert problems({("a pod lies low", "steady", 0, 0.0): {OURS: part}}) == [], "undecidable, and listed as that"


def test_one_cell_is_shown_sync_by_sync(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("all lost/fall/2/Pods/0/0", OURS) == 0
    told = capsys.readouterr().out
    assert "6 of 6 pods unseen" in told or "pods unseen since" in told
    assert "load: error (inflight_requests: " in told
    assert show("no such/fall/2/Pods/0/0", OURS) == 2
    assert "there is no fault 'no such'" in capsys.readouterr().err
    assert "is no cell" in str(parse_cell("x"))
    assert "whole numbers" in str(parse_cell("all lost/fall/x/Pods/0/0"))
