"""Objects that nobody means well with, and that a real API server takes: the others are found and answered all the
same, and no line of a log is somebody else's.
"""

import re

import manifests
from engine import Play
from load import Load
from manifests import Placed, autoscaler, deployment, external_metric
from stage import Stage

from parts.asking import (
    METRIC,
    expect_refusal,
    expect_said,
    expect_values,
    external_path,
    pods_path,
    pods_ready,
    require,
    values,
)
from parts.polling import Polling
from parts.shapes import SLOW
from parts.who_may_ask import AS_ADMIN, ask

GOOD, LATER = "well-behaved", "found-beside-them"
LARGE, ENDLESS, FORGED = "large-objects", "endless-selectors", "forged-lines"
NAME_CHARACTERS = 1_450_000
"""Nearly what etcd takes; in JSON six times as long, a letter of it being escaped."""
REQUIREMENTS = 1_000
OUR_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING) inflight\.[a-z_.]+ event=[a-z_]+( |$)"
    r"|serving https://|who may ask is decided by the cluster"
)
"""And no traceback, and nothing that is an error of ours."""
FORGERY = "x\n2030-01-01T00:00:00.000Z ERROR inflight.forged event=forged\r\x1b[2J"


async def hostile(scene: Stage) -> None:
    try:
        await _beside_them(scene)
    finally:
        # What is here keeps everybody busy.
        for namespace in (LARGE, ENDLESS, FORGED, GOOD):
            await scene.delete(f"/api/v1/namespaces/{namespace}", gone=True)


async def _beside_them(scene: Stage) -> None:
    scene.kubelet.plays |= {name: Play(arguments=SLOW) for name in (GOOD, LATER, FORGED)}
    scene.kubelet.plays[ENDLESS] = Play(engine=False)
    restarts = {each.pod.name: each.pod.restarts for each in scene.replicas}
    await scene.create(manifests.namespace(GOOD), deployment(GOOD, 1, GOOD), _asking(GOOD, GOOD))
    async with Load(scene.kubelet, GOOD, GOOD) as load:
        await scene.until("its pod is Ready", lambda: pods_ready(scene, GOOD, GOOD, 1))
        load.hold(3)
        await expect_values(scene, [3], external_path(GOOD), f"app={GOOD}")
        async with Polling(lambda: values(scene, external_path(GOOD), f"app={GOOD}")) as polling:
            await _large_objects(scene)
            await _endless_selectors(scene)
            await _forged_lines(scene)
            await scene.create(deployment(LATER, 1, GOOD), _asking(LATER, GOOD))
            await expect_values(scene, [0], external_path(GOOD), f"app={LATER}")
    other = [each for each in polling.values if each != [3]]
    require(not other, f"beside hostile objects other values came: {other[:3]}")
    wrong = [each for each in polling.errors if "being put together" not in each]
    require(not wrong, f"beside hostile objects answers failed: {wrong[:1]}")
    require({each.pod.name: each.pod.restarts for each in scene.replicas} == restarts, "Inflight was restarted")
    _no_line_but_ours(scene)


async def _large_objects(scene: Stage) -> None:
    """One line of a watch, and one list, that have more than 8 MiB."""
    scene.kubelet.plays[LARGE] = Play(arguments=SLOW)
    large = autoscaler("large", external_metric("<" * NAME_CHARACTERS, 1, {}), most=4, namespace=LARGE)
    await scene.create(manifests.namespace(LARGE), _of_nobody(large))
    await expect_said(scene, "event=object_left_out", LARGE)
    await scene.create(deployment(LARGE, 1, LARGE), _asking(LARGE, LARGE))
    await expect_values(scene, [0], external_path(LARGE), f"app={LARGE}")
    scene.say("an HPA of 9 MB: left out, and said so; the one beside it is found")


async def _endless_selectors(scene: Stage) -> None:
    """As many as an HPA has room for, over a namespace with pods; one that is not endless is followed."""
    await scene.create(manifests.namespace(ENDLESS), deployment(ENDLESS, 3, ENDLESS))
    for number in range(10):
        metrics = [external_metric(METRIC, 1, {}) for _ in range(5)]
        for metric in metrics:
            keys = (f"app.example.com/key-{number}-{each}" for each in range(REQUIREMENTS))
            expressions = [{"key": key, "operator": "NotIn", "values": ["x"]} for key in keys]
            metric["external"]["metric"]["selector"] = {"matchExpressions": expressions}
        await scene.create(_of_nobody(autoscaler(f"endless-{number}", *metrics, most=4, namespace=ENDLESS)))
    await expect_said(scene, "kind=bad_selector", ENDLESS, "requirements")
    await scene.create(_asking(ENDLESS, ENDLESS))
    await expect_refusal(scene, 503, external_path(ENDLESS), f"app={ENDLESS}", "none of 3 pods has a value")
    scene.say(f"selectors of {REQUIREMENTS} requirements: refused, and said so; the one beside them is followed")


async def _forged_lines(scene: Stage) -> None:
    """In names and kinds that the API server takes as they come, in an annotation, and in a question."""
    path, pod = manifests.lone_pod("owned", FORGED, {"app": FORGED})
    owner = {"apiVersion": "v1", "kind": FORGERY, "name": FORGERY, "uid": "0", "controller": True}
    pod["metadata"] |= {"ownerReferences": [owner], "annotations": {"prometheus.io/port": f"8000{FORGERY}"}}
    await scene.create(manifests.namespace(FORGED), deployment(FORGED, 1, FORGED), _asking(FORGED, FORGED), (path, pod))
    await expect_said(scene, "kind=bad_annotation", "owned")
    question = external_path(FORGED, "inflight%0Aevent=forged%0D%1B%5B2J")
    for replica in scene.replicas:
        await ask(
            scene, question, "front-proxy", AS_ADMIN | {"X-Remote-User": "admin%0Aevent=forged"}, port=replica.port
        )

    await expect_values(scene, [0], pods_path(FORGED), f"app={FORGED}", 90)


def _no_line_but_ours(scene: Stage) -> None:
    strange = [line for line in scene.said().split("\n") if line and not OUR_LINE.match(line)]
    require(not strange, f"{len(strange)} lines of the log are not as ours are: {strange[:2]}")
    ugly = [line for line in scene.said().split("\n") if not line.isprintable()]
    require(not ugly, f"{len(ugly)} lines of the log hold what steers a terminal: {ugly[:2]}")
    scene.say("names, kinds, annotations and questions with line ends and escapes in them: no line that is not ours")


def _asking(name: str, namespace: str) -> Placed:
    return autoscaler(name, external_metric(METRIC, 30, {"app": name}), most=4, namespace=namespace)


def _of_nobody(placed: Placed) -> Placed:
    """An HPA that is here for Inflight alone: its controller looks no further than for what it is to scale."""
    path, plain = placed
    plain["spec"]["scaleTargetRef"]["name"] = f"nobody-{plain['metadata']['name']}"
    return path, plain
