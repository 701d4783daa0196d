# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""The API server goes away, in the middle and at Inflight's start, and comes back: nothing of ours needs a restart."""

from stage import Stage, Waiting, start_inflight
from who_may_ask import AS_ADMIN, EXTERNAL, ask, expect


async def faults(scene: Stage) -> None:
    await _away_in_the_middle(scene)
    await _away_at_the_start(scene)


async def _away_in_the_middle(scene: Stage) -> None:
    await expect(scene, 403, EXTERNAL, pair="front-proxy", headers={"X-Remote-User": "before"})
    scene.plane.stop_one("kube-apiserver")
    # The authorities are known still; what somebody new may do is not.
    body = await expect(scene, 503, EXTERNAL, pair="front-proxy", headers={"X-Remote-User": "meanwhile"})
    if "cannot be asked" not in body:
        raise AssertionError(body)
    await expect(scene, 200, "/metrics", pair="front-proxy", headers=AS_ADMIN)
    await expect(scene, 503, EXTERNAL, headers={"Authorization": "Bearer unknown"})
    await expect(scene, 200, "/readyz")
    await expect(scene, 200, "/livez")
    scene.plane.start_apiserver()
    await scene.until("the cluster is asked again", lambda: _answers(scene, 403, EXTERNAL, "after"), seconds=30)
    scene.say("API server away and back: who is known is served meanwhile, nobody new is let in")


async def _away_at_the_start(scene: Stage) -> None:
    scene.plane.stop_one("inflight")
    scene.plane.stop_one("kube-apiserver")
    start_inflight(scene.plane, scene.plane.folder / "targets.json")
    await scene.until("it says why it is not ready", lambda: _is_not_ready(scene), seconds=30)
    await expect(scene, 200, "/livez")
    await expect(scene, 503, EXTERNAL)
    scene.plane.start_apiserver()
    await scene.until("it becomes ready by itself", lambda: _answers(scene, 200, "/readyz", ""), seconds=60)
    await scene.until("the front proxy is known", lambda: _answers(scene, 200, "/metrics", "admin"), seconds=30)
    scene.say("started without an API server: alive, not ready, and ready when it is there")


async def _is_not_ready(scene: Stage) -> bool:
    try:
        status, body = await ask(scene, "/readyz", "", None)
    except OSError as error:
        raise Waiting(str(error)) from error
    if status != 503 or "extension-apiserver-authentication" not in body:
        raise Waiting(f"{status}: {body}")
    return True


async def _answers(scene: Stage, wanted: int, path: str, user: str) -> bool:
    headers = AS_ADMIN if user == "admin" else {"X-Remote-User": user}
    try:
        status, body = await ask(scene, path, "front-proxy" if user else "", headers if user else None)
    except OSError as error:
        raise Waiting(str(error)) from error
    if status != wanted:
        raise Waiting(f"{status}: {body[:300]}")
    return True
