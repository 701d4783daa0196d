# ruff: noqa: INP001, S603, S607, T201 - scripts of the conformance suite, not a package.
"""The programs that a control plane needs: found, or built into the ignored folder conformance/.cache, or named.

kube-apiserver and kube-controller-manager are not packaged anywhere that a distribution has; they are one binary built
from their Go module. etcd is Debian's.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
ROOT = HERE.parents[1]
KUBERNETES = "1.37.2"
AUTOSCALING_V2 = (1, 23)


class MissingError(Exception):
    """Something that cannot be had here: what, and how it is had."""


class Programs:
    """Paths of what is started."""

    def __init__(self) -> None:
        self.etcd = _etcd()
        self.kubectl = _kubectl()
        """None where there is none: its part cannot be run then."""
        folder = _control_plane()
        self.kube_apiserver = folder / "kube-apiserver"
        self.kube_controller_manager = folder / "kube-controller-manager"


def _etcd() -> Path:
    found = _on_path_or_of_debian("etcd", "etcd-server")
    if found is None:
        raise MissingError("etcd: install the Debian package etcd-server (apt-get install etcd-server)")
    return found


def _kubectl() -> Path | None:
    """None where there is none, and no Go to build it. Debian's is the last to be asked: before its release 13 it does
    not know autoscaling/v2.
    """
    found = shutil.which("kubectl")
    if found:
        return Path(found)
    built = CACHE / f"kubernetes-{KUBERNETES}" / "kubectl"
    if not built.is_file() and shutil.which("go"):
        _build(built, "./kubectl-main")
    if built.is_file():
        return built
    packaged = _on_path_or_of_debian("kubectl", "kubernetes-client")
    return packaged if packaged is not None and _knows_autoscaling_v2(packaged) else None


def _knows_autoscaling_v2(kubectl: Path) -> bool:
    done = subprocess.run([kubectl, "version", "--client", "-o", "json"], check=False, capture_output=True)
    try:
        version = json.loads(done.stdout)["clientVersion"]
        return (int(version["major"]), int(version["minor"].rstrip("+"))) >= AUTOSCALING_V2
    except (ValueError, LookupError):
        return False


def _on_path_or_of_debian(program: str, package: str) -> Path | None:
    found = shutil.which(program)
    cached = CACHE / program / "usr" / "bin" / program
    if found:
        return Path(found)
    if not cached.is_file():
        _unpack(package, CACHE / program)
    return cached if cached.is_file() else None


def _unpack(package: str, into: Path) -> None:
    """The package's files without its service and its user: needs no root and leaves the system as it is."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return
    folder = CACHE / f"{package}-package"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=False, capture_output=True)
        for file in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, into], check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _control_plane() -> Path:
    """The folder with the two links to the binary, which is built where it is not there yet."""
    folder = CACHE / f"kubernetes-{KUBERNETES}"
    binary = folder / "control-plane"
    if not binary.is_file():
        _build(binary, ".")
    for name in ("kube-apiserver", "kube-controller-manager"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(binary.name)
    return folder


def _build(binary: Path, package: str) -> None:
    """Raises MissingError."""
    go = shutil.which("go")
    if go is None:
        raise MissingError("go: Go 1.26 or newer is needed to build Kubernetes (https://go.dev/dl/)")
    major, minor, _ = KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    flags = ["-s", "-w"]
    for name, value in (("gitVersion", f"v{KUBERNETES}"), ("gitMajor", major), ("gitMinor", minor)):
        flags += ["-X", f"{version}.{name}={value}"]
    print(f"building {binary.name} of Kubernetes {KUBERNETES}, once, for some minutes", file=sys.stderr, flush=True)
    binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = binary.with_suffix(".unfinished")
    command: list[str | Path] = [go, "build", "-ldflags", " ".join(flags), "-o", unfinished, package]
    done = subprocess.run(command, cwd=HERE, env={**os.environ, "GOFLAGS": _go_flags()}, check=False)
    if done.returncode:
        raise MissingError(
            f"{binary.name} of Kubernetes {KUBERNETES}: go build ended with {done.returncode}"
            " (see above; it needs Go 1.26 or newer and a Go module proxy)"
        )
    unfinished.rename(binary)


def _go_flags() -> str:
    return f"{os.environ.get('GOFLAGS', '')} -buildvcs=false".strip()
