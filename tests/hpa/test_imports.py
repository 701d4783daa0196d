"""The decision runs where only msgspec can be installed (a browser)."""

import subprocess
import sys

SCRIPT = """
import importlib.metadata, sys

ALLOWED = {"msgspec", "inflight"}
third_party = {
    name
    for name, owners in importlib.metadata.packages_distributions().items()
    if name not in ALLOWED and name not in sys.stdlib_module_names
}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in third_party:
            raise ImportError(f"{name} is not there in a browser")
        return None

sys.meta_path.insert(0, Refuse())
assert "yaml" in third_party and "aiohttp" in third_party
before = set(sys.modules)
import inflight.objects, inflight.hpa
decision = inflight.hpa.decide(
    inflight.objects.set_defaults(inflight.objects.decode_hpa({
        "metadata": {"name": "a"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
            "maxReplicas": 10,
            "metrics": [{"type": "External", "external": {
                "metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "30"}}}],
        },
    })),
    inflight.hpa.Observation(5, 5, "app=a", (), (inflight.hpa.ExternalAnswer((231000,)),)),
    inflight.hpa.Memory(),
    1_790_000_000_000_000_000,
)
foreign = {name.partition(".")[0] for name in set(sys.modules) - before} & third_party
assert not foreign, foreign
print(decision.replicas)
"""


def test_objects_and_hpa_need_no_third_party_module_but_msgspec() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "8"
