"""Emulated inference servers: vLLM's API and metrics page over the replica model.

A server of its own process is `Life` (the command `inflight emulate`); a replica that lives with others in one process
has its page from `VllmPage` and its port from `MetricsEndpoint`.
"""

from inflight.lab.emulator.endpoint import MetricsEndpoint
from inflight.lab.emulator.faults import Fault, parse_fault
from inflight.lab.emulator.life import Life, serving
from inflight.lab.emulator.listener import bind
from inflight.lab.emulator.page import Process, VllmPage
from inflight.lab.emulator.server import EmulatedServer
from inflight.lab.emulator.settings import ServerSettings

__all__ = [
    "EmulatedServer",
    "Fault",
    "Life",
    "MetricsEndpoint",
    "Process",
    "ServerSettings",
    "VllmPage",
    "bind",
    "parse_fault",
    "serving",
]
