# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""Inflight behind a real control plane on this machine.

    python conformance/cluster/run.py e2e [PART ...]   starts everything, checks, stops everything; parts: see PARTS
    python conformance/cluster/run.py play             starts everything and leaves it running until Ctrl-C
    python conformance/cluster/run.py build            gets and builds the programs, and says what is missing

Exit codes: 0 fine, 1 a check failed, 2 the control plane did not start, 3 a program is missing (it is named).
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from as_a_person import as_a_person
from control_plane import ControlPlane, StartError, control_plane
from install import install
from programs import KUBERNETES, MissingError, Programs
from recording_check import check_recording
from shapes import shapes
from stage import RECORDING, Stage, stage
from who_may_ask import who_may_ask

from inflight.cluster import ClusterError

PARTS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "install": install,
    "access": who_may_ask,
    "kubectl": as_a_person,
    "shapes": shapes,
}
FAST_HPA = (
    "--horizontal-pod-autoscaler-sync-period=2s",
    "--horizontal-pod-autoscaler-downscale-stabilization=5s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
)
LOGS = Path(__file__).resolve().parent.parent / ".cache" / "logs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("e2e", "play", "build"))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of e2e: {', '.join(PARTS)}; all by default")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # SIGTERM ends a run as Ctrl-C does: with everything stopped. A shell's background jobs begin with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return run(options.what, options.parts or list(PARTS))
    except MissingError as error:
        print(f"MISSING: {error}", file=sys.stderr)
        return 3
    except StartError as error:
        print(f"DID NOT START: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0 if options.what == "play" else 130


def run(what: str, parts: list[str]) -> int:
    programs = Programs()
    if what == "build":
        print(f"Kubernetes {KUBERNETES}: {programs.kube_apiserver.parent}; etcd: {programs.etcd}")
        return 0
    begun = time.monotonic()
    flags, recording = (FAST_HPA, RECORDING) if what == "e2e" else ((), None)
    with control_plane(programs, hpa_flags=flags, keep=LOGS, recording=recording) as plane:
        print(f"Kubernetes {KUBERNETES} is up at {plane.url} after {time.monotonic() - begun:.1f} s", flush=True)
        code = asyncio.run(check(plane, programs, parts))
    return max(code, judge_recording(scaled="shapes" in parts))


def judge_recording(*, scaled: bool) -> int:
    """After everything has stopped, so that it is whole. Parts in which nothing scales need no scale write."""
    report = check_recording(RECORDING)
    print("recording: " + "; ".join(report.sentences))
    problems = [*report.problems, *report.differing] if scaled else report.differing
    for problem in problems:
        print(f"FAILED recording: {problem}", file=sys.stderr)
    return 1 if problems else 0


async def check(plane: ControlPlane, programs: Programs, parts: list[str]) -> int:
    failed = []
    async with stage(plane, programs) as scene:
        for part in parts:
            try:
                await PARTS[part](scene)
            except* (AssertionError, ClusterError) as errors:
                failed.append(part)
                for error in errors.exceptions:
                    scene.say(f"FAILED {part}: {error}")
            else:
                scene.say(f"passed {part}")
    if failed:
        print(f"failed: {', '.join(failed)}; logs: {LOGS}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
