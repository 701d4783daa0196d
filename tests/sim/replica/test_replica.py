"""What clients of one replica see, and what its page shows, counted by hand on an engine with equal steps."""

import pytest

from inflight.sim.engine import EngineConfig, Finished, FirstToken, Request
from inflight.sim.replica import Replica
from inflight.sim.step_time import StepTime


def flat(step_seconds: float = 0.25, **changes: object) -> EngineConfig:
    """Every step takes the same time; 100 blocks of 16 tokens."""
    fields: dict[str, object] = {
        "model": "m",
        "gpu": "g",
        "step_time": StepTime(step_seconds, 0.0, 0.0, 0.0, 0.0),
        "max_num_seqs": 8,
        "max_num_batched_tokens": 64,
        "kv_blocks": 101,
        "max_model_len_tokens": 512,
        "async_scheduling": False,
    }
    return EngineConfig(**{**fields, **changes})  # type: ignore[arg-type]


def test_one_request_takes_a_step_per_chunk_and_a_step_per_token() -> None:
    replica = Replica(flat(), 10.0)
    replica.submit(Request(7, 100, 3), 11.0)
    assert replica.advance(20.0) == [FirstToken(7, 11.5), Finished(7, 12.0, "stop", 3)]
    assert replica.busy_seconds == 1.0
    assert replica.next_event_at() is None


def test_a_fresh_replica_shows_zeros() -> None:
    replica = Replica(flat(), 0.0)
    assert replica.advance(5.0) == []
    assert (replica.running, replica.waiting, replica.in_flight, replica.kv_usage) == (0, 0, 0, 0.0)
    assert (replica.busy_seconds, replica.next_event_at(), replica.next_token_at()) == (0.0, None, None)
    assert replica.stats.time_to_first_token_seconds.count == 0


def test_the_reason_is_length_when_the_client_asked_for_no_more() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(1, 4, 50, max_tokens=2), 0.0)
    replica.submit(Request(2, 4, 2, max_tokens=3), 0.0)
    replica.submit(Request(3, 510, 9), 0.0)
    reasons = {e.id: (e.reason, e.output_tokens) for e in replica.advance(9.0) if isinstance(e, Finished)}
    assert reasons == {1: ("length", 2), 2: ("stop", 2), 3: ("length", 2)}
    assert replica.stats.request_success == {"stop": 1, "length": 2}


def test_a_prompt_that_fits_in_the_rest_of_the_budget_shares_the_step() -> None:
    replica = Replica(flat(), 0.0)
    for id_, prompt in enumerate((40, 20, 30)):  # 40 + 20 + the first 4 of 30, then the other 26
        replica.submit(Request(id_, prompt, 5), 0.0)
    firsts = [(e.id, e.at) for e in replica.advance(5.0) if isinstance(e, FirstToken)]
    assert firsts == [(0, 0.25), (1, 0.25), (2, 0.5)]


def test_a_long_prompt_comes_in_chunks_of_the_threshold_beside_others() -> None:
    replica = Replica(flat(long_prefill_token_threshold=16), 0.0)
    replica.submit(Request(0, 40, 1), 0.0)
    replica.submit(Request(1, 10, 1), 0.0)
    firsts = {e.id: e.at for e in replica.advance(5.0) if isinstance(e, FirstToken)}
    assert firsts == {1: 0.25, 0: 0.75}


def test_without_async_scheduling_an_arrival_joins_the_next_step() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 4, 20), 0.0)
    replica.submit(Request(1, 4, 20), 0.6)
    firsts = {e.id: e.at for e in replica.advance(5.0) if isinstance(e, FirstToken)}
    assert firsts == {0: 0.25, 1: 1.0}


def test_with_async_scheduling_it_joins_the_step_after_that() -> None:
    replica = Replica(flat(async_scheduling=True), 0.0)
    replica.submit(Request(0, 4, 20), 0.0)
    replica.submit(Request(1, 4, 20), 0.6)
    events = replica.advance(6.0)
    assert {e.id: e.at for e in events if isinstance(e, FirstToken)} == {0: 0.25, 1: 1.25}
    # Read at 0.75 and planned then, for the step from 1.0 on.
    stats = replica.stats
    assert stats.request_queue_time_seconds.sum == 0.0
    assert stats.request_prefill_time_seconds.sum == pytest.approx(0.25 + 0.5)


def test_with_async_scheduling_a_seat_stays_empty_for_a_step() -> None:
    replica = Replica(flat(max_num_seqs=1, async_scheduling=True), 0.0)
    replica.submit(Request(0, 4, 2), 0.0)
    replica.submit(Request(1, 4, 1), 0.3)
    replica.submit(Request(2, 4, 1), 0.3)
    ends = [(e.id, e.at) for e in replica.advance(5.0) if isinstance(e, Finished)]
    # Nothing is left to run at 0.5, so the engine looks at once; at 0.75 the same.
    assert ends == [(0, 0.5), (1, 0.75), (2, 1.0)]
    crowded = Replica(flat(max_num_seqs=2, async_scheduling=True), 0.0)
    crowded.submit(Request(0, 4, 2), 0.0)
    crowded.submit(Request(1, 4, 9), 0.0)
    crowded.submit(Request(2, 4, 1), 0.1)
    firsts = {e.id: e.at for e in crowded.advance(5.0) if isinstance(e, FirstToken)}
    assert firsts[2] == 1.0  # the seat of 0 is free from 0.5 on, but the step from 0.5 was planned at 0.25


def test_the_head_of_the_queue_holds_up_those_behind_it() -> None:
    replica = Replica(flat(kv_blocks=34, max_num_batched_tokens=512), 0.0)
    replica.submit(Request(0, 320, 8), 0.0)  # 20 of 33 blocks, 21 from its second token on
    replica.submit(Request(1, 300, 2), 0.0)  # needs 19: waits
    replica.submit(Request(2, 16, 2), 0.0)  # would fit, but stands behind
    replica.advance(1.0)
    assert (replica.running, replica.waiting) == (1, 2)
    assert replica.kv_usage == pytest.approx(21 / 33)
    firsts = {e.id: e.at for e in replica.advance(9.0) if isinstance(e, FirstToken)}
    assert firsts == {1: 2.25, 2: 2.25}


def test_a_prompt_is_not_admitted_by_its_first_chunk_alone() -> None:
    replica = Replica(flat(kv_blocks=34), 0.0)
    replica.submit(Request(0, 320, 40), 0.0)
    replica.submit(Request(1, 300, 1), 0.0)  # a chunk of 64 would fit
    replica.advance(3.0)
    assert (replica.running, replica.waiting) == (1, 1)


def preempting() -> Replica:
    """Nine blocks; two requests that grow to eight and five blocks cannot both stay."""
    replica = Replica(flat(kv_blocks=10, max_model_len_tokens=128), 0.0)
    replica.submit(Request(0, 48, 70), 0.0)
    replica.submit(Request(1, 16, 62), 0.0)
    return replica


def test_the_last_one_in_goes_back_to_the_queue_and_keeps_its_tokens() -> None:
    replica = preempting()
    before = 0
    while replica.stats.num_preemptions == 0:
        before = replica.tokens_emitted(1)
        at = replica.next_event_at()
        assert at is not None
        replica.advance(at)
    assert replica.tokens_emitted(1) >= before > 0
    assert replica.tokens_emitted(0) > 0
    events = replica.advance(100.0)
    assert {e.id: e.output_tokens for e in events if isinstance(e, Finished)} == {0: 70, 1: 62}
    assert [e for e in events if isinstance(e, FirstToken)] == []
    stats = replica.stats
    assert stats.generation_tokens == 132
    assert stats.prompt_tokens == 64
    assert stats.prefix_cache_queries == 64
    assert stats.request_num_preemptions.counts[0] == 2


def test_what_the_cache_still_holds_of_a_preempted_request_is_not_computed_again() -> None:
    kept, lost = preempting(), Replica(flat(kv_blocks=10, max_model_len_tokens=128, prefix_caching=False), 0.0)
    for request in (Request(0, 48, 70), Request(1, 16, 62)):
        lost.submit(request, 0.0)
    ends = [max(e.at for e in one.advance(100.0)) for one in (kept, lost)]
    assert ends[0] <= ends[1]


def test_cached_prompt_tokens_are_not_computed_and_shared_ones_take_no_room() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 200, 1, cached_prompt_tokens=150), 0.0)  # 9 whole blocks: 56 tokens are left
    assert replica.advance(1.0)[0] == FirstToken(0, 0.25)
    assert replica.stats.prefix_cache_hits == 144
    assert replica.stats.request_prefill_kv_computed_tokens.sum == 56
    assert replica.stats.iteration_tokens.sum == 57
    replica.submit(Request(1, 160, 4, shared_prompt_tokens=160), 1.0)  # the last token is computed: 9 blocks shared
    replica.advance(1.3)
    assert replica.kv_usage == pytest.approx(1 / 100)
    assert replica.stats.prompt_tokens_cached == 144 + 144


def test_gauges_stand_still_between_the_ends_of_steps() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 16, 8), 0.0)
    replica.advance(0.2)
    assert (replica.running, replica.in_flight) == (0, 1)
    replica.advance(0.25)
    assert replica.running == 1
    replica.submit(Request(1, 16, 8), 0.3)
    replica.advance(0.6)
    assert (replica.running, replica.waiting, replica.in_flight) == (1, 0, 2)
    replica.advance(0.75)
    assert (replica.running, replica.waiting) == (2, 0)


def test_tokens_are_known_at_any_moment() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 4, 8), 0.0)
    seen = []
    for tenth in range(0, 20, 2):
        replica.advance(tenth / 10)
        seen.append(replica.tokens_emitted(0))
    assert seen == [0, 0, 1, 2, 3, 4, 4, 5, 6, 7]
    assert replica.next_token_at() == 2.0
    replica.advance(2.0)
    with pytest.raises(KeyError, match="request 0 is not in flight"):
        replica.tokens_emitted(0)


def test_a_client_that_leaves_is_in_no_count_of_finished_requests() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 4, 40), 0.0)
    replica.submit(Request(1, 4, 40), 0.0)
    replica.advance(1.1)
    replica.abort(0, 1.1)
    assert replica.in_flight == 1
    events = replica.advance(30.0)
    assert [e.id for e in events] == [1]
    stats = replica.stats
    assert stats.request_success == {"stop": 1, "length": 0}
    assert stats.generation_tokens == 40 + 4
    assert stats.e2e_request_latency_seconds.count == 1


def test_a_client_that_leaves_makes_room_when_the_engine_next_looks() -> None:
    replica = Replica(flat(max_num_seqs=1), 0.0)
    replica.submit(Request(0, 4, 400), 0.0)
    replica.submit(Request(1, 4, 1), 0.0)
    replica.submit(Request(2, 4, 1), 0.0)
    replica.advance(1.1)
    replica.abort(1, 1.1)
    replica.abort(0, 1.2)
    assert replica.advance(5.0) == [FirstToken(2, 1.5), Finished(2, 1.5, "stop", 1)]


def test_a_departure_may_be_announced_and_may_come_too_late() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 4, 3), 0.0)
    replica.submit(Request(1, 4, 30), 0.0)
    replica.abort(0, 2.0)
    replica.abort(1, 2.0)
    replica.abort(99, 2.0)
    assert [type(e) for e in replica.advance(9.0)] == [FirstToken, FirstToken, Finished]
    assert replica.in_flight == 0
    replica.submit(Request(1, 4, 1), 9.0)  # the number may be used again
    assert len(replica.advance(10.0)) == 2


def test_requests_sent_ahead_are_in_flight_when_they_arrive() -> None:
    replica = Replica(flat(), 0.0)
    for id_ in range(4):
        replica.submit(Request(id_, 4, 1), id_ * 1.0)
    assert replica.in_flight == 1
    replica.advance(0.5)
    assert replica.in_flight == 0
    replica.advance(2.0)
    assert replica.in_flight == 1


def test_the_front_end_takes_its_time() -> None:
    replica = Replica(flat(frontend_delay_seconds=0.1), 0.0)
    replica.submit(Request(0, 4, 1), 1.0)
    assert replica.advance(5.0)[0] == FirstToken(0, 1.35)
    assert replica.stats.time_to_first_token_seconds.sum == pytest.approx(0.35)


def test_steps_that_give_nothing_are_not_iterations() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(0, 200, 2), 0.0)
    replica.advance(9.0)
    assert replica.stats.steps == 5
    assert replica.stats.iteration_tokens.count == 2
    assert replica.stats.iteration_tokens.sum == 201 + 1


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request(0, 512, 1), "prompts of 1 to 511 tokens"),
        (Request(0, 0, 1), "prompts of 1 to 511"),
        (Request(0, 4, 0), "gives 1 or more"),
        (Request(0, 4, 4, max_tokens=0), "gives 1 or more"),
    ],
)
def test_requests_that_an_engine_refuses(request_: Request, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Replica(flat(), 0.0).submit(request_, 0.0)


def test_time_does_not_go_back() -> None:
    replica = Replica(flat(), 5.0)
    replica.submit(Request(0, 4, 4), 5.0)
    for act in (
        lambda: replica.advance(4.0),
        lambda: replica.submit(Request(1, 4, 4), 4.0),
        lambda: replica.abort(0, 4.0),
    ):
        with pytest.raises(ValueError, match=r"4\.0"):
            act()
    with pytest.raises(ValueError, match="request 0 is in flight already"):
        replica.submit(Request(0, 4, 4), 6.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs must be 1 or more"),
        ({"max_num_batched_tokens": 4}, "below max_num_seqs"),
        ({"kv_blocks": 10}, "holds 144 tokens"),
        ({"frontend_delay_seconds": -1.0}, "must be 0 or more"),
    ],
)
def test_engines_that_would_not_start(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        flat(**changes)
