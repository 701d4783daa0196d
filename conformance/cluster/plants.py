# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Faults planted on purpose, one for each part: a part that does not find its own is no judge.

Each changes what the part looks at, never the looking.
"""

import contextlib
import sys
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


@contextlib.contextmanager
def _defect(python: str) -> Iterator[None]:
    """Inflight runs with this changed in it."""
    command = isolation.command
    begin = f"{python}; import sys; sys.argv[0] = 'inflight'; from inflight.cli import main; sys.exit(main())"

    def with_defect(program: Sequence[str | Path], account: Path, user: int) -> list[str | Path]:
        return command([sys.executable, "-c", begin, *program[1:]], account, user)

    with mock.patch.object(isolation, "command", with_defect):
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
GUARD = "import sys, inflight.guard; sys.modules['inflight.guard.answer']"
"""Under its other name there is a function."""
UNASKED = "import inflight.discovery.namespace as m; m.unread_sentence = lambda *_: ''"
HIDDEN = f"{GUARD}._may_hold_work = lambda *_: []"
AT_ONCE = "import inflight.discovery.targets as m; m._Choices._was_there = lambda *_: False"
WORDLESS = f"{GUARD}.valueless_sentence = lambda *_: 'unknown'"
RAW = "import inflight.signals.foreign as m; m.printable = lambda text, *_: text"
PLANTS = {
    "install": (Plant("its account is cluster-admin", lambda: _also_created("clusterrolebindings", ADMIN)),),
    "shapes": (Plant("half of the requests", lambda: _other_load(lambda count: count // 2)),),
    "finding": (Plant("the pods without a port have one", lambda: _patched(finding, "MUTE", manifests.ONE_ENGINE)),),
    "sums": (
        Plant("pods that nobody asked for are left out", lambda: _defect(UNASKED)),
        Plant("Ready pods that cannot be read are left out", lambda: _defect(HIDDEN)),
        Plant("no pod is waited for when it is found", lambda: _defect(AT_ONCE)),
        Plant("nobody says why there is no value", lambda: _defect(WORDLESS)),
    ),
    "hostile": (Plant("what strangers wrote is logged as it is", lambda: _defect(RAW)),),
    "kubectl": (Plant("one request less", lambda: _other_load(lambda count: count - 1)),),
    "access": (Plant("every name of the front proxy's authority is allowed", _any_proxy),),
    "ports": (Plant("a child of Inflight serves files", _another_port),),
    "rights": (Plant("no rule is taken away", lambda: _patched(rights, "merge", _nothing)),),
    "outages": (
        Plant("the cut connection stays cut", lambda: _patched(Splice, "mend", lambda _: None)),
        Plant("no pod is waited for when it is found", lambda: _defect(AT_ONCE)),
    ),
    "uninstall": (
        Plant(
            "a ClusterRole more",
            lambda: _also_created("clusterroles", _role("ClusterRole", "inflight-planted", rules=[])),
        ),
    ),
}
