"""The replica, done the plain way: every step is planned, run and counted for every sequence.

What tests compare `inflight.sim.replica` with, and what the benchmark prints beside it. It shares with the product only
the values that go in and out and the step-time formula.
"""

from bisect import bisect_left, insort
from collections import deque
from math import inf

from inflight.sim import stats as edges
from inflight.sim.engine import EngineConfig, Finished, FinishReason, FirstToken, ReplicaEvent, Request
from inflight.sim.stats import Histogram, ReplicaStats


class _Sequence:
    """One request inside the engine."""

    __slots__ = (
        "arrived_at",
        "blocks",
        "computed",
        "emitted",
        "evict_from",
        "finished",
        "first_at",
        "full_blocks",
        "gone_at",
        "held_blocks",
        "hit_tokens",
        "id",
        "last_at",
        "max_tokens",
        "output",
        "preemptions",
        "prompt",
        "queued_at",
        "request",
        "scheduled_at",
        "shared",
    )

    def __init__(self, request: Request, arrived_at: float, max_tokens: int) -> None:
        self.request = request
        self.id = request.id
        self.prompt = request.prompt_tokens
        self.max_tokens = max_tokens
        self.output = min(request.output_tokens, max_tokens)
        self.arrived_at = arrived_at
        self.queued_at = -1.0
        self.scheduled_at = -1.0
        self.first_at = -1.0
        self.last_at = -1.0
        self.computed = 0
        self.emitted = 0
        self.blocks = 0
        self.preemptions = 0
        self.hit_tokens = 0
        self.full_blocks = 0
        self.held_blocks = 0
        self.evict_from = 0
        self.gone_at = inf
        self.finished = False

        self.shared = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.emitted


class SteppingReplica:
    """One engine with its queue, batch and cache."""

    def __init__(self, config: EngineConfig, start: float) -> None:
        self.config = config
        self.now = start
        self._free_at = start
        self._inputs: list[tuple[float, int, bool, _Sequence]] = []
        self._input_count = 0
        self._sequences: dict[int, _Sequence] = {}
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._plan: list[tuple[_Sequence, int]] = []
        self._step_start = start
        self._step_seconds = 0.0
        self._step_end = inf
        self._free_blocks = config.kv_blocks - 1
        self._allocated = 0
        self._busy = 0.0
        self._gauges = (0, 0, 0.0)
        self._values: dict[str, list[float]] = {name: [] for name in _edges(config)}
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._success = {"stop": 0, "length": 0}

    @property
    def running(self) -> int:
        return self._gauges[0]

    @property
    def waiting(self) -> int:
        return self._gauges[1]

    @property
    def kv_usage(self) -> float:
        return self._gauges[2]

    @property
    def in_flight(self) -> int:
        """Requests that a client waits for at this moment."""
        here = [one for one in self._sequences.values() if one.arrived_at <= self.now and one.gone_at > self.now]
        return len(here)

    @property
    def busy_seconds(self) -> float:
        """Time with a step running, since the start."""
        return self._busy + (self.now - self._step_start if self._plan else 0.0)

    @property
    def stats(self) -> ReplicaStats:
        histograms = {
            name: Histogram(bounds, _count(self._values[name], bounds), sum(self._values[name]))
            for name, bounds in _edges(self.config).items()
        }
        return ReplicaStats(**self._counts, request_success=dict(self._success), **histograms)

    def tokens_emitted(self, request_id: int) -> int:
        """Tokens of a request in flight that have left the engine by now."""
        return self._sequences[request_id].emitted

    def ids_in_flight(self) -> list[int]:
        return list(self._sequences)

    def next_event_at(self) -> float | None:
        """When the replica's state next changes by itself; None when it has nothing to do."""
        if self._plan:
            return self._step_end
        return self._due_at()

    def submit(self, request: Request, at: float) -> None:
        """A client sends a request."""
        config = self.config
        if at < self.now:
            raise ValueError(f"request {request.id} cannot arrive at {at}: the replica has advanced to {self.now}")
        if request.id in self._sequences:
            raise ValueError(f"request {request.id} is in flight already; ids must be unique among those in flight")
        room = config.max_model_len_tokens - request.prompt_tokens
        if request.prompt_tokens < 1 or request.output_tokens < 1 or room < 1:
            raise ValueError(
                f"request {request.id} asks for {request.output_tokens} tokens after {request.prompt_tokens}; "
                f"the engine takes prompts of 1 to {config.max_model_len_tokens - 1} tokens and gives 1 or more"
            )
        limit = room if request.max_tokens is None else min(room, request.max_tokens)
        sequence = _Sequence(request, at, limit)
        if config.prefix_caching:
            size = config.block_size_tokens
            sequence.shared = min(request.shared_prompt_tokens // size, (request.prompt_tokens - 1) // size)
        self._sequences[request.id] = sequence
        self._input(at + config.frontend_delay_seconds, sequence, arrives=True)

    def abort(self, request_id: int, at: float) -> None:
        """The client of a request goes away: it gets nothing more; the engine drops the work when it next looks."""
        if at < self.now:
            raise ValueError(f"request {request_id} cannot be aborted at {at}: the replica has advanced to {self.now}")
        sequence = self._sequences.get(request_id)
        if sequence is not None and sequence.gone_at == inf:
            sequence.gone_at = at
            self._input(at, sequence, arrives=False)
            self._forget_gone()

    def _forget_gone(self) -> None:
        self._sequences = {one.id: one for one in self._sequences.values() if one.gone_at > self.now}

    def advance(self, until: float) -> list[ReplicaEvent]:
        """Let time pass; returns what left the engine up to and including `until`, in order."""
        if until < self.now:
            raise ValueError(f"time cannot go back from {self.now} to {until}")
        events: list[ReplicaEvent] = []
        while True:
            if self._plan:
                if self._step_end > until:
                    break
                self._finish_step(events)
                continue
            at = self._due_at()
            if at is None or at >= until:
                break
            self._free_at = at
            self._schedule(at, at)
        self.now = until
        self._forget_gone()
        return events

    def _input(self, at: float, sequence: _Sequence, *, arrives: bool) -> None:
        self._input_count += 1
        insort(self._inputs, (at, self._input_count, arrives, sequence), key=lambda row: row[:2])

    def _due_at(self) -> float | None:
        if self._waiting or self._running:
            return self._free_at
        if self._inputs:
            return max(self._free_at, self._inputs[0][0])
        return None

    def _read_inputs(self, cutoff: float) -> None:
        taken = 0
        for at, _, arrives, sequence in self._inputs:
            if at > cutoff:
                break
            taken += 1
            if arrives:
                sequence.queued_at = cutoff
                if sequence.gone_at > at:
                    self._waiting.append(sequence)
            elif sequence in self._running:
                self._running.remove(sequence)
                self._release(sequence)
            elif sequence in self._waiting:
                self._waiting.remove(sequence)
        del self._inputs[:taken]

    def _release(self, sequence: _Sequence) -> None:
        self._free_blocks += sequence.blocks
        sequence.blocks = 0

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.config.block_size_tokens)

    def _schedule(self, at: float, cutoff: float) -> None:
        """Plan the step that starts at `at`, with what the engine knew at `cutoff`."""
        self._read_inputs(cutoff)
        config = self.config
        budget = config.max_num_batched_tokens
        chunk = config.long_prefill_token_threshold or budget
        plan: list[tuple[_Sequence, int]] = []
        preempted = False
        for sequence in list(self._running):
            if budget == 0 or sequence not in self._running:
                break
            if sequence.finished:
                continue
            new = min(sequence.tokens - sequence.computed, chunk, budget)
            need = self._blocks(sequence.computed + new) - sequence.shared - sequence.blocks
            while need > self._free_blocks and sequence in self._running:
                self._preempt(next(one for one in reversed(self._running) if not one.finished))
                preempted = True
            if sequence not in self._running:
                break
            self._take(sequence, need)
            plan.append((sequence, new))
            budget -= new
        while not preempted and self._waiting and budget > 0 and len(self._running) < config.max_num_seqs:
            sequence = self._waiting[0]
            if self._blocks(sequence.tokens) - sequence.shared > self._free_blocks:
                break
            self._admit(self._waiting.popleft(), cutoff)
            new = min(sequence.tokens - sequence.computed, chunk, budget)
            self._take(sequence, self._blocks(sequence.computed + new) - sequence.shared - sequence.blocks)
            plan.append((sequence, new))
            budget -= new
        self._begin(at, plan)

    def _take(self, sequence: _Sequence, blocks: int) -> None:
        self._free_blocks -= blocks
        self._allocated += blocks
        sequence.blocks += blocks

    def _preempt(self, sequence: _Sequence) -> None:
        """Back to the head of the queue; its tokens are kept, its cache is free for others from now on."""
        self._running.remove(sequence)
        self._waiting.appendleft(sequence)
        self._counts["num_preemptions"] += 1
        sequence.preemptions += 1
        sequence.full_blocks = sequence.computed // self.config.block_size_tokens - sequence.shared
        sequence.held_blocks = sequence.blocks
        sequence.evict_from = self._allocated + self._free_blocks
        sequence.computed = 0
        self._release(sequence)

    def _admit(self, sequence: _Sequence, cutoff: float) -> None:
        """Into the batch, with the blocks of it that the cache still holds counted as computed."""
        size = self.config.block_size_tokens
        most = (sequence.tokens - 1) // size
        if sequence.preemptions == 0:
            cached = max(sequence.request.cached_prompt_tokens, sequence.request.shared_prompt_tokens)
            hits = min(most, cached // size)
            sequence.scheduled_at = cutoff
            if self.config.prefix_caching:
                sequence.hit_tokens = hits * size
                self._counts["prefix_cache_queries"] += sequence.prompt
                self._counts["prefix_cache_hits"] += hits * size
        else:
            evicted = max(0, self._allocated - sequence.evict_from)
            own = max(0, min(sequence.full_blocks, sequence.held_blocks - evicted))
            hits = min(most, sequence.shared + own)
        if not self.config.prefix_caching:
            hits = 0
        sequence.computed = hits * size
        sequence.blocks = hits - sequence.shared
        self._free_blocks -= sequence.blocks
        self._running.append(sequence)

    def _begin(self, at: float, plan: list[tuple[_Sequence, int]]) -> None:
        decodes = kv_tokens = prefills = prefill_tokens = 0
        pairs = 0.0
        for sequence, new in plan:
            if new == 1 and sequence.emitted > 0 and sequence.computed == sequence.tokens - 1:
                decodes += 1
                kv_tokens += sequence.computed
            else:
                prefills += 1
                prefill_tokens += new
                pairs += new * (sequence.computed + 0.5 * new)
        self._plan = plan
        self._step_start = at
        if plan:
            self._step_seconds = self.config.step_time.seconds(
                prefill_tokens=prefill_tokens,
                prefills=prefills,
                decodes=decodes,
                kv_tokens=kv_tokens,
                token_pairs=pairs,
            )
            self._step_end = at + self._step_seconds

    def _finish_step(self, events: list[ReplicaEvent]) -> None:
        at = self._step_end
        start = self._step_start
        counts = self._counts
        counts["steps"] += 1
        self._busy += self._step_seconds
        firsts: list[ReplicaEvent] = []
        ends: list[ReplicaEvent] = []
        outputs = tokens = 0
        for sequence, new in self._plan:
            sequence.computed += new
            if sequence.computed < sequence.tokens:
                continue
            sequence.emitted += 1
            outputs += 1
            sequence.finished = sequence.emitted == sequence.output
            if sequence.gone_at < at:
                continue
            tokens += 1
            counts["generation_tokens"] += 1
            if sequence.emitted == 1:
                tokens += sequence.prompt - sequence.hit_tokens
                self._record_first(sequence, at)
                firsts.append(FirstToken(sequence.id, at))
            else:
                gap = self._step_seconds if sequence.last_at == start else at - sequence.last_at
                self._values["inter_token_latency_seconds"].append(gap)
            sequence.last_at = at
            if sequence.finished:
                self._sequences.pop(sequence.id)
                ends.append(self._record_end(sequence, at))
        if outputs:
            self._values["iteration_tokens"].append(tokens)
        events += sorted(firsts, key=lambda event: event.id) + sorted(ends, key=lambda event: event.id)
        self._plan = []
        self._step_end = inf
        self._free_at = at
        if self.config.async_scheduling:
            self._schedule(at, start)
        for sequence in [one for one in self._running if one.finished]:
            self._running.remove(sequence)
            self._release(sequence)
        used = 1.0 - self._free_blocks / (self.config.kv_blocks - 1)
        self._gauges = (len(self._running), len(self._waiting), used)

    def _record_first(self, sequence: _Sequence, at: float) -> None:
        sequence.first_at = at
        self._counts["prompt_tokens"] += sequence.prompt
        self._counts["prompt_tokens_cached"] += sequence.hit_tokens
        self._values["time_to_first_token_seconds"].append(at - sequence.arrived_at)

    def _record_end(self, sequence: _Sequence, at: float) -> Finished:
        reason: FinishReason = "length" if sequence.output == sequence.max_tokens else "stop"
        self._success[reason] += 1
        decode = at - sequence.first_at
        for name, value in {
            "e2e_request_latency_seconds": at - sequence.arrived_at,
            "request_queue_time_seconds": sequence.scheduled_at - sequence.queued_at,
            "request_prefill_time_seconds": sequence.first_at - sequence.scheduled_at,
            "request_decode_time_seconds": decode,
            "request_inference_time_seconds": at - sequence.scheduled_at,
            "request_time_per_output_token_seconds": decode / (sequence.output - 1) if sequence.output > 1 else 0.0,
            "request_prompt_tokens": sequence.prompt,
            "request_generation_tokens": sequence.output,
            "request_params_max_tokens": sequence.max_tokens,
            "request_prefill_kv_computed_tokens": sequence.prompt - sequence.hit_tokens,
            "request_num_preemptions": sequence.preemptions,
        }.items():
            self._values[name].append(value)
        return Finished(sequence.id, at, reason, sequence.output)


COUNTERS = (
    "prompt_tokens",
    "prompt_tokens_cached",
    "generation_tokens",
    "num_preemptions",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "steps",
)


def _edges(config: EngineConfig) -> dict[str, tuple[float, ...]]:
    lengths = edges.length_edges(config.max_model_len_tokens)
    return {
        "time_to_first_token_seconds": edges.TTFT_EDGES_SECONDS,
        "inter_token_latency_seconds": edges.TOKEN_EDGES_SECONDS,
        "request_time_per_output_token_seconds": edges.TOKEN_EDGES_SECONDS,
        "e2e_request_latency_seconds": edges.REQUEST_EDGES_SECONDS,
        "request_queue_time_seconds": edges.REQUEST_EDGES_SECONDS,
        "request_prefill_time_seconds": edges.REQUEST_EDGES_SECONDS,
        "request_decode_time_seconds": edges.REQUEST_EDGES_SECONDS,
        "request_inference_time_seconds": edges.REQUEST_EDGES_SECONDS,
        "request_prompt_tokens": lengths,
        "request_generation_tokens": lengths,
        "request_params_max_tokens": lengths,
        "request_prefill_kv_computed_tokens": lengths,
        "request_num_preemptions": edges.PREEMPTION_EDGES,
        "iteration_tokens": edges.ITERATION_EDGES_TOKENS,
    }


def _count(values: list[float], bounds: tuple[float, ...]) -> tuple[int, ...]:
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return tuple(counts)
