"""The switch for faults at run time: `GET`, `POST`, `DELETE /admin/faults`, from this machine unless told otherwise.

A browser on this machine runs other people's pages. What they can send without being asked first (a POST of plain text)
is refused, and so is a Host header that is neither an address nor localhost: a page that has rebound its own name to
127.0.0.1 sends that name.
"""

import ipaddress
from collections.abc import Callable

import msgspec
from aiohttp import web

from inflight.lab.emulator.faults import MODES, Faults, parse_fault
from inflight.lab.emulator.requests import RequestError

PATH = "/admin/faults"


class _Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metrics: str | None = None


def add_admin(app: web.Application, faults: Faults, page: Callable[[], bytes], *, remote: bool) -> None:
    """Add the routes; with `remote` they answer to every machine that reaches the port, under any name."""

    def check(request: web.Request) -> None:
        if not remote and not is_loopback(request.remote or ""):
            raise RequestError(
                f"{PATH} answers to this machine only; start the server with --remote-admin to change that",
                status=403,
                kind="PermissionDeniedError",
            )
        if not remote and not is_own_host(request.host):
            raise RequestError(
                f"{PATH} answers to an address or to localhost, not to other names, unless the server was started with"
                " --remote-admin",
                status=421,
                kind="PermissionDeniedError",
            )

    async def show(request: web.Request) -> web.Response:
        check(request)
        return _state(faults)

    async def put_on(request: web.Request) -> web.Response:
        check(request)
        if request.content_type != "application/json":
            raise RequestError("the body is to be JSON and to say so: Content-Type: application/json", status=415)
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Wanted)
            fault = None if wanted.metrics is None else parse_fault(wanted.metrics)
        except (ValueError, RecursionError) as error:
            raise RequestError(f'the body is to be like {{"metrics": "slow:2.5"}}: {error}') from error
        faults.set(fault, page())
        return _state(faults)

    async def take_off(request: web.Request) -> web.Response:
        check(request)
        faults.set(None, b"")
        return _state(faults)

    app.router.add_get(PATH, show)
    app.router.add_post(PATH, put_on)
    app.router.add_delete(PATH, take_off)


def _state(faults: Faults) -> web.Response:
    current = faults.current
    return web.json_response({"metrics": None if current is None else str(current), "modes": list(MODES)})


def is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def is_own_host(host: str) -> bool:
    """Whether a Host header, with or without a port, is an address or localhost."""
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
