"""A run of the real cluster that is interrupted leaves nothing behind: no process, no folder, no mount."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parents[2] / "conformance" / "cluster"
if not SCRIPTS.is_dir():
    pytest.skip("conformance/ is not part of the source distribution", allow_module_level=True)
sys.path.insert(0, str(SCRIPTS))

import leaks  # noqa: E402  # type: ignore[import-not-found]

UP = re.compile(r"is up at .*, in (?P<folder>\S+), run (?P<run>[0-9a-f]{16})")
START_SECONDS = 180
END_SECONDS = 60


@pytest.fixture
def run() -> Iterator["subprocess.Popen[str]"]:
    """Of one short part, that is in its beginning."""
    built = SCRIPTS.parent / ".cache"
    if not list(built.glob("kubernetes-*/control-plane")) and shutil.which("go") is None:
        pytest.skip("kube-apiserver is not built, and there is no Go to build it")
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "run.py"), "e2e", "access"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until_installed(process: "subprocess.Popen[str]") -> tuple[str, Path]:
    """The mark and the folder of the run, when Inflight's processes are there."""
    assert process.stdout is not None
    found = None
    for line in process.stdout:
        found = UP.search(line) or found
        if "two replicas Ready" in line:
            assert found is not None
            return found["run"], Path(found["folder"])
    pytest.fail(f"the run ended with {process.wait()} before anything could be interrupted")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_interrupted(run: "subprocess.Popen[str]", number: signal.Signals) -> None:
    mark, folder = until_installed(run)
    assert len(leaks.processes_of(mark)) >= 5
    assert folder.is_dir()
    run.send_signal(number)
    assert run.wait(END_SECONDS) == 130
    assert leaks.left_behind(mark, folder, before=leaks.places(Path("/nowhere"))) == []


def test_killed(run: "subprocess.Popen[str]") -> None:
    mark, folder = until_installed(run)
    run.kill()
    run.wait()
    deadline = time.monotonic() + END_SECONDS
    while folder.exists() or leaks.processes_of(mark):
        assert time.monotonic() < deadline, leaks.processes_of(mark)
        time.sleep(0.5)
    assert leaks.left_behind(mark, folder, before=leaks.places(Path("/nowhere"))) == []
