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
        self._total = config.kv_blocks - 1
        self._held = 0
        """Blocks of sequences in prefill and of those that just ended."""
        self._allocated = 0
        """Blocks ever allocated, but for the growth of those that decode now."""
        self.running: dict[int, Sequence] = {}
        """In the order of admission, by serial number."""
        self.waiting: deque[Sequence] = deque()
        self.decodes = Decodes(config.block_size_tokens)
        self.prefills: list[Sequence] = []
        """Those of `running` that have not computed all their tokens yet, in order."""
        self.chunks: list[tuple[Sequence, int]] = []
        """Prefill work of the planned step: sequence and tokens."""
        self.starved: list[Sequence] = []
        """Decodes that the planned step leaves out for want of budget."""
        self.ended: list[Sequence] = []
        """Sequences that ended with the last step; they hold their seats and blocks until the next is planned."""

    def free_blocks(self, steps_ahead: int = 0) -> int:
        """Blocks that nobody holds, once the decodes have what they need after that many more steps."""
        free = self._total - self._held - self.decodes.blocks(steps_ahead)
        if steps_ahead and self.starved:
            steps = self.decodes.steps
            free += sum((sequence.base + steps) % self._size == 0 for sequence in self.starved)
        return free

    def plan(self, at: float, read_at: float) -> None:
        """Decide the step that begins `at`, with what is in the queue; `read_at` is when the engine looked."""
        self.chunks = chunks = []
        decodes = self.decodes
        budget = self._budget - decodes.count
        # A lower bound of what is left after this step is cheap; counting exactly is needed only near the end.
        free = self._total - self._held - decodes.blocks_at_most(1)
        exact = free < 0 or bool(self.prefills)
        if exact:
            free = self.free_blocks(1)
            if free < 0 or self.prefills:
                budget, preempted = self._plan_running(at, free, budget)
                if preempted:
                    return
                free = self.free_blocks(1)
        waiting = self.waiting
        seats = self._seats - len(self.ended) - len(self.running)
        while waiting and budget > 0 and seats > 0:
            sequence = waiting[0]
            tokens = sequence.prompt + sequence.emitted
            if not exact and -(-tokens // self._size) > free:
                free = self.free_blocks(1)
                exact = True
            if -(-tokens // self._size) > free:
                return
            waiting.popleft()
            self._admit(sequence, tokens, read_at)
            new = min(tokens - sequence.computed, self._chunk, budget)
            self._grow(sequence, new)
            free -= sequence.blocks
            chunks.append((sequence, new))
            budget -= new
            seats -= 1

    def _grow(self, sequence: Sequence, new: int) -> None:
        """Blocks for that many more tokens of a prefill."""
        blocks = -(-(sequence.computed + new) // self._size)
        self._held += blocks - sequence.blocks
        self._allocated += blocks - sequence.blocks
        sequence.blocks = blocks

    def _plan_running(self, at: float, free: int, budget: int) -> tuple[int, bool]:
        """The running part of a step with a prefill under way or too few blocks: budget left, and if any was preempted.

        `free` counts the blocks that the decodes take in this step as taken already.
        """
        if len(self.prefills) == 1 and free >= 0:
            sequence = self.prefills[0]
            new = min(sequence.prompt + sequence.emitted - sequence.computed, self._chunk)
            if new > budget > 0 and next(reversed(self.running.values())) is sequence:
                new = budget
            if new <= budget and -(-(sequence.computed + new) // self._size) - sequence.blocks <= free:
                self._grow(sequence, new)
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
                need = -(-(sequence.computed + new) // size) - sequence.blocks
            while need > self.free_blocks() - taken and sequence.state != WAITING:
                self._preempt(next(reversed(self.running.values())), at)
                preempted = True
            if sequence.state == WAITING:
                break
            budget -= new
            if decodes:
                taken += need
            else:
                self._grow(sequence, new)
                self.chunks.append((sequence, new))
        return budget, preempted

    def _ever_allocated(self, steps_ahead: int) -> int:
        return self._allocated + self.decodes.blocks(steps_ahead) - self.decodes.joined_blocks

    def _admit(self, sequence: Sequence, tokens: int, read_at: float) -> None:
        size = self._size
        if sequence.preemptions:
            evicted = self._ever_allocated(1) - sequence.evict_from
            hits = min(sequence.full_blocks, sequence.held_blocks - max(0, evicted))
        else:
            hits = sequence.cached_prompt_tokens // size
            sequence.scheduled_at = read_at
        if hits > 0 and self._keeps_blocks:
            # The last token is always computed: its logits give the next one.
            hits = min(hits, (tokens - 1) // size)
            sequence.computed = hits * size
            sequence.blocks = hits
            self._held += hits
        if self._keeps_blocks and not sequence.preemptions:
            sequence.hit_tokens = sequence.computed
            self._record.cache_queries += sequence.prompt
            self._record.cache_hits += sequence.computed
        sequence.state = PREFILL
        self.prefills.append(sequence)
        self.running[sequence.serial] = sequence

    def _preempt(self, sequence: Sequence, at: float) -> None:
        if sequence.state == DECODE:
            self.leave_decodes(sequence)
            if not sequence.late:
                sequence.last_at = at
            sequence.late = False
        else:
            self.prefills.remove(sequence)
        self._record.preemptions += 1
        sequence.preemptions += 1
        sequence.full_blocks = sequence.computed // self._size
        sequence.held_blocks = sequence.blocks
        sequence.evict_from = self._ever_allocated(0) + self.free_blocks()
        sequence.state = WAITING
        sequence.computed = 0
        self._held -= sequence.blocks
        sequence.blocks = 0
        del self.running[sequence.serial]
        self.waiting.appendleft(sequence)

    def join_decodes(self, sequence: Sequence) -> None:
        self._held -= sequence.blocks
        self.decodes.join(sequence)

    def leave_decodes(self, sequence: Sequence) -> None:
        self._allocated += self.decodes.leave(sequence)
        self._held += sequence.blocks

    def end(self, sequence: Sequence) -> None:
        """Its last token has left; the seat and the blocks stay held for now."""
        if sequence.state == DECODE:
            self.leave_decodes(sequence)
        del self.running[sequence.serial]
        sequence.state = ENDED
        self.ended.append(sequence)

    def release_ended(self) -> None:
        for sequence in self.ended:
            self._held -= sequence.blocks
            sequence.state = OUTSIDE
        self.ended.clear()

    def drop(self, sequence: Sequence) -> None:
        """The engine reads that a client has gone."""
        if sequence.state == WAITING:
            self.waiting.remove(sequence)
        elif sequence.state == ENDED:
            self.ended.remove(sequence)
            self._held -= sequence.blocks
        elif sequence.state != OUTSIDE:
            if sequence.state == DECODE:
                self.leave_decodes(sequence)
            else:
                self.prefills.remove(sequence)
            del self.running[sequence.serial]
            self._held -= sequence.blocks
        sequence.state = OUTSIDE

    def steps_with_blocks(self, most: int) -> int:
        """How many of the next `most` steps there are blocks for."""
        return self.decodes.steps_with_blocks(most, self._total - self._held)
