"""The metrics page of one replica on a port of its own, as cheap as a page can be served.

A fleet that lives in one process starts one of these when a replica has loaded and stops it when the replica goes.
Before and after, the port is refused: that is what a scraper sees of an engine that loads or is gone.
"""

import socket
from collections.abc import Callable

from aiohttp import web

from inflight.lab.emulator.listener import bind, url_of

# What prometheus_client 0.22 and later declare for the plain text format, and so vLLM.
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class MetricsEndpoint:
    """`GET /metrics` answers what `page` returns at that moment, `GET /health` 200 with no body; all else is 404."""

    def __init__(self, page: Callable[[], bytes], host: str = "127.0.0.1") -> None:
        self._page = page
        self._host = host
        self._listener: socket.socket | None = None
        self._runner: web.ServerRunner | None = None

    def hold(self, port: int = 0) -> str:
        """Take `port` (0: any free one) and refuse whoever connects until `start`; returns the URL. Raises OSError."""
        if self._listener is None:
            self._listener = bind(self._host, port)
        return url_of(self._listener)

    async def start(self, port: int = 0) -> str:
        """Listen, on the port that is held or else on `port`, and return the URL. Raises OSError if it is taken."""
        if self._runner is not None:
            raise RuntimeError("this endpoint has been started already")
        url = self.hold(port)
        assert self._listener is not None
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0)
        try:
            await self._runner.setup()
            await web.SockSite(self._runner, self._listener).start()
        except BaseException:
            await self.stop()
            raise
        return url

    async def stop(self) -> None:
        """Close the port and the connections on it; a second call does nothing."""
        runner, self._runner = self._runner, None
        listener, self._listener = self._listener, None
        if runner is not None:
            await runner.cleanup()
        if listener is not None:
            listener.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        if request.path == "/metrics":
            return web.Response(body=self._page(), headers={"Content-Type": CONTENT_TYPE})
        return web.Response(status=200 if request.path == "/health" else 404)
