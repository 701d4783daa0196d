"""Whatever is asked, the answer is a complete document with a code that this API has, and nothing is raised."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflight.serve.api.refusals import REASONS

SEGMENTS = st.sampled_from(
    [
        "", "apis", "custom.metrics.k8s.io", "external.metrics.k8s.io", "v1beta1", "v1beta2", "namespaces", "inference",
        "pods", "a", "*", "inflight_requests", "vllm:num_requests_running", "metrics", "healthz", "%2F", "%", "x" * 300,
    ]
) | st.text(max_size=5)  # fmt: skip
KEYS = st.sampled_from(
    [
        "labelSelector",
        "metricLabelSelector",
        "fieldSelector",
        "limit",
        "timeout",
        "watch",
        "pretty",
        "resourceVersionMatch",
    ]
)
VALUES = st.sampled_from(
    ["", "app", "app=vllm", "app in (a,b)", "!app", "a>1", "metadata.name=a", "1", "x", "true"]
) | st.text(max_size=12)
WORKLOAD = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods/*/inflight_requests"
FLEET = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from([WORKLOAD, FLEET])
QUERIES = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    path=PATHS,
    query=QUERIES,
    accept=st.sampled_from(["", "*/*", "application/yaml", "text/html", "a;q=1"]) | st.text(max_size=9),
)
def test_any_request_has_a_complete_answer(get: Any, pods: Any, path: str, query: str, accept: str) -> None:
    pods.add("a", in_flight=2, running=1)
    reply = get(f"{path}?{query}", accept=accept)
    if reply.content_type.startswith("text/plain"):
        assert reply.status == 200
        return
    document = reply.yaml() if reply.content_type == "application/yaml" else json.loads(reply.body)
    if reply.status == 200:
        assert document.get("kind", "") != "Status"
    else:
        assert reply.status in REASONS
        assert (document["kind"], document["code"], document["reason"]) == (
            "Status",
            reply.status,
            REASONS[reply.status],
        )
        assert document["message"]
