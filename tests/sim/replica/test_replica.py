"""What clients of one replica see, and what its page shows."""

import pytest

from inflight.sim.engine import EngineConfig, Finished, FirstToken, Request
from inflight.sim.presets import PRESETS
from inflight.sim.replica import Replica
from inflight.sim.step_time import StepTime
from inflight.sim.target import in_flight_target, sharing_constant


def flat(step_seconds: float = 0.25, **changes: object) -> EngineConfig:
    """An engine whose steps all take the same time, so that expectations can be counted by hand."""
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


def test_the_reason_is_length_when_the_client_asked_for_no_more() -> None:
    replica = Replica(flat(), 0.0)
    replica.submit(Request(1, 4, 50, max_tokens=2), 0.0)
    assert replica.advance(9.0)[-1] == Finished(1, 0.5, "length", 2)


def test_the_target_of_the_lab_is_about_thirty() -> None:
    config = PRESETS["llama-3.1-8b/a100-80gb"]
    assert sharing_constant(config, 1155, 211) == pytest.approx(24.5, abs=0.1)
    assert in_flight_target(config, 1155, 211) == pytest.approx(29.95, abs=0.1)
    assert in_flight_target(config, 1155, 211, phi=0.999) == pytest.approx(0.7 * 256)
