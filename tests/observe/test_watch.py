"""A watch beside a controller that syncs: what it says before each sync, what it keeps, how it ends."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inflight.cluster import Client, ClusterConfig
from inflight.hpa import Controller, Decision, Record, read_record
from inflight.observe.looking.look import Looker
from inflight.observe.recorder import Memories, Recorder
from inflight.observe.session import Session, Wanted
from inflight.observe.syncs import StatusWatch
from inflight.observe.watch import Block, Parts, Watch

from .fake_cluster import SECOND, FakeCluster, external

PERIOD = 0.3
FLAGS = ("sync-period=300ms", "downscale-stabilization=1200ms")


@contextlib.asynccontextmanager
async def controller_beside(cluster: FakeCluster, loads: list[int] | None = None) -> AsyncIterator[None]:
    """Syncs once a period in this loop; before each sync the next load, if there is one."""
    cluster.controller = Controller(sync_period_seconds=PERIOD, downscale_stabilization_seconds=1.2)
    left = list(loads or ())

    async def run() -> None:
        due = time.monotonic()
        while True:
            if left:
                cluster.put_external(str(left.pop(0)))
            # Load moves halfway between two syncs.
            due += PERIOD / 2
            await asyncio.sleep(max(due - time.monotonic(), 0))
            cluster.sync()
            due += PERIOD / 2
            await asyncio.sleep(max(due - time.monotonic(), 0))

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watch_for(cluster: FakeCluster, blocks: int, record: Path | None = None) -> list[Block]:
    memories = Memories()
    recorder = None if record is None else Recorder(record, "shop/llm", memories)
    if recorder is not None:
        recorder.read()
    async with Client(ClusterConfig(server=cluster.url, source="test")) as client:
        looker = Looker(client, "shop", "llm", time_ns=time.time_ns, now=time.monotonic)
        session = Session(client, cluster.url, looker, Wanted(flags=FLAGS, with_changes=False), memories)
        status = StatusWatch(client, "shop", "llm", time.time_ns)
        parts = Parts(session.look, session.see, session.answer, status, memories, recorder, time.time_ns, PERIOD)
        watch = Watch(parts)
        stop, seen = asyncio.Event(), []
        async for block in watch.blocks(stop):
            seen.append(block)
            if len(seen) == blocks:
                stop.set()
        watch.finish()
    return seen


def records(path: Path) -> list[Record]:
    return [read_record(line) for line in path.read_bytes().splitlines()]


def next_decision(cluster: FakeCluster, block: Block) -> Decision | None:
    """What the controller did in the sync that the look was about, which comes about when it was expected."""
    assert block.answer is not None
    about_ns = block.answer.explanation.now_ns - round(PERIOD / 4 * SECOND)
    return next((each for each in cluster.decisions if each.trace.now_ns > about_ns), None)


async def test_looks_come_before_syncs_and_their_answers_come_true(cluster: FakeCluster, tmp_path: Path) -> None:
    fast = [{"type": "Percent", "value": 100, "periodSeconds": 1}]
    down = {"stabilizationWindowSeconds": 1, "policies": fast}
    cluster.put_hpa(external(), behavior={"scaleUp": {"policies": fast}, "scaleDown": down})
    async with controller_beside(cluster, [150, 150, 240, 240, 150, 60]):
        blocks = await watch_for(cluster, 12, tmp_path / "record.jsonl")
    compared = 0
    for block in blocks:
        truth = next_decision(cluster, block)
        assert block.answer is not None
        explanation = block.answer.explanation
        if truth is None or truth.trace.metrics != explanation.trace.metrics:
            continue  # load that moved between the look and the sync is another question
        compared += 1
        assert explanation.memory.lowest <= truth.trace.desired_replicas <= explanation.memory.highest
        if explanation.memory.certainty == "Exact":
            assert explanation.replicas_after == truth.trace.desired_replicas
    assert compared >= 4
    assert blocks[0].is_news
    assert any("as computed" in block.followed for block in blocks)


async def test_looks_without_a_gap_become_the_memory_and_the_record_says_the_same(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    path = tmp_path / "record.jsonl"
    async with controller_beside(cluster, [150] * 3 + [90]):
        blocks = await watch_for(cluster, 9, path)
    sources = [block.answer.explanation.memory.source for block in blocks if block.answer is not None]
    assert sources[-1] == "Rebuilt", sources
    kept = records(path)
    assert len(kept) >= 6
    assert all(record.memory is None for record in kept)
    assert any(record.outcome is not None and record.outcome.current_metrics for record in kept)
    more = Memories()
    recorder = Recorder(path, "shop/llm", more)
    recorder.read()
    assert more.before(kept[-1]).source in {"Rebuilt", "Partial", "Unknown"}


async def test_an_api_server_that_is_away_is_waited_for(cluster: FakeCluster) -> None:
    async with controller_beside(cluster):
        task = asyncio.create_task(watch_for(cluster, 5))
        await asyncio.sleep(PERIOD)
        cluster.is_down = True
        await asyncio.sleep(PERIOD * 3)
        cluster.is_down = False
        blocks = await task
    problems = [block.problem for block in blocks if block.problem]
    assert problems
    assert all("cannot be" in problem for problem in problems)
    assert blocks[-1].answer is not None


async def test_an_hpa_that_is_deleted_ends_the_watch(cluster: FakeCluster) -> None:
    from inflight.observe.looking.errors import ObserveError

    task = asyncio.create_task(watch_for(cluster, 50))
    await asyncio.sleep(PERIOD * 2)
    cluster.hpas.clear()
    with pytest.raises(ObserveError, match="there is no HPA llm in namespace shop"):
        await task


async def test_without_a_controller_each_period_has_its_look(cluster: FakeCluster) -> None:
    begun = time.time_ns()
    blocks = await watch_for(cluster, 3)
    assert time.time_ns() - begun >= 2 * 0.2 * SECOND
    assert [block.is_news for block in blocks][1:] == [False] * 2


async def test_a_controller_that_writes_nothing_though_the_load_moved_is_noticed(cluster: FakeCluster) -> None:
    cluster.sync()  # its last
    cluster.put_external("155")
    blocks = await watch_for(cluster, 5)
    codes = [[note.code for note in block.answer.live.notes] for block in blocks if block.answer is not None]
    assert "NotSyncing" not in codes[2]
    assert "NotSyncing" in codes[-1]
    assert blocks[3].is_news


def test_ctrl_c_ends_the_command_well_and_the_record_is_whole(cluster: FakeCluster, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    current = {"metric": {"name": "load"}, "current": {"averageValue": "30"}}
    cluster.current_metrics = [{"type": "External", "external": current}]
    cluster.put_status(desired=5)
    inflight = Path(sys.executable).with_name("inflight")
    flags = [f"--controller={flag}" for flag in FLAGS]
    command = [
        inflight,
        "explain",
        "hpa/llm",
        "-n",
        "shop",
        "--server",
        cluster.url,
        "--watch",
        "--record",
        path,
        *flags,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "stays at 5" in line and sum("stays at 5" in each for each in printed) == 3:
                process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        summary = process.stderr.read()
    assert printed[1].startswith("shop/llm at ")
    assert "syncs came out as computed" in summary
    assert f"{len(records(path))} records written" in summary
    assert len(records(path)) >= 2
