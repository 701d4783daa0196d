"""Sentences for what cannot be said: which pods, since when, why. They end up in the conditions of an HPA object,
where a tired operator reads them; so each is one sentence and bounded in length, however large the fleet is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from inflight.signals.foreign import printable
from inflight.signals.series import PodSample

MAX_LENGTH = 480
"""Leaves room for what the HPA controller writes around it."""

_NAMED = 5
_NAMES_LENGTH = 140
_PART_LENGTH = 72


class Unseen(msgspec.Struct, frozen=True):
    """The pods for which a fleet's value is unknown, by what they lack."""

    silent: Sequence[PodSample]
    """They have reported before, and cannot be seen."""
    unusable: Sequence[PodSample]
    """What they say is of no use."""
    unread: Sequence[PodSample]
    """They are Ready, so that work is sent to them, and have never said a value."""


def unseen_sentence(metric: str, unseen: Unseen, expected: int) -> str:
    """Why a fleet's value is unknown."""
    parts = []
    if unseen.silent:
        times = [sample.received_at for sample in unseen.silent if sample.received_at is not None]
        # Without a page it was watched at another place until now, or by the process before a restart.
        since = f" since {format_time(min(times))}" if times else ""
        parts.append(f"{len(unseen.silent)} of {_pods(expected)} unseen{since}: {_names(unseen.silent)}")
    if unseen.unread:
        count = f"{len(unseen.unread)} of {_pods(expected)}"
        parts.append(f"{count} Ready but without a value yet: {_names(unseen.unread)}")
    if unseen.unusable:
        parts.append(f"{len(unseen.unusable)} of {_pods(expected)} without a usable value: {_names(unseen.unusable)}")
    return _clip(f"{_clip(metric)}: {'; '.join(parts)}", MAX_LENGTH)


def settling_sentence(metric: str, settling: Sequence[PodSample], samples: Sequence[PodSample]) -> str:
    """Why a fleet's value is not known yet: pods that ran before they were watched have not had their time."""
    alive = sum(sample.alive for sample in samples)
    unread = [sample for sample in settling if sample.received_at is None]
    if unread:
        count = f"{len(unread)} of {_pods(alive)} {_have(unread)}"
        what = f"{count} not been read yet: {_names(unread, why=_failure)}"
    else:
        count = f"{len(settling)} of {_pods(alive)} {_have(settling)}"
        what = f"{count} not been read twice yet, which rates need: {_names(settling)}"
    return _clip(f"{_clip(metric)}: just started: {what}", MAX_LENGTH)


def valueless_sentence(metric: str, samples: Sequence[PodSample]) -> str:
    """Why no pod counts: none has ever had a value, or what they had is old and they are going away."""
    reasons = Counter(_why(sample) or "has not reported yet" for sample in samples)
    told = [
        f"{_clip(reason)} ({count})" if len(samples) > 1 else _clip(reason) for reason, count in reasons.most_common(3)
    ]
    more = ", and other reasons" if len(reasons) > len(told) else ""
    pods = "the only pod has no value" if len(samples) == 1 else f"none of {len(samples)} pods has a value"
    return _clip(f"{_clip(metric)}: {pods} that counts: {', '.join(told)}{more}", MAX_LENGTH)


def format_time(unix_seconds: float) -> str:
    """The time of day in UTC, as logs show it."""
    try:
        return datetime.fromtimestamp(unix_seconds, UTC).strftime("%H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"the second {unix_seconds:g}"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _have(samples: Sequence[PodSample]) -> str:
    return "has" if len(samples) == 1 else "have"


def _why(sample: PodSample) -> str:
    if sample.failure or sample.missing:
        return sample.failure or sample.missing
    if sample.value is not None and sample.received_at is not None:
        return f"said {sample.value:g} at {format_time(sample.received_at)}"
    return ""


def _failure(sample: PodSample) -> str:
    """That no page was received yet is said already."""
    return sample.failure


def _names(samples: Sequence[PodSample], why: Callable[[PodSample], str] = _why) -> str:
    """The first few by name; at least one."""
    named: list[str] = []
    for sample in samples[:_NAMED]:
        named.append(_named(sample, why(sample)))
        if sum(map(len, named)) > _NAMES_LENGTH:
            break
    left_out = len(samples) - len(named)
    return ", ".join(named) + (f" and {left_out} more" if left_out else "")


def _named(sample: PodSample, why: str) -> str:
    return _clip(f"{sample.name} ({why})" if why else sample.name)


def _clip(text: str, length: int = _PART_LENGTH) -> str:
    text = printable(text[: length + 1])
    return text if len(text) <= length else text[: length - 1] + "…"
