# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Between kube-controller-manager and kube-apiserver: passes everything on, and writes down what the HPA is about.

    python proxy.py --port N --upstream URL --ca FILE --certificate FILE --key FILE --recording FILE

What is recorded is thereby what the unmodified controller asked, was answered and wrote, and when its watches told it
of pods and autoscalers: nothing of it is a second look at the cluster. README.md has the format. A process of its own,
so that nothing else of a run delays what passes through. Requests are answered in HTTP/1.1, as bearer tokens need no
more. Where the API server is away, the connection ends without an answer, as it would without a proxy.
"""

import argparse
import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from passing import MAX_LINE_BYTES, Passing, Recording
from yarl import URL

MAX_BODY_BYTES = 16 << 20
DROPPED = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
)
"""Of one connection, not of the message."""
UPSTREAM_GONE = (aiohttp.ClientError, OSError)


class Proxy:
    """One upstream. `recording` gets every message that passed."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession, recording: Recording) -> None:
        self._upstream = upstream
        self._session = session
        self._recording = recording

    async def handle(self, request: web.Request) -> web.StreamResponse:
        passing = Passing(request.method, request.raw_path, request.headers.get("User-Agent", ""))
        body = await request.read()
        headers = [(name, value) for name, value in request.headers.items() if _is_kept(name)]
        url = URL(self._upstream + request.raw_path, encoded=True)
        passing.sent()
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                if passing.is_watch and answer.status == 200:
                    return await self._watch(request, passing, answer)
                content = await answer.read()
        except UPSTREAM_GONE as error:
            self._recording.write(passing.lost(str(error) or type(error).__name__))
            return _hang_up(request)
        self._recording.write(passing.answered(answer.status, content, body))
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in DROPPED]
        return web.Response(status=answer.status, body=content, headers=kept)

    async def _watch(
        self, request: web.Request, passing: Passing, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in DROPPED]
        response = web.StreamResponse(status=answer.status, headers=kept)
        response.enable_chunked_encoding()
        await response.prepare(request)
        pending = bytearray()
        async for part in answer.content.iter_any():
            # First to the controller, then to the file: the line's time is when it was passed on.
            await response.write(part)
            pending += part
            if b"\n" in part:
                *lines, rest = bytes(pending).split(b"\n")
                pending = bytearray(rest)
                for line in lines:
                    self._recording.write(passing.told(line))
            if len(pending) > MAX_LINE_BYTES:
                raise web.HTTPInternalServerError(text=f"a line of a watch has more than {MAX_LINE_BYTES} bytes")
        await response.write_eof()
        return response


def _is_kept(name: str) -> bool:
    """Host is the upstream's, and bodies come uncompressed, so that they can be read."""
    return name.lower() not in DROPPED and name.lower() not in {"host", "accept-encoding"}


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


@contextlib.asynccontextmanager
async def upstream_session(ca: Path) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=str(ca))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


async def serve(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    with options.recording.open("ab") as file:
        async with upstream_session(options.ca) as session:
            proxy = Proxy(options.upstream, session, Recording(file))
            app = web.Application(client_max_size=MAX_BODY_BYTES)
            app.router.add_route("*", "/{path:.*}", proxy.handle)
            # A watch that the controller gives up is given up here too.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=context, backlog=512)
                await site.start()
                await asyncio.Event().wait()
            finally:
                await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    for name in ("ca", "certificate", "key", "recording"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    import signal

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
