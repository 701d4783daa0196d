"""What the cluster is asked about is what is answered, however the question is spelled."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflight.objects import Selector
from inflight.serve.api.asked import Asked, read_target
from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.messages import Request
from inflight.serve.door import attributes_of

NAMES = st.sampled_from(["pods", "pod", "deployments", "statefulsets", "replicationcontrollers", "namespaces", "po"])
GROUPS = st.sampled_from(["", ".", ".apps", ".APPS", ".Apps", ".x.example.com"])
CASES = st.sampled_from([str.lower, str.upper, str.title])
OBJECTS = st.sampled_from(["a", "A", "*", "", "vllm", "a.b"])
SPACES = st.sampled_from(["inference", "other", "*"])


class Witness:
    """Stands where pods and workloads are looked up, and remembers what was."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.read: list[str | None] = []
        self.asked: list[tuple[str, str, str]] = []

    def samples(self, signal: str, namespace: str | None = None) -> Any:
        self.read.append(namespace)
        return self._source.samples(signal, namespace)

    def workload(self, namespace: str, resource: str, name: str) -> str:
        self.asked.append((namespace, resource, name))
        return "it is not known"

    def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
        return ""

    def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
        return ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(name=NAMES, group=GROUPS, case=CASES, what=OBJECTS, space=SPACES, is_escaped=st.booleans())
def test_what_is_authorized_is_what_is_answered(  # noqa: PLR0917 - drawn values
    pods: Any, clock: Any, name: str, group: str, case: Any, what: str, space: str, is_escaped: bool
) -> None:
    pods.add("a", in_flight=1)
    pods.add("A", in_flight=2)
    witness = Witness(pods)
    api = MetricsApi(witness, clock, None, workloads=witness)
    parts = (space, case(name) + group, what)
    path = "/".join("".join(f"%{ord(letter):02x}" for letter in part) if is_escaped else quote(part) for part in parts)
    target = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{path}/inflight_requests"
    asked = read_target(target)
    assert isinstance(asked, Asked)
    attributes = attributes_of("GET", asked)
    response = api.handle(Request("GET", target))
    for looked_up in witness.asked:
        assert looked_up == (attributes.namespace, attributes.resource, attributes.name)
    if witness.read:
        assert (attributes.namespace, attributes.resource) == (witness.read[0], "pods")
    if response.status == 200:
        assert b'"kind":"Pod"' in response.body
        named = [pod for pod in ("a", "A") if f'"name":"{pod}"'.encode() in response.body]
        assert named == (["a", "A"] if attributes.name == "*" else [attributes.name])


@given(value=st.sampled_from(["true", "1", "TRUE", "t", "yes", "", "false", "0", "False", "fAlSe", "no"]))
def test_who_is_asked_about_as_a_watcher_is_answered_as_one(value: str) -> None:
    target = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests?watch={value}"
    asked = read_target(target)
    assert isinstance(asked, Asked)
    status = MetricsApi(NoPods(), Now(), None).handle(Request("GET", target)).status
    assert (attributes_of("GET", asked).verb == "watch") == (status == 405)


class NoPods:
    def samples(self, signal: str, namespace: str | None = None) -> tuple[()]:
        return ()


class Now:
    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError
