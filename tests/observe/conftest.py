from collections.abc import Iterator

import pytest

from .fake_cluster import FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """The HPA `shop/llm`: 5 replicas of at most 10, 30 requests in flight wanted each, 150 there."""
    fake = FakeCluster()
    fake.put_hpa()
    fake.put_scale(5)
    fake.put_pods(5)
    fake.put_external("150")
    with fake.serving():
        yield fake
