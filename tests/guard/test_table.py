"""The table of what may be said of a fleet of which a part cannot be seen."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.guard.knowledge import (
    FRESH_SECONDS,
    GRACE_SECONDS,
    HELD_SECONDS,
    STANDING_SECONDS,
    PodKnowledge,
    Receipt,
    is_expected,
    is_fresh,
    is_starting,
    receive,
)
from inflight.guard.table import Asked, Partial, Withheld, tell, withhold

NOW = 1_000.0
SUM = Asked("inflight_requests", per_pod=False, targets=("average",))
PODS = Asked("inflight_requests", per_pod=True, targets=("average",))
MEAN = Asked("inflight_load", per_pod=False, across="mean", targets=("value",))


def pod(name: str, value: float | None = 10.0, age: float = 1.0, **known: object) -> PodKnowledge:
    facts = {
        "reported": value is not None,
        "ready": True,
        "ready_since": 0.0,
        "been_ready": True,
        "kind_reports": True,
        **known,
    }
    return PodKnowledge(name=name, value=value, received_at=None if value is None else NOW - age, **facts)  # type: ignore[arg-type]


def said(asked: Asked, *pods: PodKnowledge) -> Partial:
    found = tell(asked, pods, NOW)
    assert isinstance(found, Partial), found
    return found


def refused(asked: Asked, *pods: PodKnowledge) -> Withheld:
    found = tell(asked, pods, NOW)
    assert isinstance(found, Withheld), found
    return found


def test_complete_data_are_said_as_they_were_measured() -> None:
    found = said(SUM, pod("a", 3), pod("b", 4), pod("c", 5))
    assert (found.value, found.coverage.complete, found.coverage.sentence) == (12, True, "")
    assert found.received_at == NOW - 1
    assert [told.value for told in said(PODS, pod("a", 3), pod("b", 4)).values] == [3, 4]
    assert said(MEAN, pod("a", 3), pod("b", 4)).value == 3.5
    assert said(Asked("m", per_pod=False, across="max"), pod("a", 3), pod("b", 4)).value == 4


def test_an_unseen_pod_holds_what_it_said_last_or_the_mean_of_the_others_whichever_is_more() -> None:
    assert said(SUM, pod("a", 10), pod("b", 20), pod("c", 40, age=20)).value == 70
    assert said(SUM, pod("a", 10), pod("b", 20), pod("c", 4, age=20)).value == 45
    values = {told.name: (told.value, told.estimated) for told in said(PODS, pod("a", 10), pod("c", 4, age=20)).values}
    assert values == {"a": (10, False), "c": (10, True)}


def test_after_a_minute_what_an_unseen_pod_said_last_no_longer_counts() -> None:
    assert said(SUM, pod("a", 10), pod("c", 40, age=HELD_SECONDS)).value == 50
    assert said(SUM, pod("a", 10), pod("c", 40, age=HELD_SECONDS + 1)).value == 20


def test_against_a_value_nothing_is_held() -> None:
    assert said(MEAN, pod("a", 10), pod("b", 20), pod("c", 90, age=20)).value == 15
    scaled = Asked("m", per_pod=False, targets=("value",))
    assert said(scaled, pod("a", 10), pod("b", 20), pod("c", 90, age=20)).value == 45
    assert (
        said(Asked("m", per_pod=False, across="max", targets=("value",)), pod("a", 10), pod("c", 90, age=20)).value
        == 10
    )


def test_fewer_than_a_fifth_seen_is_an_error_and_a_fifth_is_not() -> None:
    unseen = [pod(f"u{index}", age=20) for index in range(4)]
    assert said(SUM, pod("a"), *unseen).coverage.seen == 1
    found = refused(SUM, pod("a"), *unseen, pod("u4", age=20))
    assert found.code == "pods_unseen"
    assert found.reason.startswith("inflight_requests: 5 of 6 pods unseen since 00:16:20 UTC: u0, u1, u2 and 2 more")
    assert refused(SUM, *unseen).coverage.complete is False


def test_no_pods_at_all_are_known_completely_and_pods_of_which_none_is_expected_are_not() -> None:
    assert refused(SUM).coverage.complete
    loading = refused(SUM, pod("a", None, ready=False, been_ready=False))
    assert (loading.code, loading.coverage.complete) == ("pods_unseen", False)
    assert "the only pod is not Ready yet" in loading.reason


def test_a_pod_that_became_ready_is_waited_for_at_once_and_estimated_after_its_grace() -> None:
    young = pod("new", None, ready_since=NOW - GRACE_SECONDS + 1)
    found = said(SUM, pod("a", 10), young)
    assert (found.value, found.coverage.complete, found.coverage.estimated) == (10, False, 0)
    assert len(said(PODS, pod("a", 10), young).values) == 1
    found = said(SUM, pod("a", 10), pod("new", None, ready_since=NOW - GRACE_SECONDS))
    assert (found.value, found.coverage.complete, found.coverage.estimated) == (20, False, 1)


def test_an_overloaded_pod_that_lost_its_readiness_and_its_page_is_still_waited_for() -> None:
    found = said(SUM, pod("a", 10), pod("full", 30, age=20, ready=False))
    assert (found.value, found.coverage.complete) == (40, False)


def test_a_restart_forgets_what_a_pod_reported_but_not_that_it_was_ready() -> None:
    forgotten = pod("full", None, ready=False, been_ready=True)
    assert is_expected(forgotten)
    assert said(SUM, pod("a", 10), forgotten).value == 20
    assert not is_expected(pod("cold", None, ready=False, been_ready=False))
    assert not is_expected(pod("cold", None, ready=False, been_ready=None))


def test_kinds_that_never_report_are_not_waited_for_and_unknown_ones_are() -> None:
    router = pod("router", None, kind_reports=False)
    assert said(SUM, pod("a"), router).coverage.complete
    assert not said(SUM, pod("a"), pod("other-role", None, kind_reports=None)).coverage.complete
    assert is_expected(pod("x", 1.0, kind_reports=False)), "what has reported counts whatever is known of its kind"


def test_a_pod_that_is_going_counts_while_it_is_seen_and_is_not_waited_for() -> None:
    found = said(SUM, pod("a", 10), pod("going", 7, terminating=True))
    assert (found.value, found.coverage.complete, found.coverage.expected) == (17, True, 1)
    assert said(SUM, pod("a", 10), pod("going", 7, age=20, terminating=True)).value == 10
    assert refused(SUM, pod("going", 7, terminating=True)).coverage.complete is False


def test_an_engine_that_is_gone_holds_nothing_while_its_work_is_with_the_others() -> None:
    gone = pod("gone", 30, age=1, refused=True, ready=False)
    found = said(SUM, pod("a", 20), gone)
    assert (found.value, found.coverage.complete) == (20, False)
    assert said(SUM, pod("a", 20), pod("gone", 30, age=1, refused=True)).value == 50, "Ready: only its page is gone"


def test_a_new_pod_whose_page_answers_before_it_is_ready_does_not_make_the_unseen_look_idle() -> None:
    starting = pod("new", 0, ready=False, been_ready=False)
    assert said(SUM, pod("a", 30), pod("lost", 5, age=100), starting).value == 60
    assert said(MEAN, pod("a", 30), pod("lost", 5, age=100), starting).value == 20


def test_a_starting_engine_that_answers_without_saying_what_it_holds_is_waited_for_and_blocks_no_growth() -> None:
    starting = [pod(f"s{index}", None, ready=False, been_ready=False, problem="timed out") for index in range(9)]
    found = said(SUM, pod("a", 30), *starting)
    assert (found.value, found.coverage.complete, found.coverage.estimated) == (30, False, 0)
    loading = pod("loading", None, ready=False, been_ready=False, problem="connection refused", refused=True)
    assert said(SUM, pod("a", 30), loading).coverage.complete
    untried = pod("untried", None, ready=False, been_ready=False)
    assert said(SUM, pod("a", 30), untried).coverage.complete


def test_an_idle_pod_with_nothing_to_measure_is_seen_and_has_no_value() -> None:
    latency = Asked("inflight_ttft_seconds_p95", per_pod=False, across="max", targets=("value",))
    idle = PodKnowledge(name="idle", received_at=NOW - 1, reported=True, ready=True, quiet=True, kind_reports=True)
    found = said(latency, pod("a", 0.5), idle)
    assert (found.value, found.coverage.complete, found.coverage.seen) == (0.5, True, 2)
    all_idle = refused(latency, idle)
    assert (all_idle.code, all_idle.coverage.complete) == ("no_value", True)
    old = PodKnowledge(name="idle", received_at=NOW - 20, reported=True, ready=True, quiet=True, kind_reports=True)
    assert not said(latency, pod("a", 0.5), old).coverage.complete


def test_a_sleeping_engine_and_a_page_that_stands_still_are_unseen() -> None:
    assert not said(SUM, pod("a"), pod("b", 0, asleep=True)).coverage.complete
    assert is_fresh(pod("b", standing_since=NOW - STANDING_SECONDS + 1), NOW), "a long prompt is no frozen page"
    assert not is_fresh(pod("b", standing_since=NOW - STANDING_SECONDS), NOW)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf, 1e13])
def test_what_no_engine_can_honestly_say_is_unseen_and_never_held(value: float) -> None:
    found = said(SUM, pod("a", 10), pod("liar", value))
    assert (found.value, found.coverage.complete) == (20, False)
    assert said(SUM, pod("a", 10), pod("liar", value, age=20)).value == 20


def test_a_signals_own_range_is_narrower() -> None:
    ratio = Asked("inflight_kv", per_pod=False, across="mean", targets=("value",), largest=1.0)
    assert said(ratio, pod("a", 0.5), pod("liar", 37.0)).value == 0.5


def test_two_targets_that_differ_are_answered_as_a_value_with_a_warning() -> None:
    both = Asked("m", per_pod=False, targets=("average", "value"))
    assert both.target == "value"
    assert "give them the same type" in both.warning
    assert (SUM.target, SUM.warning) == ("average", "")
    assert Asked("m", per_pod=False).target == "average", "an unknown asker"


def test_a_partial_answer_that_would_shrink_an_asking_hpa_is_an_error() -> None:
    partial = said(SUM, pod("a", 10), pod("b", 10, age=20))
    kept = withhold(partial, "m", [(2, 2), (3, None), (2, 5)])
    assert kept is partial
    withheld = withhold(partial, "m", [(2, 3), (8, 7)])
    assert isinstance(withheld, Withheld)
    assert withheld.code == "would_shrink"
    assert withheld.reason == (
        "m: 1 of 2 pods unseen since 00:16:20 UTC: b, estimated at the mean of the others; 7 replicas would do for it,"
        " fewer than 8"
    )
    complete = said(SUM, pod("a", 10))
    assert withhold(complete, "m", [(8, 1)]) is complete


def test_a_pod_unseen_for_as_long_as_its_owner_said_is_let_go() -> None:
    asked = Asked("m", per_pod=False, unseen_after=600.0)
    found = said(asked, pod("a", 10), pod("dead", 30, age=601))
    assert (found.value, found.coverage.complete, found.coverage.let_go) == (10, True, 1)
    assert not said(asked, pod("a", 10), pod("dead", 30, age=599)).coverage.complete
    never = pod("never", None, ready_since=NOW - 601)
    assert said(asked, pod("a", 10), never).coverage.complete
    assert not said(SUM, pod("a", 10), pod("dead", 30, age=86_400)).coverage.complete, "off unless asked for"


def test_the_sentence_names_pods_and_reasons_and_stays_short() -> None:
    unseen = [pod(f"pod-{'x' * 300}-{index}", 1, age=20, problem="timed out " * 99) for index in range(500)]
    seen = [pod(f"s{index}") for index in range(500)]
    found = said(SUM, *seen, *unseen)
    assert found.coverage.sentence.startswith("500 of 1000 pods unseen since 00:16:20 UTC: pod-xxx")
    assert found.coverage.sentence.endswith("and 497 more, estimated at the mean of the others")
    assert len(found.coverage.sentence) < 480


def test_a_pages_own_time_counts_only_by_whether_it_advances() -> None:
    first = receive(None, 5.0, 100.0)
    assert first == Receipt(100.0, 5.0), "by how much a clock is wrong says nothing"
    assert receive(first, 5.0, 103.0) == first
    assert receive(first, 6.0, 103.0) == Receipt(103.0, 6.0)
    assert receive(first, 4.0, 103.0) == Receipt(103.0, 4.0), "a clock that was set back advances too"
    assert receive(first, None, 103.0) == Receipt(103.0, None)


def knowledge() -> st.SearchStrategy[PodKnowledge]:
    value = st.none() | st.floats(0, 1e6) | st.sampled_from([math.nan, math.inf, -1.0, 1e300])
    return st.builds(
        PodKnowledge,
        name=st.sampled_from("abcdef"),
        value=value,
        received_at=st.none() | st.floats(NOW - 120, NOW + 20),
        reported=st.booleans(),
        ready=st.none() | st.booleans(),
        ready_since=st.none() | st.floats(NOW - 120, NOW),
        been_ready=st.none() | st.booleans(),
        terminating=st.booleans(),
        kind_reports=st.none() | st.booleans(),
        refused=st.booleans(),
        asleep=st.booleans(),
        problem=st.sampled_from(["", "timed out"]),
        standing_since=st.none() | st.floats(NOW - 120, NOW),
    )


ASKED = st.builds(
    Asked,
    metric=st.just("m"),
    per_pod=st.booleans(),
    across=st.sampled_from(["sum", "mean", "max"]),
    targets=st.sampled_from([(), ("average",), ("value",), ("average", "value")]),
)


@settings(max_examples=200, deadline=None)
@given(ASKED, st.lists(knowledge(), max_size=12))
def test_whatever_is_known_an_answer_is_a_number_made_of_fresh_values_and_its_coverage_is_true(
    asked: Asked, pods: list[PodKnowledge]
) -> None:
    found = tell(asked, pods, NOW)
    coverage = found.coverage
    expected = [each for each in pods if is_expected(each)]
    seen = [each for each in pods if is_fresh(each, NOW) and not each.terminating]
    unseen = [each for each in expected if not is_fresh(each, NOW)]
    unseen += [each for each in pods if is_starting(each) and not is_fresh(each, NOW)]
    assert (coverage.seen, coverage.expected) == (len(seen), len(seen) + len(unseen))
    assert coverage.complete == (not unseen and bool(seen or not pods))
    assert bool(coverage.sentence) == (not coverage.complete)
    if isinstance(found, Withheld):
        assert not seen or len(seen) * 5 < len(seen) + sum(is_expected(each) for each in unseen)
        return
    assert seen
    assert found.received_at > NOW - FRESH_SECONDS
    numbers = [told.value for told in found.values] if asked.per_pod else [found.value]
    assert all(number is not None and math.isfinite(number) and number >= 0 for number in numbers)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1000), min_size=2, max_size=12), st.data())
def test_losing_sight_of_pods_never_lowers_a_sum_below_what_is_seen_and_never_hides_that_it_is_partial(
    values: list[float], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1, max_size=len(values) - 1))
    pods = [pod(str(index), value, age=20 if index in lost else 1) for index, value in enumerate(values)]
    found = tell(SUM, pods, NOW)
    assert not found.coverage.complete
    if isinstance(found, Partial):
        # Held for a minute: what they said last is in it in full.
        assert found.value is not None
        assert found.value >= math.fsum(values) - 1e-6


@settings(max_examples=200, deadline=None)
@given(ASKED, st.lists(st.floats(0, 1000), min_size=2, max_size=10), st.floats(0.1, 100), st.data())
def test_more_load_on_the_pods_that_are_seen_is_always_more_in_the_answer(
    asked: Asked, values: list[float], more: float, data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(values) - 1))

    def answered(extra: float) -> list[float]:
        pods = [
            pod(str(index), value if index == lost else value + extra, age=20 if index == lost else 1)
            for index, value in enumerate(values)
        ]
        found = said(asked, *pods)
        return sorted(told.value for told in found.values) if asked.per_pod else [found.value or 0.0]

    before, after = answered(0.0), answered(more)
    assert all(there >= here - 1e-9 for here, there in zip(before, after, strict=True))
    if asked.across != "max" or asked.per_pod:
        assert math.fsum(after) > math.fsum(before)
