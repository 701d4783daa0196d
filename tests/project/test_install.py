"""The install manifest: the least rights, no secrets in it, names that agree, also with the command and the docs."""

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inflight.cli.serve import command
from inflight.documents import load_documents
from inflight.objects import parse_quantity
from inflight.serve.server import start_server
from inflight.signals.series import PodSample
from inflight.sources.clock import WallClock

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "deploy" / "install.yaml"
NAMESPACE = "inflight-system"
API_SERVICES = [
    "v1beta1.custom.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
]
RBAC = "rbac.authorization.k8s.io"

Object = dict[str, Any]


def read(path: Path) -> list[Object]:
    return [document.value for document in load_documents(path.read_bytes(), path.name)]


OBJECTS = read(MANIFEST)


def objects(kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def the(kind: str, name: str = "inflight") -> Object:
    return objects(kind)[name]


def pod_spec() -> Object:
    spec: Object = the("Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> Object:
    (only,) = pod_spec()["containers"]
    found: Object = only
    return found


def keys_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in keys_in(each)}
    if isinstance(value, list):
        return {key for each in value for key in keys_in(each)}
    return set()


LEAST = {
    ("ClusterRole", "inflight"): [
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["get"]},
    ],
    ("ClusterRole", "inflight-apiservices"): [
        {
            "apiGroups": ["apiregistration.k8s.io"],
            "resources": ["apiservices"],
            "resourceNames": API_SERVICES,
            "verbs": ["get", "list", "watch", "patch"],
        }
    ],
    ("Role", "inflight"): [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["inflight-serving"],
            "verbs": ["get", "list", "watch", "update"],
        }
    ],
}
BOUND = {
    ("ClusterRoleBinding", None, "inflight", "ClusterRole", "inflight"),
    ("ClusterRoleBinding", None, "inflight-apiservices", "ClusterRole", "inflight-apiservices"),
    ("ClusterRoleBinding", None, "inflight-auth-delegator", "ClusterRole", "system:auth-delegator"),
    (
        "RoleBinding",
        "kube-system",
        "inflight-auth-reader",
        "Role",
        "extension-apiserver-authentication-reader",
    ),
    ("RoleBinding", NAMESPACE, "inflight", "Role", "inflight"),
}


def test_the_roles_are_the_least_set_and_no_other() -> None:
    found = {
        (each["kind"], each["metadata"]["name"]): each["rules"]
        for each in OBJECTS
        if each["kind"] in {"Role", "ClusterRole"}
    }
    assert found == LEAST
    assert {each["metadata"]["namespace"] for each in objects("Role").values()} == {NAMESPACE}
    assert all("aggregationRule" not in each for each in objects("ClusterRole").values())


def test_the_bindings_give_these_roles_to_the_service_account_alone() -> None:
    bindings = [each for each in OBJECTS if each["kind"].endswith("RoleBinding")]
    found = {
        (
            each["kind"],
            each["metadata"].get("namespace"),
            each["metadata"]["name"],
            each["roleRef"]["kind"],
            each["roleRef"]["name"],
        )
        for each in bindings
    }
    assert found == BOUND
    account = {"kind": "ServiceAccount", "name": "inflight", "namespace": NAMESPACE}
    assert all(each["subjects"] == [account] for each in bindings)
    assert all(each["roleRef"]["apiGroup"] == RBAC for each in bindings)


def test_a_wildcard_stands_for_groups_alone_and_is_read_only() -> None:
    for rules in LEAST.values():
        for rule in rules:
            assert "*" not in rule["verbs"]
            assert "*" not in rule["resources"]
            if "*" in rule["apiGroups"]:
                assert rule["verbs"] == ["get"]
    assert "cluster-admin" not in MANIFEST.read_text(encoding="utf-8")


def test_whatever_can_be_written_is_named_one_by_one() -> None:
    for rules in LEAST.values():
        for rule in rules:
            if not set(rule["verbs"]) <= {"get", "list", "watch"}:
                assert rule.get("resourceNames")


def test_each_rule_says_what_it_is_for() -> None:
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("- apiGroups:"):
            before = lines[number - 1]
            # The only rule of a role is explained above the role.
            assert before.startswith("#") or before == "rules:", f"line {number + 1}: what is this rule for?"
    for kind in ("ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "Secret", "Deployment", "APIService"):
        assert f"kind: {kind}" in lines


def test_neither_the_certificate_nor_the_ca_bundle_is_in_the_manifest() -> None:
    """`kubectl apply` takes away only what an earlier version of the file set: so no version may set these."""
    secret = the("Secret", "inflight-serving")
    assert secret["type"] == "Opaque"
    assert not {"data", "stringData", "immutable"} & set(secret)
    assert not {"caBundle", "insecureSkipTLSVerify"} & keys_in(OBJECTS)


def test_the_secret_is_there_before_anybody_may_read_it_and_the_apiservices_come_last() -> None:
    kinds = [each["kind"] for each in OBJECTS]
    assert kinds[0] == "Namespace"
    assert kinds.index("Secret") < kinds.index("Deployment")
    assert kinds[-3:] == ["APIService"] * 3
    assert kinds.index("Deployment") < kinds.index("APIService")


def test_the_apiservices_point_at_the_service() -> None:
    found = objects("APIService")
    assert sorted(found) == sorted(API_SERVICES)
    (port,) = the("Service")["spec"]["ports"]
    for name, each in found.items():
        spec = each["spec"]
        assert name == f"{spec['version']}.{spec['group']}"
        assert spec["groupPriorityMinimum"] == 100
        assert spec["service"] == {"namespace": NAMESPACE, "name": "inflight", "port": port["port"]}


def test_the_newer_version_of_the_custom_metrics_is_the_preferred_one() -> None:
    priority = {name: each["spec"]["versionPriority"] for name, each in objects("APIService").items()}
    assert priority["v1beta2.custom.metrics.k8s.io"] > priority["v1beta1.custom.metrics.k8s.io"]


def test_the_service_leads_to_the_port_that_is_listened_on() -> None:
    service = the("Service")["spec"]
    (port,) = service["ports"]
    (listening,) = container()["ports"]
    assert (port["port"], port["targetPort"]) == (443, listening["containerPort"])
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert the("Deployment")["spec"]["selector"]["matchLabels"] == service["selector"]
    assert the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == service["selector"]


def test_everything_carries_the_label_by_which_it_is_found() -> None:
    for each in OBJECTS:
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "inflight", each["metadata"]["name"]


def test_everything_lies_in_one_namespace_but_one_binding() -> None:
    elsewhere = {
        (each["kind"], each["metadata"]["name"], each["metadata"]["namespace"])
        for each in OBJECTS
        if each["metadata"].get("namespace", NAMESPACE) != NAMESPACE
    }
    assert elsewhere == {("RoleBinding", "inflight-auth-reader", "kube-system")}
    assert the("Namespace", NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def parsed_arguments() -> dict[str, Any]:
    name, *arguments = container()["args"]
    assert name == "serve"
    return command.make_context(name, list(arguments)).params


def test_the_arguments_are_those_of_the_command_and_name_what_is_in_the_manifest() -> None:
    chosen = parsed_arguments()
    arguments = dict(zip(container()["args"][1::2], container()["args"][2::2], strict=True))
    assert arguments == {
        "--bind-address": "::",
        "--secure-port": "6443",
        "--tls-secret": f"{NAMESPACE}/inflight-serving",
        "--service": f"{NAMESPACE}/inflight",
    }
    assert ipaddress.ip_address(chosen["bind_address"]).is_unspecified
    assert chosen["secure_port"] == container()["ports"][0]["containerPort"]
    assert arguments["--tls-secret"].split("/")[1] in objects("Secret")
    assert arguments["--service"].split("/")[1] in objects("Service")


class NoPods:
    """A source that knows nothing: whether anybody listens is all that is asked here."""

    def samples(self, signal: str, namespace: str | None = None) -> Sequence[PodSample]:
        return []


def families() -> list[str]:
    """Loopback addresses of this machine: some have no IPv6."""
    found = ["127.0.0.1"]
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        found.append("::1")
    return found


async def test_the_bind_address_answers_in_both_families() -> None:
    """Kubelet and aggregator of an IPv4 cluster come by IPv4; a socket for IPv6 alone is deaf to them."""
    address = container()["args"][container()["args"].index("--bind-address") + 1]
    async with start_server(NoPods(), WallClock(), address=address, port=0) as server:
        for family in families():
            _, writer = await asyncio.open_connection(family, server.port)
            writer.close()
            await writer.wait_closed()


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    pod, own = pod_spec()["securityContext"], container()["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == 65532
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostPort", "hostPath"} & keys_in(pod_spec())


def test_the_only_place_that_can_be_written_is_small_and_in_memory() -> None:
    assert pod_spec()["volumes"] == [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    assert container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_only_the_deployment_gets_the_token() -> None:
    assert the("ServiceAccount")["automountServiceAccountToken"] is False
    assert pod_spec()["automountServiceAccountToken"] is True
    assert pod_spec()["serviceAccountName"] == "inflight"


def test_no_secret_is_given_to_the_container_in_its_environment_or_as_a_file() -> None:
    assert not {"env", "envFrom"} & set(container())
    assert not {"secret", "projected", "configMap"} & keys_in(pod_spec()["volumes"])


def test_probes_ask_the_health_paths_over_https() -> None:
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    (port,) = container()["ports"]
    for probe, path in wanted.items():
        assert container()[probe]["httpGet"] == {"path": path, "port": port["name"], "scheme": "HTTPS"}
        # The longest stop that is expected of a busy process is well below it.
        assert container()[probe]["timeoutSeconds"] >= 5


def test_capacity_stays_while_replicas_come_and_go() -> None:
    spec = the("Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert the("PodDisruptionBudget")["spec"]["minAvailable"] == 1
    spread = {each["topologyKey"]: each for each in pod_spec()["topologySpreadConstraints"]}
    assert set(spread) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for each in spread.values():
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]


def test_the_grace_period_covers_the_pause_and_the_drain() -> None:
    from inflight.serve.arrivals import GOODBYE_SECONDS
    from inflight.serve.server import DRAIN_SECONDS

    pause = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod_spec()["terminationGracePeriodSeconds"] >= 2 * (pause + DRAIN_SECONDS + GOODBYE_SECONDS)


def test_requests_lie_below_limits_and_the_cpu_is_not_throttled() -> None:
    resources = container()["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}
    request, limit = (parse_quantity(resources[each]["memory"]) for each in ("requests", "limits"))
    assert request < limit


GUIDE = ROOT / "docs" / "install.md"
SECURITY = ROOT / "docs" / "security.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_roles_of_the_namespaced_variant_are_the_same_rights() -> None:
    found: list[Object] = []
    for block in blocks(GUIDE, "yaml"):
        found += [each.value for each in load_documents(block.encode(), "install.md")]
    (role,) = [each for each in found if each["kind"] == "Role"]
    (binding,) = [each for each in found if each["kind"] == "RoleBinding"]
    assert role["rules"] == LEAST["ClusterRole", "inflight"]
    assert binding["roleRef"] == {"apiGroup": RBAC, "kind": "Role", "name": role["metadata"]["name"]}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "inflight", "namespace": NAMESPACE}]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] != NAMESPACE


def test_the_guide_names_the_image_the_apiservices_and_every_role() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert container()["image"] in text
    for name in API_SERVICES:
        assert name in text
    security = SECURITY.read_text(encoding="utf-8")
    for name in ("system:auth-delegator", "extension-apiserver-authentication-reader", "`*/scale`"):
        assert name in security


def test_the_tests_that_the_security_page_refers_to_are_there() -> None:
    named = set(re.findall(r"`((?:tests|conformance)/[\w/.-]+\.py)(?:::(\w+))?`", SECURITY.read_text(encoding="utf-8")))
    assert len(named) > 10
    for file, test in named:
        path = ROOT / file
        assert path.is_file(), f"{file} is not there"
        if test:
            assert re.search(rf"def {test}\(", path.read_text(encoding="utf-8")), f"{file} holds no {test}"
