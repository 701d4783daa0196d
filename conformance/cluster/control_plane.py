# ruff: noqa: INP001, S310 - scripts of the conformance suite, not a package.
"""A control plane on loopback for one run: etcd, kube-apiserver, kube-controller-manager.

Everything that it writes lies in one temporary folder; ports are free ones. Only the controllers that scaling needs
run: there is no scheduler and no kubelet, pods are played by `pods.py`. With a recording the controller manager reaches
the API server through `proxy.py`, with bearer tokens, since a certificate would end there.
"""

import contextlib
import json
import secrets
import shutil
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from authority import Authority, write_service_account_keys
from leaks import Keeper
from processes import RUN, Process, StartError, free_ports
from programs import HERE, Programs
from recording import Header, hpa_settings, write_header

START_SECONDS = 120.0
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
)
SERVING_HOSTS = ("localhost", "127.0.0.1", "inflight.inflight-system.svc")
"""The aggregator asks for the name of the Service."""
INFLIGHT_USER = "system:serviceaccount:inflight-system:inflight"
INFLIGHT_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:inflight-system")
CONTROLLER_MANAGER = "system:kube-controller-manager"

__all__ = ["ControlPlane", "Process", "StartError", "control_plane", "free_ports"]


class ControlPlane:
    """Where the parts of a run are. `folder` holds keys, kubeconfigs and logs."""

    def __init__(
        self, folder: Path, programs: Programs, hpa_flags: tuple[str, ...], recording: Path | None = None
    ) -> None:
        self.folder = folder
        self.recording = recording
        self._programs = programs
        self.hpa_flags = hpa_flags
        self._processes: list[Process] = []
        etcd, peer, self.port, self.inflight_port, self._proxy_port = free_ports(5)
        self.etcd_url, self._peer_url = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        self.url = f"https://127.0.0.1:{self.port}"
        self.proxy_url = f"https://127.0.0.1:{self._proxy_port}"
        self.admin_kubeconfig = folder / "admin.kubeconfig"
        self.controllers_token = secrets.token_urlsafe()

    def start(self) -> None:
        """Raises StartError."""
        self._write_credentials()
        self.spawn(
            "etcd", [self._programs.etcd, f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={self.etcd_url}", f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={self._peer_url}", f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}"],
        )  # fmt: skip
        self.start_apiserver()
        if self.recording is not None:
            self._start_proxy(self.recording)
        self.spawn(
            "kube-controller-manager",
            [self._programs.kube_controller_manager, f"--kubeconfig={self.folder / 'controllers.kubeconfig'}",
             f"--controllers={','.join(CONTROLLERS)}", "--leader-elect=false", "--secure-port=0",
             "--use-service-account-credentials=true", "--kube-api-content-type=application/json",
             f"--root-ca-file={self.folder / 'cluster-ca.pem'}", *self.hpa_flags],
        )  # fmt: skip

    def restart_one(self, name: str) -> None:
        """Another process with the same command, which begins with an empty memory."""
        [old] = [process for process in self._processes if process.name == name]
        self.stop_one(name)
        self.spawn(name, old.command, old.environment)

    def start_apiserver(self) -> None:
        """Also for a second time, after `stop_one`."""
        self.spawn("kube-apiserver", [self._programs.kube_apiserver, *self.apiserver_flags()])
        self._wait_ready()

    def spawn(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Process:
        process = Process(name, command, self.folder / f"{name}.log", environment)
        self._processes.append(process)
        return process

    def has(self, name: str) -> bool:
        return any(process.name == name and process.is_running for process in self._processes)

    def stop_one(self, name: str) -> None:
        for process in [process for process in self._processes if process.name == name]:
            process.stop()
            self._processes.remove(process)

    def kill_one(self, name: str) -> None:
        """Without a chance to say goodbye: connections break off."""
        for process in [process for process in self._processes if process.name == name]:
            process.kill()
            self._processes.remove(process)

    def stop(self) -> None:
        while self._processes:
            self._processes[-1].stop()
            self._processes.pop()

    def check(self) -> None:
        """Raises StartError where one of the processes has ended."""
        for process in self._processes:
            process.check()

    def admin_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "cluster-ca.pem"))
        context.load_cert_chain(self.folder / "admin.pem", self.folder / "admin.key")
        return context

    def _start_proxy(self, recording: Path) -> None:
        """Ready before it is asked: the controller manager gives up after ten seconds."""
        recording.parent.mkdir(parents=True, exist_ok=True)
        gates = self._feature_gates()
        controller = hpa_settings(self.hpa_flags, gates)
        write_header(recording, Header(flags=self.hpa_flags, feature_gates=gates, controller=controller))
        at = self.folder
        command: list[str | Path] = [
            sys.executable, HERE / "proxy.py", "--port", str(self._proxy_port), "--upstream", self.url,
            "--ca", at / "cluster-ca.pem", "--certificate", at / "apiserver.pem", "--key", at / "apiserver.key",
            "--recording", recording,
        ]  # fmt: skip
        self.spawn("proxy", command)
        self._wait_ready(self.proxy_url)

    def _feature_gates(self) -> dict[str, bool]:
        """The HPA's, as this release has them by default. The API server's metrics name them all."""
        with urllib.request.urlopen(f"{self.url}/metrics", context=self.admin_context(), timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = {}
        for line in lines:
            if line.startswith("kubernetes_feature_enabled{") and 'name="HPA' in line:
                found[line.split('name="', 1)[1].split('"', 1)[0]] = line.endswith(" 1")
        return found

    def _write_credentials(self) -> None:
        cluster, proxy, serving = (Authority(self.folder, name) for name in ("cluster", "front-proxy", "serving"))
        cluster.issue("apiserver", "kube-apiserver", hosts=("localhost", "127.0.0.1"))
        proxy.issue("front-proxy", "front-proxy-client")
        proxy.issue("stranger-proxy", "somebody-else")
        cluster.issue("admin", "admin", groups=("system:masters",))
        cluster.issue("nobody", "nobody")
        cluster.issue("false-proxy", "front-proxy-client")
        serving.issue("serving", "inflight", hosts=SERVING_HOSTS)
        write_service_account_keys(self.folder)
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self.controllers_token},{CONTROLLER_MANAGER},controllers\n")
        for user in ("admin", "nobody"):
            certificate = {"client-certificate": f"{user}.pem", "client-key": f"{user}.key"}
            self._write_kubeconfig(user, certificate, self.url)
        url = self.url if self.recording is None else self.proxy_url
        self._write_kubeconfig("controllers", {"token": self.controllers_token}, url)

    def _write_kubeconfig(self, user: str, credentials: Mapping[str, str], url: str) -> None:
        file = self.folder / f"{user}.kubeconfig"
        file.touch(mode=0o600)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "run",
            "clusters": [{"name": "run", "cluster": {"server": url, "certificate-authority": "cluster-ca.pem"}}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "run", "context": {"cluster": "run", "user": user}}],
        }
        file.write_text(json.dumps(document, indent=2) + "\n")

    def apiserver_flags(self) -> list[str]:
        at = self.folder
        return [
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={at / 'apiserver.pem'}",
            f"--tls-private-key-file={at / 'apiserver.key'}",
            f"--client-ca-file={at / 'cluster-ca.pem'}",
            f"--token-auth-file={at / 'tokens.csv'}",
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
            "--endpoint-reconciler-type=none",
        ]

    def _wait_ready(self, url: str = "") -> None:
        context = self.admin_context()
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check()
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{url or self.url}/readyz", context=context, timeout=5) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.1)
        last = self._processes[-1]
        raise StartError(f"{last.name} was not ready within {START_SECONDS:g} s:\n{last.tail()}")


@contextlib.contextmanager
def control_plane(
    programs: Programs, *, hpa_flags: tuple[str, ...] = (), keep: Path | None = None, recording: Path | None = None
) -> Iterator[ControlPlane]:
    """A control plane while the block runs; afterwards nothing of it is left, but its logs in `keep` if asked for."""
    folder = Path(tempfile.mkdtemp(prefix="inflight-cluster-"))
    keeper = Keeper(RUN, folder)
    try:
        plane = ControlPlane(folder, programs, hpa_flags, recording)
        try:
            plane.start()
            yield plane
        finally:
            plane.stop()
            if keep is not None:
                keep_logs(folder, keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        keeper.release()


def keep_logs(folder: Path, keep: Path) -> None:
    """Those of this run and no other's."""
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir(parents=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, keep)
