"""The switch for faults at run time: `GET`, `POST`, `DELETE /admin/faults`, from this machine unless told otherwise."""

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
    """Add the routes; with `remote` they answer to every machine that reaches the port."""

    def check(request: web.Request) -> None:
        if not remote and not is_loopback(request.remote or ""):
            raise RequestError(
                f"{PATH} answers to this machine only; start the server with --remote-admin to change that",
                status=403,
                kind="PermissionDeniedError",
            )

    async def show(request: web.Request) -> web.Response:
        check(request)
        return _state(faults)

    async def put_on(request: web.Request) -> web.Response:
        check(request)
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
