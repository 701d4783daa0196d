"""What a pod costs in memory: counted allocations, the same on every machine."""

import gc
import json
import tracemalloc

from inflight.cluster import Client, ClusterConfig, Reflector
from inflight.discovery.pages import PageFinder
from inflight.discovery.pods import PodRecord, Sharing, WirePod, to_record
from inflight.discovery.targets import Facts, Remembered, Resolution, resolve
from inflight.signals import shipped

from .builders import autoscaler, external_metric, pod
from .test_pieces import read

PODS = 2_000


def events() -> list[bytes]:
    """Pods as they come: much that is not kept, and labels that differ between two pods of a StatefulSet."""
    found = []
    for number in range(PODS):
        name = f"vllm-llama-70b-7f9c8d6b5-{number:05}"
        plain = pod(
            name,
            ip=f"10.1.{number // 256}.{number % 256}",
            annotations={"prometheus.io/port": "8000", "note": "x" * 500},
            model="llama-70b",
            team="inference",
        )
        plain["metadata"]["uid"] = f"7f3c2a52-0b1e-4a5e-9c1c-{number:012}"
        plain["metadata"]["managedFields"] = [{"fieldsV1": {f"f:{field}": {} for field in range(100)}}]
        plain["spec"]["containers"][0]["env"] = [{"name": f"E{each}", "value": "v" * 20} for each in range(30)]
        plain["metadata"]["resourceVersion"] = str(number + 1)
        found.append(json.dumps({"type": "ADDED", "object": plain}).encode())
    return found


def test_a_pod_costs_some_hundred_bytes() -> None:
    texts = events()
    sharing = Sharing()
    finder = PageFinder(shipped())
    hpa = read(autoscaler("llm", external_metric(None)))
    assert hpa is not None
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        client = Client(ClusterConfig(server="http://127.0.0.1:1", source="test"))
        reflector: Reflector[PodRecord] = Reflector(
            client, "/pods", lambda pod: to_record(pod, sharing), item_type=WirePod
        )
        for text in texts:
            reflector._take(text)
        kept = reflector.objects
        of_records = (tracemalloc.get_traced_memory()[0] - before) / PODS
        resolution: Resolution = resolve(Facts("llm", [hpa], {}, kept.values()), finder, Remembered())
        gc.collect()
        of_all = (tracemalloc.get_traced_memory()[0] - before) / PODS
    finally:
        tracemalloc.stop()
    assert len(resolution.targets) == PODS
    print(f"bytes a pod: {of_records:.0f} kept, {of_all:.0f} with its target")
    # As docs/discovery.md says; CPython releases differ by some bytes.
    assert of_records < 700
    assert of_all < 1_300
