"""One request inside the engine, from its arrival to its last token."""

from math import inf

from inflight.sim.engine import Request

OUTSIDE, WAITING, PREFILL, DECODE, ENDED = range(5)


class Sequence:
    """What the scheduler knows of a request."""

    __slots__ = (
        "arrived_at", "base", "blocks", "cached_prompt_tokens", "computed", "emitted", "evict_from", "first_at",
        "full_blocks", "gone_at", "held_blocks", "hit_tokens", "id", "last_at", "last_step", "late", "max_tokens",
        "output", "preemptions", "prompt", "queued_at", "scheduled_at", "serial", "shared_blocks", "state",
    )  # fmt: skip

    def __init__(self, request: Request, serial: int, arrived_at: float, max_tokens: int) -> None:
        self.id = request.id
        self.serial = serial
        self.prompt = request.prompt_tokens
        self.output = min(request.output_tokens, max_tokens)
        self.max_tokens = max_tokens
        self.cached_prompt_tokens = request.cached_prompt_tokens
        self.arrived_at = arrived_at
        self.gone_at = inf
        """When the client went away: what leaves the engine later reaches nobody."""
        self.state = OUTSIDE
        self.queued_at = 0.0
        """When the engine read the request from its input queue."""
        self.scheduled_at = 0.0
        self.first_at = 0.0
        self.last_at = 0.0
        """When the latest token left, kept only where the next one does not come a step later."""
        self.late = False
        """Decoding, and its latest token did not leave with the latest step."""
        self.computed = 0
        """Tokens in the cache; while decoding it is `base` plus the batch's count of steps."""
        self.emitted = 0
        """Tokens that have left; while decoding it follows from `base`."""
        self.base = 0
        self.last_step = -1
        """The step, in the batch's count, that yields the last token."""
        self.blocks = 0
        """Blocks held; while decoding, those it held when it began to."""
        self.shared_blocks = 0
        """Blocks at its beginning that others hold anyway; not among `blocks`."""
        self.hit_tokens = 0
        self.preemptions = 0
        self.full_blocks = 0
        """Whole blocks that it had computed when it was preempted."""
        self.held_blocks = 0
        self.evict_from = 0
        """Blocks that must have been allocated in all before one of those that it held then is taken."""
