"""What goes into a replica and what comes out of it: the engine's settings, requests, and the two things users notice.

Names and defaults are those of vLLM's `EngineArgs`. Times are seconds of model time, sizes are tokens.
"""

from typing import Literal

from msgspec import Struct

from inflight.sim.step_time import StepTime

FinishReason = Literal["stop", "length"]


class EngineConfig(Struct, frozen=True):
    """One engine as it was started: the model on its GPUs, the limits of the scheduler, the size of the KV cache."""

    model: str
    gpu: str
    step_time: StepTime
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    """Blocks of the whole cache; the engine keeps one of them for itself (the null block)."""
    max_model_len_tokens: int
    block_size_tokens: int = 16
    gpus: int = 1
    """Tensor-parallel size: what one replica costs."""
    long_prefill_token_threshold: int = 0
    """Largest chunk of a prompt in one step; 0: as much as the step's budget allows."""
    async_scheduling: bool = True
    """Plan the next step while one runs (vLLM's default): what arrives or ends during step k counts from step k + 2."""
    prefix_caching: bool = True
    """Blocks of a preempted request that nobody took in the meantime need not be computed again."""
    frontend_delay_seconds: float = 0.0
    """Between a request's arrival and the moment the engine could see it: HTTP, tokenisation."""
    evidence: Literal["M", "O", "P"] = "P"
    """M: fitted to end-to-end measurements. O: operator measurements, physics for the rest. P: physics alone."""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "max_model_len_tokens", "block_size_tokens", "gpus"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.long_prefill_token_threshold < 0 or not 0.0 <= self.frontend_delay_seconds < float("inf"):
            raise ValueError("long_prefill_token_threshold and frontend_delay_seconds must be 0 or more")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) is below max_num_seqs ({self.max_num_seqs}): "
                "a step could not give every running sequence its token, and vLLM refuses to start"
            )
        if self.kv_capacity_tokens < self.max_model_len_tokens:
            raise ValueError(
                f"the KV cache holds {max(0, self.kv_capacity_tokens)} tokens ({self.kv_blocks} blocks of "
                f"{self.block_size_tokens}, one kept back), fewer than max_model_len_tokens "
                f"({self.max_model_len_tokens}): one full sequence must fit; give more blocks or a shorter limit"
            )

    @property
    def kv_capacity_tokens(self) -> int:
        """Tokens that sequences can hold."""
        return (self.kv_blocks - 1) * self.block_size_tokens


class Request(Struct, frozen=True):
    """What a client asks, with the answer's length known beforehand, so that two policies can meet equal luck."""

    id: int
    prompt_tokens: int
    output_tokens: int
    """Tokens the model would say before it stops by itself, or `max_tokens` where that is less."""
    max_tokens: int | None = None
    """The client's limit; None: up to the model's length, as the servers default to."""
    cached_prompt_tokens: int = 0
    """Leading prompt tokens that the prefix cache holds when the request is first admitted: they need not be computed.
    Whole blocks count, and the last prompt token is always computed."""
    shared_prompt_tokens: int = 0
    """Leading prompt tokens in blocks that running sequences hold anyway (a common system prompt, the same question
    asked twice): they are neither computed nor take room in the cache."""


class FirstToken(Struct, frozen=True):
    """A request's first token left the engine."""

    id: int
    at: float


class Finished(Struct, frozen=True):
    """A request's last token left the engine."""

    id: int
    at: float
    reason: FinishReason
    output_tokens: int


ReplicaEvent = FirstToken | Finished
