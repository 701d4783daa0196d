"""What an engine's metrics page counts: vLLM's counters and histograms, edges included.

`Histogram` is a value (counts per bucket, not cumulative); `Tally` is the growing thing behind it. Edges are those of
vLLM `v1/metrics/loggers.py`; a value equal to an edge belongs to the bucket below it, as Prometheus' `le` says.
"""

from bisect import bisect_left

from msgspec import Struct

TTFT_EDGES_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
TOKEN_EDGES_SECONDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_EDGES_SECONDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
    120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
ITERATION_EDGES_TOKENS = (
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
)  # fmt: skip
PREEMPTION_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)


def length_edges(max_model_len_tokens: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 ... as far as the model's length goes (vLLM `build_1_2_5_buckets`)."""
    edges: list[float] = []
    decade = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * decade > max_model_len_tokens:
                return tuple(edges)
            edges.append(float(mantissa * decade))
        decade *= 10


class Histogram(Struct, frozen=True):
    """Counts per bucket: `counts[i]` of values in (edges[i-1], edges[i]], the last one of everything above."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> tuple[int, ...]:
        """Counts up to each edge and to +Inf, as they stand on a metrics page."""
        total = 0
        rows = []
        for count in self.counts:
            total += count
            rows.append(total)
        return tuple(rows)


class Tally:
    """A histogram that grows."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.edges, value)] += times
        self.sum += value * times

    def value(self) -> Histogram:
        return Histogram(self.edges, tuple(self.counts), self.sum)


class ReplicaStats(Struct, frozen=True):
    """Everything that one engine's page shows and that moves with load, at one moment. Named after vLLM's families."""

    prompt_tokens: int
    """Prompt tokens of requests whose prefill has finished, cached ones included."""
    prompt_tokens_cached: int
    generation_tokens: int
    request_success: dict[str, int]
    """Finished requests by reason; requests whose client went away are in none of them."""
    num_preemptions: int
    prefix_cache_queries: int
    """Tokens looked up; requests that come back after a preemption are left out."""
    prefix_cache_hits: int
    steps: int
    time_to_first_token_seconds: Histogram
    inter_token_latency_seconds: Histogram
    request_time_per_output_token_seconds: Histogram
    e2e_request_latency_seconds: Histogram
    request_queue_time_seconds: Histogram
    request_prefill_time_seconds: Histogram
    request_decode_time_seconds: Histogram
    request_inference_time_seconds: Histogram
    request_prompt_tokens: Histogram
    request_generation_tokens: Histogram
    request_params_max_tokens: Histogram
    request_prefill_kv_computed_tokens: Histogram
    request_num_preemptions: Histogram
    iteration_tokens: Histogram


class Recorder:
    """The growing side of `ReplicaStats`."""

    def __init__(self, max_model_len_tokens: int) -> None:
        lengths = length_edges(max_model_len_tokens)
        self.prompt_tokens = 0
        self.prompt_tokens_cached = 0
        self.generation_tokens = 0
        self.stop = 0
        self.length = 0
        self.preemptions = 0
        self.cache_queries = 0
        self.cache_hits = 0
        self.steps = 0
        self.ttft = Tally(TTFT_EDGES_SECONDS)
        self.itl = Tally(TOKEN_EDGES_SECONDS)
        self.tpot = Tally(TOKEN_EDGES_SECONDS)
        self.e2e = Tally(REQUEST_EDGES_SECONDS)
        self.queue = Tally(REQUEST_EDGES_SECONDS)
        self.prefill = Tally(REQUEST_EDGES_SECONDS)
        self.decode = Tally(REQUEST_EDGES_SECONDS)
        self.inference = Tally(REQUEST_EDGES_SECONDS)
        self.prompts = Tally(lengths)
        self.outputs = Tally(lengths)
        self.max_tokens = Tally(lengths)
        self.computed = Tally(lengths)
        self.request_preemptions = Tally(PREEMPTION_EDGES)
        self.iteration = Tally(ITERATION_EDGES_TOKENS)

    def value(self) -> ReplicaStats:
        return ReplicaStats(
            prompt_tokens=self.prompt_tokens,
            prompt_tokens_cached=self.prompt_tokens_cached,
            generation_tokens=self.generation_tokens,
            request_success={"stop": self.stop, "length": self.length},
            num_preemptions=self.preemptions,
            prefix_cache_queries=self.cache_queries,
            prefix_cache_hits=self.cache_hits,
            steps=self.steps,
            time_to_first_token_seconds=self.ttft.value(),
            inter_token_latency_seconds=self.itl.value(),
            request_time_per_output_token_seconds=self.tpot.value(),
            e2e_request_latency_seconds=self.e2e.value(),
            request_queue_time_seconds=self.queue.value(),
            request_prefill_time_seconds=self.prefill.value(),
            request_decode_time_seconds=self.decode.value(),
            request_inference_time_seconds=self.inference.value(),
            request_prompt_tokens=self.prompts.value(),
            request_generation_tokens=self.outputs.value(),
            request_params_max_tokens=self.max_tokens.value(),
            request_prefill_kv_computed_tokens=self.computed.value(),
            request_num_preemptions=self.request_preemptions.value(),
            iteration_tokens=self.iteration.value(),
        )
