"""The image: the user, the version and the packages that the manifest and the pins promise, and all of the package."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from inflight import __version__
from inflight.documents import load_documents

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def pod_spec() -> dict[str, Any]:
    manifest = ROOT / "deploy" / "install.yaml"
    values = [each.value for each in load_documents(manifest.read_bytes(), manifest.name)]
    (deployment,) = [each for each in values if each["kind"] == "Deployment"]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod_spec()["containers"]
    found: dict[str, Any] = only
    return found


def test_the_image_is_this_version_and_names_no_registry() -> None:
    assert container()["image"] == f"inflight-autoscaler:{__version__}"


def test_the_image_runs_as_the_user_of_the_manifest() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    final = text.rpartition("\nFROM ")[2]
    pod = pod_spec()["securityContext"]
    assert f"\nUSER {pod['runAsUser']}:{pod['runAsGroup']}\n" in final
    assert 'ENTRYPOINT ["/opt/inflight/bin/inflight"]' in final
    assert "command" not in container()


def test_the_image_takes_hashed_packages_only() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"-m pip (?:--python \S+ )?(download|install|wheel)([^&\n]*)", text)
    assert [verb for verb, _ in installs] == ["download", "install", "wheel", "install"]
    for verb, options in installs:
        assert ("--require-hashes" if verb == "download" else "--no-index") in options
    assert not re.search(r"\b(curl|wget|apt-get|ADD)\b", text)


def test_everything_that_is_copied_into_the_image_is_let_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied: set[str] = set()
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            copied |= set(line.split()[1:-1])
    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)


def test_the_wheel_of_the_image_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Catalogue, traces and pages are data: a wheel of modules alone would start and then know no engine."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    ended = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("inflight/")}
    there = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "inflight").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert "inflight/signals/data/engines.yaml" in held
