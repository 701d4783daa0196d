"""Random engines and random clients, small enough that everything that can happen to a request happens often."""

from random import Random

from msgspec import Struct

from inflight.sim.engine import EngineConfig, Request
from inflight.sim.step_time import StepTime


class Act(Struct, frozen=True):
    """What a client does: sends `request`, or goes away from request `leaves`."""

    at: float
    request: Request | None = None
    leaves: int | None = None


def engine(random: Random) -> EngineConfig:
    block = random.choice([1, 4, 16])
    length = random.choice([64, 300, 1000])
    least = -(-length // block)
    return EngineConfig(
        model="m",
        gpu="g",
        step_time=StepTime(
            a_seconds=random.uniform(0.0, 0.003),
            w_seconds=random.uniform(0.001, 0.02),
            b_seconds_per_token=random.uniform(0.0, 2e-4),
            c_seconds_per_sequence=random.uniform(0.0, 1e-4),
            d_seconds_per_kv_token=random.choice([0.0, random.uniform(0.0, 5e-6)]),
            e_seconds_per_token_pair=random.choice([0.0, 1e-8]),
        ),
        max_num_seqs=random.choice([1, 2, 5, 20]),
        max_num_batched_tokens=random.choice([20, 33, 64, 512]),
        kv_blocks=least + 1 + random.choice([0, 1, least // 2, 3 * least, 20 * least]),
        max_model_len_tokens=length,
        block_size_tokens=block,
        long_prefill_token_threshold=random.choice([0, 0, 7, 30]),
        async_scheduling=random.random() < 0.6,
        prefix_caching=random.random() < 0.8,
        frontend_delay_seconds=random.choice([0.0, 0.0, 0.013]),
    )


def acts(random: Random, config: EngineConfig, requests: int) -> list[Act]:
    rate = random.choice([1.0, 10.0, 100.0, 1000.0])
    at = 0.0
    rows: list[Act] = []
    for id_ in range(requests):
        at += random.choice([0.0, random.expovariate(rate)])
        prompt = min(random.randint(1, config.max_model_len_tokens - 1), random.choice([40, 2000]))
        request = Request(
            id=id_,
            prompt_tokens=prompt,
            output_tokens=random.randint(1, random.choice([3, 200])),
            max_tokens=random.choice([None, random.randint(1, 100)]),
            cached_prompt_tokens=random.choice([0, 0, random.randint(0, prompt)]),
            shared_prompt_tokens=random.choice([0, 0, random.randint(0, prompt)]),
        )
        rows.append(Act(at, request=request))
        if random.random() < 0.25:
            rows.append(Act(at + random.choice([0.0, random.uniform(0.0, 2.0)]), leaves=random.randint(0, id_)))
    return sorted(rows, key=lambda act: act.at)
