"""The live page: three files of the package and one stream of server-sent events, on loopback unless told otherwise.

No build step and no other host: the Content-Security-Policy forbids what the files do not need anyway. A Host header
that is neither an address nor localhost is refused, so that a web page elsewhere cannot read this one by rebinding
its own name to 127.0.0.1.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

from aiohttp import web

from inflight.lab.story import Story

_FILES = {
    "/": ("index.html", "text/html"),
    "/lab.js": ("lab.js", "text/javascript"),
    "/lab.css": ("lab.css", "text/css"),
    "/uplot.min.js": ("uplot.min.js", "text/javascript"),
    "/uplot.min.css": ("uplot.min.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_MAX_WATCHERS = 32
_KEEPALIVE_SECONDS = 15.0


def static_text(name: str) -> str:
    """One of the page's own files."""
    return resources.files("inflight.lab").joinpath("static", name).read_text(encoding="utf-8")


@asynccontextmanager
async def serve_page(story: Story, host: str, port: int) -> AsyncIterator[str]:
    """Serves the page while the context lasts and gives its address. Port 0 takes a free one. Raises OSError."""
    page = _Page(story)
    runner = web.ServerRunner(web.Server(page.handle, access_log=None), shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound_port = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{bound_port}/"
    finally:
        story.close()
        await runner.cleanup()


class _Page:
    def __init__(self, story: Story) -> None:
        self._story = story
        self._watchers = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not _is_own_host(request.host):
            return web.Response(status=421, text="This page answers to an address or to localhost only.\n")
        if request.method != "GET":
            return web.Response(status=405, text="Only GET.\n", headers={"Allow": "GET"})
        if request.path == "/events":
            return await self._stream(request)
        if request.path not in _FILES:
            return web.Response(status=404, text="There is nothing here.\n", headers=_HEADERS)
        name, content_type = _FILES[request.path]
        return web.Response(text=static_text(name), content_type=content_type, charset="utf-8", headers=_HEADERS)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._watchers >= _MAX_WATCHERS:
            return web.Response(status=503, text="Too many pages watch already.\n", headers={"Retry-After": "5"})
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        queue = self._story.watch()
        self._watchers += 1
        try:
            await response.prepare(request)
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), _KEEPALIVE_SECONDS)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if message is None:
                    break
                await response.write(b"event: " + message[0].encode() + b"\ndata: " + message[1] + b"\n\n")
        except ConnectionError:
            pass  # the browser went away
        finally:
            self._watchers -= 1
            self._story.unwatch(queue)
        return response


def _is_own_host(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
