"""`name=value`: a recorded decision with other settings or another load, as one asks "what if".

Every setting names one input. The changed HPA is held to the API server's rules: what it would refuse is refused here,
with the field.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from inflight.hpa.change import replace, shift_answer, target_field, target_of, with_target
from inflight.hpa.memory import Memory
from inflight.hpa.observation import ExternalAnswer, ObjectAnswer, PodsAnswer
from inflight.hpa.record import Record
from inflight.objects import (
    HorizontalPodAutoscalerBehavior,
    HPAScalingRules,
    MetricSpec,
    QuantityError,
    ReleaseError,
    find_release,
    parse_quantity,
    set_defaults,
    validate,
)

MAX_NAME = 80
_INT32 = 2**31 - 1


class SettingError(ValueError):
    """A setting that cannot be made, and why."""


class Setting(msgspec.Struct, frozen=True):
    """`target:inflight_requests=40` taken apart."""

    name: str
    which: str
    """The metric's name or position from 0; empty: the only metric."""
    value: str

    def __str__(self) -> str:
        which = f":{self.which}" if self.which else ""
        return f"{self.name}{which}={self.value}"


def parse_setting(text: str) -> Setting:
    """From `name=value` or `name:metric=value`. Raises SettingError."""
    left, equals, value = text.partition("=")
    name, _, which = left.partition(":")
    if not equals or not value.strip():
        raise SettingError(f"{text[:MAX_NAME]!r} is no setting: write it as name=value, such as target=40 or max=20")
    if name not in SETTINGS:
        raise SettingError(f"there is no setting {name[:MAX_NAME]!r}; known are {', '.join(SETTINGS)}")
    if which and name not in _OF_A_METRIC:
        raise SettingError(f"{name} is not a setting of one metric: write {name}={value[:MAX_NAME]}")
    return Setting(name, which.strip(), value.strip())


def apply_settings(record: Record, settings: Sequence[Setting]) -> Record:
    """The record with all settings made. Raises SettingError, also where the API server would refuse the HPA."""
    for setting in settings:
        record = SETTINGS[setting.name](record, setting)
    if not settings:
        return record
    controller = record.controller
    try:
        # A behavior that came with a setting lacks what the API server fills in.
        hpa = set_defaults(record.hpa, controller.kubernetes, controller.feature_gates)
        refusals = validate(hpa, controller.kubernetes, controller.feature_gates)
    except ReleaseError as error:
        raise SettingError(str(error)) from error
    if refusals:
        named = ", ".join(map(str, settings))
        raise SettingError(f"with {named} the HPA would be refused: {'; '.join(map(str, refusals))}")
    # The recorded outcome belongs to the recorded inputs.
    return replace(record, hpa=hpa, outcome=None)


def _with_spec(record: Record, **fields: Any) -> Record:
    return replace(record, hpa=replace(record.hpa, spec=replace(record.hpa.spec, **fields)))


def _count(setting: Setting) -> int:
    if not re.fullmatch(r"\d{1,10}", setting.value) or int(setting.value) > _INT32:
        raise SettingError(f"{setting}: must be a whole number from 0 to {_INT32}")
    return int(setting.value)


def _number(setting: Setting) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", setting.value):
        raise SettingError(f"{setting}: must be a number such as 0.1")
    return float(setting.value)


def _milli(setting: Setting) -> int:
    try:
        return parse_quantity(setting.value).milli_value()
    except QuantityError as error:
        raise SettingError(f"{setting}: {error}") from error


def _max(record: Record, setting: Setting) -> Record:
    return _with_spec(record, max_replicas=_count(setting))


def _min(record: Record, setting: Setting) -> Record:
    return _with_spec(record, min_replicas=_count(setting))


def _replicas(record: Record, setting: Setting) -> Record:
    """Spec and status together: the workload has so many."""
    count = _count(setting)
    return replace(record, observation=replace(record.observation, replicas=count, status_replicas=count))


def _metric_name(metric: MetricSpec) -> str:
    for source in (metric.external, metric.pods, metric.object):
        if source is not None:
            return source.metric.name
    resource = metric.resource or metric.container_resource
    return "" if resource is None else resource.name


def _index(record: Record, setting: Setting) -> int:
    """Which entry of spec.metrics is meant."""
    metrics = record.hpa.spec.metrics
    names = [_metric_name(metric) for metric in metrics]
    if not setting.which:
        if len(metrics) == 1:
            return 0
        ways = ", ".join(f"{setting.name}:{name}={setting.value}" for name in dict.fromkeys(names))
        raise SettingError(f"{setting}: the HPA has {len(metrics)} metrics; say which: {ways}")
    found = [index for index, name in enumerate(names) if name == setting.which]
    if len(found) == 1:
        return found[0]
    if not found and setting.which.isdecimal() and int(setting.which) < len(metrics):
        return int(setting.which)
    problem = "there is no such metric" if not found else f"{len(found)} metrics have this name, so give the position"
    listed = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    raise SettingError(f"{setting}: {problem}; the HPA has {listed}")


def _target(record: Record, setting: Setting) -> Record:
    index = _index(record, setting)
    metrics = record.hpa.spec.metrics
    metric = metrics[index]
    field, target = target_field(metric), target_of(metric)
    if not field or target is None:
        raise SettingError(f"{setting}: this metric has no target that could be changed")
    if field == "average_utilization":
        percent = Setting(setting.name, setting.which, setting.value.removesuffix("%"))
        changed = replace(target, average_utilization=_count(percent))
    else:
        try:
            changed = replace(target, **{field: parse_quantity(setting.value)})
        except QuantityError as error:
            raise SettingError(f"{setting}: {error}") from error
    return _with_spec(record, metrics=(*metrics[:index], with_target(metric, changed), *metrics[index + 1 :]))


def _value(record: Record, setting: Setting) -> Record:
    """The total of the metric: over all series, or over all pods that count."""
    index, wanted = _index(record, setting), _milli(setting)
    answers = list(record.observation.answers)
    answer = answers[index]
    match answer:
        case ObjectAnswer():
            answers[index] = ObjectAnswer(wanted)
        case ExternalAnswer():
            answers[index] = ExternalAnswer((wanted,))
        case PodsAnswer():
            trace = record.decide().trace
            metric = trace.metrics[index] if index < len(trace.metrics) else None
            groups = metric.calculation.pods if metric else None
            present = sum(answer.values[name].value_milli for name in groups.ready) if groups else 0
            shifted = shift_answer(answer, wanted - present, metric)
            if shifted is None:
                raise SettingError(f"{setting}: no pod counts for this metric, so its total cannot be changed")
            answers[index] = shifted
        case _:
            target = target_of(record.hpa.spec.metrics[index])
            is_single = target is not None and record.hpa.spec.metrics[index].type in {"External", "Object"}
            if not is_single:
                raise SettingError(f"{setting}: the metric failed, and nobody knows which pods it would have had")
            external = record.hpa.spec.metrics[index].type == "External"
            answers[index] = ExternalAnswer((wanted,)) if external else ObjectAnswer(wanted)
    return replace(record, observation=replace(record.observation, answers=tuple(answers)))


def _tolerance(record: Record, setting: Setting) -> Record:
    """The controller's flag, and with it the HPA's own tolerances where it has some."""
    number = _number(setting)
    record = replace(record, controller=replace(record.controller, tolerance=number))
    behavior = record.hpa.spec.behavior
    if behavior is None:
        return record
    quantity = parse_quantity(setting.value)
    changed = {
        name: replace(rules, tolerance=quantity)
        for name in ("scale_up", "scale_down")
        if (rules := getattr(behavior, name)) is not None and rules.tolerance is not None
    }
    return _with_spec(record, behavior=replace(behavior, **changed))


def _window(direction: str) -> Callable[[Record, Setting], Record]:
    def change(record: Record, setting: Setting) -> Record:
        seconds = _count(Setting(setting.name, setting.which, setting.value.removesuffix("s")))
        behavior = record.hpa.spec.behavior
        if behavior is None and direction == "scale_down":
            # Without behavior the window is the controller's.
            return replace(record, controller=replace(record.controller, downscale_stabilization_seconds=seconds))
        behavior = behavior or HorizontalPodAutoscalerBehavior()
        rules: HPAScalingRules = getattr(behavior, direction) or HPAScalingRules()
        rules = replace(rules, stabilization_window_seconds=seconds)
        return _with_spec(record, behavior=replace(behavior, **{direction: rules}))

    return change


def _kubernetes(record: Record, setting: Setting) -> Record:
    try:
        find_release(setting.value, record.controller.feature_gates)
    except ReleaseError as error:
        raise SettingError(f"{setting}: {error}") from error
    return replace(record, controller=replace(record.controller, kubernetes=setting.value))


def _memory(record: Record, setting: Setting) -> Record:
    """`empty`: a controller that has just been restarted."""
    if setting.value != "empty":
        raise SettingError(f"{setting}: only memory=empty can be set, the memory of a controller just restarted")
    status = record.hpa.status if record.memory is None else record.memory.status
    return replace(record, memory=Memory(status=status))


_OF_A_METRIC = frozenset({"target", "value"})
SETTINGS: dict[str, Callable[[Record, Setting], Record]] = {
    "target": _target,
    "value": _value,
    "max": _max,
    "min": _min,
    "replicas": _replicas,
    "tolerance": _tolerance,
    "up-window": _window("scale_up"),
    "down-window": _window("scale_down"),
    "kubernetes": _kubernetes,
    "memory": _memory,
}
