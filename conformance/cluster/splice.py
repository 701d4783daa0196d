# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""A port on loopback from which connections go on to another: the network of a run, which can be cut.

One plays the Service in front of Inflight's replicas, as kube-proxy does it: each connection to one that is ready. One
stands between each replica and the API server, so that its connections can be broken without touching anybody else's.
"""

import asyncio
import contextlib

PIECE = 1 << 16


class Splice:
    """Listens from `start` to `stop`; `backends` are host and port, taken in turn. Without any it hangs up."""

    def __init__(self, port: int = 0, backends: tuple[tuple[str, int], ...] = ()) -> None:
        self.port = port
        self.backends = backends
        self.is_cut = False
        self.accepted = 0
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.drop()

    async def drop(self) -> int:
        """Breaks every connection; how many there were. New ones are taken, unless it `is_cut`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def cut(self) -> int:
        self.is_cut = True
        return await self.drop()

    def mend(self) -> None:
        self.is_cut = False

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        onward: asyncio.StreamWriter | None = None
        try:
            if self.is_cut or not self.backends:
                return
            self._turn += 1
            host, port = self.backends[self._turn % len(self.backends)]
            back, onward = await asyncio.open_connection(host, port)
            both = [asyncio.create_task(_pump(reader, onward)), asyncio.create_task(_pump(back, writer))]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in both:
                    each.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass  # nobody listens there: the caller is hung up on
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
