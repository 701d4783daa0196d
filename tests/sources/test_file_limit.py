"""Room for one connection per pod."""

import logging
import resource

import pytest

from inflight.sources.file_limit import raise_file_limit


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
