"""Every file of examples/, applied as it is: the stock HPA scales it up to what its formula says for a load, shows the
value that the load has, and scales it back down.

All at once, as they wait most of the time. The controller's default window is short in a run; the one example that has
a long window of its own is seen to hold in it, and the window alone is then shortened.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import manifests
import msgspec
from engine import Play
from kubectl import Plain, apply, merge, path_of, read_objects
from load import Load
from programs import ROOT
from stage import CheckError, Stage, Waiting, all_at_once

from inflight.objects import parse_quantity

EXAMPLES = ROOT / "examples"
SLOW = ("--speed", "0.1")
"""Requests stay open for minutes, and eighteen engines leave something of two cores."""
SETTLED_SECONDS = 5.0
"""More than two syncs."""


class Shape(msgspec.Struct, frozen=True):
    """What is done to one example, and what must come of it."""

    file: str
    raise_load: Callable[[Load], None]
    lower_load: Callable[[Load], None]
    values: tuple[tuple[int, int], ...]
    """By metric: the average that the HPA must show, in thousandths, from and to. At the raised load."""
    up: int = 3
    play: Play = Play(arguments=SLOW)
    prompt_tokens: int = 8
    moves_per_second: float = 5.0
    """So that what is counted twice while it moves is less than what one more replica would need."""


def _mean(count: int, replicas: int = 3) -> tuple[int, int]:
    """The average of a Pods metric, which the HPA rounds down."""
    return count * 1000 // replicas, count * 1000 // replicas


def _share(count: int, replicas: int = 3) -> tuple[int, int]:
    """The average of a sum (External, Object), which the HPA rounds up."""
    return -(-count * 1000 // replicas), -(-count * 1000 // replicas)


SHAPES = (
    Shape("pods-metric.yaml", lambda load: load.hold(71), lambda load: load.hold(8), (_mean(71),)),
    Shape("external-metric.yaml", lambda load: load.hold(70), lambda load: load.hold(20), (_share(70),)),
    Shape("object-metric.yaml", lambda load: load.hold(68), lambda load: load.hold(25), (_share(68),)),
    # Target 5.
    Shape("article.yaml", lambda load: load.hold(12), lambda load: load.hold(2), ((4000, 4000),), moves_per_second=1),
    # 5.75 x 200 = 1,150 tokens a second, whoever makes them. Half as much again is shown until the first pod's window
    # has forgotten that it was alone, which is not enough for a third.
    Shape(
        "token-rate.yaml",
        lambda load: load.rate(5.75, 200),
        lambda load: load.rate(0.5, 200),
        ((520_000, 630_000),),
        up=2,
        play=Play(),
    ),
    # Ten requests want one replica. Their contexts fill one and a half caches of 32,000 tokens; 0.7 of each is wanted.
    Shape(
        "two-metrics.yaml",
        lambda load: load.hold(10),
        lambda load: load.hold(2),
        (_mean(10), (467, 700)),
        play=Play(arguments=(*SLOW, "--num-gpu-blocks", "2000", "--max-model-len", "16000")),
        prompt_tokens=4800,
        moves_per_second=1,
    ),
)


async def shapes(scene: Stage) -> None:
    there, known = {file.name for file in EXAMPLES.glob("*.yaml")}, {shape.file for shape in SHAPES}
    without_hpa = {name for name in there if not any(map(_is_hpa, read_objects(EXAMPLES / name)))}
    if there - without_hpa != known:
        raise CheckError(f"examples and checks differ: {sorted((there - without_hpa) ^ known)}")
    await all_at_once(*(_up_and_down(scene, shape) for shape in SHAPES))


async def _up_and_down(scene: Stage, shape: Shape) -> None:
    objects = read_objects(EXAMPLES / shape.file)
    hpa = next(filter(_is_hpa, objects))
    name, target = hpa["metadata"]["name"], hpa["spec"]["scaleTargetRef"]["name"]
    scene.kubelet.plays[target] = shape.play
    await apply(scene.kubectl, scene.client, objects)
    async with Load(
        scene.kubelet, target, prompt_tokens=shape.prompt_tokens, moves_per_second=shape.moves_per_second
    ) as load:
        await scene.until(f"{shape.file}: one pod is Ready", lambda: _ready(scene, target, 1))
        shape.raise_load(load)
        await scene.until(f"{shape.file}: scaled to {shape.up}", lambda: _settled(scene, shape, name, target))
        scene.say(f"{shape.file}: 1 -> {shape.up}, and there it stays; shown: {await _shown(scene, name)}")
        shape.lower_load(load)
        await _see_the_window(scene, shape, hpa)
        await scene.until(f"{shape.file}: scaled to 1", lambda: _is_scaled_to(scene, name, target, 1, shape.up))
        await scene.until(f"{shape.file}: one pod is left", lambda: _ready(scene, target, 1))
        scene.say(f"{shape.file}: back to 1")
    for plain in objects:
        await scene.delete(path_of(plain))


async def _settled(scene: Stage, shape: Shape, name: str, target: str) -> bool:
    """At the count, with the pods there, and with the values shown; and still so after some syncs."""
    await _at_the_count(scene, shape, name, target)
    await asyncio.sleep(SETTLED_SECONDS)
    return await _at_the_count(scene, shape, name, target)


async def _at_the_count(scene: Stage, shape: Shape, name: str, target: str) -> bool:
    await _is_scaled_to(scene, name, target, shape.up, shape.up)
    await _ready(scene, target, shape.up)
    status = (await scene.hpa(name))["status"]
    found = [_average(each) for each in status.get("currentMetrics") or ()]
    active = await scene.condition(name, "ScalingActive")
    wanted = zip(found, shape.values, strict=False)
    if len(found) != len(shape.values) or not all(low <= value <= high for value, (low, high) in wanted):
        raise Waiting(f"{shape.file} shows {found} thousandths, {shape.values} wanted; {active['message']}")
    if active["status"] != "True":
        raise Waiting(f"{shape.file}: ScalingActive is {active['status']}: {active['message']}")
    return True


async def _is_scaled_to(scene: Stage, name: str, target: str, wanted: int, most: int) -> bool:
    count = await scene.deployment_replicas(target)
    if count > most:
        raise CheckError(f"{name}: scaled to {count}, above the {most} that the load can need")
    if count != wanted:
        conditions = (await scene.hpa(name)).get("status", {}).get("conditions") or ()
        said = "; ".join(f"{each['type']} {each['status']}: {each['message']}" for each in conditions)
        raise Waiting(f"{count} replicas; {said}")
    return True


async def _see_the_window(scene: Stage, shape: Shape, hpa: Plain) -> None:
    """A long window holds the count, and says so. Only it is shortened; policies stay."""
    down = hpa["spec"].get("behavior", {}).get("scaleDown", {})
    seconds = down.get("stabilizationWindowSeconds")
    if seconds is None or seconds < 30:
        return
    name, target = hpa["metadata"]["name"], hpa["spec"]["scaleTargetRef"]["name"]

    async def holds() -> bool:
        condition = await scene.condition(name, "AbleToScale")
        if condition["reason"] != "ScaleDownStabilized":
            raise Waiting(f"{condition['reason']}: {condition['message']}")
        return True

    await scene.until(f"{shape.file}: its window of {seconds} s holds", holds)
    await asyncio.sleep(SETTLED_SECONDS)
    await _is_scaled_to(scene, name, target, shape.up, shape.up)
    scene.say(f"{shape.file}: held in its window of {seconds} s, which is now made 5 s")
    path = f"/apis/autoscaling/v2/namespaces/{manifests.INFERENCE}/horizontalpodautoscalers/{name}"
    await merge(scene.client, path, {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}})


async def _ready(scene: Stage, app: str, wanted: int) -> bool:
    ready = len(scene.kubelet.of(app))
    if ready != wanted:
        raise Waiting(f"{ready} pods of {app} are Ready")
    return True


async def _shown(scene: Stage, name: str) -> str:
    current = (await scene.hpa(name))["status"].get("currentMetrics") or ()
    return ", ".join(f"{_average(each) / 1000:g}" for each in current)


def _average(metric: Plain) -> int:
    current: dict[str, Any] = metric[metric["type"].lower()]["current"]
    return parse_quantity(current.get("averageValue", "0")).milli_value()


def _is_hpa(plain: Plain) -> bool:
    return bool(plain.get("kind") == "HorizontalPodAutoscaler")
