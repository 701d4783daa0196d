"""Scales are read in turns, and who gives no answer holds up nobody else."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inflight.cluster import UnreachableError
from inflight.discovery.followed_scales import FollowedScales
from inflight.discovery.scales import AT_ONCE, MAX_SILENT, SILENT_AT_ONCE, ScaleReader
from inflight.discovery.wanted import NamedWorkload
from inflight.discovery.workloads import WorkloadRef

from .fake_cluster import resources


class Api:
    """Answers about `apps` at once; about another group it hangs, until all who ask are turned away."""

    def __init__(self) -> None:
        self.hanging: list[asyncio.Future[bytes]] = []
        self.asked: list[str] = []

    async def request(self, method: str, path: str) -> bytes:
        self.asked.append(path)
        if path.startswith("/apis/apps/"):
            document = {"metadata": {"uid": "u"}, "spec": {"replicas": 1}, "status": {"selector": "app=llm"}}
            return json.dumps(document if path.endswith("/scale") else resources("Deployment", "deployments")).encode()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.hanging.append(answer)
        return await answer

    def give_up(self) -> None:
        hanging, self.hanging = self.hanging, []
        for answer in hanging:
            if not answer.done():
                answer.set_exception(UnreachableError("no answer within 10 s"))


@asynccontextmanager
async def following(api: Api, *refs: WorkloadRef) -> AsyncIterator[FollowedScales]:
    reader = ScaleReader(api, asyncio.get_running_loop().time, random.Random(1), shortest_seconds=0.001)  # type: ignore[arg-type]
    scales = FollowedScales(reader, lambda _: None)
    async with asyncio.TaskGroup() as group:
        scales.follow({ref.key: NamedWorkload(ref, ("hpa",)) for ref in refs}, group)
        yield scales
        scales.follow({}, group)
        api.give_up()


def ref(group: str, name: str) -> WorkloadRef:
    return WorkloadRef("llm", f"{group}/v1", "Deployment" if group == "apps" else "Thing", name)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_group_that_hangs_holds_up_no_other_for_longer_than_one_question() -> None:
    api = Api()
    hanging = [ref("hangs.example", f"a{number}") for number in range(100)]
    async with following(api, *hanging, ref("apps", "llm")) as scales:
        await settle()
        # All turns are taken, by those who want one document: it is asked for once.
        assert len(api.hanging) == 1
        assert scales.known("llm") == {}
        assert "has not been read yet" in scales.why_not_read()
        api.give_up()
        await settle()
        assert [key[-1] for key in scales.known("llm")] == ["llm"]
        # Nobody waits for those that are silent either, and they are asked on.
        assert scales.why_not_read() == ""
        assert len(api.hanging) == 1
        assert api.asked.count("/apis/hangs.example/v1") == 2


async def test_a_group_that_answers_again_has_all_turns_again() -> None:
    holding: list[int] = []
    release = asyncio.Event()

    async def hold(reader: ScaleReader) -> None:
        async with reader.turn("a"):
            holding.append(1)
            await release.wait()

    async with following(Api()) as scales:
        reader = scales._reader
        reader.note("a", answered=False)
        held = [asyncio.create_task(hold(reader)) for _ in range(AT_ONCE)]
        await settle()
        assert sum(task.done() for task in held) == 0
        assert len(holding) == SILENT_AT_ONCE
        reader.note("a", answered=True)
        release.set()
        await asyncio.gather(*held)
        for number in range(MAX_SILENT + 10):
            reader.note(f"g{number}", answered=False)
        assert len(reader._silent) == MAX_SILENT
        assert reader.is_silent(f"g{MAX_SILENT}")
