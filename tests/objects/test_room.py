"""The room stands alone: of third-party packages it knows msgspec only."""

import subprocess
import sys

import inflight.objects

# Refuses every module that is neither of the standard library, nor msgspec, nor of this room; then uses the room.
ALONE = """
import sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        inside = name == "inflight" or name == "inflight.objects" or name.startswith("inflight.objects.")
        if inside or top == "msgspec" or top in sys.stdlib_module_names:
            return None
        raise ImportError(f"{name} is behind the wall")

sys.meta_path.insert(0, Wall())
try:
    import yaml
except ImportError:
    pass
else:
    raise SystemExit("the wall has a hole")

import inflight.objects as objects

hpa = objects.decode_hpa('{"spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"tolerance": "0.3"}}}}')
assert objects.set_defaults(hpa).spec.behavior.scale_up.tolerance.as_float() == 300 * 1e-3
assert objects.parse_selector("a in (b,c)").matches({"a": "b"})
print("alone")
"""


def test_it_runs_with_msgspec_alone() -> None:
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "alone", run.stderr


def test_every_public_name_is_there() -> None:
    assert all(hasattr(inflight.objects, name) for name in inflight.objects.__all__)
    assert len(set(inflight.objects.__all__)) == len(inflight.objects.__all__)
