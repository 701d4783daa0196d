"""Room for one connection per pod."""

import asyncio
import logging
import resource

import pytest

from inflight.sources import Target
from inflight.sources.file_limit import raise_file_limit

from .conftest import collecting


async def test_room_is_made_when_a_running_collector_gets_more_pods() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    pods = [Target("default", f"pod-{n}", {}, "http://127.0.0.1:1/metrics") for n in range(300)]
    try:
        async with collecting(pods[:10], speed=0.001) as c:
            await asyncio.sleep(0)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 600
            c.set_targets(pods)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 812
            resource.setrlimit(resource.RLIMIT_NOFILE, (700, hard))
            c.set_targets(pods[:250])
            c.set_targets(pods)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 700, "asked for once"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with caplog.at_level(logging.WARNING):
            assert raise_file_limit(200) == 712
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (712, hard)
            assert raise_file_limit(1) == 712, "never lowered"
            assert not caplog.records
            if hard != resource.RLIM_INFINITY:
                assert raise_file_limit(hard) == hard
                assert "raise the hard limit" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
