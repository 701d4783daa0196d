"""A thin client of one API server: requests with a deadline, and a family of errors of our own.

Not a library of typed verbs: what is asked for stands at the caller. Every await that leaves the process has a
deadline, every answer a limit in bytes, and every failure a sentence that names the request.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from inflight.cluster.config import ClusterConfig
from inflight.cluster.errors import ApiError, ConfigError, TooLargeError, UnreachableError
from inflight.cluster.pem_file import as_pem_file
from inflight.cluster.wire import BEGINNING_BYTES, LongLine
from inflight.objects import ObjectError, Status, decode_status

JSON = "application/json"
REQUEST_SECONDS = 10.0
CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 << 20
"""A page of 500 pods is below 5 MiB. One object is at most 1.5 MiB in etcd, unless the cluster's owner raised that, and
six times as long in JSON where each of its characters has to be escaped.
"""
MAX_LINE_BYTES = MAX_ANSWER_BYTES
"""What a list takes a watch must take, or the same object would be known or not by chance."""
REREAD_SECONDS = 60.0
"""Service account tokens are renewed long before they end; client-go looks about as often."""
MAX_RETRIES = 3
MAX_RETRY_AFTER_SECONDS = 5.0
MAX_CONNECTIONS = 16
MAX_WATCHES = 1_200
"""Each watch holds a connection of its own for minutes: they have a pool of theirs, so that no request waits for one
to end. Twice the namespaces that are followed at most, and some."""

_log = logging.getLogger(__name__)


class Client:
    """To be entered before use; one for each API server and event loop."""

    def __init__(self, config: ClusterConfig, user_agent: str = "inflight") -> None:
        self._config = config
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._watch_session: aiohttp.ClientSession | None = None
        self._material: tuple[bytes, bytes, bytes] | None = None
        self._read_at = float("-inf")
        self._token = ""

    def __repr__(self) -> str:
        return f"Client({self._config.server})"

    async def __aenter__(self) -> Self:
        """Raises ConfigError where a file of the configuration cannot be used."""
        await self._refresh()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(self._session, self._watch_session)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout_seconds: float = REQUEST_SECONDS,
        repeatable: bool | None = None,
        accept: str = JSON,
    ) -> bytes:
        """The body of a good answer. Raises ApiError, UnreachableError or ConfigError.

        429 with Retry-After is waited for, a few times and within the deadline: API priority and fairness says so.
        A kept connection that the server closed meanwhile is no failure for what is `repeatable` (by default GET).
        401 is asked again once with what the token's file holds now: a token may end before the file's next reading.
        """
        repeatable = method == "GET" if repeatable is None else repeatable
        what = f"{method} {path}"
        may_renew = True
        try:
            async with asyncio.timeout(timeout_seconds):
                for attempt in range(MAX_RETRIES + 1):
                    may_repeat = attempt < MAX_RETRIES
                    try:
                        async with self._send(method, path, params, body, content_type, accept=accept) as response:
                            content = await _read(response, what)
                            if response.status < 300:
                                return content
                            wait = _retry_after(response) if may_repeat else None
                            if response.status == 401 and may_repeat and may_renew and self._has_newer_token(response):
                                may_renew, wait = False, 0.0
                            if wait is None:
                                raise ApiError(what, status_of(response.status, content), content)
                    except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                        if not (repeatable and may_repeat):
                            raise
                        wait = 0.0
                    await asyncio.sleep(wait)
        except TimeoutError as error:
            raise UnreachableError(
                f"{what}: {self._config.server} gave no answer within {timeout_seconds:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise UnreachableError(f"{what}: {self._config.server} cannot be asked: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """An object as plain values."""
        return decode_plain(await self.request("GET", path, params=params), f"GET {path}")

    async def create(self, path: str, body: Any, *, repeatable: bool = False) -> Any:
        """POSTs an object; the answer as plain values. What leaves nothing behind, as reviews do, is `repeatable`."""
        answer = await self.request("POST", path, body=body, repeatable=repeatable)
        return decode_plain(answer, f"POST {path}")

    @asynccontextmanager
    async def lines(
        self, path: str, params: Mapping[str, str], timeout_seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes | LongLine]]:
        """The lines of a watch, until the server ends it or the time is up. Raises as `request`."""
        what = f"GET {path}"
        try:
            async with asyncio.timeout(timeout_seconds):
                for may_renew in (True, False):
                    async with self._send("GET", path, params, None, JSON, watch=True) as response:
                        if response.status == 401 and may_renew and self._has_newer_token(response):
                            continue
                        if response.status >= 300:
                            raise ApiError(what, status_of(response.status, await _read(response, what)))
                        yield _split_lines(response.content.iter_any())
                        return
        except TimeoutError as error:
            raise UnreachableError(f"{what}: the watch did not end within {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise UnreachableError(f"{what}: the watch broke off: {error}") from error

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        *,
        accept: str = JSON,
        watch: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._refresh()
        session = self._watch_session if watch else self._session
        assert session is not None
        headers = {"Accept": accept}
        if self._token:
            headers["Authorization"] = self._authorization
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = msgspec.json.encode(body)
        async with session.request(
            method,
            self._config.server + path,
            params=params,
            data=data,
            headers=headers,
            allow_redirects=False,
            server_hostname=self._config.server_name,
        ) as response:
            yield response

    async def _refresh(self) -> None:
        """Looks at the files of the configuration once a minute; the old content is kept while they cannot be read."""
        if time.monotonic() - self._read_at < REREAD_SECONDS:
            return
        config = self._config
        try:
            token = _token(config)
            material = (config.ca.read(), config.client_certificate.read(), config.client_key.read())
            context = None if material == self._material else _context(config, *material)
        except ConfigError as error:
            if self._session is None:
                raise
            _log.error("event=credentials_not_read kept=the_old_ones why=%r", str(error))
            self._read_at = time.monotonic()
            return
        self._token, self._read_at = token, time.monotonic()
        if context is not None:
            old, self._material = (self._session, self._watch_session), material
            self._session = self._open(context, MAX_CONNECTIONS)
            self._watch_session = self._open(context, MAX_WATCHES)
            await self._close(*old)

    @property
    def _authorization(self) -> str:
        return f"Bearer {self._token}"

    def _has_newer_token(self, refused: aiohttp.ClientResponse) -> bool:
        """Reads the token's file now; whether there is another token than the one that was refused."""
        if self._config.token.file is None:
            return False
        try:
            self._token = _token(self._config)
        except ConfigError as error:
            _log.error("event=credentials_not_read kept=the_old_ones why=%r", str(error))
        return refused.request_info.headers.get("Authorization") != self._authorization

    async def _close(self, *sessions: aiohttp.ClientSession | None) -> None:
        for session in sessions:
            if session is not None:
                await session.close()

    def _open(self, context: ssl.SSLContext, limit: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=limit),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"User-Agent": self._user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


def decode_plain(content: bytes, what: str) -> Any:
    """JSON as plain values; raises UnreachableError: what does not speak JSON is no API server."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreachableError(f"{what}: the answer is no JSON, so no API server gave it") from error


def status_of(code: int, content: bytes) -> Status:
    """The Status of a failure; one of our own where something in between answered in other words."""
    try:
        status = decode_status(content)
    except ObjectError:
        message = "answered without a Kubernetes status"
        return Status(kind="Status", api_version="v1", metadata={}, status="Failure", message=message, code=code)
    return status if status.code else msgspec.structs.replace(status, code=code)


async def _read(response: aiohttp.ClientResponse, what: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            beginning = b"".join([*parts, part])[:BEGINNING_BYTES]
            raise TooLargeError(f"{what}: the answer has more than {MAX_ANSWER_BYTES} bytes", beginning)
        parts.append(part)
    return b"".join(parts)


async def _split_lines(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes | LongLine]:
    """Lines that hold something; of one that is longer than MAX_LINE_BYTES the beginning, and no more is kept of it."""
    pending, is_too_long = bytearray(), False
    async for part in parts:
        *ends, rest = part.split(b"\n")
        for end in ends:
            is_too_long = is_too_long or len(pending) + len(end) > MAX_LINE_BYTES
            pending += end[:BEGINNING_BYTES] if is_too_long else end
            line = LongLine(bytes(pending[:BEGINNING_BYTES])) if is_too_long else bytes(pending)
            pending, is_too_long = bytearray(), False
            if isinstance(line, LongLine) or line.strip():
                yield line
        is_too_long = is_too_long or len(pending) + len(rest) > MAX_LINE_BYTES
        pending += rest[:BEGINNING_BYTES] if is_too_long else rest
        if is_too_long:
            del pending[BEGINNING_BYTES:]


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    if response.status != 429:
        return None
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _token(config: ClusterConfig) -> str:
    raw = config.token.read().strip()
    if config.token.file is not None and not raw:
        raise ConfigError(f"the token file {config.token.file} is empty")
    if not raw.isascii() or (raw and not raw.decode("ascii").isprintable()):
        raise ConfigError(f"the token of {config.source} holds more than printable ASCII")
    return raw.decode("ascii")


def _context(config: ClusterConfig, ca: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Trusts the cluster's authority alone, or the system's where the configuration names none."""
    if config.server.startswith("http://"):
        # Nobody's certificate is looked at, and to read the system's authorities takes longer than all the rest.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cadata=ca.decode("ascii") if ca.strip() else None)
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"the certificate authority of {config.source} holds no PEM certificates") from error
    # Real clusters have authorities without keyUsage, which strict checking (the default from Python 3.13) refuses.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        _load_pair(context, config, certificate, key)
    return context


def _load_pair(context: ssl.SSLContext, config: ClusterConfig, certificate: bytes, key: bytes) -> None:
    def no_passphrase() -> str:
        raise ValueError("the key is encrypted")

    with as_pem_file(certificate + b"\n" + key) as path:
        try:
            context.load_cert_chain(path, password=no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the client certificate and key of {config.source} are no PEM pair") from error
