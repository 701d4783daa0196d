"""A cluster that a test plays, and a discovery that looks at it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from .fake_cluster import FakeCluster


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    fake = FakeCluster()
    runner = web.ServerRunner(web.Server(fake.handle, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()
