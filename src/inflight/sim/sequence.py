"""One request inside the engine, from its arrival to its last token."""

from math import inf

from inflight.sim.engine import Request

OUTSIDE, WAITING, PREFILL, DECODE, ENDED = range(5)


class Sequence:
    """What the scheduler knows of a request. Fields that most requests never set live on the class."""

    state = OUTSIDE
    queued_at = 0.0
    """When the engine read the request from its input queue."""
    scheduled_at = 0.0
    first_at = 0.0
    last_at = 0.0
    """When the latest token left, kept only where the next one does not come a step later."""
    late = False
    """Decoding, and its latest token did not leave with the latest step."""
    gone_at = inf
    """When the client went away: what leaves the engine later reaches nobody."""
    computed = 0
    """Tokens in the cache; while decoding it is `base` plus the batch's count of steps."""
    emitted = 0
    """Tokens that have left; while decoding it follows from `base`."""
    base = 0
    last_step = 0
    """The step, in the batch's count, that yields the last token."""
    blocks = 0
    hit_tokens = 0
    preemptions = 0
    full_blocks = 0
    """Whole blocks that a preempted sequence had computed."""
    held_blocks = 0
    evict_from = 0
    """Blocks that had to be allocated in all before the first of a preempted sequence's blocks is taken."""

    def __init__(self, request: Request, serial: int, arrived_at: float, max_tokens: int) -> None:
        self.id = request.id
        self.serial = serial
        self.prompt = request.prompt_tokens
        self.output = min(request.output_tokens, max_tokens)
        self.max_tokens = max_tokens
        self.cached_prompt_tokens = request.cached_prompt_tokens
        self.arrived_at = arrived_at
