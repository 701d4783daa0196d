"""What an HPA would make of one answer alone: the exact engine asked about one of its metrics, before anything is said.

With this a partial answer that would take replicas away is recognised before it is given.
"""

import msgspec

from inflight.hpa import Controller, Memory, MetricAnswer, Observation, decide
from inflight.objects import HorizontalPodAutoscaler

UPSTREAM_DEFAULTS = Controller()


def proposal(
    hpa: HorizontalPodAutoscaler,
    index: int,
    answer: MetricAnswer,
    observation: Observation,
    now_ns: int,
    *,
    controller: Controller = UPSTREAM_DEFAULTS,
) -> int | None:
    """The replicas that `hpa.spec.metrics[index]` proposes with `answer`, before windows, policies and bounds.

    None where the HPA would compute nothing: the metric fails, scaling is disabled, the count is out of bounds. The
    answers of `observation` are not looked at.
    """
    if not 0 <= index < len(hpa.spec.metrics):
        return None
    alone = msgspec.structs.replace(hpa, spec=msgspec.structs.replace(hpa.spec, metrics=(hpa.spec.metrics[index],)))
    seen = msgspec.structs.replace(observation, answers=(answer,))
    trace = decide(alone, seen, Memory(status=hpa.status), now_ns, controller).trace
    if not trace.metrics or trace.metrics[0].calculation.error:
        return None
    return max(0, trace.metrics[0].calculation.replicas)
