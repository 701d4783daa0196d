"""The engine's batch, its waiting queue and its KV blocks: vLLM V1's scheduler (`v1/core/sched/scheduler.py`).

One step's plan: running requests first, in order, each the tokens it lacks as far as the token budget goes; if blocks
run out, the last of the running list is preempted (its blocks are freed, its tokens kept, back to the head of the
queue) until they suffice; then, unless something was preempted, waiting requests from the head while there are seats,
budget and blocks for the head's whole sequence (head-of-line blocking).

Sequences that decode are not touched step by step, see `inflight.sim.decodes`.
"""

from collections import deque

from inflight.sim.decodes import Decodes
from inflight.sim.engine import EngineConfig
from inflight.sim.sequence import DECODE, ENDED, OUTSIDE, PREFILL, WAITING, Sequence
from inflight.sim.stats import Recorder


class Batch:
    """Who runs, who waits, and who holds which part of the cache."""

    def __init__(self, config: EngineConfig, record: Recorder) -> None:
        self._record = record
        self._seats = config.max_num_seqs
        self._budget = config.max_num_batched_tokens
        self._chunk = config.long_prefill_token_threshold or config.max_num_batched_tokens
        self._size = config.block_size_tokens
        self._keeps_blocks = config.prefix_caching
        self.running: dict[int, Sequence] = {}
        """In the order of admission, by serial number."""
        self.waiting: deque[Sequence] = deque()
        self.decodes = Decodes(config.kv_blocks - 1, config.block_size_tokens)
        self.prefills: list[Sequence] = []
        """Those of `running` that have not computed all their tokens yet, in order."""
        self.chunks: list[tuple[Sequence, int]] = []
        """Prefill work of the planned step: sequence and tokens."""
        self.starved: list[Sequence] = []
        """Decodes that the planned step leaves out for want of budget."""
        self.ended: list[Sequence] = []
        """Sequences that ended with the last step; they hold their seats and blocks until the next is planned."""

    def free_blocks(self, steps_ahead: int) -> int:
        """Blocks that nobody holds, once the decodes have what they need for that many more steps."""
        free = self.decodes.free_blocks(steps_ahead)
        if steps_ahead and self.starved:
            steps = self.decodes.steps
            free += sum((sequence.base + steps) % self._size == 0 for sequence in self.starved)
        return free

    def plan(self, at: float, read_at: float) -> None:
        """Decide the step that begins `at`, with what is in the queue; `read_at` is when the engine looked."""
        chunks = self.chunks
        decodes = self.decodes
        budget = self._budget - decodes.count
        # A lower bound of what is left after this step is cheap; counting exactly is needed only near the end.
        free = decodes.free_blocks_at_least(1)
        exact = free < 0 or bool(self.prefills)
        if exact:
            free = decodes.free_blocks(1)
            if free < 0 or self.prefills:
                budget, preempted = self._plan_running(at, free, budget)
                if preempted:
                    return
                free = decodes.free_blocks(1)
        waiting = self.waiting
        seats = self._seats - len(self.ended) - len(self.running)
        while waiting and budget > 0 and seats > 0:
            sequence = waiting[0]
            tokens = sequence.prompt + sequence.emitted
            need = self._blocks(sequence, tokens)
            if need > free and not exact:
                free = decodes.free_blocks(1)
                exact = True
            if need > free:
                return
            waiting.popleft()
            self._admit(sequence, tokens, read_at)
            new = min(tokens - sequence.computed, self._chunk, budget)
            decodes.allocate(sequence, self._blocks(sequence, sequence.computed + new))
            free -= sequence.blocks
            chunks.append((sequence, new))
            budget -= new
            seats -= 1

    def _blocks(self, sequence: Sequence, tokens: int) -> int:
        return -(-tokens // self._size) - sequence.shared_blocks

    def _plan_running(self, at: float, free: int, budget: int) -> tuple[int, bool]:
        """The running part of a step with a prefill under way or too few blocks: budget left, and if any was preempted.

        `free` counts the blocks that the decodes take in this step as taken already.
        """
        if len(self.prefills) == 1 and free >= 0:
            sequence = self.prefills[0]
            new = min(sequence.prompt + sequence.emitted - sequence.computed, self._chunk)
            if new > budget > 0 and next(reversed(self.running.values())) is sequence:
                new = budget
            blocks = self._blocks(sequence, sequence.computed + new)
            if new <= budget and blocks - sequence.blocks <= free:
                self.decodes.allocate(sequence, blocks)
                self.chunks.append((sequence, new))
                return budget - new, False
        return self._plan_in_order(at)

    def _plan_in_order(self, at: float) -> tuple[int, bool]:
        """The same for every case, one sequence after the other."""
        budget = self._budget
        size = self._size
        steps = self.decodes.steps
        taken = 0
        preempted = False
        for sequence in list(self.running.values()):
            if sequence.state == WAITING:
                break
            decodes = sequence.state == DECODE
            if budget == 0:
                if decodes:
                    self.starved.append(sequence)
                continue
            if decodes:
                new = 1
                need = 0 if (sequence.base + steps) % size else 1
            else:
                new = min(sequence.prompt + sequence.emitted - sequence.computed, self._chunk, budget)
                need = self._blocks(sequence, sequence.computed + new) - sequence.blocks
            while need > self.decodes.free_blocks(0) - taken and sequence.state != WAITING:
                self._preempt(next(reversed(self.running.values())), at)
                preempted = True
            if sequence.state == WAITING:
                break
            budget -= new
            if decodes:
                taken += need
            else:
                self.decodes.allocate(sequence, sequence.blocks + need)
                self.chunks.append((sequence, new))
        return budget, preempted

    def _admit(self, sequence: Sequence, tokens: int, read_at: float) -> None:
        size = self._size
        if sequence.preemptions:
            evicted = self.decodes.ever_allocated(1) - sequence.evict_from
            hits = min(sequence.full_blocks, sequence.held_blocks - max(0, evicted))
        else:
            hits = sequence.cached_prompt_tokens // size - sequence.shared_blocks
            sequence.scheduled_at = read_at
        if self._keeps_blocks:
            # The last token is always computed: its logits give the next one.
            hits = max(0, min(hits, (tokens - 1) // size - sequence.shared_blocks))
            sequence.computed = (sequence.shared_blocks + hits) * size
            sequence.blocks = hits
            self.decodes.held += hits
        if self._keeps_blocks and not sequence.preemptions:
            sequence.hit_tokens = sequence.computed
            self._record.cache_queries += sequence.prompt
            self._record.cache_hits += sequence.computed
        sequence.state = PREFILL
        self.prefills.append(sequence)
        self.running[sequence.serial] = sequence

    def _preempt(self, sequence: Sequence, at: float) -> None:
        if sequence.state == DECODE:
            self.decodes.leave(sequence)
            if not sequence.late:
                sequence.last_at = at
            sequence.late = False
        else:
            self.prefills.remove(sequence)
        self._record.preemptions += 1
        sequence.preemptions += 1
        sequence.full_blocks = sequence.computed // self._size - sequence.shared_blocks
        sequence.held_blocks = sequence.blocks
        sequence.evict_from = self.decodes.ever_allocated(0) + self.decodes.free_blocks(0)
        sequence.state = WAITING
        sequence.computed = 0
        self.decodes.held -= sequence.blocks
        sequence.blocks = 0
        del self.running[sequence.serial]
        self.waiting.appendleft(sequence)

    def end(self, sequence: Sequence) -> None:
        """Its last token has left; the seat and the blocks stay held for now."""
        if sequence.state == DECODE:
            self.decodes.leave(sequence)
        del self.running[sequence.serial]
        sequence.state = ENDED
        self.ended.append(sequence)

    def release_ended(self) -> None:
        for sequence in self.ended:
            self.decodes.held -= sequence.blocks
            sequence.state = OUTSIDE
        self.ended.clear()

    def drop(self, sequence: Sequence) -> None:
        """The engine reads that a client has gone."""
        if sequence.state == WAITING:
            self.waiting.remove(sequence)
        elif sequence.state == ENDED:
            self.ended.remove(sequence)
            self.decodes.held -= sequence.blocks
        elif sequence.state != OUTSIDE:
            if sequence.state == DECODE:
                self.decodes.leave(sequence)
            else:
                self.prefills.remove(sequence)
            del self.running[sequence.serial]
            self.decodes.held -= sequence.blocks
        sequence.state = OUTSIDE
