"""Whether two answers to a case are equal, and if not, where they differ.

Conditions are a set by type; null, absent and an empty list are the same. Where a text quotes an error text of the
case, or says that there was no answer for a key, only what stands around it counts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inflight.hpa.cases.keys import metric_keys
from inflight.objects import ObjectError, decode_hpa

_QUOTED = "<quoted>"
_AMBIGUOUS = re.compile(r"(are controlled by (?:multiple HPAs: |more than one HPA \(e\.g\. ))\[([^]]*)\]")


def compare(case: Mapping[str, Any], left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """What differs, as `syncs[3].replicas: 4 and 5`; empty when the answers are equal."""
    left, right = _plain(left), _plain(right)
    if case.get("method"):
        return _masked_differences(case, left, right)
    if left.get("error") is not None and right.get("error") is not None:
        return [] if left.get("id") == right.get("id") else ["the ids differ"]
    steps = len(case.get("steps") or ())
    lengths = [len(side.get("syncs") or ()) for side in (left, right)]
    for side, length in zip((left, right), lengths, strict=True):
        if side.get("error") is None and length != steps:
            return [f"an answer has {length} syncs for {steps} steps"]
    if left == right:
        return []
    return _masked_differences(case, left, right)


def _masked_differences(case: Mapping[str, Any], left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    quoted = sorted({text for text in (*_error_texts(case), *_no_answers(case)) if text}, key=len, reverse=True)
    # Upstream names the HPAs in the order of a map, from 1.37 on any two of them.
    any_two = max((len(step.get("otherHpas") or ()) for step in case.get("steps") or () if step), default=0) > 1
    return list(_differences("", _masked(left, quoted, any_two), _masked(right, quoted, any_two)))


def _error_texts(case: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(case.get("metricsError"), str):
        yield case["metricsError"]
    for step in case.get("steps") or ():
        if not isinstance(step, dict):
            continue
        for answer in (step.get("metrics") or {}).values():
            if isinstance(answer, dict) and isinstance(answer.get("error"), str):
                yield answer["error"]
        for text in (step.get("statusError"), *(step.get("scaleErrors") or {}).values()):
            if isinstance(text, str):
                yield text


def _no_answers(case: Mapping[str, Any]) -> Iterator[str]:
    """`no answer for KEY`, with and without the metric's selector."""
    for hpa in (case.get("hpa"), *(step.get("hpa") for step in case.get("steps") or () if step)):
        if not isinstance(hpa, dict):
            continue
        try:
            metrics = decode_hpa({"spec": hpa.get("spec") or {}}).spec.metrics
        except ObjectError:
            continue
        for key, suffix in [metric_keys(metric) for metric in metrics] or [("resource/cpu", "")]:
            yield f"no answer for {key}{suffix}"
            yield f"no answer for {key}"


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that say nothing, conditions by type."""
    plain = {key: value for key, value in answer.items() if value is not None}
    if "syncs" in plain:
        plain["syncs"] = [_sync(each) for each in plain["syncs"] or ()]
    return plain


def _sync(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "replicas": entry.get("replicas"),
        "desiredReplicas": entry.get("desiredReplicas"),
        "currentMetrics": entry.get("currentMetrics") or [],
        "events": entry.get("events") or [],
        "conditions": {each.get("type") or "": each for each in entry.get("conditions") or ()},
    }


def _without_nothing(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: kept for key, each in value.items() if (kept := _without_nothing(each)) not in (None, [])}
    if isinstance(value, list):
        return [_without_nothing(each) for each in value]
    return value


def _masked(value: Any, quoted: Sequence[str], any_two: bool) -> Any:
    if isinstance(value, str):
        for text in quoted:
            value = value.replace(text, _QUOTED)
        return _AMBIGUOUS.sub(lambda found: found[1] + _hpas(found, any_two), value)
    if isinstance(value, Mapping):
        return {key: _masked(each, quoted, any_two) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, quoted, any_two) for each in value]
    return value


def _hpas(found: re.Match[str], any_two: bool) -> str:
    names = sorted(found[2].split())
    return f"[any {len(names)}]" if any_two and "e.g." in found[1] else f"[{' '.join(names)}]"


def _differences(path: str, left: Any, right: Any) -> Iterator[str]:
    left, right = _without_nothing(left), _without_nothing(right)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            yield from _differences(f"{path}.{key}" if path else str(key), left.get(key), right.get(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif not _same(left, right):
        yield f"{path}: {_shown(left)} and {_shown(right)}"


def _same(left: Any, right: Any) -> bool:
    if left in (None, []) and right in (None, []):
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and bool(left == right)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "..."
