"""The sequences that decode: each computes one token a step, so none of them is touched step by step.

The group counts its steps. A sequence holds `base + steps` cached tokens; of `base` the group keeps the sum of
quotients by the block size and how many sequences have each remainder (`phases`), which gives the blocks of all of
them at any step, exactly. The step that yields a sequence's last token is known when it joins (`ends`, a heap).
"""

from heapq import heappop, heappush

from inflight.sim.sequence import DECODE, OUTSIDE, Sequence


class Decodes:
    """Counts, cached tokens and blocks of a decode batch, and when its members end."""

    __slots__ = ("count", "ends", "joined_blocks", "kv_tokens", "phases", "quotients", "size", "steps")

    def __init__(self, block_size_tokens: int) -> None:
        self.size = block_size_tokens
        self.count = 0
        self.kv_tokens = 0
        """Cached tokens of all of them, before the next step."""
        self.steps = 0
        self.quotients = 0
        self.phases = [0] * block_size_tokens
        self.joined_blocks = 0
        """Blocks they held when they joined."""
        self.ends: list[tuple[int, int, int, Sequence]] = []

    def join(self, sequence: Sequence) -> None:
        """All its tokens are computed and one was just emitted: from the next step on, a token a step."""
        size = self.size
        computed = sequence.computed
        base = computed - self.steps
        sequence.base = base
        sequence.state = DECODE
        self.count += 1
        self.kv_tokens += computed
        self.quotients += base // size
        self.phases[base % size] += 1
        self.joined_blocks += sequence.blocks
        sequence.last_step = last = sequence.prompt + sequence.output - 2 - base
        heappush(self.ends, (last, sequence.id, sequence.serial, sequence))

    def leave(self, sequence: Sequence) -> int:
        """Out of the group, with its numbers written down; returns the blocks it took while it was in."""
        size = self.size
        base = sequence.base
        computed = base + self.steps
        self.count -= 1
        self.kv_tokens -= computed
        self.quotients -= base // size
        self.phases[base % size] -= 1
        blocks = -(-computed // size)
        taken = blocks - sequence.blocks
        self.joined_blocks -= sequence.blocks
        sequence.blocks = blocks
        sequence.computed = computed
        sequence.emitted = computed - sequence.prompt + 1
        sequence.state = OUTSIDE
        sequence.last_step = -1
        return taken

    def ended(self) -> list[Sequence]:
        """Those whose last step is over, by id; they have not left yet."""
        ends = self.ends
        steps = self.steps
        done: list[Sequence] = []
        while ends and ends[0][0] < steps:
            last, _, _, sequence = heappop(ends)
            if sequence.last_step == last:
                # One that was preempted and came back without losing a step has two equal entries.
                sequence.last_step = -1
                done.append(sequence)
        return done

    def steps_to_end(self) -> int:
        """Steps until the first of them (there must be one) has its last token."""
        ends = self.ends
        while True:
            last, _, _, sequence = ends[0]
            if sequence.last_step == last:
                return last - self.steps + 1
            heappop(ends)

    def blocks(self, steps_ahead: int = 0) -> int:
        """Blocks that all of them hold after that many more steps."""
        size = self.size
        full, rest = divmod(self.steps + steps_ahead, size)
        blocks = self.quotients + self.count * (full + 1)
        if rest:
            return blocks + sum(self.phases[size - rest + 1 :])
        return blocks - self.phases[0]

    def blocks_at_most(self, steps_ahead: int) -> int:
        """An upper bound of `blocks`, without looking at the phases."""
        return self.quotients + self.count * ((self.steps + steps_ahead) // self.size + 2)

    def blocks_for_step(self) -> int:
        """Blocks that all of them take in the next step."""
        return self.phases[-self.steps % self.size]

    def steps_with_blocks(self, most: int, blocks: int) -> int:
        """How many of the next `most` steps those blocks suffice for, held ones included."""
        if self.blocks_at_most(most) <= blocks or self.blocks(most) <= blocks:
            return most
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            if self.blocks(middle) <= blocks:
                low = middle
            else:
                high = middle
        return low
