"""How long one engine step takes, from five numbers per (model, GPU, tensor parallelism, dtype).

    t = a + sqrt(w^2 + (b*T)^2) + c*n + d*K  (+ e*pairs)

T tokens and n sequences are scheduled in the step, K tokens of KV cache are read by its decodes. `w` is the read of
the weights, `b` the matrix products of one token, `c` the work per sequence, `d` the read of one cached token, `a` the
rest; the root of squares is the smooth roofline between memory and compute. Seconds everywhere; only + - * / and sqrt
are used, so that every implementation of the model gives the same bits.
"""

from math import sqrt

from msgspec import Struct


class StepTime(Struct, frozen=True):
    """The five numbers of one engine, and the optional price of attention inside long prompts."""

    a_seconds: float
    """Fixed cost of a step: launches, sampling, the engine's loop."""
    w_seconds: float
    """Reading the weights once."""
    b_seconds_per_token: float
    """Matrix products of one scheduled token."""
    c_seconds_per_sequence: float
    """Work per scheduled sequence."""
    d_seconds_per_kv_token: float
    """Reading one cached token in a decode."""
    e_seconds_per_token_pair: float = 0.0
    """Attention of one prompt token to one token before it; matters for prompts of tens of thousands of tokens."""
    linear: bool = False
    """True for sets that know only the sum a + w (kept in `a_seconds`, with w = 0): they were fitted as a straight line
    with the prefill tokens alone in T, and are a quarter off when decode tokens are put in as well."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, bool) and not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} of a step time must be a finite number of seconds, 0 or more, not {value}")
        if self.linear and self.w_seconds:
            raise ValueError("a linear step time keeps a + w in a_seconds; its w_seconds must be 0")
        if self.a_seconds + self.w_seconds + self.c_seconds_per_sequence <= 0.0:
            raise ValueError("a step needs some time: a_seconds, w_seconds or c_seconds_per_sequence must be above 0")

    def seconds(
        self, *, prefill_tokens: int, prefills: int, decodes: int, kv_tokens: int, token_pairs: float = 0.0
    ) -> float:
        """One step: `prefills` chunks with `prefill_tokens` in all beside `decodes` that read `kv_tokens` of cache."""
        tokens = prefill_tokens if self.linear else prefill_tokens + decodes
        product = self.b_seconds_per_token * tokens
        return (
            self.a_seconds
            + sqrt(self.w_seconds * self.w_seconds + product * product)
            + self.c_seconds_per_sequence * (prefills + decodes)
            + self.d_seconds_per_kv_token * kv_tokens
            + self.e_seconds_per_token_pair * token_pairs
        )
