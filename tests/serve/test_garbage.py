"""The garbage collector runs on our schedule while the server runs, and as before when it ends."""

import asyncio
import gc
import weakref

import pytest

from inflight.serve import garbage
from inflight.serve.garbage import collect_on_schedule


class Knot:
    """Refers to itself: only the collector can find it."""

    def __init__(self) -> None:
        self.me = self


async def collected(reference: "weakref.ref[Knot]") -> None:
    async with asyncio.timeout(20):
        while reference() is not None:  # noqa: ASYNC110 - the collector sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("every", "most"), [(0.02, 10**9), (1e9, -1)], ids=["in time", "when objects pile up"])
async def test_garbage_is_found(monkeypatch: pytest.MonkeyPatch, every: float, most: int) -> None:
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(garbage, "EVERY_SECONDS", every)
    monkeypatch.setattr(garbage, "MAX_NEW_OBJECTS", most)
    task = asyncio.create_task(collect_on_schedule())
    await asyncio.sleep(0)
    assert not gc.isenabled()
    await collected(weakref.ref(Knot()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_until_then_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.001)
    task = asyncio.create_task(collect_on_schedule())
    await asyncio.sleep(0)
    reference = weakref.ref(Knot())
    await asyncio.sleep(0.05)
    assert reference() is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert reference() is None
