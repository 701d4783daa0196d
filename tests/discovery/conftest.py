"""A cluster that a test plays, and a discovery that looks at it."""

from collections.abc import AsyncIterator

import pytest

from .fake_cluster import FakeCluster


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster().served() as fake:
        yield fake
