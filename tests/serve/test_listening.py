"""Which addresses are listened on: both families where the system has them, and a sentence where there is no socket."""

import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from inflight.serve.listening import ServeError, listen
from inflight.serve.server import start_server

HAS_BOTH = socket.has_dualstack_ipv6()
needs_both = pytest.mark.skipif(not HAS_BOTH, reason="this system has no IPv6")


def reaches(listener: socket.socket, host: str) -> bool:
    try:
        with socket.create_connection((host, listener.getsockname()[1]), timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that was started with `ipv6.disable=1`: there are no such sockets."""
    make = socket.socket.__init__

    def refuse(self: Any, family: int = -1, *args: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        make(self, family, *args, **options)

    monkeypatch.setattr(socket.socket, "__init__", refuse)


@needs_both
@pytest.mark.parametrize("address", ["::", "0::0", "0:0:0:0:0:0:0:0"])
def test_every_address_is_that_of_both_families(address: str) -> None:
    with listen(address, 0) as listener:
        assert reaches(listener, "::1")
        assert reaches(listener, "127.0.0.1")
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


@pytest.mark.parametrize(("address", "in_ipv4", "in_ipv6"), [("0.0.0.0", True, False), ("127.0.0.1", True, False)])
def test_an_address_of_ipv4_is_of_ipv4_alone(address: str, in_ipv4: bool, in_ipv6: bool) -> None:
    with listen(address, 0) as listener:
        assert (reaches(listener, "127.0.0.1"), reaches(listener, "::1")) == (in_ipv4, in_ipv6)


@needs_both
def test_one_address_of_ipv6_is_of_ipv6_alone() -> None:
    with listen("::1", 0) as listener:
        assert reaches(listener, "::1")
        assert not reaches(listener, "127.0.0.1")


def test_without_ipv6_every_address_is_that_of_ipv4_and_the_log_says_so(
    without_ipv6: None, caplog: pytest.LogCaptureFixture
) -> None:
    with listen("::", 0) as listener:
        assert listener.family == socket.AF_INET
        assert reaches(listener, "127.0.0.1")
    (line,) = caplog.messages
    assert line == "event=no_ipv6 address=:: why='this system has no IPv6: listening on every IPv4 address'"


@needs_both
def test_ipv6_that_goes_at_the_last_moment_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create = socket.create_server

    def refuse(address: Any, *, family: int, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return create(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", refuse)
    with listen("::", 0) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"
    assert "event=no_ipv6" in caplog.text


def test_where_both_are_there_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with listen("0.0.0.0", 0):
        pass
    if HAS_BOTH:
        with listen("::", 0):
            pass
    assert caplog.messages == []


def test_one_address_of_ipv6_without_ipv6_is_a_sentence(without_ipv6: None) -> None:
    with pytest.raises(ServeError, match="this system has no IPv6, so ::1 cannot be listened on"):
        listen("::1", 0)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", pytest.param("::", marks=needs_both)])
def test_a_port_in_use_is_a_sentence_for_every_address_that_has_it(address: str, taken: int) -> None:
    with pytest.raises(ServeError, match=f"port {taken} of {address} is in use by another process"):
        listen(address, taken)


def test_without_ipv6_a_port_in_use_is_the_same_sentence(without_ipv6: None, taken: int) -> None:
    with pytest.raises(ServeError, match=rf"port {taken} of 0\.0\.0\.0 is in use"):
        listen("::", taken)


async def test_the_server_says_where_it_is(pods: Any, clock: Any) -> None:
    async with start_server(pods, clock, address="0.0.0.0") as server:
        assert server.url == f"https://0.0.0.0:{server.port}"
    if HAS_BOTH:
        async with start_server(pods, clock, address="::") as server:
            assert server.url == f"https://[::]:{server.port}"


async def test_the_server_says_where_it_is_without_ipv6(pods: Any, clock: Any, without_ipv6: None) -> None:
    async with start_server(pods, clock, address="::") as server:
        assert server.url == f"https://0.0.0.0:{server.port}"
