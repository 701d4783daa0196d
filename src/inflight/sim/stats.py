"""What an engine's metrics page counts: vLLM's counters and histograms, edges included.

`Histogram` is a value (counts per bucket, not cumulative); `Tally` is the growing thing behind it. Edges are those of
vLLM `v1/metrics/loggers.py`; a value equal to an edge belongs to the bucket below it, as Prometheus' `le` says.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from msgspec import Struct

from inflight.sim.run import Run
from inflight.sim.sequence import Sequence

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

    def add_all(self, values: list[float]) -> None:
        """Many at once (the list gets sorted). The sum is accumulated in order, so it depends on no batch size."""
        total = self.sum
        for value in values:
            total += value
        self.sum = total
        values.sort()
        done = 0
        for bucket, edge in enumerate(self.edges):
            if done == len(values):
                return
            within = bisect_right(values, edge, done)
            self.counts[bucket] += within - done
            done = within
        self.counts[-1] += len(values) - done

    def add_progression(self, first: float, slope: float, count: int, times: int) -> None:
        """`times` each of `count` values: first, first + slope, first + 2*slope ..."""
        self.sum += (count * first + slope * (0.5 * count * (count - 1))) * times
        edges = self.edges
        bucket = bisect_left(edges, first)
        last = first + slope * (count - 1)
        if bucket == len(edges) or last <= edges[bucket]:
            self.counts[bucket] += count * times
            return
        done = 0
        while bucket < len(edges) and last > edges[bucket]:
            within = int((edges[bucket] - first) / slope) + 1
            while within > done and first + slope * (within - 1) > edges[bucket]:
                within -= 1
            while first + slope * within <= edges[bucket]:
                within += 1
            self.counts[bucket] += (within - done) * times
            done = within
            bucket += 1
        self.counts[bucket] += (count - done) * times

    def copy(self) -> "Tally":
        twin = Tally(self.edges)
        twin.counts = self.counts[:]
        twin.sum = self.sum
        return twin

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


NO_ITERATION = -1
FOLD_AT = 1000
"""Events kept before they are put into the histograms together, which costs a third of doing it one by one."""


class Recorder:
    """The growing side of `ReplicaStats`."""

    def __init__(self, max_model_len_tokens: int) -> None:
        self._lengths = length_edges(max_model_len_tokens)
        self.prompt_tokens = 0
        self.prompt_tokens_cached = 0
        self.preemptions = 0
        self.cache_queries = 0
        self.cache_hits = 0
        self.steps = 0
        self._firsts = 0
        self._stop = 0
        self._length = 0
        self._itl = Tally(TOKEN_EDGES_SECONDS)
        self._iteration = Tally(ITERATION_EDGES_TOKENS)
        self._ttft = Tally(TTFT_EDGES_SECONDS)
        self._tpot = Tally(TOKEN_EDGES_SECONDS)
        self._e2e = Tally(REQUEST_EDGES_SECONDS)
        self._queue = Tally(REQUEST_EDGES_SECONDS)
        self._prefill = Tally(REQUEST_EDGES_SECONDS)
        self._decode = Tally(REQUEST_EDGES_SECONDS)
        self._inference = Tally(REQUEST_EDGES_SECONDS)
        self._prompts = Tally(self._lengths)
        self._outputs = Tally(self._lengths)
        self._max_tokens = Tally(self._lengths)
        self._computed = Tally(self._lengths)
        self._request_preemptions = Tally(PREEMPTION_EDGES)
        self._new_steps: list[tuple[float, float, int, int, int]] = []
        self._new_ttfts: list[float] = []
        self._new_ends: list[tuple[Sequence, float]] = []

    def add_first(self, sequence: Sequence, at: float) -> None:
        """A request's first token left the engine."""
        self.prompt_tokens += sequence.prompt
        self.prompt_tokens_cached += sequence.hit_tokens
        self._firsts += 1
        self._new_ttfts.append(at - sequence.arrived_at)
        if len(self._new_steps) >= FOLD_AT or len(self._new_ttfts) >= FOLD_AT:
            self._fold_steps()
            self._fold_firsts()

    def add_steps(self, first: float, slope: float, steps: int, decodes: int, tokens: int) -> None:
        """Steps of first, first + slope ... seconds, each with that many decodes that reach somebody, and tokens."""
        self._new_steps.append((first, slope, steps, decodes, tokens))

    def add_gap(self, seconds: float) -> None:
        """A token that left more than a step after the one before it."""
        self._new_steps.append((seconds, 0.0, 1, 1, NO_ITERATION))

    def add_end(self, sequence: Sequence, at: float) -> None:
        """A request's last token left the engine."""
        self._new_ends.append((sequence, at))
        if len(self._new_ends) >= FOLD_AT:
            self._fold()

    def _fold_steps(self) -> None:
        new = self._new_steps
        self._new_steps = []
        itl = self._itl
        edges, counts = itl.edges, itl.counts
        iterations: dict[int, int] = {}
        for first, slope, steps, decodes, tokens in new:
            if steps > 1:
                itl.add_progression(first, slope, steps, decodes)
            else:
                counts[bisect_left(edges, first)] += decodes
                itl.sum += first * decodes
            iterations[tokens] = iterations.get(tokens, 0) + steps
        iterations.pop(NO_ITERATION, 0)
        for tokens, steps in iterations.items():
            self._iteration.add(tokens, steps)

    def _fold_firsts(self) -> None:
        self._ttft.add_all(self._new_ttfts)
        self._new_ttfts = []

    def _fold(self) -> None:
        self._fold_steps()
        self._fold_firsts()
        ends = self._new_ends
        self._new_ends = []
        limited = [one for one, _ in ends if one.output == one.max_tokens]
        self._length += len(limited)
        self._stop += len(ends) - len(limited)
        self._e2e.add_all([at - one.arrived_at for one, at in ends])
        self._queue.add_all([one.scheduled_at - one.queued_at for one, _ in ends])
        self._prefill.add_all([one.first_at - one.scheduled_at for one, _ in ends])
        self._decode.add_all([at - one.first_at for one, at in ends])
        self._inference.add_all([at - one.scheduled_at for one, at in ends])
        self._tpot.add_all([(at - one.first_at) / (one.output - 1) if one.output > 1 else 0.0 for one, at in ends])
        self._prompts.add_all([one.prompt for one, _ in ends])
        self._outputs.add_all([one.output for one, _ in ends])
        self._max_tokens.add_all([one.max_tokens for one, _ in ends])
        self._computed.add_all([one.prompt - one.hit_tokens for one, _ in ends])
        self._request_preemptions.add_all([one.preemptions for one, _ in ends])

    def value_with(self, run: Run, segments: Iterable[tuple[int, int, int]]) -> ReplicaStats:
        """What `value` would be with some steps of a run counted in; the run itself is counted when it is over."""
        self._fold_steps()
        itl, iteration, steps = self._itl, self._iteration, self.steps
        self._itl, self._iteration = itl.copy(), iteration.copy()
        for start, stop, tokens in segments:
            self.steps += stop - start
            self.add_steps(run.first + run.slope * start, run.slope, stop - start, tokens, tokens)
        value = self.value()
        self._itl, self._iteration, self.steps = itl, iteration, steps
        return value

    def value(self) -> ReplicaStats:
        self._fold()
        return ReplicaStats(
            prompt_tokens=self.prompt_tokens,
            prompt_tokens_cached=self.prompt_tokens_cached,
            generation_tokens=self._firsts + sum(self._itl.counts),
            request_success={"stop": self._stop, "length": self._length},
            num_preemptions=self.preemptions,
            prefix_cache_queries=self.cache_queries,
            prefix_cache_hits=self.cache_hits,
            steps=self.steps,
            time_to_first_token_seconds=self._ttft.value(),
            inter_token_latency_seconds=self._itl.value(),
            request_time_per_output_token_seconds=self._tpot.value(),
            e2e_request_latency_seconds=self._e2e.value(),
            request_queue_time_seconds=self._queue.value(),
            request_prefill_time_seconds=self._prefill.value(),
            request_decode_time_seconds=self._decode.value(),
            request_inference_time_seconds=self._inference.value(),
            request_prompt_tokens=self._prompts.value(),
            request_generation_tokens=self._outputs.value(),
            request_params_max_tokens=self._max_tokens.value(),
            request_prefill_kv_computed_tokens=self._computed.value(),
            request_num_preemptions=self._request_preemptions.value(),
            iteration_tokens=self._iteration.value(),
        )
