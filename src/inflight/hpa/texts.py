"""The controller's own words in conditions and events.

Texts of Kubernetes pkg/controller/podautoscaler/horizontal.go. People search for them, so they are exact.
"""

from inflight.hpa.trace import Reason

GOT_SCALE = "the HPA controller was able to get the target's current scale"
NO_SCALE = "the HPA controller was unable to get the target's current scale: "
WROTE_SCALE = "the HPA controller was able to update the target scale to "
SCALE_NOT_WRITTEN = "the HPA controller was unable to update the target scale: "
FOUND_METRIC = "the HPA was able to successfully calculate a replica count from "
UNABLE_TO_COMPUTE = "the HPA was unable to compute the replica count: "
DISABLED = "scaling is disabled since the replica count of the target is zero"
WENT_TO_ZERO = "the HPA controller scaled the workload to zero"
DID_NOT_GO_TO_ZERO = "the HPA controller did not scale the workload to zero"
NO_SELECTOR = "the HPA target's scale is missing a selector"
SELECTOR_REQUIRED = "selector is required"
BAD_SELECTOR = "couldn't convert selector into a corresponding internal selector object: "

ABOVE_MAX = "Current number of replicas above Spec.MaxReplicas"
BELOW_MIN = "Current number of replicas below Spec.MinReplicas"
ALL_BELOW_TARGET = "All metrics below target"

MESSAGES = {
    Reason.READY_FOR_NEW_SCALE: "recommended size matches current size",
    Reason.SCALE_DOWN_STABILIZED: (
        "recent recommendations were higher than current one, applying the highest recent recommendation"
    ),
    Reason.SCALE_UP_STABILIZED: (
        "recent recommendations were lower than current one, applying the lowest recent recommendation"
    ),
    Reason.DESIRED_WITHIN_RANGE: "the desired count is within the acceptable range",
    Reason.TOO_FEW_REPLICAS: "the desired replica count is less than the minimum replica count",
    Reason.TOO_MANY_REPLICAS: "the desired replica count is more than the maximum replica count",
    Reason.SCALE_UP_LIMIT: "the desired replica count is increasing faster than the maximum scale rate",
    Reason.SCALE_DOWN_LIMIT: "the desired replica count is decreasing faster than the maximum scale rate",
}


def ambiguous_selector(selector: str, hpas: tuple[str, ...], by_example: bool) -> str:
    """The text of AmbiguousSelector, which changed in 1.37."""
    if by_example:
        return f"pods by selector {selector} are controlled by more than one HPA (e.g. [{' '.join(hpas)}])"
    return f"pods by selector {selector} are controlled by multiple HPAs: [{' '.join(hpas)}]"
