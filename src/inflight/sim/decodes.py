"""The sequences that decode, and the blocks of the KV cache.

Each decoding sequence computes one token a step, so none of them is touched step by step. The group counts its steps:
a member holds `base + steps` cached tokens, and of `base` the group keeps the sum of the quotients by the block size
and how many members have each remainder. That gives the blocks of all of them at any step, exactly. The step that
yields a member's last token is known when it joins (`ends`, a heap).
"""

from heapq import heappop, heappush

from inflight.sim.sequence import DECODE, OUTSIDE, Sequence


class Decodes:
    """Counts, cached tokens and blocks of the decoding sequences, and when they end."""

    __slots__ = (
        "_allocated", "_phases", "_quotients", "_size", "_total", "count", "ends", "held", "kv_tokens", "steps",
    )  # fmt: skip

    def __init__(self, blocks: int, block_size_tokens: int) -> None:
        self._total = blocks
        self._size = block_size_tokens
        self._quotients = 0
        self._phases = [0] * block_size_tokens
        self._allocated = 0
        """Blocks ever allocated, less those that the members hold now."""
        self.held = 0
        """Blocks of sequences that are not members: in prefill, or ended a moment ago."""
        self.count = 0
        self.kv_tokens = 0
        """Cached tokens of all members, before the next step."""
        self.steps = 0
        self.ends: list[tuple[int, int, int, Sequence]] = []

    def join(self, sequence: Sequence) -> None:
        """All its tokens are computed and one was just emitted: from the next step on, a token a step."""
        size = self._size
        computed = sequence.computed
        base = computed - self.steps
        sequence.base = base
        sequence.state = DECODE
        self.count += 1
        self.kv_tokens += computed
        self._quotients += base // size - sequence.shared_blocks
        self._phases[base % size] += 1
        blocks = sequence.blocks
        self.held -= blocks
        self._allocated -= blocks
        sequence.last_step = last = sequence.prompt + sequence.output - 2 - base
        heappush(self.ends, (last, sequence.id, sequence.serial, sequence))

    def leave(self, sequence: Sequence) -> None:
        """Out of the group, its blocks still held, its numbers written down."""
        size = self._size
        base = sequence.base
        computed = base + self.steps
        self.count -= 1
        self.kv_tokens -= computed
        self._quotients -= base // size - sequence.shared_blocks
        self._phases[base % size] -= 1
        blocks = -(-computed // size) - sequence.shared_blocks
        self.held += blocks
        self._allocated += blocks
        sequence.blocks = blocks
        sequence.computed = computed
        sequence.emitted = computed - sequence.prompt + 1
        sequence.state = OUTSIDE
        sequence.last_step = -1

    def allocate(self, sequence: Sequence, blocks: int) -> None:
        """A sequence that is not a member takes blocks until it holds that many."""
        self.held += blocks - sequence.blocks
        self._allocated += blocks - sequence.blocks
        sequence.blocks = blocks

    def ended(self) -> list[Sequence]:
        """Members whose last step is over, by id. They have not left yet."""
        ends = self.ends
        done: list[Sequence] = []
        while ends and ends[0][0] < self.steps:
            last, _, _, sequence = heappop(ends)
            if sequence.last_step == last:
                # One that was preempted and came back without losing a step has two equal entries.
                sequence.last_step = -1
                done.append(sequence)
        return done

    def steps_to_end(self) -> int:
        """Steps until the first member (there must be one) has its last token."""
        ends = self.ends
        while ends[0][3].last_step != ends[0][0]:
            heappop(ends)
        return ends[0][0] - self.steps + 1

    def blocks(self, steps_ahead: int) -> int:
        """Blocks that all members hold after that many more steps."""
        size = self._size
        full, rest = divmod(self.steps + steps_ahead, size)
        blocks = self._quotients + self.count * (full + 1)
        if rest:
            return blocks + sum(self._phases[size - rest + 1 :])
        return blocks - self._phases[0]

    def free_blocks(self, steps_ahead: int) -> int:
        """Blocks that nobody holds after that many more steps."""
        return self._total - self.held - self.blocks(steps_ahead)

    def free_blocks_at_least(self, steps_ahead: int) -> int:
        """A lower bound of `free_blocks` that costs less."""
        full = (self.steps + steps_ahead) // self._size
        return self._total - self.held - self._quotients - self.count * (full + 2)

    def has_blocks_to_end(self) -> bool:
        """Whether there surely are blocks for all members until the first of them ends; says no too soon."""
        return not self.count or self.free_blocks_at_least(self.steps_to_end()) >= 0

    def ever_allocated(self, steps_ahead: int) -> int:
        """Blocks allocated since the beginning, after that many more steps."""
        return self._allocated + self.blocks(steps_ahead)

    def steps_with_blocks(self, most: int) -> int:
        """How many of the next `most` steps there are blocks for."""
        if self.free_blocks_at_least(most) >= 0 or self.free_blocks(most) >= 0:
            return most
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            if self.free_blocks(middle) >= 0:
                low = middle
            else:
                high = middle
        return low
