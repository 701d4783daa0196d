"""What happens to every request of the emulated server: it is counted, its key checked, its errors get their shape."""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from inflight.lab.emulator import answers
from inflight.lab.emulator.http_use import UNCOUNTED_PATHS, HttpUse
from inflight.lab.emulator.requests import RequestError
from inflight.sources.clock import ScaledClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HTTP_USE = web.AppKey("http_use", HttpUse)
CLOCK = web.AppKey("clock", ScaledClock)
MODEL_KEY = web.AppKey("model_key", str)


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Into the `http_*` families. A client that has left counts as answered, as it does in vLLM's framework."""
    if request.path in UNCOUNTED_PATHS:
        return await handler(request)
    clock = request.app[CLOCK]
    came_at = clock.now()
    status, sent = 200, 0
    try:
        response = await handler(request)
        status, sent = response.status, response.content_length or 0
    finally:
        now = clock.now()
        resource = request.match_info.route.resource
        request.app[HTTP_USE].count(
            "none" if resource is None else resource.canonical,
            request.method if request.method in hdrs.METH_ALL else "other",
            status,
            received_bytes=request.content_length or 0,
            sent_bytes=sent,
            seconds=now - came_at,
            at=now,
        )
    return response


@web.middleware
async def shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as the OpenAI API writes them, also those of the web framework."""
    try:
        return await handler(request)
    except RequestError as error:
        return _error(answers.error(error.message, error.status, error.kind, error.param), error.status)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        message = error.text or error.reason
        response = _error(answers.error(message.split(": ", 1)[-1], error.status), error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


@web.middleware
async def authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The key, if there is one, is asked for on /v1 paths only: vLLM's probes and metrics are open."""
    key = request.app[MODEL_KEY]
    if key and request.path.startswith("/v1"):
        given = request.headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), key.encode()):
            raise RequestError(
                "Incorrect API key provided: send the one that the server was started with, as a bearer token."
                if given
                else "You didn't provide an API key: send it in the header Authorization, as a bearer token.",
                status=401,
                kind="invalid_request_error",
            )
    return await handler(request)


MIDDLEWARES = (counted, shaped, authorised)


def _error(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
