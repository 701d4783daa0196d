# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The recording of a run as it lies on disk: JSON lines. README.md describes every kind of line.

The first line is the header: which release, which flags, and the controller as `inflight.hpa` takes it, every number
written out. The others are written by `proxy.py` in the order in which the answers came.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from programs import KUBERNETES

from inflight.hpa import Controller
from inflight.objects import find_release

VERSION = 1
FLAGS = {
    "--horizontal-pod-autoscaler-sync-period": "sync_period_seconds",
    "--horizontal-pod-autoscaler-downscale-stabilization": "downscale_stabilization_seconds",
    "--horizontal-pod-autoscaler-cpu-initialization-period": "cpu_initialization_period_seconds",
    "--horizontal-pod-autoscaler-initial-readiness-delay": "initial_readiness_delay_seconds",
    "--horizontal-pod-autoscaler-tolerance": "tolerance",
}


class RecordingError(ValueError):
    """A recording that cannot be used, and why."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    at_ns: int = msgspec.field(default_factory=time.time_ns)
    kind: str = "Run"
    version: int = VERSION
    kubernetes: str = KUBERNETES
    flags: tuple[str, ...]
    """Those of the HPA controller that were given; all others were the release's own."""
    feature_gates: Mapping[str, bool]
    """Those whose names begin with HPA, as the API server of this release has them."""
    controller: Controller


def hpa_settings(flags: tuple[str, ...], gates: Mapping[str, bool]) -> Controller:
    """Raises RecordingError for a flag that a replay would not know of. `gates` are those that there really are."""
    settings: dict[str, Any] = {}
    for flag in flags:
        name, _, value = flag.partition("=")
        if name not in FLAGS:
            raise RecordingError(f"{name} is no flag that a recording knows; known are {', '.join(FLAGS)}")
        settings[FLAGS[name]] = float(value.removesuffix("s"))
    release = KUBERNETES.rpartition(".")[0]
    other = {name: gates[name] for name, on in find_release(release).gates.items() if gates.get(name, on) != on}
    return Controller(kubernetes=release, feature_gates=other, **settings)


def write_header(file: Path, header: Header) -> None:
    file.write_bytes(msgspec.json.encode(header) + b"\n")


def read_recording(file: Path) -> tuple[Header, list[dict[str, Any]]]:
    """Raises RecordingError. A last line that was cut off is left out."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error.strerror}") from error
    lines = content.split(b"\n")
    try:
        header = msgspec.json.decode(lines[0], type=Header)
    except msgspec.DecodeError as error:
        raise RecordingError(f"{file}:1: no header of a recording: {error}") from error
    if header.kind != "Run" or header.version != VERSION:
        raise RecordingError(f"{file}:1: {header.kind} of version {header.version} is not what is read here")
    return header, list(_lines(file, lines[1:-1]))


def _lines(file: Path, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 2):
        try:
            plain = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise RecordingError(f"{file}:{number}: no JSON: {error}") from error
        if not isinstance(plain, dict) or not isinstance(plain.get("kind"), str) or "at_ns" not in plain:
            raise RecordingError(f"{file}:{number}: no line of a recording")
        yield plain
