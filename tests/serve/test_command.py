"""`inflight serve` as a process: what it prints, its exit codes, its signals, its files."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from inflight.cli.serve import command

PAGE = (Path(__file__).parents[1] / "data" / "metrics-pages" / "vllm-0.33.0-busy.txt").read_bytes()
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/inference/inflight_requests"
INFLIGHT = (sys.executable, "-c", "from inflight.cli import main; main()")
PATIENCE_SECONDS = 30


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture(scope="module")
def engine_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Engine)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Run:
    """A running `inflight serve`."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    def get(self, path: str, ca: Path | None = None, **headers: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(ca or self.folder / "ca.pem"))
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def authorized(self, path: str, ca: Path | None = None) -> tuple[int, bytes]:
        return self.get(path, ca, Authorization=f"Bearer {(self.folder / 'token').read_text().strip()}")

    def log_until(self, text: str) -> None:
        """Wait until the log holds a text."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            assert self.process.poll() is None, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running(
    folder: Path, targets: str, *options: str, wait: bool = True, max_files: int | None = None
) -> Iterator[Run]:
    (folder / "targets.yaml").write_text(targets)
    port = free_port()
    files = (
        ("--token-file", "token") if "--tls-cert-file" in options else ("--token-file", "token", "--ca-file", "ca.pem")
    )
    arguments = ["serve", "--targets", "targets.yaml", "--secure-port", str(port), "--scrape-interval", "0.2"]
    shell = () if max_files is None else ("sh", "-c", f'ulimit -n {max_files}; exec "$@"', "sh")
    with (folder / "log").open("w") as log, (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [*shell, *INFLIGHT, *arguments, *files, *options],
            cwd=folder,
            stdout=out,
            stderr=log,
            text=True,
        )
    run = Run(folder, port, process)
    try:
        if wait:
            run.log_until("event=listening")
        yield run
    finally:
        process.kill()
        process.wait()


def one_target(port: int, name: str = "a") -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    return f"targets:\n- name: {name}\n  namespace: inference\n  url: {url}\n  labels: {{app: x}}\n"


def test_a_run_from_start_to_drain(tmp_path: Path, engine_port: int) -> None:
    with running(tmp_path, one_target(engine_port)) as run:
        token = (tmp_path / "token").read_text().strip()
        assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
        assert len(token) >= 32
        assert run.get(EXTERNAL)[0] == 403
        assert run.get(EXTERNAL, Authorization="Bearer x")[0] == 401
        deadline = time.monotonic() + PATIENCE_SECONDS
        while run.authorized(EXTERNAL)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert json.loads(run.authorized(EXTERNAL)[1])["items"][0]["value"] == "24"
        while run.get("/readyz") != (200, b"ok"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert b"inflight_targets_answering 1\n" in run.authorized("/metrics")[1]
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        kept = http.client.HTTPSConnection("localhost", run.port, context=context, timeout=10)
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() == b"ok"
        assert run.stop() == 0, "a kept connection does not hold up the end"
        kept.close()
    printed = (tmp_path / "out").read_text()
    assert f"serving https://127.0.0.1:{run.port} for 1 pods of targets.yaml\n" in printed
    assert "token: in token\n" in printed
    log = run.log()
    assert "event=stopped" in log
    assert "Traceback" not in log
    assert token not in log + printed
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ inflight\.", line) for line in log.splitlines()), log


def test_the_token_is_printed_once_where_no_file_is_named(tmp_path: Path, engine_port: int) -> None:
    (tmp_path / "targets.yaml").write_text(one_target(engine_port))
    process = subprocess.Popen(
        [*INFLIGHT, "serve", "--targets", "targets.yaml", "--secure-port", str(free_port())],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    rest, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, log
    found = re.fullmatch(r"token: ([A-Za-z0-9_-]{32,})\n", lines[1])
    assert found is not None, lines
    assert found[1] not in rest + log


def test_targets_are_read_again_and_a_bad_file_is_refused(tmp_path: Path, engine_port: int) -> None:
    with running(tmp_path, one_target(engine_port)) as run:
        (tmp_path / "targets.yaml").write_text("targets:\n- name: B AD\n  url: ftp://x\n")
        run.process.send_signal(signal.SIGHUP)
        run.log_until("event=reload_refused what=targets")
        assert "targets.yaml:2" in run.log()
        assert b"inflight_targets 1\n" in run.authorized("/metrics")[1]
        (tmp_path / "targets.yaml").write_text(one_target(engine_port, "b") + one_target(engine_port).split("\n", 1)[1])
        run.process.send_signal(signal.SIGHUP)
        run.log_until("event=reloaded what=targets pods=2")
        page = run.authorized("/metrics")[1]
        assert b"inflight_targets 2\n" in page
        assert b'inflight_reloads_total{what="targets",outcome="refused"} 1\n' in page
        assert run.stop() == 0


def test_a_certificate_from_files_is_served_and_renewed(tmp_path: Path, engine_port: int) -> None:
    def issue() -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
        issued.private_key_pem.write_to_path(tmp_path / "key")
        authority.cert_pem.write_to_path(tmp_path / "authority")

    issue()
    options = ("--tls-cert-file", "cert", "--tls-private-key-file", "key", "--tls-min-version", "VersionTLS13")
    with running(tmp_path, one_target(engine_port), *options) as run:
        assert run.get("/healthz", tmp_path / "authority")[0] == 200
        issue()
        run.process.send_signal(signal.SIGHUP)
        run.log_until("event=reloaded what=certificate")
        assert run.get("/healthz", tmp_path / "authority")[0] == 200
        (tmp_path / "key").write_text("broken")
        run.process.send_signal(signal.SIGHUP)
        run.log_until("event=reload_refused what=certificate")
        assert run.get("/healthz", tmp_path / "authority")[0] == 200
        assert run.stop() == 0


def test_silent_connections_take_no_files_from_scrapes_and_probes(tmp_path: Path, engine_port: int) -> None:
    with running(tmp_path, one_target(engine_port), max_files=256) as run, ExitStack() as strangers:
        for _ in range(400):
            strangers.enter_context(socket.create_connection(("127.0.0.1", run.port), timeout=10))
        assert run.get("/livez") == (200, b"ok")
        before = _scrapes(run)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _scrapes(run) < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        page = run.authorized("/metrics")[1]
        assert b"inflight_targets_answering 1\n" in page
        found = re.search(rb'inflight_api_connections_refused_total{reason="too_many"} (\d+)\n', page)
        assert found is not None
        assert int(found[1]) >= 400 - 127
        assert run.log().count("event=connections_refused") == 1
        assert "Too many open files" not in run.log()
        assert run.stop() == 0


def _scrapes(run: Run) -> int:
    found = re.search(rb"inflight_scrapes_total (\d+)\n", run.authorized("/metrics")[1])
    assert found is not None
    return int(found[1])


def test_a_port_in_use_ends_with_a_sentence(tmp_path: Path, engine_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "targets.yaml").write_text(one_target(engine_port))
        result = CliRunner().invoke(command, ["--targets", str(tmp_path / "targets.yaml"), "--secure-port", str(port)])
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 is in use" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "targets.yaml: cannot be read: No such file"),
        ("targets:\n- name: a\n  url: [\n", "targets.yaml:"),
        ("targets:\n- name: a\n", "targets.yaml:2: targets[0]"),
        ("", "targets.yaml: "),
    ],
)
def test_a_wrong_targets_file_is_named_with_its_line(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "targets.yaml"
    if text is not None:
        path.write_text(text)
    result = CliRunner().invoke(command, ["--targets", str(path)])
    assert result.exit_code == 2
    assert complaint in result.output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--secure-port", "0"], "would leave nothing to serve"),
        (["--secure-port", "70000"], "is no port"),
        (["--secure-port", "x"], "not a valid integer"),
        (["--bind-address", "everywhere"], "is no IP address"),
        (["--bind-address", "127.0.0.1:80"], "is no IP address"),
        (["--bind-address", ""], "is no IP address"),
        (["--scrape-interval", "0"], "no interval"),
        (["--scrape-interval", "nan"], "no interval"),
        (["--scrape-interval", "-1"], "no interval"),
        (["--tls-cert-file", "c"], "belong together"),
        (["--tls-private-key-file", "k"], "belong together"),
        (["--tls-cert-file", "c", "--tls-private-key-file", "k", "--ca-file", "x"], "--ca-file"),
        (["--tls-cert-file", "c", "--tls-private-key-file", "k"], "c cannot be read"),
        (["--tls-min-version", "VersionTLS10"], "VersionTLS12"),
        (["--token-file", "/nonexistent/token"], "/nonexistent"),
    ],
)
def test_options_that_cannot_be_used_end_with_a_sentence(
    tmp_path: Path, engine_port: int, options: list[str], complaint: str
) -> None:
    (tmp_path / "targets.yaml").write_text(one_target(engine_port))
    arguments = ["--targets", str(tmp_path / "targets.yaml"), "--secure-port", str(free_port()), *options]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert "Traceback" not in result.output


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "inflight serve --targets targets.yaml" in result.output
    assert "--secure-port" in result.output
    assert os.linesep.join(["", ""]) in result.output
