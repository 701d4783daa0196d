"""Whatever is asked, the answer is a complete document with a code that this API has, and nothing is raised."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflight import __version__
from inflight.cluster import Attributes, Authenticator, Trust
from inflight.cluster.access import Verdict
from inflight.serve.api.asked import Asked, read_target
from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request
from inflight.serve.api.refusals import REASONS
from inflight.serve.door import ClusterDoor, Peer

METHODS = st.sampled_from(["GET", "GET", "HEAD", "POST", "OPTIONS", "x"])
SEGMENTS = st.sampled_from(
    [
        "", "apis", "custom.metrics.k8s.io", "external.metrics.k8s.io", "v1beta1", "v1beta2", "namespaces", "inference",
        "pods", "deployments.apps", "Deployments.apps", "nodes", "vllm", "a", "*", "inflight_requests",
        "vllm:num_requests_running", "metrics", "healthz", "%2F", "%", "x" * 300,
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
PODS = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods/*/inflight_requests"
WORKLOAD = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/inference/deployments.apps/vllm/inflight_requests"
FLEET = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from(
    [PODS, WORKLOAD, FLEET]
)
QUERIES = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs))
ACCEPTED = st.sampled_from(["", "*/*", "application/yaml", "text/html", "a;q=1"]) | st.text(max_size=9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(path=PATHS, query=QUERIES, accept=ACCEPTED, in_cluster=st.booleans())
def test_any_request_has_a_complete_answer(  # noqa: PLR0917 - fixtures
    get: Any, cluster_get: Any, pods: Any, workloads: Any, path: str, query: str, accept: str, in_cluster: bool
) -> None:
    pods.add("a", in_flight=2, running=1)
    workloads.add("vllm", "app=vllm")
    reply = (cluster_get if in_cluster else get)(f"{path}?{query}", accept=accept)
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


POD = st.tuples(
    st.sampled_from([{}, {"app": "vllm"}, {"app": "vllm", "tier": "gold"}, {"app": "else", "tier": "gold"}]),
    st.sampled_from([0, 1, 2.5, 7, None, float("nan"), float("inf"), -1, 1e300]),
    st.sampled_from([1.0, 14.0, 20.0]),
    st.booleans(),
)
SELECTORS = st.sampled_from(["", "app=vllm", "app=none", "app!=vllm", "tier", "!tier", "app in (vllm,else)", "a=b,,"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    fleet=st.lists(POD, max_size=4),
    own=SELECTORS.filter(lambda text: ",," not in text),
    narrowing=SELECTORS,
    version=st.sampled_from(["v1beta1", "v1beta2"]),
)
def test_a_workload_has_exactly_one_value_or_an_error(  # noqa: PLR0917 - drawn values
    new_cluster: Any, clock: Any, fleet: Any, own: str, narrowing: str, version: str
) -> None:
    """And the value is that of an external metric whose selector is the workload's own with the metric's."""
    get, pods, workloads = new_cluster()
    for number, (labels, value, age, reported) in enumerate(fleet):
        pods.add(f"p{number}", labels=labels)
        pods.change(f"p{number}", "in_flight", value=value, received_at=clock.time - age, reported_before=reported)
    workloads.add("vllm", own)
    path = f"namespaces/inference/deployments.apps/vllm/inflight_requests?metricLabelSelector={quote(narrowing)}"
    reply = get(f"/apis/custom.metrics.k8s.io/{version}/{path}")
    if ",," in narrowing:
        reply.refusal(400)
        return
    both = ",".join(text for text in (own, narrowing) if text)
    external = get(f"{FLEET}?labelSelector={quote(both)}")
    if not own:
        reply.refusal(404)
    elif external.status != 200:
        assert reply.refusal(external.status)
    else:
        (item,), (wanted,) = reply.json()["items"], external.json()["items"]
        assert (item["value"], item["timestamp"]) == (wanted["value"], wanted["timestamp"])


class Everybody:
    """A cluster that binds everything to strangers."""

    def __init__(self) -> None:
        self.asked: list[Attributes] = []

    async def review(self, user: Any, attributes: Attributes) -> Verdict:
        self.asked.append(attributes)
        return Verdict(allowed=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(path=PATHS | st.sampled_from(["/version", "/metrics", "/", "/apis"]), query=QUERIES, method=METHODS)
def test_a_stranger_gets_health_or_what_the_cluster_grants_by_name(  # noqa: PLR0917 - fixtures
    pods: Any, clock: Any, workloads: Any, path: str, query: str, method: str
) -> None:
    pods.add("a", in_flight=2, running=1)
    workloads.add("vllm", "app=vllm")
    everybody = Everybody()
    door = ClusterDoor(Authenticator(None), everybody, NobodyTrusted())  # type: ignore[arg-type]
    api = MetricsApi(pods, clock, None, workloads=workloads)
    request = Request(method, f"{path}?{query}")
    target = read_target(request.target)
    refusal = None
    if isinstance(target, Asked) and not target.is_open:
        refusal = asyncio.run(door.admit(method, target, (), Peer())).refusal
    response = api.handle(request, refusal, target)
    if everybody.asked:
        (asked,) = everybody.asked
        assert asked.group in {"custom.metrics.k8s.io", "external.metrics.k8s.io"}
        assert asked.resource
    elif path.strip("/") in {"healthz", "livez", "readyz"} and path.count("/") == 1:
        assert response.status in {200, 405}
    else:
        assert response.status in {400, 403, 414}
        assert __version__.encode() not in response.body


class NobodyTrusted:
    trust = Trust()
