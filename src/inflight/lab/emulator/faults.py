"""Ways in which a metrics page goes wrong, put on and taken off while the server runs, to try out who reads it.

One fault at a time, for `/metrics` only; the API goes on. Written `MODE` or `MODE:NUMBER`, as on the command line.
"""

import asyncio
import re

import msgspec
from aiohttp import web

from inflight.lab.emulator.endpoint import CONTENT_TYPE

# mode -> (what it does, the number where none is given, what the number is)
MODES: dict[str, tuple[str, float | None, str]] = {
    "stale": ("the page of the moment the fault began, again and again", None, ""),
    "error": ("an HTTP error instead of the page", 500, "status, 400 to 599"),
    "slow": ("the page after a wait", 5, "seconds of wall time, up to 3600"),
    "hang": ("no answer at all; the connection stays open", None, ""),
    "reset": ("the connection is reset", None, ""),
    "truncated": ("the first half of the page, ending inside a line", None, ""),
    "nan": ("NaN as the value of every series of the engine", None, ""),
}

_ENGINE_VALUE = re.compile(rb"(?m)^(vllm:.*) \S+$")


class Fault(msgspec.Struct, frozen=True):
    mode: str
    number: float | None = None

    def __str__(self) -> str:
        return self.mode if self.number is None else f"{self.mode}:{self.number:g}"


def parse_fault(text: str) -> Fault:
    """`slow:2.5` as a fault. Raises ValueError with a sentence."""
    mode, colon, digits = text.partition(":")
    if mode not in MODES:
        raise ValueError(f"there is no fault {mode[:40]!r}; there are {', '.join(MODES)}")
    _, default, meaning = MODES[mode]
    if not colon:
        return Fault(mode, default)
    if default is None:
        raise ValueError(f"the fault {mode!r} takes no number, but {digits[:40]!r} was given")
    try:
        number = float(digits)
    except ValueError:
        number = -1.0
    allowed = 400 <= number <= 599 and number.is_integer() if mode == "error" else 0 <= number <= 3600
    if not allowed:
        raise ValueError(f"the number of the fault {mode!r} is its {meaning}, not {digits[:40]!r}")
    return Fault(mode, number)


class Faults:
    """The fault that is on, if any."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._frozen = b""

    @property
    def current(self) -> Fault | None:
        return self._fault

    def set(self, fault: Fault | None, page: bytes) -> None:
        """Put a fault on (or with None take it off); `page` is the page of now, for the fault that repeats it."""
        self._fault = fault
        self._frozen = page if fault is not None and fault.mode == "stale" else b""

    async def answer(self, request: web.Request, page: bytes) -> web.StreamResponse:
        """The answer to a scrape, spoiled as the fault of this moment says."""
        fault = self._fault
        if fault is None:
            return _page(page)
        if fault.mode == "error":
            return web.Response(status=int(fault.number or 500), text="a fault of the emulator\n")
        if fault.mode == "slow":
            await asyncio.sleep(fault.number or 0)
            return _page(page)
        if fault.mode == "hang":
            await asyncio.Event().wait()
        if fault.mode == "reset" and request.transport is not None:
            request.transport.abort()
        return _page(self._spoiled(fault.mode, page))

    def _spoiled(self, mode: str, page: bytes) -> bytes:
        if mode == "stale":
            return self._frozen
        if mode == "nan":
            return _ENGINE_VALUE.sub(rb"\1 NaN", page)
        if mode == "truncated":
            return _first_half(page)
        return page


def _first_half(page: bytes) -> bytes:
    """Cut where the name of a series has begun, so that the last line is no sample whichever way it is read."""
    end = page.find(b"\nvllm:", len(page) // 2)
    return page[: end + 10] if end > 0 else page[: len(page) // 2]


def _page(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
