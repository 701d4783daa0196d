"""The listening socket: which families it takes, and a sentence where it cannot be had.

`::` means every address of both families, as for Go's servers and kubelet's probes: one IPv6 socket that takes IPv4
too, whatever the system's `net.ipv6.bindv6only` says. Every other address is taken as it is written.
"""

import errno
import ipaddress
import logging
import socket

BACKLOG = 512
"""A crowd that does not fit is held up by whole seconds, until it knocks again; and whoever comes with it."""

_ANY_IPV4 = "0.0.0.0"  # noqa: S104 - only where a person asked for every address
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}

_log = logging.getLogger(__name__)


class ServeError(RuntimeError):
    """The server cannot start; the sentence says what to change."""


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ServeError."""
    if _is_every_address(address):
        listener = _listen_in_both_families(address, port)
        if listener is not None:
            return listener
        _log.warning("event=no_ipv6 address=%s why='this system has no IPv6: listening on every IPv4 address'", address)
        address = _ANY_IPV4
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ServeError(_why_not(address, port, error)) from error


def _is_every_address(address: str) -> bool:
    """In any spelling of IPv6."""
    if ":" not in address:
        return False
    try:
        return ipaddress.IPv6Address(address) == ipaddress.IPv6Address("::")
    except ValueError:
        return False


def _listen_in_both_families(address: str, port: int) -> socket.socket | None:
    """None where the system has no IPv6, or no sockets that take both. Raises ServeError where it has."""
    if not socket.has_dualstack_ipv6():
        return None
    try:
        return socket.create_server((address, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    except OSError as error:
        if error.errno in _NO_IPV6:
            return None
        raise ServeError(_why_not(address, port, error)) from error


def _why_not(address: str, port: int, error: OSError) -> str:
    where = f"port {port} of {address}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another process: stop that one, or choose another --secure-port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine: choose another --bind-address"
    if error.errno == errno.EAFNOSUPPORT:
        return f"this system has no IPv6, so {address} cannot be listened on: choose another --bind-address"
    if error.errno == errno.EACCES:
        return f"{where} needs privileges that this process does not have: choose a --secure-port of 1024 or more"
    return f"{where} cannot be listened on: {error.strerror or error}"
