"""What the page says of the server's own process: CPU as the model has it, memory and files as they are."""

import os
import resource

from inflight.lab.emulator.page import Process


def own_process(cpu_seconds: float) -> Process:
    """This process, with the CPU time of the server that it stands for (its own says nothing about an engine's)."""
    pages = os.sysconf("SC_PAGE_SIZE")
    virtual, resident = _memory_pages()
    return Process(
        cpu_seconds=cpu_seconds,
        resident_memory_bytes=resident * pages,
        virtual_memory_bytes=virtual * pages,
        open_files=_open_files(),
        most_open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _memory_pages() -> tuple[int, int]:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            virtual, resident, *_ = file.read().split()
    except OSError:
        return 0, 0
    return int(virtual), int(resident)


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
