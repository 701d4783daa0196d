"""Records: decisions kept as lines of JSON, each with all that is needed to make the same decision again.

One line is one sync: what the controller saw, when, with which settings, what it remembered (or that nobody knows),
and what it did. A line stands on its own: it can be cut out, sorted, concatenated. The version leads the line; a newer
one is refused rather than half understood. Times are integer nanoseconds since 1970, values thousandths.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from inflight.hpa.controller import Controller
from inflight.hpa.decide import decide
from inflight.hpa.decision import Decision
from inflight.hpa.memory import Memory
from inflight.hpa.observation import ExternalAnswer, MetricAnswer, ObjectAnswer, Observation, PodsAnswer
from inflight.hpa.trace import Trace
from inflight.objects import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricStatus,
    ReleaseError,
    decode_hook,
    find_release,
    parse_time,
    to_json,
)

VERSION = 1
MAX_LINE_BYTES = 64 << 20
"""Some 100,000 pods; a longer line is refused."""
FIRST_NS = parse_time("2000-01-01T00:00:00Z")
LAST_NS = parse_time("2262-01-01T00:00:00Z")
"""Outside of these Go's differences of times overflow."""
MAX_SECONDS = 2**63 // 10**9
MAX_TOLERANCE = 10**9
UPSTREAM_DEFAULTS = Controller()
_SECONDS = (
    "sync_period_seconds",
    "downscale_stabilization_seconds",
    "cpu_initialization_period_seconds",
    "initial_readiness_delay_seconds",
)


class RecordError(ValueError):
    """A line that is no record, or one that cannot be used, and why."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sync did."""

    replicas: int
    """spec.replicas of the target afterwards."""
    desired_replicas: int
    """status.desiredReplicas afterwards."""
    rescaled: bool
    reason: str = ""
    conditions: tuple[HorizontalPodAutoscalerCondition, ...] = ()
    events: tuple[str, ...] = ()
    current_metrics: tuple[MetricStatus, ...] = ()
    trace: Trace | None = None
    """How it came about; None where the writer left it out or could only watch from outside."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sync of one HPA."""

    record: int
    """The version of the format."""
    now_ns: int
    hpa: HorizontalPodAutoscaler
    """With its defaults. Its status counts only where there is no memory."""
    observation: Observation
    controller: Controller
    """Always written out: a default would mean another release tomorrow."""
    memory: Memory | None = None
    """Before the sync. None: not known, because the controller was watched from outside."""
    outcome: Outcome | None = None
    """None: what was done was not seen."""

    @property
    def name(self) -> str:
        """`namespace/name` of the HPA."""
        return f"{self.hpa.metadata.namespace or 'default'}/{self.hpa.metadata.name}"

    def decide(self, memory: Memory | None = None) -> Decision:
        """The decision made again, with `memory` instead of the recorded one if given."""
        memory = memory or self.memory or Memory(status=self.hpa.status)
        return decide(self.hpa, self.observation, memory, self.now_ns, self.controller)


def make_record(
    hpa: HorizontalPodAutoscaler,
    observation: Observation,
    memory: Memory | None,
    now_ns: int,
    controller: Controller = UPSTREAM_DEFAULTS,
    *,
    decision: Decision | Outcome | None = None,
    with_trace: bool = True,
) -> Record:
    """The record of a sync: the arguments of `decide` in its order, then what came of it.

    Annotations and managed fields are left out: no decision depends on them. The HPA's own status is kept only where
    there is no memory, which otherwise holds it.
    """
    metadata = msgspec.structs.replace(hpa.metadata, annotations={}, managed_fields=())
    status = hpa.status if memory is None else HorizontalPodAutoscalerStatus()
    outcome = decision
    if isinstance(decision, Decision):
        outcome = outcome_of(decision)
    if isinstance(outcome, Outcome) and not with_trace:
        outcome = msgspec.structs.replace(outcome, trace=None)
    assert not isinstance(outcome, Decision)
    return Record(
        record=VERSION,
        now_ns=int(now_ns),
        hpa=msgspec.structs.replace(hpa, metadata=metadata, status=status),
        observation=msgspec.structs.replace(observation, answers=tuple(map(_with_plain_times, observation.answers))),
        controller=controller,
        memory=memory,
        outcome=outcome,
    )


def _with_plain_times(answer: MetricAnswer) -> MetricAnswer:
    """A `Time` is an integer too, but would be written as text without its fraction."""
    if not isinstance(answer, PodsAnswer) or all(type(each.timestamp_ns) is int for each in answer.values.values()):
        return answer
    values = {
        name: msgspec.structs.replace(each, timestamp_ns=int(each.timestamp_ns)) for name, each in answer.values.items()
    }
    return msgspec.structs.replace(answer, values=values)


def outcome_of(decision: Decision) -> Outcome:
    """What a record keeps of a decision."""
    return Outcome(
        replicas=decision.replicas,
        desired_replicas=decision.desired_replicas,
        rescaled=decision.rescaled,
        reason=decision.reason,
        conditions=decision.conditions,
        events=decision.events,
        current_metrics=decision.current_metrics,
        trace=decision.trace,
    )


def record_line(
    hpa: HorizontalPodAutoscaler,
    observation: Observation,
    memory: Memory | None,
    now_ns: int,
    controller: Controller = UPSTREAM_DEFAULTS,
    *,
    decision: Decision | Outcome | None = None,
    with_trace: bool = True,
) -> bytes:
    """One sync as a line of a record, with its line feed: what is appended to the file and nothing else.

    `memory` is what the decision was given, not what it gave back.
    """
    record = make_record(hpa, observation, memory, now_ns, controller, decision=decision, with_trace=with_trace)
    return to_json(record) + b"\n"


class _Head(msgspec.Struct, frozen=True):
    """What is looked at before a line is believed to be a record."""

    record: Any = None
    steps: msgspec.Raw = msgspec.Raw()
    method: msgspec.Raw = msgspec.Raw()


def read_record(line: bytes | str) -> Record:
    """A record from its line, checked so far that deciding about it raises nothing. Raises RecordError."""
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"the line is too long: at most {MAX_LINE_BYTES} bytes are read")
    try:
        _check_head(msgspec.json.decode(line, type=_Head))
        record = msgspec.json.decode(line, type=Record, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise RecordError(f"the record is damaged: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RecordError(f"the record is damaged or cut off, not JSON: {error}") from error
    _check(record)
    return record


def _check_head(head: _Head) -> None:
    version = head.record
    if isinstance(version, int) and not isinstance(version, bool):
        if version == VERSION:
            return
        if version > VERSION:
            raise RecordError(
                f"the record has version {version}, this program reads version {VERSION}: take a newer Inflight"
            )
    elif version is None:
        if bytes(head.steps) or bytes(head.method):
            raise RecordError("this is a decision case, not a record; explain takes it with --case")
        raise RecordError("this is no record: the field `record` with the version is missing")
    raise RecordError(f"the record is damaged: {str(version)[:40]!r} is no version")


def _check(record: Record) -> None:
    """Numbers as wide as upstream's, a release and gates that exist. Raises RecordError."""
    _within("now_ns", record.now_ns, FIRST_NS, LAST_NS)
    controller = record.controller
    try:
        find_release(controller.kubernetes, controller.feature_gates)
    except ReleaseError as error:
        raise RecordError(f"controller: {error}") from error
    for name in _SECONDS:
        value = getattr(controller, name)
        if not 0 <= value <= MAX_SECONDS:
            raise RecordError(f"controller.{name}: {value} lies outside of 0 to {MAX_SECONDS}")
    if not 0 <= controller.tolerance <= MAX_TOLERANCE:
        raise RecordError(f"controller.tolerance: {controller.tolerance} lies outside of 0 to {MAX_TOLERANCE}")
    seen = record.observation
    _int32("observation.replicas", seen.replicas)
    _int32("observation.status_replicas", seen.status_replicas)
    if len(seen.answers) != len(record.hpa.spec.metrics):
        metrics, answers = len(record.hpa.spec.metrics), len(seen.answers)
        raise RecordError(f"observation.answers: {answers} for {metrics} metrics; each metric has one")
    for index, answer in enumerate(seen.answers):
        _check_answer(f"observation.answers[{index}]", answer)
    if record.memory is not None:
        _check_memory(record.memory)
    if record.outcome is not None:
        _int32("outcome.replicas", record.outcome.replicas)
        _int32("outcome.desired_replicas", record.outcome.desired_replicas)


def _check_answer(where: str, answer: MetricAnswer) -> None:
    match answer:
        case PodsAnswer(values=values):
            for name, metric in values.items():
                for value in (metric.value_milli, metric.timestamp_ns, metric.window_ns):
                    _int64(f"{where}.values.{name[:60]}", value)
        case ObjectAnswer(value_milli=value):
            _int64(f"{where}.value_milli", value)
        case ExternalAnswer(values_milli=values):
            for value in values:
                _int64(f"{where}.values_milli", value)


def _check_memory(memory: Memory) -> None:
    for recommendation in memory.recommendations:
        _int32("memory.recommendations", recommendation.replicas)
        _int64("memory.recommendations", recommendation.at_ns)
    for event in (*memory.scale_ups, *memory.scale_downs):
        _int32("memory: scale events", event.change)
        _int64("memory: scale events", event.at_ns)


def _int32(where: str, number: int) -> None:
    _within(where, number, -(2**31), 2**31 - 1)


def _int64(where: str, number: int) -> None:
    _within(where, number, -(2**63), 2**63 - 1)


def _within(where: str, number: int, lowest: int, highest: int) -> None:
    if not lowest <= number <= highest:
        raise RecordError(f"{where}: {str(number)[:40]} lies outside of {lowest} to {highest}")


def read_records(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Record | RecordError]]:
    """The records of numbered lines, one after the other; a line that is none comes as its error, the rest goes on."""
    for number, line in lines:
        try:
            yield number, read_record(line)
        except RecordError as error:
            yield number, error


def differences(record: Record, decision: Decision) -> tuple[str, ...]:
    """Where the recorded outcome is not what `decision` says, as `replicas: recorded 5, computed 6`."""
    if record.outcome is None:
        return ()
    recorded, computed = _plain(record.outcome), _plain(outcome_of(decision))
    return tuple(
        f"{field}: recorded {_shown(recorded.get(field))}, computed {_shown(computed.get(field))}"
        for field in Outcome.__struct_fields__
        if recorded.get(field) != computed.get(field) and not (field == "trace" and record.outcome.trace is None)
    )


def _plain(outcome: Outcome) -> Mapping[str, Any]:
    """As read back: JSON has no infinity, so that ratios compare as they were written."""
    plain: Mapping[str, Any] = msgspec.json.decode(to_json(outcome))
    return plain


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode() if value is not None else "nothing"
    return text if len(text) <= 200 else text[:200] + "..."
