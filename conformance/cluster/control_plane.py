# ruff: noqa: INP001, S310, S603 - scripts of the conformance suite, not a package.
"""A control plane on loopback for one run: etcd, kube-apiserver, kube-controller-manager.

Everything that it writes lies in one temporary folder; ports are free ones. Only the controllers that scaling needs
run: there is no scheduler and no kubelet, pods are played by `pods.py`.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from authority import Authority, write_service_account_keys
from programs import Programs

START_SECONDS = 120.0
STOP_SECONDS = 10.0
STOP_SECONDS_OF = {"kube-apiserver": 2.0}
"""It waits a minute for watchers to go, and nothing that it could lose is kept."""
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
)
SERVING_HOSTS = ("localhost", "127.0.0.1", "inflight.inflight-system.svc")
"""The aggregator asks for the name of the Service."""
INFLIGHT_USER = "system:serviceaccount:inflight-system:inflight"
INFLIGHT_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:inflight-system")


class StartError(Exception):
    """A part of the control plane did not come up; its last log lines are in the message."""


class Process:
    """One program with its log."""

    def __init__(self, name: str, command: list[str | Path], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # A session of its own, so that a Ctrl-C of the terminal ends them in our order.
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        if self._process.poll() is not None:
            raise StartError(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS_OF.get(self.name, STOP_SECONDS))
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class ControlPlane:
    """Where the parts of a run are. `folder` holds keys, kubeconfigs and logs."""

    def __init__(self, folder: Path, programs: Programs, hpa_flags: tuple[str, ...]) -> None:
        self.folder = folder
        self._programs = programs
        self.hpa_flags = hpa_flags
        self._processes: list[Process] = []
        etcd, peer, self.port, self.inflight_port = free_ports(4)
        self._etcd_url, self._peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        self.url = f"https://127.0.0.1:{self.port}"
        self.admin_kubeconfig = folder / "admin.kubeconfig"
        self.inflight_kubeconfig = folder / "inflight.kubeconfig"

    def start(self) -> None:
        """Raises StartError."""
        self._write_credentials()
        self.spawn(
            "etcd", [self._programs.etcd, f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd_url}", f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={self._peer_url}", f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}"],
        )  # fmt: skip
        self.start_apiserver()
        self.spawn(
            "kube-controller-manager",
            [self._programs.kube_controller_manager, f"--kubeconfig={self.folder / 'controllers.kubeconfig'}",
             f"--controllers={','.join(CONTROLLERS)}", "--leader-elect=false", "--secure-port=0",
             "--use-service-account-credentials=true", *self.hpa_flags],
        )  # fmt: skip

    def start_apiserver(self) -> None:
        """Also for a second time, after `stop_one`."""
        self.spawn("kube-apiserver", [self._programs.kube_apiserver, *self._apiserver_flags()])
        self._wait_ready()

    def spawn(self, name: str, command: list[str | Path]) -> Process:
        process = Process(name, command, self.folder / f"{name}.log")
        self._processes.append(process)
        return process

    def stop_one(self, name: str) -> None:
        for process in [process for process in self._processes if process.name == name]:
            process.stop()
            self._processes.remove(process)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def check(self) -> None:
        """Raises StartError where one of the processes has ended."""
        for process in self._processes:
            process.check()

    def _write_credentials(self) -> None:
        cluster, proxy, serving = (Authority(self.folder, name) for name in ("cluster", "front-proxy", "serving"))
        cluster.issue("apiserver", "kube-apiserver", hosts=("localhost", "127.0.0.1"))
        proxy.issue("front-proxy", "front-proxy-client")
        proxy.issue("stranger-proxy", "somebody-else")
        cluster.issue("admin", "admin", groups=("system:masters",))
        cluster.issue("controllers", "system:kube-controller-manager")
        cluster.issue("inflight", INFLIGHT_USER, groups=INFLIGHT_GROUPS)
        cluster.issue("nobody", "nobody")
        cluster.issue("false-proxy", "front-proxy-client")
        serving.issue("serving", "inflight", hosts=SERVING_HOSTS)
        write_service_account_keys(self.folder)
        for user in ("admin", "controllers", "inflight", "nobody"):
            self._write_kubeconfig(user)

    def _write_kubeconfig(self, user: str) -> None:
        file = self.folder / f"{user}.kubeconfig"
        file.touch(mode=0o600)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "run",
            "clusters": [{"name": "run", "cluster": {"server": self.url, "certificate-authority": "cluster-ca.pem"}}],
            "users": [{"name": user, "user": {"client-certificate": f"{user}.pem", "client-key": f"{user}.key"}}],
            "contexts": [{"name": "run", "context": {"cluster": "run", "user": user}}],
        }
        file.write_text(json.dumps(document, indent=2) + "\n")

    def _apiserver_flags(self) -> list[str]:
        at = self.folder
        return [
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={at / 'apiserver.pem'}",
            f"--tls-private-key-file={at / 'apiserver.key'}",
            f"--client-ca-file={at / 'cluster-ca.pem'}",
            f"--requestheader-client-ca-file={at / 'front-proxy-ca.pem'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-uid-headers=X-Remote-Uid",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={at / 'front-proxy.pem'}",
            f"--proxy-client-key-file={at / 'front-proxy.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at / 'service-account.pub'}",
            f"--service-account-signing-key-file={at / 'service-account.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ]

    def _wait_ready(self) -> None:
        context = ssl.create_default_context(cafile=str(self.folder / "cluster-ca.pem"))
        context.load_cert_chain(self.folder / "admin.pem", self.folder / "admin.key")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.url}/readyz", context=context, timeout=5) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.2)
        last = self._processes[-1]
        raise StartError(f"{last.name} was not ready within {START_SECONDS:g} s:\n{last.tail()}")


@contextlib.contextmanager
def control_plane(
    programs: Programs, *, hpa_flags: tuple[str, ...] = (), keep: Path | None = None
) -> Iterator[ControlPlane]:
    """A control plane while the block runs; afterwards nothing of it is left, but its logs in `keep` if asked for."""
    folder = Path(tempfile.mkdtemp(prefix="inflight-cluster-"))
    plane = ControlPlane(folder, programs, hpa_flags)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, keep)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together until all are known, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def environment_without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
