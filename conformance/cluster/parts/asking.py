"""The questions of an HPA, put through the aggregator by a test, and what its conditions say of them."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from stage import CheckError, Stage, Waiting, all_at_once

from inflight.cluster import ApiError
from inflight.objects import parse_quantity

METRIC = "inflight_requests"
Case = Callable[[Stage], Coroutine[Any, Any, None]]


async def all_cases(scene: Stage, cases: Sequence[Case]) -> None:
    """At once. The namespace of each is called as the case is, and goes when it has held."""
    await all_at_once(*(_and_away(scene, case) for case in cases))


async def _and_away(scene: Stage, case: Case) -> None:
    await case(scene)
    await scene.delete(f"/api/v1/namespaces/{case.__name__.strip('_').replace('_', '-')}", gone=True)


async def pods_ready(scene: Stage, app: str, namespace: str, wanted: int) -> bool:
    """Raises Waiting."""
    ready = len(scene.kubelet.of(app, namespace))
    if ready != wanted:
        raise Waiting(f"{ready} pods of {app} are Ready")
    return True


def external_path(namespace: str, metric: str = METRIC) -> str:
    return f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}"


def pods_path(namespace: str, metric: str = METRIC) -> str:
    return f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/{metric}"


def object_path(namespace: str, deployment: str, metric: str = METRIC) -> str:
    return f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/deployments.apps/{deployment}/{metric}"


async def values(scene: Stage, path: str, selector: str = "") -> list[float]:
    """Of each item. Raises ApiError."""
    answer = await scene.client.get(path, {"labelSelector": selector} if selector else None)
    return [parse_quantity(each["value"]).milli_value() / 1000 for each in answer["items"]]


async def expect_values(scene: Stage, wanted: list[float], path: str, selector: str = "", seconds: float = 30) -> None:
    """Sorted. Raises CheckError where they do not come."""

    async def there() -> bool:
        found = sorted(await values(scene, path, selector))
        if found != wanted:
            raise Waiting(f"{found}")
        return True

    await scene.until(f"{path} for {selector or 'all'} is {wanted}", there, seconds)


async def expect_refusal(scene: Stage, code: int, path: str, selector: str, *words: str) -> str:
    """Its sentence. Raises CheckError where another answer stays."""

    async def there() -> str:
        try:
            found: Any = await values(scene, path, selector)
        except ApiError as error:
            found = f"{error.code}: {error}"
            if error.code == code and all(word in str(error) for word in words):
                return str(error)
        raise Waiting(f"{found}")

    sentence: str = await scene.until(f"{path} for {selector} is refused with {code} and {words}", there, 30)
    return sentence


async def expect_condition(scene: Stage, namespace: str, name: str, *words: str) -> None:
    """ScalingActive is False, and its message has these words. Raises CheckError where it stays otherwise."""

    async def there() -> bool:
        condition = await scene.condition(name, "ScalingActive", namespace)
        if condition["status"] != "False" or not all(word in condition["message"] for word in words):
            raise Waiting(f"{condition['status']} {condition['reason']}: {condition['message']}")
        return True

    await scene.until(f"the HPA {name} says {words}", there, 30)


async def expect_active(scene: Stage, namespace: str, name: str) -> None:
    async def there() -> bool:
        condition = await scene.condition(name, "ScalingActive", namespace)
        if condition["status"] != "True":
            raise Waiting(f"{condition['reason']}: {condition['message']}")
        return True

    await scene.until(f"the HPA {name} has its metric", there, 30)


async def expect_said(scene: Stage, *words: str, seconds: float = 30) -> None:
    """One line of a replica's log has all of these. Raises CheckError where none comes."""

    async def there() -> bool:
        lines = scene.said().splitlines()
        if not any(all(word in line for word in words) for line in lines):
            raise Waiting("\n".join(lines[-4:]))
        return True

    await scene.until(f"the log says {words}", there, seconds)


def require(holds: object, sentence: str) -> None:
    """Raises CheckError."""
    if not holds:
        raise CheckError(sentence)
