"""`inflight serve --authentication-kubeconfig` as a command: what it refuses, and what it says without its cluster."""

import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from click.testing import CliRunner

from inflight.cli.serve import command

INFLIGHT = (sys.executable, "-c", "from inflight.cli import main; main()")
PATIENCE_SECONDS = 30


def written(folder: Path, server: str) -> tuple[Path, Path]:
    kubeconfig, targets = folder / "kubeconfig", folder / "targets.yaml"
    plain = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    kubeconfig.write_text(json.dumps(plain))
    targets.write_text("targets: []\n")
    return kubeconfig, targets


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_there_is_no_token_to_write(tmp_path: Path) -> None:
    kubeconfig, targets = written(tmp_path, "https://127.0.0.1:1")
    arguments = ["--targets", str(targets), "--authentication-kubeconfig", str(kubeconfig), "--token-file", "t"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert "--token-file" in done.output


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    kubeconfig, targets = written(tmp_path, "10.0.0.1")
    arguments = ["--targets", str(targets), "--authentication-kubeconfig", str(kubeconfig)]
    done = subprocess.run([*INFLIGHT, "serve", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "clusters[0].cluster.server: must be a URL" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout


def test_without_its_cluster_it_is_alive_not_ready_and_lets_nobody_in(tmp_path: Path) -> None:
    kubeconfig, targets = written(tmp_path, "https://127.0.0.1:1")
    port, ca = free_port(), tmp_path / "ca.pem"
    arguments = ["--targets", str(targets), "--secure-port", str(port), "--ca-file", str(ca)]
    process = subprocess.Popen(
        [*INFLIGHT, "serve", *arguments, "--authentication-kubeconfig", str(kubeconfig)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ca.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        context = ssl.create_default_context(cafile=str(ca))

        def ask(path: str, token: str = "") -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
            try:
                with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        assert ask("/livez") == (200, "ok")
        assert ask("/readyz") == (503, "readyz failed: the log of this server says why\n")
        assert ask("/readyz", "some-token") == (503, "readyz failed: the log of this server says why\n")
        assert ask("/metrics")[0] == 403, "a stranger is not asked about"
        assert ask("/metrics", "some-token")[0] == 503
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "who may ask is decided by the cluster" in out
    (line,) = [line for line in err.splitlines() if "event=health check=readyz ok=False" in line][:1]
    assert "extension-apiserver-authentication" in line
    assert "s3cret" not in out + err
    assert "some-token" not in out + err
