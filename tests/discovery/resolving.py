"""What is resolved of HPAs, scales and pods that a test lays out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inflight.discovery.autoscalers import Autoscaler, WireAutoscaler, to_autoscaler
from inflight.discovery.pages import PageFinder
from inflight.discovery.pods import PodRecord, Sharing, WirePod, to_record
from inflight.discovery.selections import KnownWorkload
from inflight.discovery.targets import Facts, Remembered, Resolution, resolve
from inflight.discovery.workloads import WorkloadKey
from inflight.objects import parse_selector
from inflight.signals import shipped

from .builders import Plain, autoscaler, pod

FINDER = PageFinder(shipped())
LLM = ("llm", "apps", "Deployment", "llm")


def record(name: str, **fields: Any) -> PodRecord:
    return to_record(msgspec.json.decode(json.dumps(pod(name, **fields)), type=WirePod), Sharing())


def hpa(name: str, *metrics: Plain, target: str = "llm") -> Autoscaler:
    plain = json.dumps(autoscaler(name, *metrics, target=target))
    found = to_autoscaler(msgspec.json.decode(plain, type=WireAutoscaler))
    assert found is not None
    return found


def scales(**selectors: str) -> dict[WorkloadKey, KnownWorkload]:
    """By name of the Deployment."""
    return {
        ("llm", "apps", "Deployment", name): KnownWorkload(parse_selector(selector), f"uid-{name}")
        for name, selector in selectors.items()
    }


def starting(name: str, **fields: Any) -> PodRecord:
    """A pod that was created a moment ago."""
    return record(name, ip="", phase="Pending", ready=False, **fields)


def look(
    hpas: Sequence[Autoscaler],
    workloads: Mapping[WorkloadKey, KnownWorkload],
    pods: Sequence[PodRecord] | None,
    before: Resolution | None = None,
) -> Resolution:
    remembered = before.remembered if before is not None else Remembered()
    return resolve(Facts("llm", hpas, workloads, pods), FINDER, remembered)


def settles(found: Resolution) -> dict[str, bool]:
    return {target.name: target.settle for target in found.targets}


def sentences(found: Resolution, kind: str) -> list[str]:
    return [problem.sentence for problem in found.problems if problem.kind == kind]


BOTH = scales(llm="app=llm")
ONE = [hpa("llm")]
