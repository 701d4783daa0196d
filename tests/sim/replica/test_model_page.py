"""docs/model.md says what the code does."""

from pathlib import Path

import pytest

from inflight.sim.presets import PRESETS
from inflight.sim.replica import FirstToken, Replica, Request

PAGE = (Path(__file__).parents[3] / "docs" / "model.md").read_text(encoding="utf-8")


def test_the_table_of_presets_is_the_presets() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(PRESETS)
    for name, evidence, a, w, b, c, d, limits, kv_tokens, length in rows:
        config = PRESETS[name.strip("`")]
        step = config.step_time
        assert evidence == config.evidence
        assert (w == "in a") == step.linear
        said = [float(a) / 1e3, 0.0 if step.linear else float(w) / 1e3, float(b) / 1e6, float(c) / 1e6, float(d) / 1e9]
        assert said == pytest.approx(
            [
                step.a_seconds,
                step.w_seconds,
                step.b_seconds_per_token,
                step.c_seconds_per_sequence,
                step.d_seconds_per_kv_token,
            ]
        )
        assert limits == f"{config.max_num_seqs:,} / {config.max_num_batched_tokens:,}"
        assert (kv_tokens, length) == (f"{config.kv_capacity_tokens:,}", f"{config.max_model_len_tokens:,}")


def test_the_example_gives_what_it_says() -> None:
    replica = Replica(PRESETS["llama-3.1-8b/a100-80gb"], start=0.0)
    replica.submit(Request(id=1, prompt_tokens=1155, output_tokens=211), at=0.0)
    (first,) = replica.advance(1.0)
    assert isinstance(first, FirstToken)
    assert f"at={first.at:.4f}" in PAGE
    assert f"tokens_emitted(1)         # {replica.tokens_emitted(1)}" in PAGE
