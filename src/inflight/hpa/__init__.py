"""The decision of the HorizontalPodAutoscaler controller as a pure function, with its reasons.

`decide(spec, observation, memory, now_ns, controller)` answers what the upstream controller does in one sync. Nothing
here reads a clock, a file or a network; of third-party packages only msgspec is used, so that it runs in a browser.
"""

from inflight.hpa.controller import JUDGED_RELEASES, NEWEST_JUDGED, Controller
from inflight.hpa.decide import decide
from inflight.hpa.decision import Decision
from inflight.hpa.explanation import Explanation, explain
from inflight.hpa.memory import Memory, Recommendation, ScaleEvent
from inflight.hpa.observation import (
    DEFAULT_WINDOW_NS,
    ExternalAnswer,
    FailedAnswer,
    MetricAnswer,
    ObjectAnswer,
    Observation,
    PodMetric,
    PodsAnswer,
)
from inflight.hpa.record import Record, RecordError, read_record, read_records, record_line
from inflight.hpa.remembered import Follower, Followers
from inflight.hpa.settings import SettingError, apply_settings, parse_setting
from inflight.hpa.trace import (
    Calculation,
    Combination,
    Limits,
    MetricTrace,
    Path,
    PodGroups,
    PodSetAside,
    PolicyLimit,
    Reason,
    SecondPass,
    Stabilization,
    Trace,
    WindowEntry,
)

__all__ = [
    "DEFAULT_WINDOW_NS",
    "JUDGED_RELEASES",
    "NEWEST_JUDGED",
    "Calculation",
    "Combination",
    "Controller",
    "Decision",
    "Explanation",
    "ExternalAnswer",
    "FailedAnswer",
    "Follower",
    "Followers",
    "Limits",
    "Memory",
    "MetricAnswer",
    "MetricTrace",
    "ObjectAnswer",
    "Observation",
    "Path",
    "PodGroups",
    "PodMetric",
    "PodSetAside",
    "PodsAnswer",
    "PolicyLimit",
    "Reason",
    "Recommendation",
    "Record",
    "RecordError",
    "ScaleEvent",
    "SecondPass",
    "SettingError",
    "Stabilization",
    "Trace",
    "WindowEntry",
    "apply_settings",
    "decide",
    "explain",
    "parse_setting",
    "read_record",
    "read_records",
    "record_line",
]
