"""The trace: what one decision was made of, step by step, as a value.

It says for each metric what came in, how the pods were grouped, the ratio and the verdict; then how the proposals
were combined, what the stabilisation window did and until when, which policy or limit bound, and the final count.
The codes are stable: programs may compare them. Where the draft of Kubernetes' own decision trace (KEP-6107) has a
word, it is that word: MetricRecommendation, WithinTolerance, Stabilized, PolicyLimited, ReplicaLimit,
InvalidMetrics, RecommendationFailed. Values are milli-units unless the name says otherwise; times are integer
nanoseconds since 1970.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why a step had the outcome that it had. The names of conditions are Kubernetes' own."""

    # One metric.
    METRIC_RECOMMENDATION = "MetricRecommendation"
    WITHIN_TOLERANCE = "WithinTolerance"
    DIRECTION_CHANGED = "DirectionChanged"
    """With the missing and unready pods filled in the ratio points the other way: the current count is kept."""
    AGAINST_DIRECTION = "AgainstDirection"
    """The count that follows lies on the wrong side of the current one: the current count is kept."""
    RECOMMENDATION_FAILED = "RecommendationFailed"
    # Why a recommendation failed.
    REQUEST_FAILED = "RequestFailed"
    NO_SERIES = "NoSeries"
    NO_PODS = "NoPods"
    NO_USABLE_PODS = "NoUsablePods"
    NO_MATCHING_PODS = "NoMatchingPods"
    MISSING_REQUEST = "MissingRequest"
    CONTAINER_NOT_FOUND = "ContainerNotFound"
    INVALID_METRIC_SELECTOR = "InvalidMetricSelector"
    INVALID_TARGET = "InvalidTarget"
    INVALID_SOURCE_TYPE = "InvalidMetricSourceType"
    # Why a pod was set aside.
    DELETING = "Deleting"
    FAILED = "Failed"
    PENDING = "Pending"
    NO_READY_CONDITION = "NoReadyCondition"
    NO_START_TIME = "NoStartTime"
    NOT_READY = "NotReady"
    NEVER_READY = "NeverReady"
    SAMPLE_BEFORE_READY = "SampleBeforeReady"
    """Young pod: its sample does not yet cover a whole window after it became ready."""
    # The branch of a sync.
    FAILED_GET_SCALE = "FailedGetScale"
    SCALING_DISABLED = "ScalingDisabled"
    ABOVE_MAX_REPLICAS = "AboveMaxReplicas"
    BELOW_MIN_REPLICAS = "BelowMinReplicas"
    COMPUTED = "Computed"
    # Combination.
    INVALID_METRICS = "InvalidMetrics"
    INVALID_SELECTOR = "InvalidSelector"
    AMBIGUOUS_SELECTOR = "AmbiguousSelector"
    VALID_METRIC_FOUND = "ValidMetricFound"
    # What bound.
    STABILIZED = "Stabilized"
    POLICY_LIMITED = "PolicyLimited"
    REPLICA_LIMIT = "ReplicaLimit"
    # Stabilisation and limits, as the conditions name them.
    READY_FOR_NEW_SCALE = "ReadyForNewScale"
    SCALE_DOWN_STABILIZED = "ScaleDownStabilized"
    SCALE_UP_STABILIZED = "ScaleUpStabilized"
    DESIRED_WITHIN_RANGE = "DesiredWithinRange"
    TOO_FEW_REPLICAS = "TooFewReplicas"
    TOO_MANY_REPLICAS = "TooManyReplicas"
    SCALE_UP_LIMIT = "ScaleUpLimit"
    SCALE_DOWN_LIMIT = "ScaleDownLimit"
    # The end of a sync.
    RESCALED = "Rescaled"
    UNCHANGED = "Unchanged"
    FAILED_UPDATE_SCALE = "FailedUpdateScale"


class Path(StrEnum):
    """Which of the two ways of normalising applies."""

    LEGACY = "legacy"
    BEHAVIOR = "behavior"


class PodSetAside(msgspec.Struct, frozen=True, array_like=True):
    """A pod whose own value does not count, and why."""

    name: str
    why: Reason


class PodGroups(msgspec.Struct, frozen=True):
    """How the selected pods were sorted for one metric."""

    ready: tuple[str, ...]
    """Counted with their own value."""
    unready: tuple[PodSetAside, ...] = ()
    """Their value is dropped; counted as 0 where the others want to scale up, else left out."""
    missing: tuple[str, ...] = ()
    """No value: filled in with the target (or the request) on the way down, with 0 on the way up."""
    ignored: tuple[PodSetAside, ...] = ()
    """As if they did not exist."""
    unknown: tuple[str, ...] = ()
    """Values of the answer that belong to no selected pod."""


class SecondPass(msgspec.Struct, frozen=True):
    """The calculation again with missing and unready pods filled in."""

    ratio: float | None
    """None only when read back from JSON, which has no infinity."""
    counted: int
    """Values in the second calculation, which is also what its ratio is multiplied by."""
    missing_filled: str
    """What missing pods were taken for: `target`, `request`, `0`, or `` when they were left out."""
    unready_filled: bool
    """Whether unready pods were taken for 0."""


class Calculation(msgspec.Struct, frozen=True):
    """What the replica calculator answers to one question, with how it got there."""

    replicas: int = 0
    """The proposal; without meaning where `error` is set."""
    usage_milli: int = 0
    """What is reported as the metric's current value (an average for all but Value targets)."""
    utilization_percent: int | None = None
    error: str = ""
    """The controller's text for a calculation that failed."""
    verdict: Reason = Reason.METRIC_RECOMMENDATION
    failure: Reason | None = None
    total_milli: int | None = None
    """The sum that the ratio was made of (one object's value, the sum of all series, the sum over the pods)."""
    ratio: float | None = None
    counted: int | None = None
    """Pods or replicas that the ratio stands against: ready pods, or status.replicas for average targets."""
    pods: PodGroups | None = None
    second_pass: SecondPass | None = None


class MetricTrace(msgspec.Struct, frozen=True):
    """One entry of spec.metrics and what became of it."""

    source: str
    """`Resource`, `ContainerResource`, `Pods`, `Object` or `External`."""
    metric: str
    """The metric's (or resource's) name."""
    name: str
    """The name that the controller uses in its messages; empty when it failed."""
    target_kind: str
    """`Utilization`, `Value`, `AverageValue`, or `` where the entry has no usable target."""
    target: int
    """Percent for Utilization, else milli-units."""
    calculation: Calculation
    error: str = ""
    """The text of the event when the metric failed."""


class Combination(msgspec.Struct, frozen=True):
    """From the proposals of the metrics to one wish."""

    verdict: Reason
    """ValidMetricFound, or why nothing could be computed."""
    proposal: int
    """The highest valid proposal, -1 when nothing may be done."""
    winner: int | None
    """Index of the metric whose proposal it is."""
    invalid: int = 0
    error: str = ""


class WindowEntry(msgspec.Struct, frozen=True, array_like=True):
    """A remembered recommendation that by itself holds the count where it is, and the end of its window.

    Without behavior it still counts at `until_ns` itself, with behavior only before it.
    """

    replicas: int
    at_ns: int
    until_ns: int


class Stabilization(msgspec.Struct, frozen=True):
    """What the stabilisation window made of the wish."""

    path: Path
    raw: int
    stabilized: int
    reason: Reason
    scale_up_window_ns: int
    scale_down_window_ns: int
    lowest: int
    """The lowest of the scale-up window and the wish itself."""
    highest: int
    """The highest of the scale-down window and the wish itself."""
    binding: tuple[WindowEntry, ...] = ()
    clear_at_ns: int | None = None
    """When the last entry that stands against the wish leaves its window; None when nothing is held."""

    @property
    def held(self) -> bool:
        return self.stabilized != self.raw


class PolicyLimit(msgspec.Struct, frozen=True):
    """How far one scaling policy would let this sync go."""

    type: str
    value: int
    period_seconds: int
    start: int
    """The count at the beginning of the period: the current one without what was added, with what was removed."""
    added: int
    removed: int
    limit: int


class Limits(msgspec.Struct, frozen=True):
    """Policies and bounds."""

    stabilized: int
    limited: int
    reason: Reason
    direction: str
    """`up`, `down` or `` (nothing to limit)."""
    select_policy: str = ""
    """Empty without behavior."""
    rate_limit: int | None = None
    """The furthest that rates allow; None where they were not asked."""
    policies: tuple[PolicyLimit, ...] = ()

    @property
    def bound(self) -> bool:
        return self.limited != self.stabilized


class Trace(msgspec.Struct, frozen=True):
    """One sync."""

    kubernetes: str
    now_ns: int
    branch: Reason
    outcome: Reason
    current_replicas: int
    status_replicas: int
    min_replicas: int
    max_replicas: int
    scale_down_tolerance: float
    scale_up_tolerance: float
    desired_replicas: int
    """Where the sync ended: the count that it wrote or tried to write, or the current one."""
    bound_by: tuple[Reason, ...] = ()
    """Which steps changed the count after the metrics: Stabilized, PolicyLimited, ReplicaLimit."""
    metrics: tuple[MetricTrace, ...] = ()
    combination: Combination | None = None
    stabilization: Stabilization | None = None
    limits: Limits | None = None
