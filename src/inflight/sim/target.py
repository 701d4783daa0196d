"""The in-flight target of a replica, from its step time and the traffic's mean lengths.

Decode with a step of a + c*n is processor sharing: at a load phi the batch holds K*phi/(1 - phi) requests on average,
whatever the distribution of the output lengths, with K = O*(a' + c') / (O*c' + P*b).
"""

from inflight.sim.engine import EngineConfig


def sharing_constant(config: EngineConfig, mean_prompt_tokens: float, mean_output_tokens: float) -> float:
    """K: the requests in flight at phi = 1/2. Outputs are taken as geometric, so a running context is P + O long."""
    step = config.step_time
    per_sequence = step.c_seconds_per_sequence + step.d_seconds_per_kv_token * (mean_prompt_tokens + mean_output_tokens)
    fixed = step.a_seconds + step.w_seconds
    served = mean_output_tokens * per_sequence + mean_prompt_tokens * step.b_seconds_per_token
    return mean_output_tokens * (fixed + per_sequence) / served


def in_flight_target(
    config: EngineConfig, mean_prompt_tokens: float, mean_output_tokens: float, phi: float = 0.55
) -> float:
    """Requests in flight per replica at load `phi`, and never more than 0.7 of what the batch can hold."""
    if not 0.0 < phi < 1.0:
        raise ValueError(f"phi must be between 0 and 1, not {phi}")
    if mean_prompt_tokens < 1 or mean_output_tokens < 1:
        raise ValueError(
            f"mean lengths must be 1 token or more, not {mean_prompt_tokens} (prompt) and {mean_output_tokens} (output)"
        )
    sharing = sharing_constant(config, mean_prompt_tokens, mean_output_tokens)
    return min(sharing * phi / (1.0 - phi), 0.7 * config.max_num_seqs)
