"""The format of decision cases: one JSON object a line, read into values.

A *story* is one HPA over several syncs; a *call* asks the replica calculator a single question. Keys that are not known
are passed over. What a line must hold and what is taken for an absent key is written down in docs/decision.md.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from inflight.hpa.controller import NEWEST_JUDGED, Controller
from inflight.hpa.observation import (
    ExternalAnswer,
    FailedAnswer,
    MetricAnswer,
    ObjectAnswer,
    PodMetric,
    PodsAnswer,
)
from inflight.objects import (
    ObjectError,
    Pod,
    Quantity,
    Time,
    TimeError,
    decode_hook,
    decode_pod,
    parse_time,
)

YEAR_2000 = parse_time("2000-01-01T00:00:00Z")
MAX_LINE_BYTES = 64 << 20
MAX_SECONDS = 2**63 // 10**9
"""What fits Go's durations, 292 years."""
LAST_MOMENT = parse_time("2262-01-01T00:00:00Z")
"""Nothing is played after it: there Go's differences of times end."""

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]

METHODS = (
    "GetResourceReplicas",
    "GetRawResourceReplicas",
    "GetMetricReplicas",
    "GetObjectMetricReplicas",
    "GetObjectPerPodMetricReplicas",
    "GetExternalMetricReplicas",
    "GetExternalPerPodMetricReplicas",
)


class CaseError(ValueError):
    """A case that cannot be played, and why."""


class ControllerFlags(msgspec.Struct, frozen=True, rename="camel"):
    """Flags of the controller; each may be absent alone."""

    sync_period_seconds: float | None = None
    downscale_stabilization_seconds: float | None = None
    cpu_initialization_period_seconds: float | None = None
    initial_readiness_delay_seconds: float | None = None
    tolerance: float | None = None

    def given(self) -> dict[str, float]:
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


class StoryScale(msgspec.Struct, frozen=True, rename="camel"):
    """The target at the start."""

    replicas: Int32
    selector: str | None = None


class StepScale(msgspec.Struct, frozen=True, rename="camel"):
    """What another writer set just before the sync."""

    replicas: Int32 | None = None


class ScaleErrors(msgspec.Struct, frozen=True, rename="camel"):
    """What reading and writing the scale answer."""

    get: str | None = None
    update: str | None = None
    conflicts: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    """The first so many writes fail with a conflict, whose whole text is that of `update`."""
    replicas: Int32 | None = None
    """What the writer that was quicker has set, where there are conflicts."""


class OtherHpa(msgspec.Struct, frozen=True, rename="camel"):
    """Another HPA of the namespace, by what it selects (absent: what this one does)."""

    name: str = ""
    selector: str | None = None


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """One sync as it is written; pods, metrics and an edited HPA are still plain values."""

    pods: list[dict[str, Any]] | None = None
    metrics: dict[str, Any] | None = None
    scale: StepScale | None = None
    status_replicas: Int32 | None = None
    scale_errors: ScaleErrors | None = None
    status_error: str | None = None
    restart: bool | None = None
    late_seconds: float | None = None
    hpa: dict[str, Any] | None = None
    edited_after_seconds: float | None = None
    other_hpas: list[OtherHpa] | None = None


class StoryLine(msgspec.Struct, frozen=True, rename="camel"):
    """A story as it is written."""

    hpa: dict[str, Any]
    scale: StoryScale
    steps: list[Step | None]
    id: str = ""
    kubernetes: str | None = None
    feature_gates: dict[str, bool] | None = None
    controller: ControllerFlags | None = None
    start: str | None = None


class Tolerances(msgspec.Struct, frozen=True, rename="camel"):
    """Of the two directions of a call."""

    scale_down: float | None = None
    scale_up: float | None = None


class CallLine(msgspec.Struct, frozen=True, rename="camel"):
    """A call of the replica calculator as it is written."""

    method: str
    id: str = ""
    kubernetes: str | None = None
    feature_gates: dict[str, bool] | None = None
    controller: ControllerFlags | None = None
    current: int = 0
    target: int = 0
    tolerances: Tolerances | None = None
    pods: list[dict[str, Any]] | None = None
    selector: str | None = None
    metrics: Any = None
    metrics_error: str | None = None
    resource: str | None = None
    container: str | None = None
    now: str | None = None


def decode_line(line: bytes | str) -> dict[str, Any]:
    """The plain object of a line. Raises CaseError."""
    if len(line) > MAX_LINE_BYTES:
        raise CaseError(f"the line has {len(line)} bytes; at most {MAX_LINE_BYTES} are read")
    try:
        plain = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CaseError(f"not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise CaseError("a case is a JSON object")
    return plain


def read_case(plain: Mapping[str, Any]) -> StoryLine | CallLine:
    """A story, or a call where there is a `method`. Raises CaseError."""
    wanted: type[StoryLine | CallLine] = CallLine if plain.get("method") else StoryLine
    try:
        return msgspec.convert({key: value for key, value in plain.items() if value is not None}, wanted)
    except msgspec.ValidationError as error:
        raise CaseError(f"the case cannot be read: {error}") from error


def read_controller(line: StoryLine | CallLine, architecture: str = "amd64") -> Controller:
    """Release, gates and flags; what the release does not know is found out when it is used."""
    flags = line.controller.given() if line.controller else {}
    for name, value in flags.items():
        if name.endswith("_seconds") and abs(value) > MAX_SECONDS:
            raise CaseError(f"controller: {name}: {value} seconds are more than a duration holds ({MAX_SECONDS})")
    fields = {
        "kubernetes": NEWEST_JUDGED if line.kubernetes is None else line.kubernetes,
        "feature_gates": line.feature_gates or {},
        "architecture": architecture,
        **flags,
    }
    try:
        return msgspec.convert(fields, Controller)
    except msgspec.ValidationError as error:
        raise CaseError(f"controller: {error}") from error


def read_moment(text: str | None, name: str) -> Time:
    """An instant from 2000 on. Raises CaseError."""
    if not text:
        return YEAR_2000
    try:
        moment = parse_time(text)
    except TimeError as error:
        raise CaseError(f"{name}: {error}") from error
    if not YEAR_2000 <= moment <= LAST_MOMENT:
        raise CaseError(f"{name}: {text} lies before 2000 or after {LAST_MOMENT}")
    return moment


def read_pods(plain: list[dict[str, Any]] | None) -> tuple[Pod, ...]:
    """Raises CaseError."""
    try:
        pods = _read_pods(plain or [])
    except ObjectError as error:
        raise CaseError(str(error)) from error
    names = {(pod.metadata.namespace, pod.metadata.name) for pod in pods}
    if len(names) != len(pods) or any(not name for _, name in names):
        raise CaseError("every pod has a name of its own")
    return pods


def _read_pods(plain: list[dict[str, Any]]) -> tuple[Pod, ...]:
    try:
        return msgspec.convert(plain, tuple[Pod, ...], dec_hook=_read_text)
    except msgspec.ValidationError:
        # Mostly a null where a default could stand; else this says which pod and field it is.
        return tuple(decode_pod(each) for each in plain)


def _read_text(wanted: Any, value: Any) -> Any:
    if value is None and wanted is Quantity:
        value = "0"  # as Go reads it
    return _remembered(wanted, value) if isinstance(value, str) else decode_hook(wanted, value)


@lru_cache(maxsize=1 << 14)
def _remembered(wanted: type[Any], text: str) -> Any:
    """Quantities and times come again and again in a story."""
    return decode_hook(wanted, text)


class _PerPod(msgspec.Struct, frozen=True):
    values: dict[str, Quantity] | None = None
    error: str | None = None


class _Series(msgspec.Struct, frozen=True):
    values: list[Quantity] | None = None
    error: str | None = None


class _Value(msgspec.Struct, frozen=True):
    value: Quantity | None = None
    error: str | None = None


def read_answers(metrics: Mapping[str, Any] | None, now_ns: int) -> dict[str, MetricAnswer]:
    """All answers of a step by key; what counts as no answer is left out. Raises CaseError."""
    answers = {}
    for key, plain in (metrics or {}).items():
        try:
            answer = _read_answer(key.partition("/")[0], plain, now_ns)
        except msgspec.ValidationError as error:
            raise CaseError(f"the answer for {key}: {error}") from error
        if answer is not None:
            answers[key] = answer
    return answers


def _read_answer(kind: str, plain: Any, now_ns: int) -> MetricAnswer | None:
    if plain is None:
        return None
    match kind:
        case "pods" | "resource" | "containerResource":
            per_pod = msgspec.convert(plain, _PerPod, dec_hook=_read_text)
            if per_pod.error is not None:
                return FailedAnswer(per_pod.error)
            values = per_pod.values or {}
            return PodsAnswer({name: PodMetric(each.milli_value(), now_ns) for name, each in values.items()})
        case "external":
            series = msgspec.convert(plain, _Series, dec_hook=_read_text)
            if series.error is not None:
                return FailedAnswer(series.error)
            return ExternalAnswer(tuple(each.milli_value() for each in series.values or ()))
        case "object":
            one = msgspec.convert(plain, _Value, dec_hook=_read_text)
            if one.error is not None:
                return FailedAnswer(one.error)
            return None if one.value is None else ObjectAnswer(one.value.milli_value())
    return None
