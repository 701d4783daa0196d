"""What a run of the lab is made of, as one value, and the two HPAs that it gives rise to.

The two HPAs differ in `metrics` only: the one by CPU is made from the one by the work in flight, whatever file that
came from.
"""

from typing import Any

import msgspec

from inflight.objects import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    LabelSelector,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMeta,
    Quantity,
    ResourceMetricSource,
    set_defaults,
)
from inflight.sim.arrivals import Arrival, paced
from inflight.sim.cold_start import ColdStart
from inflight.sim.engine import EngineConfig
from inflight.sim.fleet_setup import FleetSetup, PodTemplate
from inflight.sim.outcomes import Slo
from inflight.sim.ramp import Ramp
from inflight.sim.target import in_flight_target
from inflight.sim.traces import Trace

KUBERNETES = "1.37"
PHI = 0.55
"""Load at which a replica is held: of the target per replica K*phi/(1-phi) (docs/lab.md)."""


class LabSettings(msgspec.Struct, frozen=True):
    """Everything that can be changed from the command line, already read and checked."""

    engine: EngineConfig
    trace: Trace
    ramp: Ramp
    speed: float = 10.0
    target: float | None = None
    """Requests in flight per replica; None: worked out from engine and lengths."""
    cpu_request_cores: float = 6.0
    cpu_target_percent: int = 80
    cold_start: ColdStart = ColdStart()
    hpa: HorizontalPodAutoscaler | None = None
    """The HPA of the fleet by the work in flight, with defaults; None: External inflight_requests at `target`."""
    min_replicas: int = 1
    max_replicas: int = 8
    seed: int = 1
    slo: Slo = Slo()
    wall_limit_seconds: float = 240.0
    epoch_seconds: int = 1_700_000_000

    def fleet_setup(self) -> FleetSetup:
        """The fleet that every policy of this run starts with."""
        return FleetSetup(
            engine=self.engine,
            template=self._template(str(Quantity.from_milli(round(self.cpu_request_cores * 1000)))),
            cold_start=self.cold_start,
            replicas=self.hpa.spec.min_replicas or 1 if self.hpa is not None else self.min_replicas,
            seed=self.seed,
            epoch_seconds=self.epoch_seconds,
        )

    def _template(self, cpu_request: str) -> PodTemplate:
        """Pods that the HPA is about: in its namespace, of its target, with the labels that its selectors ask for."""
        if self.hpa is None:
            return PodTemplate(cpu_request=cpu_request)
        name = self.hpa.spec.scale_target_ref.name
        labels = {"app": name}
        for metric in self.hpa.spec.metrics:
            if metric.external is not None and metric.external.metric.selector is not None:
                labels.update(metric.external.metric.selector.match_labels)
        return PodTemplate(
            namespace=self.hpa.metadata.namespace or "default", deployment=name, labels=labels, cpu_request=cpu_request
        )

    def arrivals(self) -> list[Arrival]:
        return paced(self.trace, self.ramp)

    def target_per_replica(self) -> float:
        """The number in the HPA: whole requests, at least 1."""
        if self.target is not None:
            return self.target
        mean_prompt = sum(self.trace.prompt_tokens) / self.trace.requests
        mean_output = sum(self.trace.output_tokens) / self.trace.requests
        return max(1.0, float(round(in_flight_target(self.engine, mean_prompt, mean_output, PHI))))

    def in_flight_hpa(self) -> HorizontalPodAutoscaler:
        return self.hpa if self.hpa is not None else self.external_hpa("inflight_requests", self.target_per_replica())

    def cpu_hpa(self) -> HorizontalPodAutoscaler:
        """The same object with `metrics` replaced by CPU utilisation."""
        metric = MetricSpec(
            type="Resource",
            resource=ResourceMetricSource(
                name="cpu", target=MetricTarget(type="Utilization", average_utilization=self.cpu_target_percent)
            ),
        )
        return with_metrics(self.in_flight_hpa(), (metric,))

    def external_hpa(self, metric: str, target: float) -> HorizontalPodAutoscaler:
        """An HPA on one External metric of the fleet's pods, `target` per replica."""
        template = self._template("1")
        source = ExternalMetricSource(
            metric=MetricIdentifier(name=metric, selector=LabelSelector(match_labels=dict(template.labels))),
            target=MetricTarget(type="AverageValue", average_value=Quantity.from_milli(round(target * 1000))),
        )
        hpa = HorizontalPodAutoscaler(
            metadata=ObjectMeta(name=template.deployment, namespace=template.namespace),
            spec=HorizontalPodAutoscalerSpec(
                scale_target_ref=CrossVersionObjectReference(
                    kind="Deployment", name=template.deployment, api_version="apps/v1"
                ),
                min_replicas=self.min_replicas,
                max_replicas=self.max_replicas,
                metrics=(MetricSpec(type="External", external=source),),
            ),
        )
        return set_defaults(hpa, KUBERNETES)


def with_metrics(hpa: HorizontalPodAutoscaler, metrics: tuple[MetricSpec, ...]) -> HorizontalPodAutoscaler:
    return msgspec.structs.replace(hpa, spec=msgspec.structs.replace(hpa.spec, metrics=metrics))


def describe_metrics(hpa: HorizontalPodAutoscaler) -> str:
    """The HPA's metrics in one line, for headings."""
    return "; ".join(_describe(metric) for metric in hpa.spec.metrics)


def _describe(metric: MetricSpec) -> str:
    source: Any = getattr(metric, "container_resource" if metric.type == "ContainerResource" else metric.type.lower())
    name = source.name if metric.type in {"Resource", "ContainerResource"} else source.metric.name
    target = source.target
    if target.average_utilization is not None:
        return f"{metric.type} {name} at {target.average_utilization} % of the request"
    if target.average_value is not None:
        return f"{metric.type} {name} at {target.average_value} per replica"
    return f"{metric.type} {name} at {target.value} in all"
