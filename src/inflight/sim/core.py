"""The engine's loop: steps end, tokens leave, the next step is planned and begins.

With async scheduling the plan of step k + 1 is made when step k begins, so it knows what had arrived by then, and the
seats and blocks of what ends with step k are still held. The loop decides at the end of step k, with exactly that
knowledge. Without it, step k + 1 is planned with all that is known when step k ends. A decode batch that stays the same
is one `Run`; whatever may change it cuts the run at the step after which the engine would act.
"""

from bisect import insort
from collections.abc import Sequence as Rows
from math import inf

from inflight.sim.batch import Batch
from inflight.sim.engine import EngineConfig, Finished, FinishReason, FirstToken, ReplicaEvent
from inflight.sim.run import Run
from inflight.sim.sequence import DECODE, PREFILL, WAITING, Sequence
from inflight.sim.stats import Recorder

Input = tuple[float, int, bool, Sequence]
"""When the engine could read it, a serial number, whether it arrives or else leaves, and who."""


class EngineCore:
    """The input queue, the batch, the run of steps in progress, and who still waits for an answer."""

    def __init__(self, config: EngineConfig, start: float) -> None:
        self._step_time = config.step_time
        self._kv_price = config.step_time.d_seconds_per_kv_token
        self._blocks = config.kv_blocks - 1
        self._async = config.async_scheduling
        self.record = Recorder(config.max_model_len_tokens)
        self.batch = Batch(config, self.record)
        self.clients: dict[int, Sequence] = {}
        """Sequences whose client waits, by request id."""
        self.inputs: list[Input] = []
        self.read = 0
        """Rows of `inputs` that the engine has read."""
        self._next_input_at = inf
        self._aborts = 0
        """Rows that it has not read and that are aborts."""
        self.run = Run(start, 0.0, 0.0, 0)
        self.stepping = False
        self.end = inf
        self.busy = 0.0
        """Seconds of finished runs."""
        self._free_at = start
        self._open = False
        """The run is cut short by what arrives."""
        self._ghosts: list[Sequence] = []
        """Sequences that decode on for a client that goes away, until the engine reads it."""
        self._late: list[Sequence] = []
        """Decoding sequences whose latest token did not leave with the latest step."""
        self._bases: dict[int, float] = {}
        self._frozen: tuple[int, int, float] | None = (0, 0, 0.0)
        """Gauges as of the last step's end, where the state has moved on since."""

    def put(self, row: Input) -> None:
        """Something for the engine to read at row[0]."""
        inputs = self.inputs
        at = row[0]
        if not inputs or inputs[-1][0] <= at:
            inputs.append(row)
        else:
            insort(inputs, row, lo=self.read)
        self._next_input_at = min(self._next_input_at, at)
        if not row[2]:
            self._aborts += 1
            if row[3].state == DECODE:
                self._ghosts.append(row[3])
        if self._open or (not row[2] and self.stepping):
            self._cut(at)

    def due_at(self) -> float | None:
        """When the next step could begin, if none is in progress."""
        if self.batch.running or self.batch.waiting:
            return self._free_at
        return None if self._next_input_at == inf else max(self._free_at, self._next_input_at)

    def advance(self, until: float, events: list[ReplicaEvent]) -> None:
        """Everything that happens up to and including `until`."""
        while True:
            if self.stepping:
                if self.end > until:
                    return
                self._complete(events)
            else:
                at = self.due_at()
                # What arrives exactly at `at` may still be on its way.
                if at is None or at >= until:
                    return
                if self._frozen is None:
                    self._frozen = self._state(0, 0)
                self._begin(at, at)

    def gauges(self, steps: int) -> tuple[int, int, float]:
        """Running, waiting and KV usage as the page shows them when `steps` steps of the run are over."""
        if steps == 0 and self._frozen is not None:
            return self._frozen
        unread = self.arrivals_by(self.run.boundary(steps - 1)) if steps else 0
        return self._state(steps + (self._async and self.stepping), unread)

    def _state(self, steps_ahead: int, unread: int) -> tuple[int, int, float]:
        batch = self.batch
        usage = 1.0 - batch.free_blocks(steps_ahead) / self._blocks
        return len(batch.running), len(batch.waiting) + unread, usage

    def arrivals_by(self, at: float) -> int:
        """Requests not read yet that were there to be read at that moment."""
        count = 0
        for seen, _, arrives, sequence in self.inputs[self.read :]:
            if seen > at:
                break
            count += arrives and sequence.gone_at > seen
        return count

    def segments(self, steps: int) -> Rows[tuple[int, int, int]]:
        """Stretches of the first `steps` steps of the run: from, to, and the tokens a step that reach somebody."""
        tokens = self.batch.decodes.count
        if not self._ghosts:
            return ((0, steps, tokens),)
        stretches = []
        start = 0
        for cut in sorted(min(steps, self.run.steps_by(ghost.gone_at)) for ghost in self._ghosts):
            if cut > start:
                stretches.append((start, cut, tokens))
                start = cut
            tokens -= 1
        if steps > start:
            stretches.append((start, steps, tokens))
        return stretches

    def _cut(self, at: float) -> None:
        """End the run where the engine acts on what it can read at `at`."""
        run = self.run
        if run.length > 1:
            steps = max(1, run.first_boundary_from(at) + self._async)
            if steps < run.length:
                run.length = steps
                self.end = run.boundary(steps)

    def _cut_for_inputs(self) -> None:
        for at, _, arrives, sequence in self.inputs[self.read :]:
            if self._open if arrives else sequence.emitted < sequence.output:
                self._cut(at)
                return

    def _read_inputs(self, read_at: float) -> None:
        inputs = self.inputs
        run = self.run
        batch = self.batch
        row = self.read
        while row < len(inputs) and inputs[row][0] <= read_at:
            seen, _, arrives, sequence = inputs[row]
            row += 1
            if not arrives:
                self._aborts -= 1
                batch.drop(sequence)
            elif sequence.gone_at > seen:
                # The engine looks into its input queue between steps, so also between those of the last run.
                sequence.queued_at = read_at
                if run.length > 1 and seen <= self._free_at:
                    sequence.queued_at = run.boundary(run.first_boundary_from(seen))
                sequence.state = WAITING
                batch.waiting.append(sequence)
        if row > 512 and row * 2 > len(inputs):
            del inputs[:row]
            row = 0
        self.read = row
        self._next_input_at = inputs[row][0] if row < len(inputs) else inf

    def _begin(self, at: float, read_at: float) -> None:
        """Plan and begin the step at `at` with what the engine knew at `read_at`; see how long its batch will last."""
        batch = self.batch
        decodes = batch.decodes
        if self._next_input_at <= read_at:
            self._read_inputs(read_at)
        batch.chunks = []
        roomy = not batch.waiting and not batch.prefills and decodes.has_blocks_to_end()
        if not roomy:
            batch.plan(at, read_at)
        held = bool(batch.ended)
        if held:
            batch.release_ended()
        if self._ghosts:
            self._ghosts = [ghost for ghost in self._ghosts if ghost.state == DECODE]
        count = decodes.count
        run = self.run
        run.start = at
        self._open = False
        if batch.chunks or batch.starved:
            run.first = self._mixed_step()
            run.slope = 0.0
            run.length = 1
            self.end = at + run.first
            self.stepping = True
            return
        if not count:
            self.stepping = False
            self.end = inf
            return
        self.stepping = True
        base = self._bases.get(count)
        if base is None:
            base = self._step_time.seconds(prefill_tokens=0, prefills=0, decodes=count, kv_tokens=0)
            self._bases[count] = base
        run.first = base + self._kv_price * decodes.kv_tokens
        run.slope = self._kv_price * count
        if self._late or (held and batch.waiting):
            run.length = 1
        else:
            run.length = decodes.steps_to_end()
            if not roomy:
                run.length = decodes.steps_with_blocks(run.length)
            self._open = not batch.waiting
        self.end = run.boundary(run.length)
        if self._next_input_at <= self.end and (self._open or self._aborts):
            self._cut_for_inputs()

    def _mixed_step(self) -> float:
        """Seconds of the planned step, which has prefill work in it or leaves decodes out."""
        batch = self.batch
        decodes = batch.decodes.count - len(batch.starved)
        kv_tokens = batch.decodes.kv_tokens
        for sequence in batch.starved:
            kv_tokens -= sequence.base + batch.decodes.steps
        prefills = prefill_tokens = 0
        pairs = 0.0
        for sequence, new in batch.chunks:
            if new == 1 and sequence.emitted and sequence.computed == sequence.prompt + sequence.emitted - 1:
                decodes += 1
                kv_tokens += sequence.computed
            else:
                prefills += 1
                prefill_tokens += new
                pairs += new * (sequence.computed + 0.5 * new)
        return self._step_time.seconds(
            prefill_tokens=prefill_tokens, prefills=prefills, decodes=decodes, kv_tokens=kv_tokens, token_pairs=pairs
        )

    def _complete(self, events: list[ReplicaEvent]) -> None:
        """The run in progress is over: tokens leave, sequences end, and the next step is planned."""
        run = self.run
        batch = self.batch
        record = self.record
        at = self.end
        length = run.length
        self.busy += at - run.start
        self._free_at = at
        record.steps += length
        if batch.chunks or self._late or batch.starved:
            self._end_mixed_step(at, events)
        else:
            decodes = batch.decodes
            if self._ghosts:
                for start, stop, tokens in self.segments(length):
                    record.add_steps(run.first + run.slope * start, run.slope, stop - start, tokens, tokens)
            else:
                record.add_steps(run.first, run.slope, length, decodes.count, decodes.count)
            decodes.steps += length
            decodes.kv_tokens += length * decodes.count
            if decodes.ends[0][0] < decodes.steps:
                for sequence in decodes.ended():
                    self._end(sequence, at, events)
        if self._async:
            self._frozen = None
            if batch.waiting or self._next_input_at <= at:
                self._begin(at, run.boundary(length - 1))
            else:
                self._begin(at, at)
        else:
            batch.release_ended()
            self._frozen = self._state(0, self.arrivals_by(run.boundary(length - 1)))
            self.stepping = False
            self._open = False
            self.end = inf

    def _end_mixed_step(self, at: float, events: list[ReplicaEvent]) -> None:
        """The end of a step in which not every sequence just decoded."""
        batch = self.batch
        record = self.record
        decodes = batch.decodes
        if self._ghosts or self._late or batch.starved:
            outputs, heard, usual = self._end_odd_decodes(at)
        else:
            outputs = heard = usual = decodes.count
            decodes.steps += 1
            decodes.kv_tokens += heard
        ended = decodes.ended()
        firsts: list[ReplicaEvent] = []
        prompt_tokens = 0
        for sequence, new in batch.chunks:
            sequence.computed += new
            if sequence.computed < sequence.prompt + sequence.emitted:
                continue
            outputs += 1
            sequence.emitted += 1
            if sequence.gone_at >= at:
                heard += 1
                if sequence.emitted == 1:
                    prompt_tokens += sequence.prompt - sequence.hit_tokens
                    sequence.first_at = at
                    record.add_first(sequence, at)
                    firsts.append(FirstToken(sequence.id, at))
                else:
                    record.add_gap(at - sequence.last_at)
            if sequence.emitted == sequence.output:
                ended.append(sequence)
            else:
                decodes.join(sequence)
                if sequence.gone_at < inf:
                    self._ghosts.append(sequence)
        if outputs:
            record.add_steps(self.run.first, 0.0, 1, usual, heard + prompt_tokens)
        events += firsts if len(firsts) < 2 else sorted(firsts, key=_by_id)
        for sequence in ended if len(ended) < 2 else sorted(ended, key=_by_id):
            self._end(sequence, at, events)
        batch.prefills = [sequence for sequence in batch.prefills if sequence.state == PREFILL]

    def _end_odd_decodes(self, at: float) -> tuple[int, int, int]:
        """One step of decodes where some have no client, no budget, or a latest token that is older than the others'.

        Returns how many emitted, how many of those to a client, and how many of those a step after their last.
        """
        batch = self.batch
        decodes = batch.decodes
        starved = batch.starved
        outputs = heard = decodes.count - len(starved)
        for ghost in self._ghosts:
            heard -= ghost.gone_at < at and ghost not in starved
        usual = heard
        for sequence in self._late:
            if sequence.late and sequence not in starved:
                sequence.late = False
                if sequence.gone_at >= at:
                    self.record.add_gap(at - sequence.last_at)
                    usual -= 1
        for sequence in starved:
            decodes.leave(sequence)
            if not sequence.late:
                sequence.late = True
                sequence.last_at = self.run.start
                self._late.append(sequence)
        self._late = [sequence for sequence in self._late if sequence.late]
        decodes.steps += 1
        decodes.kv_tokens += outputs
        for sequence in starved:
            decodes.join(sequence)
        batch.starved = []
        return outputs, heard, usual

    def _end(self, sequence: Sequence, at: float, events: list[ReplicaEvent]) -> None:
        self.batch.end(sequence)
        if sequence.gone_at >= at:
            del self.clients[sequence.id]
            self.record.add_end(sequence, at)
            reason: FinishReason = "length" if sequence.output == sequence.max_tokens else "stop"
            events.append(Finished(sequence.id, at, reason, sequence.output))


def _by_id(one: Sequence | ReplicaEvent) -> int:
    return one.id
