# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Faults planted on purpose, one for each part: a part that does not find its own is no judge.

Each changes what the part looks at, never the looking.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

import isolation
import manifests
import msgspec
from control_plane import ControlPlane
from kubectl import Plain
from load import Load
from parts import finding, rights
from splice import Splice
from stage import Stage


class Plant(msgspec.Struct, frozen=True):
    what: str
    within: Callable[[], contextlib.AbstractContextManager[None]]
    """It is there in this block."""


@contextlib.contextmanager
def _also_created(collection: str, plain: Plain) -> Iterator[None]:
    install = Stage.install

    async def with_more(self: Stage) -> None:
        await install(self)
        await self.create((f"{manifests.RBAC}/{collection}", plain))

    with mock.patch.object(Stage, "install", with_more):
        yield


@contextlib.contextmanager
def _other_load(change: Callable[[int], int]) -> Iterator[None]:
    hold = Load.hold
    with mock.patch.object(Load, "hold", lambda self, count: hold(self, change(count))):
        yield


@contextlib.contextmanager
def _any_proxy() -> Iterator[None]:
    flags = ControlPlane.apiserver_flags

    def allowing(self: ControlPlane) -> list[str]:
        return [each for each in flags(self) if not each.startswith("--requestheader-allowed-names")]

    with mock.patch.object(ControlPlane, "apiserver_flags", allowing):
        yield


@contextlib.contextmanager
def _another_port() -> Iterator[None]:
    command = isolation.command

    def with_server(program: Sequence[str | Path], account: Path, user: int) -> list[str | Path]:
        script = 'python3 -m http.server --bind 127.0.0.1 0 & exec "$@"'
        return command(["sh", "-c", script, "sh", *program], account, user)

    with mock.patch.object(isolation, "command", with_server):
        yield


@contextlib.contextmanager
def _patched(where: object, name: str, value: object) -> Iterator[None]:
    with mock.patch.object(where, name, value):
        yield


async def _nothing(*_: object) -> None:
    return None


def _role(kind: str, name: str, **fields: object) -> Plain:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, **fields}


ADMIN = _role(
    "ClusterRoleBinding",
    "planted",
    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    subjects=[{"kind": "ServiceAccount", "namespace": manifests.SYSTEM, "name": "inflight"}],
)
PLANTS = {
    "install": Plant("its account is cluster-admin", lambda: _also_created("clusterrolebindings", ADMIN)),
    "shapes": Plant("half of the requests", lambda: _other_load(lambda count: count // 2)),
    "finding": Plant("the pods without a port have one", lambda: _patched(finding, "MUTE", manifests.ONE_ENGINE)),
    "kubectl": Plant("one request less", lambda: _other_load(lambda count: count - 1)),
    "access": Plant("every name of the front proxy's authority is allowed", _any_proxy),
    "ports": Plant("a child of Inflight serves files", _another_port),
    "rights": Plant("no rule is taken away", lambda: _patched(rights, "merge", _nothing)),
    "outages": Plant("the cut connection stays cut", lambda: _patched(Splice, "mend", lambda _: None)),
    "uninstall": Plant(
        "a ClusterRole more", lambda: _also_created("clusterroles", _role("ClusterRole", "inflight-planted", rules=[]))
    ),
}
