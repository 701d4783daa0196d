# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""Inflight behind a real control plane on this machine.

    python conformance/cluster/run.py e2e [PART ...]   starts everything, checks, stops everything; parts: see PARTS
    python conformance/cluster/run.py play             starts everything and leaves it running until Ctrl-C
    python conformance/cluster/run.py build            gets and builds the programs, and says what is missing
    python conformance/cluster/run.py judge [PART ...] plants a fault for each part, and sees whether the part finds it

Exit codes: 0 fine, 1 a check failed, 2 something that all stands on did not start, or no such part, 3 a program is
missing (it is named, and what does not need it was run). `make` ends with 2 for each of them; the last line says which.
"""

import argparse
import asyncio
import itertools
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import isolation
import leaks
import msgspec
from control_plane import ControlPlane, StartError, control_plane
from parts.as_a_person import as_a_person
from parts.finding import finding
from parts.hostile import hostile
from parts.install import install
from parts.outages import outages
from parts.ports import ports
from parts.rights import rights
from parts.shapes import shapes
from parts.sums import sums
from parts.uninstall import uninstall
from parts.who_may_ask import who_may_ask
from plants import PLANTS
from play import play
from processes import RUN
from programs import KUBERNETES, MissingError, Programs
from proxy_cost import proxy_cost
from recording import RecordingError
from recording_check import check_recording
from stage import RECORDING, NotRun, Stage, stage

from inflight.cluster import ClusterError

WRONG = (AssertionError, ClusterError, OSError, aiohttp.ClientError, TimeoutError)
"""What a check says, and what is met when something that it asks is not there."""


class Part(msgspec.Struct, frozen=True):
    run: Callable[[Stage], Coroutine[Any, Any, None]]
    calm: bool = False
    """Disturbs nobody, so that neighbours which are calm too run at the same time."""
    scales: bool = False
    """The controller is to write scales, and the recording to have them."""


PARTS = {
    "install": Part(install),
    "shapes": Part(shapes, calm=True, scales=True),
    "finding": Part(finding, calm=True, scales=True),
    "sums": Part(sums, calm=True),
    "hostile": Part(hostile, calm=True),
    "kubectl": Part(as_a_person, calm=True),
    "access": Part(who_may_ask, calm=True),
    "ports": Part(ports, calm=True),
    "rights": Part(rights),
    "outages": Part(outages),
    "uninstall": Part(uninstall),
}
FAST_HPA = (
    "--horizontal-pod-autoscaler-sync-period=2s",
    "--horizontal-pod-autoscaler-downscale-stabilization=5s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
)
MEANINGS = {
    1: "something that was to be seen was not",
    2: "it did not start",
    3: "what is named above could not be had, or not be run, here",
    130: "interrupted",
}
LOGS = Path(__file__).resolve().parent.parent / ".cache" / "logs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("e2e", "play", "build", "judge"))
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of e2e and judge: {', '.join(PARTS)}; all by default"
    )
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # SIGTERM and a terminal that closes end a run as Ctrl-C does: with everything stopped. A shell's background jobs
    # begin with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    parts = [part for part in PARTS if not options.parts or part in options.parts]
    try:
        code = judge(parts) if options.what == "judge" else run(options.what, parts)
    except MissingError as error:
        print(f"MISSING: {error}", file=sys.stderr)
        code = 3
    except StartError as error:
        print(f"DID NOT START: {error}; logs: {LOGS}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 0 if options.what == "play" else 130
    if code:
        print(f"exit code {code}: {MEANINGS[code]}", file=sys.stderr)
    return code


def run(what: str, parts: Sequence[str]) -> int:
    programs = Programs()
    if what == "build":
        print(f"Kubernetes {KUBERNETES}: {programs.kube_apiserver.parent}; etcd: {programs.etcd}")
        print(f"kubectl: {programs.kubectl or 'none, so that the part kubectl cannot be run'}")
        print(f"Inflight runs {isolation.sentence()}")
        return 0
    begun = time.monotonic()
    flags, recording = (FAST_HPA, RECORDING) if what == "e2e" else ((), None)
    folder = Path()
    before = leaks.places(Path("/nowhere"))
    try:
        with control_plane(programs, hpa_flags=flags, keep=LOGS, recording=recording) as plane:
            folder = plane.folder
            took = time.monotonic() - begun
            print(
                f"Kubernetes {KUBERNETES} is up at {plane.url} after {took:.1f} s, in {folder}, run {RUN}", flush=True
            )
            try:
                if what == "play":
                    asyncio.run(play(plane, programs))
                    return 0
                failed, not_run = asyncio.run(check(plane, programs, parts))
            except* WRONG as errors:
                # Of a part it would have been said by now.
                raise StartError(sentence(errors)) from errors
    finally:
        left = leaks.left_behind(RUN, folder, before=before)
        for each in left:
            print(f"LEFT BEHIND, and ended now: {each}", file=sys.stderr)
        leaks.end(RUN)
    if not judge_recording(scaled=any(PARTS[part].scales for part in parts)):
        failed.append("recording")
    if left:
        failed.append("leaving nothing behind")
    for each in not_run:
        print(f"NOT RUN: {each}", file=sys.stderr)
    if failed:
        print(f"FAILED: {', '.join(failed)}; logs: {LOGS}", file=sys.stderr)
        return 1
    held = "all that was run held, " if not_run else ""
    print(f"{len(parts)} parts in {time.monotonic() - begun:.0f} s; {held}nothing is left behind")
    return 3 if not_run else 0


def judge(parts: Sequence[str]) -> int:
    """Each part with each of its faults, on a control plane of its own. The exit code is that of what was not found."""
    missed, planted = [], [(part, plant) for part in parts for plant in PLANTS[part]]
    for part, plant in planted:
        print(f"== {part}, with a fault: {plant.what}", flush=True)
        with plant.within():
            if run("e2e", [part]) != 1:
                missed.append(f"{part} ({plant.what})")
    print(f"NOT FOUND: {', '.join(missed)}" if missed else f"all of {len(planted)} planted faults were found")
    return 1 if missed else 0


def judge_recording(*, scaled: bool) -> bool:
    """After everything has stopped, so that it is whole. Parts in which nothing scales need no scale write."""
    try:
        report = check_recording(RECORDING)
    except RecordingError as error:
        print(f"FAILED recording: {error}", file=sys.stderr)
        return False
    for sentence in report.sentences:
        print(f"recording: {sentence}")
    for tie in report.ties:
        print(f"recording: tie: {tie}")
    problems = [*report.problems, *report.differing] if scaled else report.differing
    for problem in problems:
        print(f"FAILED recording: {problem}", file=sys.stderr)
    return not problems


async def check(plane: ControlPlane, programs: Programs, parts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The parts that failed, and what could not be run."""
    failed: list[str] = []
    async with stage(plane, programs) as scene:
        for calm, names in itertools.groupby(parts, key=lambda part: PARTS[part].calm):
            if calm:
                await asyncio.gather(*(one_part(scene, name, failed) for name in names))
            else:
                for name in names:
                    await one_part(scene, name, failed)
        if not failed:
            scene.say(await proxy_cost(plane))
        return failed, scene.not_run


async def one_part(scene: Stage, name: str, failed: list[str]) -> None:
    begun = time.monotonic()
    try:
        await PARTS[name].run(scene)
    except* NotRun as reasons:
        scene.not_run.append(f"{name}: {sentence(reasons)}")
        scene.say(f"not run {name}: {sentence(reasons)}")
    except* WRONG as errors:
        failed.append(name)
        for error in leaves(errors):
            scene.say(f"FAILED {name}: {error}")
    else:
        scene.say(f"passed {name}, in {time.monotonic() - begun:.0f} s")


def sentence(errors: BaseExceptionGroup[Exception]) -> str:
    """Of each, what it says; of one that says nothing, what it is."""
    return "; ".join(str(error) or repr(error) for error in leaves(errors))


def leaves(errors: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for each in errors.exceptions:
        found += leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


if __name__ == "__main__":
    sys.exit(main())
