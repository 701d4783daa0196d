# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""`inflight explain hpa/NAME` against a real control plane: ten situations, and what the controller did next.

    python conformance/explain/run.py [SITUATION ...]

Exit codes as those of conformance/cluster/run.py: 0 all as said, 1 something was not, 2 the control plane did not
start, 3 a program is missing. The texts of all answers are left in conformance/.cache/explain.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))

from control_plane import ControlPlane, StartError, control_plane  # noqa: E402
from metrics_api import GROUPS, MetricsApi, objects  # noqa: E402
from played_pods import NAMESPACE, PlayedPods  # noqa: E402
from programs import CACHE, KUBERNETES, MissingError, Programs  # noqa: E402
from situations import TOGETHER, api_missing, restart  # noqa: E402
from stand import FLAGS, CheckError, Stand  # noqa: E402

from inflight.cluster import Client, read_kubeconfig  # noqa: E402

KEEP = CACHE / "explain"
LEASE = ("--leader-elect=true", "--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s",
         "--leader-elect-retry-period=1s")  # fmt: skip
Situation = Callable[[Stand], Awaitable[None]]


def main() -> int:
    wanted = sys.argv[1:]
    situations = [api_missing, *TOGETHER, restart]
    unknown = [name for name in wanted if name not in {each.__name__ for each in situations}]
    if unknown:
        print(f"no such situation: {', '.join(unknown)}; there are {', '.join(s.__name__ for s in situations)}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    flags = tuple(f"--horizontal-pod-autoscaler-{name}={value}" for name, value in FLAGS.items())
    KEEP.mkdir(parents=True, exist_ok=True)
    try:
        with control_plane(Programs(), hpa_flags=(*flags, *LEASE), keep=KEEP / "logs") as plane:
            print(f"Kubernetes {KUBERNETES} is up at {plane.url}", flush=True)
            return asyncio.run(check(plane, wanted))
    except MissingError as error:
        print(f"MISSING: {error}", file=sys.stderr)
        return 3
    except StartError as error:
        print(f"DID NOT START: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


async def check(plane: ControlPlane, wanted: list[str]) -> int:
    failed: list[str] = []
    async with Client(read_kubeconfig(plane.admin_kubeconfig)) as client:
        metrics, pods = MetricsApi(), PlayedPods(client)
        runner = await metrics.start()
        stand = Stand(plane, client, metrics, pods, KEEP)
        playing = asyncio.create_task(pods.run())
        try:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            for path, plain in [("/api/v1/namespaces", namespace), *objects(metrics.port)]:
                await client.create(path, plain)
            for group in GROUPS:
                if group != "metrics.k8s.io":
                    await stand.create_api_services(group)
            await _run(stand, [api_missing], wanted, failed)
            if wanted and "api_missing" not in wanted:
                await stand.create_api_services("metrics.k8s.io")
            await _run(stand, TOGETHER, wanted, failed)
            await _run(stand, [restart], wanted, failed)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            await runner.cleanup()
    if failed:
        print(f"failed: {', '.join(failed)}; logs: {KEEP / 'logs'}", file=sys.stderr)
    else:
        print(f"{stand.compared} decisions of the real controller were what had been said; texts: {KEEP}")
    return 1 if failed else 0


async def _run(
    stand: Stand, situations: "list[Situation] | tuple[Situation, ...]", wanted: list[str], failed: list[str]
) -> None:
    async def one(situation: Situation) -> None:
        name = getattr(situation, "__name__", "?")
        try:
            await situation(stand)
        except CheckError as error:
            failed.append(name)
            stand.say(f"FAILED {name}: {error}")
        else:
            stand.say(f"passed {name}")

    chosen = [each for each in situations if not wanted or getattr(each, "__name__", "?") in wanted]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(one(each) for each in chosen))


if __name__ == "__main__":
    sys.exit(main())
