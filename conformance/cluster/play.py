# ruff: noqa: INP001, T201 - scripts of the conformance suite, not a package.
"""The control plane left running for a person, with an example that is at work, so that there is something to see."""

import asyncio
import contextlib

from control_plane import ControlPlane
from engine import Play
from kubectl import apply, read_objects
from load import Load
from parts.shapes import EXAMPLES, SLOW
from programs import Programs
from stage import stage

EXAMPLE = "pods-metric.yaml"
NAME = "vllm-pods-metric"
WAVE = ((74, 240), (8, 480))
"""Requests in flight, and for how many seconds: upstream's default window for scaling down is 300 s."""


async def play(plane: ControlPlane, programs: Programs) -> None:
    """Until cancelled."""
    async with stage(plane, programs) as scene, Load(scene.kubelet, NAME) as load:
        scene.kubelet.plays[NAME] = Play(arguments=SLOW)
        await apply(scene.kubectl, scene.client, read_objects(EXAMPLES / EXAMPLE))
        print(f"""
export KUBECONFIG={plane.admin_kubeconfig}

kubectl get hpa,pods -n inference
kubectl describe hpa {NAME} -n inference
kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta2/namespaces/inference/pods/*/inflight_requests'

examples/{EXAMPLE} is at work, with a load that rises and falls. Everything else of a cluster can be created too; pods
are played by emulated engines. {"" if programs.kubectl else "There is no kubectl here. "}Ctrl-C here stops everything.
""", flush=True)  # fmt: skip
        while True:
            for count, seconds in WAVE:
                load.hold(count)
                scene.say(f"{count} requests in flight, for {seconds // 60} minutes")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        while True:
                            scene.check()
                            await asyncio.sleep(1)
