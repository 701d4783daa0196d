"""The floor: 0 while all is known, an error while it is not, the HPA's own count for three syncs after a gap."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.laws import Autoscaler, Coverage, FloorMemory, FloorSettings, Law, Seen, Wanted, Withheld, floor

SETTINGS = FloorSettings()
FRESH = FloorMemory()
COMPLETE = Coverage(complete=True)
GAP = Coverage(complete=False, sentence="3 of 8 pods unseen")


def seen(
    at: float = 0.0,
    coverage: Coverage = COMPLETE,
    replicas: int = 8,
    unread: bool | None = False,
    independent: bool = True,
) -> Seen:
    return Seen((), coverage, Autoscaler("llm", replicas, unread, independent), at)


def says(look: Seen, memory: FloorMemory = FRESH, settings: FloorSettings = SETTINGS) -> int | str:
    said, _ = floor(look, memory, settings)
    return said.replicas if isinstance(said, Wanted) else said.reason


def test_while_everything_is_known_it_says_nothing_for_the_hpa_remembers_by_itself() -> None:
    assert says(seen()) == 0


def test_while_pods_are_unseen_it_is_an_error_that_says_which() -> None:
    assert says(seen(coverage=GAP)) == "up yes, down no: 3 of 8 pods unseen"


def test_after_a_gap_it_says_the_replicas_there_are_for_three_syncs() -> None:
    memory = FRESH
    told = []
    for sync, coverage in enumerate([COMPLETE, GAP, GAP, COMPLETE, COMPLETE, COMPLETE, COMPLETE, COMPLETE]):
        # The HPA's status shows the failed sync to the one after it.
        look = seen(at=15.0 * sync, coverage=coverage, replicas=8 + sync, unread=sync in {2, 3})
        said, memory = floor(look, memory, SETTINGS)
        told.append(said.replicas if isinstance(said, Wanted) else "error")
    assert told == [0, "error", "error", 11, 11, 11, 0, 0], "what is added meanwhile the HPA remembers by itself"


def test_what_somebody_took_away_after_a_gap_is_not_brought_back() -> None:
    _, memory = floor(seen(at=0.0, replicas=8, unread=True), FRESH, SETTINGS)
    assert says(seen(at=15.0, replicas=5), memory) == 5


def test_a_server_that_was_restarted_in_a_gap_learns_of_it_from_the_hpas_status() -> None:
    said, memory = floor(seen(at=100.0, unread=True), FRESH, SETTINGS)
    assert said == Wanted(8, "holding 8 for 3 syncs after a gap")
    assert [says(seen(at=100.0 + 15 * sync), memory) for sync in (1, 2, 3)] == [8, 8, 0]


def test_a_sync_that_comes_early_or_late_is_held_as_well() -> None:
    _, memory = floor(seen(at=100.0, unread=True), FRESH, SETTINGS)
    assert [says(seen(at=100.0 + seconds), memory) for seconds in (14.0, 16.5, 31.5, 37.0)] == [8, 8, 8, 8]


def test_a_gap_that_goes_on_is_held_from_its_end() -> None:
    memory = FRESH
    for at in range(0, 600, 15):
        _, memory = floor(seen(at=at, coverage=GAP, unread=True), memory, SETTINGS)
    assert says(seen(at=600.0, unread=True), memory) == 8
    assert says(seen(at=640.0), memory) == 0


def test_a_clock_that_was_set_back_neither_ends_nor_prolongs_the_hold() -> None:
    _, memory = floor(seen(at=1_000.0, coverage=GAP), FRESH, SETTINGS)
    said, memory = floor(seen(at=400.0), memory, SETTINGS)
    assert isinstance(said, Wanted)
    assert said.replicas == 8
    assert says(seen(at=446.0), memory) == 0


@pytest.mark.parametrize("coverage", [COMPLETE, GAP, Coverage(complete=None)])
@pytest.mark.parametrize("unread", [True, False, None])
def test_at_zero_pods_it_is_never_an_error(coverage: Coverage, unread: bool | None) -> None:
    memory = FloorMemory(gap_seen_at=-1.0)
    assert says(seen(coverage=coverage, replicas=0, unread=unread, independent=True), memory) == 0
    assert says(seen(coverage=coverage, replicas=0, unread=unread, independent=False), memory) == 1


def test_where_no_other_metric_could_wake_the_fleet_one_replica_stays() -> None:
    assert says(seen(independent=False)) == 1


def test_what_cannot_be_told_is_an_error_that_says_so() -> None:
    assert "coverage unknown" in str(says(seen(coverage=Coverage(complete=None))))
    assert "the status of the HPA llm is not known yet" in str(says(seen(unread=None)))


def test_reporting_only_changes_nothing_and_says_what_would_have_been_said() -> None:
    trial = FloorSettings(report_only=True)
    said, memory = floor(seen(at=0.0, coverage=GAP), FRESH, trial)
    assert said == Wanted(0, "reporting only; the floor would be an error: up yes, down no: 3 of 8 pods unseen")
    said, _ = floor(seen(at=15.0), memory, trial)
    assert said == Wanted(0, "reporting only; the floor would be 8 (holding 8 for 3 syncs after a gap)")


def test_it_has_the_signature_of_a_law() -> None:
    law: Law[FloorMemory, FloorSettings] = floor
    said, _ = law(seen(coverage=GAP), FRESH, SETTINGS)
    assert isinstance(said, Withheld)


LOOKS = st.builds(
    seen,
    at=st.floats(0, 1e9),
    coverage=st.sampled_from([COMPLETE, GAP, Coverage(complete=None)]),
    replicas=st.integers(0, 100),
    unread=st.sampled_from([True, False, None]),
    independent=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LOOKS, min_size=1, max_size=20))
def test_it_never_says_more_than_there_is_and_never_lets_go_while_something_is_missing(looks: list[Seen]) -> None:
    memory = FRESH
    for look in looks:
        said, memory = floor(look, memory, SETTINGS)
        replicas = look.autoscaler.replicas
        if isinstance(said, Withheld):
            assert replicas > 0
            assert look.coverage.complete is not True or look.autoscaler.unread_metrics is None
            continue
        assert said.replicas <= max(replicas, 1)
        assert said.replicas >= (0 if look.autoscaler.independent else 1)
        if replicas and look.autoscaler.unread_metrics and memory.held == replicas:
            assert said.replicas == replicas
