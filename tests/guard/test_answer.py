"""What may be said about a fleet: the laws of the first rule, and what its sentences look like."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.guard import FRESH_SECONDS, Answer, PodValue, Question, Unknown, answer
from inflight.guard.reason import MAX_LENGTH
from inflight.signals.series import PodSample

NOW = 1_790_000_000.0
SUM = Question("inflight_requests", "in_flight", per_pod=False)
EACH = Question("inflight_requests", "in_flight", per_pod=True)


def pod(name: str, value: float | None = 4.0, age: float | None = 1.0, **more: Any) -> PodSample:
    """A living pod that has reported before, unless said otherwise."""
    more.setdefault("reported_before", age is not None)
    return PodSample("default", name, {}, value, None if age is None else NOW - age, **more)


def starting(name: str) -> PodSample:
    return pod(name, None, None, failure="connection refused")


def said(outcome: Answer | Unknown) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome


def refused(outcome: Answer | Unknown) -> Unknown:
    assert isinstance(outcome, Unknown), outcome
    return outcome


def test_a_sum_adds_all_pods() -> None:
    outcome = said(answer(SUM, [pod("a", 3.0, 2.0), pod("b", 4.0, 5.0)], NOW))
    assert (outcome.value, outcome.seen, outcome.expected, outcome.received_at) == (7.0, 2, 2, NOW - 5)


@pytest.mark.parametrize(("across", "value"), [("sum", 9.0), ("mean", 3.0), ("max", 6.0)])
def test_pods_are_combined_as_the_question_says(across: Any, value: float) -> None:
    question = Question("m", "s", per_pod=False, across=across)
    assert said(answer(question, [pod("a", 1.0), pod("b", 2.0), pod("c", 6.0)], NOW)).value == value


def test_per_pod_gives_each_value_with_its_time_and_nothing_combined() -> None:
    outcome = said(answer(EACH, [pod("a", 3.0, 2.0), pod("b", 4.0, 5.0)], NOW))
    assert outcome.values == (PodValue("default", "a", 3.0, NOW - 2), PodValue("default", "b", 4.0, NOW - 5))
    assert outcome.value is None


def test_an_idle_fleet_is_zero_which_is_a_value() -> None:
    assert said(answer(SUM, [pod("a", 0.0), pod("b", 0.0)], NOW)).value == 0.0


def test_a_pod_that_fell_silent_makes_the_sum_unknown_and_is_named_with_the_time() -> None:
    silent = [pod(name, None, 80.0, failure="timed out") for name in ("a", "b")] + [pod("c", 5.0, 75.0)]
    outcome = refused(answer(SUM, [*silent, *(pod(f"ok-{n}") for n in range(5))], NOW))
    assert outcome.code == "pods_unseen"
    assert outcome.reason == (
        "inflight_requests: 3 of 8 pods unseen since 14:12:00 UTC: "
        "a (timed out), b (timed out), c (said 5 at 14:12:05 UTC)"
    )


def test_a_pod_that_fell_silent_is_no_error_for_the_others_per_pod() -> None:
    outcome = said(answer(EACH, [pod("a", None, 80.0), pod("b", 2.0)], NOW))
    assert [value.name for value in outcome.values] == ["b"]
    assert (outcome.seen, outcome.expected) == (1, 2)


def test_a_cold_start_does_not_freeze_the_sum() -> None:
    outcome = said(answer(SUM, [pod("a", 9.0), starting("b"), starting("c")], NOW))
    assert (outcome.value, outcome.seen, outcome.expected) == (9.0, 1, 1)


def test_a_draining_pod_counts_while_it_answers_and_is_not_waited_for() -> None:
    assert said(answer(SUM, [pod("a", 9.0), pod("b", 2.0, alive=False)], NOW)).value == 11.0
    assert said(answer(SUM, [pod("a", 9.0), pod("b", None, 60.0, alive=False)], NOW)).value == 9.0


def test_a_refused_connection_ends_a_value_at_once() -> None:
    gone = pod("a", None, 1.0, missing="connection refused", failure="connection refused")
    assert refused(answer(SUM, [gone, pod("b")], NOW)).reason.endswith(
        "unseen since 14:13:19 UTC: a (connection refused)"
    )


def test_a_pod_with_nothing_to_measure_is_neither_seen_nor_missed() -> None:
    question = Question("inflight_ttft_seconds_p95", "ttft_p95", per_pod=False, across="max")
    quiet = pod("idle", None, 1.0, quiet=True, missing="no request finished in the last 30 s")
    assert said(answer(question, [quiet, pod("busy", 0.7)], NOW)).value == 0.7
    alone = refused(answer(question, [quiet], NOW))
    assert alone.code == "no_value"
    assert "no request finished" in alone.reason
    old = pod("idle", None, 20.0, quiet=True)
    assert refused(answer(question, [old, pod("busy", 0.7)], NOW)).code == "pods_unseen"


def settling(name: str, **more: Any) -> PodSample:
    return pod(name, None, None, settling=True, **more)


@pytest.mark.parametrize("across", ["sum", "mean", "max"])
def test_nothing_is_said_of_a_fleet_while_a_pod_that_was_there_before_has_not_been_read(across: Any) -> None:
    question = Question("inflight_requests", "in_flight", per_pod=False, across=across)
    fleet = [pod("a"), settling("b", missing="no page was received yet"), settling("c", failure="timed out")]
    outcome = refused(answer(question, [*fleet, pod("d"), pod("gone", None, alive=False)], NOW))
    assert outcome.code == "warming_up"
    assert outcome.reason == ("inflight_requests: just started: 2 of 4 pods have not been read yet: b, c (timed out)")


def test_a_settling_pod_whose_value_is_there_counts() -> None:
    outcome = said(answer(SUM, [pod("a", 3.0), pod("b", 4.0, settling=True, reported_before=False)], NOW))
    assert (outcome.value, outcome.seen) == (7.0, 2)


def test_a_rate_waits_for_the_second_page_of_a_settling_pod() -> None:
    once = pod("b", None, 1.0, settling=True, reported_before=False, missing="one page only")
    outcome = refused(answer(Question("m", "s", per_pod=False), [pod("a"), once], NOW))
    assert outcome.code == "warming_up"
    assert outcome.reason.endswith("1 of 2 pods has not been read twice yet, which rates need: b (one page only)")


def test_a_pod_that_reported_and_fell_silent_goes_before_one_that_settles() -> None:
    outcome = refused(answer(SUM, [pod("a", None, 60.0), settling("b")], NOW))
    assert outcome.code == "pods_unseen"
    assert "1 of 1 pod unseen" in outcome.reason


def test_pods_that_settle_change_no_answer_per_pod_and_no_pods_are_no_pods() -> None:
    assert [value.name for value in said(answer(EACH, [pod("a"), settling("b")], NOW)).values] == ["a"]
    assert refused(answer(EACH, [settling("b")], NOW)).code == "no_value"
    assert refused(answer(SUM, [settling("b")], NOW)).code == "warming_up"
    assert refused(answer(SUM, [settling("b", alive=False)], NOW)).code == "no_value"


def test_the_sentence_stays_short_while_thousands_of_pods_settle() -> None:
    reason = refused(answer(SUM, [settling(f"{'x' * 240}-{n}", failure="y" * 500) for n in range(5000)], NOW)).reason
    assert len(reason) <= MAX_LENGTH
    assert "5000 of 5000 pods have not been read yet" in reason


def unread(name: str, silence: str = "unreadable", ready: bool | None = True, **more: Any) -> PodSample:
    """A pod that is sent work and has never said a value."""
    more.setdefault("failure", "HTTP 500")
    more.setdefault("kind", "Deployment/llm")
    return pod(name, None, None, silence=silence, ready=ready, **more)


def test_a_ready_pod_that_cannot_be_read_makes_the_sum_unknown_and_is_named_with_its_reason() -> None:
    outcome = refused(answer(SUM, [pod("a"), unread("b"), unread("c", failure="no page within 5 s")], NOW))
    assert outcome.code == "pods_unseen"
    assert outcome.reason == (
        "inflight_requests: 2 of 3 pods Ready but without a value yet: b (HTTP 500), c (no page within 5 s)"
    )
    both = refused(answer(SUM, [pod("a", None, 60.0), unread("b")], NOW)).reason
    assert both.endswith(
        "1 of 2 pods unseen since 14:12:20 UTC: a; 1 of 2 pods Ready but without a value yet: b (HTTP 500)"
    )


@pytest.mark.parametrize("ready", [False, None])
@pytest.mark.parametrize("silence", ["", "refused", "no_engine", "unreadable"])
def test_a_pod_that_is_not_ready_is_a_cold_start_whatever_it_answers(silence: str, ready: bool | None) -> None:
    outcome = said(answer(SUM, [pod("a", kind="Deployment/llm"), unread("b", silence, ready)], NOW))
    assert (outcome.value, outcome.seen, outcome.expected) == (4.0, 1, 1)


@pytest.mark.parametrize("silence", ["refused", ""])
def test_a_ready_pod_where_nobody_listens_or_that_was_not_tried_yet_holds_up_no_sum(silence: str) -> None:
    outcome = said(answer(SUM, [pod("a", kind="Deployment/llm"), unread("b", silence)], NOW))
    assert (outcome.value, outcome.seen, outcome.expected) == (4.0, 1, 1)


def test_a_router_is_not_waited_for_but_a_pod_whose_like_has_reported_is() -> None:
    router = unread("router", "no_engine", failure="HTTP 404", kind="Deployment/router")
    assert said(answer(SUM, [pod("a", kind="Deployment/llm"), router], NOW)).value == 4.0
    assert said(answer(SUM, [pod("a", kind=""), unread("b", "no_engine", kind="")], NOW)).value == 4.0
    stranger = unread("b", "no_engine", failure="HTTP 404")
    outcome = refused(answer(SUM, [pod("a", kind="Deployment/llm"), router, stranger], NOW))
    assert outcome.reason.endswith("1 of 2 pods Ready but without a value yet: b (HTTP 404)")
    gone = pod("a", None, 60.0, alive=False, kind="Deployment/llm")
    assert isinstance(answer(SUM, [gone, pod("c", kind="Deployment/other"), stranger], NOW), Unknown)


def test_a_ready_pod_that_is_going_away_or_settles_is_judged_as_before() -> None:
    assert said(answer(SUM, [pod("a"), unread("b", alive=False)], NOW)).value == 4.0
    assert refused(answer(SUM, [pod("a"), unread("b", settling=True)], NOW)).code == "warming_up"


def test_per_pod_a_ready_pod_that_cannot_be_read_is_expected_and_no_error_for_the_others() -> None:
    outcome = said(answer(EACH, [pod("a"), unread("b")], NOW))
    assert (outcome.seen, outcome.expected) == (1, 2)
    alone = refused(answer(EACH, [unread("b")], NOW))
    assert (alone.code, alone.reason) == (
        "pods_unseen",
        "inflight_requests: 1 of 1 pod Ready but without a value yet: b (HTTP 500)",
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_lie_is_not_added(value: float) -> None:
    outcome = refused(answer(SUM, [pod("a"), pod("liar", value)], NOW))
    assert "1 of 2 pods without a usable value: liar" in outcome.reason
    assert [v.name for v in said(answer(EACH, [pod("a"), pod("liar", value)], NOW)).values] == ["a"]


def test_no_pod_at_all_and_none_with_a_value_are_unknown_never_zero() -> None:
    assert refused(answer(SUM, [], NOW)).code == "no_pods"
    outcome = refused(answer(SUM, [starting("a"), starting("b"), pod("c", None, None)], NOW))
    assert outcome.code == "no_value"
    assert outcome.reason == (
        "inflight_requests: none of 3 pods has a value that counts: connection refused (2), has not reported yet (1)"
    )
    assert refused(answer(EACH, [starting("a")], NOW)).reason.endswith("no value that counts: connection refused")


def test_the_age_of_a_value_decides_to_the_second() -> None:
    assert said(answer(SUM, [pod("a", age=FRESH_SECONDS - 0.001)], NOW)).seen == 1
    refused(answer(SUM, [pod("a", age=FRESH_SECONDS)], NOW))
    refused(answer(SUM, [pod("a", age=-3600.0)], NOW))


def test_the_reason_stays_short_for_a_thousand_pods_with_long_names() -> None:
    lost = [pod(f"{'x' * 240}-{n}", None, 60.0, failure="y" * 5000) for n in range(1000)]
    reason = refused(answer(Question("m" * 300, "s", per_pod=False), lost, NOW)).reason
    assert len(reason) <= MAX_LENGTH
    assert "1000 of 1000 pods unseen since" in reason
    assert "and 998 more" in reason


def test_foreign_words_in_a_reason_are_escaped() -> None:
    lost = [pod("a", None, 60.0, failure="\x1b]0;owned\x07"), pod("b", None, 1.0, missing="two\nlines")]
    never = pod("c", None, None, missing="\u202eback")
    for said in (answer(SUM, lost, NOW), answer(SUM, [never], NOW)):
        assert refused(said).reason.isprintable()
    assert "a (\\x1b]0;owned\\x07)" in refused(answer(SUM, lost, NOW)).reason


ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
SAMPLES = st.lists(
    st.builds(
        PodSample,
        namespace=st.just("default"),
        name=st.text("abc", min_size=1, max_size=3),
        labels=st.just({}),
        value=st.none() | st.floats(0, 1e6) | ANY_FLOAT,
        received_at=st.none() | st.floats(NOW - 40, NOW) | ANY_FLOAT,
        missing=st.sampled_from(["", "no such series"]),
        reported_before=st.booleans(),
        alive=st.booleans(),
        failure=st.sampled_from(["", "timed out"]),
        quiet=st.booleans(),
        settling=st.booleans(),
        ready=st.sampled_from([None, False, True]),
        kind=st.sampled_from(["", "Deployment/a", "Deployment/b"]),
        silence=st.sampled_from(["", "refused", "no_engine", "unreadable"]),
    ),
    max_size=8,
)
QUESTIONS = st.builds(
    Question,
    metric=st.just("m"),
    signal=st.just("s"),
    per_pod=st.booleans(),
    across=st.sampled_from(["sum", "mean", "max"]),
)


def usable(sample: PodSample) -> bool:
    fresh = sample.received_at is not None and abs(NOW - sample.received_at) < FRESH_SECONDS
    return fresh and sample.value is not None and 0 <= sample.value <= 1e12


@settings(max_examples=60)
@given(QUESTIONS, SAMPLES, ANY_FLOAT)
def test_nothing_is_ever_raised_and_what_is_said_is_finite(
    question: Question, samples: list[PodSample], now: float
) -> None:
    outcome = answer(question, samples, now)
    if isinstance(outcome, Unknown):
        assert 0 < len(outcome.reason) <= MAX_LENGTH
    else:
        assert outcome.value is None or (math.isfinite(outcome.value) and outcome.value >= 0)
        assert 0 < outcome.seen == len(outcome.values) <= outcome.expected


@settings(max_examples=60)
@given(SAMPLES)
def test_per_pod_is_exactly_the_pods_with_a_usable_value(samples: list[PodSample]) -> None:
    outcome = answer(EACH, samples, NOW)
    named = [(s.name, s.value) for s in samples if usable(s)]
    if named:
        assert [(v.name, v.value) for v in said(outcome).values] == named
    else:
        refused(outcome)


@settings(max_examples=60)
@given(QUESTIONS, SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_the_pods_does_not_matter(question: Question, samples: list[PodSample], random: Any) -> None:
    shuffled = samples[:]
    random.shuffle(shuffled)
    one, other = answer(question, samples, NOW), answer(question, shuffled, NOW)
    if isinstance(one, Answer):
        assert isinstance(other, Answer)
        assert (one.value, one.received_at, one.seen, one.expected) == (
            other.value,
            other.received_at,
            other.seen,
            other.expected,
        )
    else:
        assert isinstance(other, Unknown)
        assert one.code == other.code


@settings(max_examples=60)
@given(QUESTIONS, SAMPLES)
def test_a_pod_that_has_never_reported_changes_no_answer(question: Question, samples: list[PodSample]) -> None:
    before = answer(question, samples, NOW)
    after = answer(question, [*samples, starting("new")], NOW)
    if isinstance(before, Answer):
        assert after == before
    else:
        assert isinstance(after, Unknown)


@settings(max_examples=60)
@given(QUESTIONS, SAMPLES)
def test_one_living_pod_that_has_reported_and_is_silent_makes_any_combination_unknown(
    question: Question, samples: list[PodSample]
) -> None:
    outcome = answer(question, [*samples, pod("silent", 5.0, 60.0)], NOW)
    if question.per_pod and any(usable(s) for s in samples):
        said(outcome)
    else:
        assert refused(outcome).code == "pods_unseen"


@settings(max_examples=100)
@given(QUESTIONS, SAMPLES)
def test_no_combination_leaves_out_a_living_pod_that_settles(question: Question, samples: list[PodSample]) -> None:
    left_out = [s for s in samples if s.settling and s.alive and not usable(s)]
    outcome = answer(question, samples, NOW)
    if question.per_pod:
        calm = [msgspec.structs.replace(s, settling=False) for s in samples]
        assert outcome == answer(question, calm, NOW)
    elif left_out:
        assert refused(outcome).code in {"warming_up", "pods_unseen"}
    else:
        assert not isinstance(outcome, Unknown) or outcome.code != "warming_up"


@settings(max_examples=100)
@given(QUESTIONS, SAMPLES)
def test_no_combination_leaves_out_a_ready_pod_that_may_hold_work(question: Question, samples: list[PodSample]) -> None:
    outcome = answer(question, [*samples, unread("hidden", kind="")], NOW)
    if question.per_pod and any(usable(s) for s in samples):
        assert said(outcome).expected > said(outcome).seen
    else:
        assert refused(outcome).code == "pods_unseen"


@settings(max_examples=100)
@given(SAMPLES, st.sampled_from(["refused", "no_engine", "unreadable"]), st.data())
def test_taking_a_page_away_never_lowers_a_sum_that_is_said(
    samples: list[PodSample], silence: str, data: st.DataObject
) -> None:
    samples = [msgspec.structs.replace(s, reported_before=s.reported_before or usable(s)) for s in samples]
    before = answer(SUM, samples, NOW)
    taken = data.draw(st.sampled_from(range(len(samples)))) if samples else None
    after = answer(SUM, [_without_page(s, silence) if n == taken else s for n, s in enumerate(samples)], NOW)
    going = taken is not None and not samples[taken].alive
    if isinstance(before, Answer) and isinstance(after, Answer) and not going:
        assert before.value is not None
        assert after.value is not None
        assert after.value >= before.value


def _without_page(sample: PodSample, silence: Any) -> PodSample:
    return msgspec.structs.replace(
        sample, value=None, received_at=None, failure="gone", silence=silence, quiet=False, settling=False
    )


@settings(max_examples=60)
@given(SAMPLES)
def test_a_sum_never_lies_below_what_was_seen(samples: list[PodSample]) -> None:
    outcome = answer(SUM, samples, NOW)
    if isinstance(outcome, Answer):
        assert outcome.value == math.fsum(s.value for s in samples if usable(s) and s.value is not None)


def test_what_an_engine_says_of_its_pods_goes_before_the_table() -> None:
    """Each endpoint picker counts the whole pool: two of them are the same requests twice."""
    pickers = [pod("a", 58.0, across="max"), pod("b", 57.0, across="max")]
    assert said(answer(SUM, pickers, NOW)).value == 58.0


def test_pods_that_disagree_on_how_they_combine_go_by_the_table() -> None:
    mixed = [pod("server", 10.0, across="sum"), pod("picker", 58.0, across="max"), pod("plain", 1.0)]
    assert said(answer(SUM, mixed, NOW)).value == 69.0
