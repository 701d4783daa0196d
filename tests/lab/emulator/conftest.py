"""A server on a real socket, with an engine small enough that every limit is easily met."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inflight.lab.emulator import EmulatedServer, ServerSettings, bind, serving
from inflight.sim.engine import EngineConfig
from inflight.sim.step_time import StepTime
from inflight.sources.clock import ScaledClock

PAGES = Path(__file__).parents[2] / "data" / "metrics-pages"

SMALL = EngineConfig(
    model="small/model",
    gpu="test",
    step_time=StepTime(0.002, 0.008, 50e-6, 20e-6, 70e-9),
    max_num_seqs=8,
    max_num_batched_tokens=512,
    kv_blocks=300,
    max_model_len_tokens=2000,
)


class Running:
    """A server that is up."""

    def __init__(self, server: EmulatedServer, clock: ScaledClock, url: str) -> None:
        self.server = server
        self.clock = clock
        self.url = url

    @property
    def api(self) -> str:
        return f"{self.url}/v1"

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a state of the server that nobody announces."""
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def run_server(speed: float = 20.0, engine: EngineConfig = SMALL, **settings: Any) -> AsyncIterator[Running]:
    clock = ScaledClock(speed, time.time())
    server = EmulatedServer(ServerSettings(engine=engine, **settings), clock, clock.now())
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        async with serving(server, listener) as url:
            yield Running(server, clock, url)


@pytest.fixture
def emulated() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    return run_server


@pytest.fixture
def small() -> EngineConfig:
    return SMALL


@pytest.fixture
def real_engine() -> EngineConfig:
    """The engine behind the real pages: 27,048 blocks of 16 tokens, 8,192 tokens at most."""
    return msgspec.structs.replace(
        SMALL,
        model="meta-llama/Llama-3.1-8B-Instruct",
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        kv_blocks=27048,
        max_model_len_tokens=8192,
    )


@pytest.fixture
def real_page() -> Callable[[str], str]:
    return lambda name: (PAGES / f"{name}.txt").read_text(encoding="utf-8")
