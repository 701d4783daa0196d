"""One replica of an inference server, as a pure function of time: vLLM V1's scheduler over a step-time model.

`submit` and `abort` say what clients do, `advance(until)` lets time pass and returns what they notice. Splitting an
advance into several changes nothing, to the bit. Between arrivals, admissions and endings a decode batch is constant:
such a run of steps is one closed form (`Run`), so that time passes at a few events per request however long its answer.
Times are seconds of model time.
"""

from math import inf, nextafter

from inflight.sim.core import EngineCore
from inflight.sim.engine import EngineConfig, Finished, FirstToken, ReplicaEvent, Request
from inflight.sim.sequence import DECODE, Sequence
from inflight.sim.stats import ReplicaStats

__all__ = ["EngineConfig", "Finished", "FirstToken", "Replica", "ReplicaEvent", "Request"]


class Replica:
    """One engine as its clients and its scrapers see it."""

    def __init__(self, config: EngineConfig, start: float) -> None:
        self.config = config
        self.now = start
        self._core = EngineCore(config, start)
        self._serial = 0
        self._leaving: list[Sequence] = []
        """Sequences whose clients go away after `now`."""

    @property
    def running(self) -> int:
        """Sequences in the batch. As all gauges, of the last step's end, as the engine's page shows it."""
        return self._core.gauges(self._steps_done())[0]

    @property
    def waiting(self) -> int:
        """Sequences in the engine's queue; what arrived during the last step is not in it yet."""
        return self._core.gauges(self._steps_done())[1]

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks that sequences hold."""
        return self._core.gauges(self._steps_done())[2]

    @property
    def in_flight(self) -> int:
        """Requests that a client waits for at this moment, whether the engine has seen them or not."""
        core = self._core
        ahead = 0
        for row in reversed(core.inputs[core.read :]):
            if row[0] <= self.now:
                break
            ahead += row[2] and row[3].arrived_at > self.now
        return len(core.clients) - ahead

    @property
    def busy_seconds(self) -> float:
        """Time with a step running, since the start."""
        core = self._core
        return core.busy + (self.now - core.run.start if core.stepping else 0.0)

    @property
    def stats(self) -> ReplicaStats:
        """Everything on the engine's page except its gauges, as of now."""
        done = self._steps_done()
        if not done:
            return self._core.record.value()
        return self._core.record.value_with(self._core.run, self._core.segments(done))

    def tokens_emitted(self, request_id: int) -> int:
        """Tokens of a request in flight that have left the engine by now."""
        sequence = self._core.clients.get(request_id)
        if sequence is None:
            raise KeyError(f"request {request_id} is not in flight on this replica: never submitted, ended or aborted")
        if sequence.state != DECODE:
            return sequence.emitted
        return sequence.base + self._core.batch.decodes.steps + self._steps_done() - sequence.prompt + 1

    def next_event_at(self) -> float | None:
        """When the replica's state next changes by itself; None when it has nothing to do."""
        if self._core.stepping:
            return self._core.end
        at = self._core.due_at()
        return at if at is None or at > self.now else nextafter(self.now, inf)

    def next_token_at(self) -> float | None:
        """When the step in progress ends, and with it the next tokens leave; None when no step is in progress."""
        return self._core.run.boundary(self._steps_done() + 1) if self._core.stepping else None

    def submit(self, request: Request, at: float) -> None:
        """A client sends a request. Raises ValueError for one the engine would refuse, and for times gone by."""
        if not self.now <= at < inf:
            raise ValueError(f"request {request.id} cannot arrive at {at}: the replica has advanced to {self.now}")
        clients = self._core.clients
        if request.id in clients:
            raise ValueError(f"request {request.id} is in flight already; ids must be unique among those in flight")
        config = self.config
        room = config.max_model_len_tokens - request.prompt_tokens
        limit = room if request.max_tokens is None else min(room, request.max_tokens)
        if request.prompt_tokens < 1 or request.output_tokens < 1 or limit < 1:
            raise ValueError(
                f"request {request.id} asks for {request.output_tokens} tokens after {request.prompt_tokens}; the "
                f"engine takes prompts of 1 to {config.max_model_len_tokens - 1} tokens and gives 1 or more"
            )
        self._serial += 1
        sequence = Sequence(request, self._serial, at, limit)
        if request.shared_prompt_tokens > 0 and config.prefix_caching:
            whole = min(request.shared_prompt_tokens, request.prompt_tokens - 1) // config.block_size_tokens
            sequence.shared_blocks = whole
        clients[request.id] = sequence
        self._core.put((at + config.frontend_delay_seconds, self._serial, True, sequence))

    def abort(self, request_id: int, at: float) -> None:
        """The client goes away: it gets nothing after `at`, and the engine drops the work when it next looks.

        An id that is not in flight (any more) is no mistake: answers and departures cross.
        """
        if not self.now <= at < inf:
            raise ValueError(f"request {request_id} cannot be aborted at {at}: the replica has advanced to {self.now}")
        sequence = self._core.clients.get(request_id)
        if sequence is None or sequence.gone_at < inf:
            return
        sequence.gone_at = at
        if at > self.now:
            self._leaving.append(sequence)
        else:
            del self._core.clients[request_id]
        self._serial += 1
        self._core.put((at, self._serial, False, sequence))

    def advance(self, until: float) -> list[ReplicaEvent]:
        """Let time pass; returns what left the engine up to and including `until`, in order of time, then of id."""
        if not until >= self.now:
            raise ValueError(f"time cannot go back from {self.now} to {until}")
        events: list[ReplicaEvent] = []
        if not self._core.stepping or self._core.end <= until:
            self._core.advance(until, events)
        self.now = until
        if self._leaving:
            self._let_go(until)
        return events

    def _steps_done(self) -> int:
        """Steps of the run in progress that are over."""
        core = self._core
        return core.run.steps_by(self.now) if core.stepping and core.run.length > 1 else 0

    def _let_go(self, until: float) -> None:
        clients = self._core.clients
        for sequence in self._leaving:
            if sequence.gone_at <= until and clients.get(sequence.id) is sequence:
                del clients[sequence.id]
        self._leaving = [sequence for sequence in self._leaving if sequence.gone_at > until]
