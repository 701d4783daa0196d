"""One scrape: a GET that ends in the bytes of a page or in a reason, within limits of time and size.

What a hostile or broken server can do ends here: nothing beyond the size limit is kept, nothing is unpacked (no
compression is asked for), no redirect is followed (the token would go along), no message repeats a server's words.
"""

import errno
import ssl
from collections.abc import Mapping
from typing import Literal, get_args

import aiohttp
import msgspec
from yarl import URL

from inflight import __version__
from inflight.signals.foreign import printable
from inflight.signals.series import Silence
from inflight.sources.connections import MAX_PAGE_BYTES, OversizeError
from inflight.sources.room import ORDINARY_BYTES, NoRoomError, Slot

FailureReason = Literal[
    "timeout",
    "refused",
    "unreachable",
    "name",
    "tls",
    "closed",
    "protocol",
    "redirect",
    "unauthorized",
    "status",
    "encoded",
    "too_large",
    "content",
    "credentials",
    "internal",
]
REASONS: tuple[FailureReason, ...] = get_args(FailureReason)

HEADERS = {
    "Accept": "text/plain; version=0.0.4; charset=utf-8, text/plain; q=0.5, */*; q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": f"inflight/{__version__}",
}


class Failure(msgspec.Struct, frozen=True):
    """Why a scrape gave nothing: one of a few reasons to count by, and a few words for a person.

    The words go to logs, terminals and conditions, so they are made printable whoever wrote them.
    """

    reason: FailureReason
    text: str
    silence: Silence = ""
    """What it means for the pod's work; by the reason, where it is not given."""

    def __post_init__(self) -> None:
        if not self.silence:
            by_reason: dict[FailureReason, Silence] = {"refused": "refused", "content": "no_engine"}
            msgspec.structs.force_setattr(self, "silence", by_reason.get(self.reason, "unreadable"))
        if not self.text.isprintable():
            msgspec.structs.force_setattr(self, "text", printable(self.text))


class FetchedPage(msgspec.Struct, frozen=True):
    """The whole body, and whether the server called it OpenMetrics (None where it did not say what it is)."""

    body: bytes
    open_metrics: bool | None


async def fetch(
    session: aiohttp.ClientSession,
    url: URL,
    *,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    server_name: str | None,
    deadline_seconds: float,
    max_bytes: int = MAX_PAGE_BYTES,
    slot: Slot | None = None,
) -> FetchedPage | Failure:
    """One page. The deadline is wall time and covers everything from the name's resolution to the end of the body.

    With a slot the body is not received until there is room for it; whoever calls leaves the slot.
    """
    try:
        async with session.get(
            url,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=deadline_seconds, ceil_threshold=60),
            ssl=tls if tls is not None else True,
            server_hostname=server_name,
        ) as response:
            refusal = _refusal(response, max_bytes)
            body = None if refusal is not None else await _read(response, max_bytes, slot)
            if body is None:
                response.close()
                return refusal or _too_large(max_bytes)
            return FetchedPage(body, _is_open_metrics(response))
    except OversizeError:
        return Failure("too_large", f"the answer has more bytes than a page of {max_bytes} bytes needs")
    except NoRoomError:
        return Failure("timeout", f"no room for its page within {deadline_seconds:g} s: other large ones come first")
    except TimeoutError:
        return Failure("timeout", f"no page within {deadline_seconds:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return explain(error)


async def _read(response: aiohttp.ClientResponse, max_bytes: int, slot: Slot | None) -> bytes | None:
    """The body; None as soon as it is longer than the limit."""
    if slot is not None:
        await slot.take(response.content_length or 0)
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            return None
        if slot is not None and size > ORDINARY_BYTES:
            await slot.take(size)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _refusal(response: aiohttp.ClientResponse, max_bytes: int) -> Failure | None:
    """What can be told from status and headers, before the body is read."""
    status = response.status
    if status in (401, 403):
        return Failure("unauthorized", f"HTTP {status}: the server asks for a token, or for another one")
    if 300 <= status < 400:
        return Failure("redirect", f"HTTP {status}: redirects are not followed; give the final URL")
    if status != 200:
        return Failure("status", f"HTTP {status}", "no_engine" if status == 404 else "unreadable")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return Failure("encoded", "the page is compressed although that was not asked for")
    if (response.content_length or 0) > max_bytes:
        return _too_large(max_bytes)
    return None


def _too_large(max_bytes: int) -> Failure:
    return Failure("too_large", f"the page has more than {max_bytes} bytes")


def _is_open_metrics(response: aiohttp.ClientResponse) -> bool | None:
    kind = response.headers.get("Content-Type")
    return None if kind is None else kind.lower().startswith("application/openmetrics-text")


def explain(error: Exception) -> Failure:
    """The reason behind what the client raised."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Failure("tls", f"TLS: {_certificate_problem(error.certificate_error)}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure("tls", "TLS: the handshake failed (is this an https port?)")
        case aiohttp.ClientConnectorDNSError():
            return Failure("name", "the host name cannot be resolved")
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.ECONNREFUSED:
            return Failure("refused", "connection refused")
        case aiohttp.ClientConnectorError():
            return _unreachable(error.os_error)
        case aiohttp.ClientPayloadError():
            return Failure("closed", "the connection was closed in the middle of the page")
        case aiohttp.ServerDisconnectedError() | ConnectionError() | aiohttp.ClientOSError():
            return Failure("closed", "the connection was closed before the page came")
        case aiohttp.ClientResponseError():
            return Failure("protocol", "the answer is not HTTP/1.1")
        case OSError():
            return _unreachable(error)
        case _:
            return Failure("protocol", f"the answer cannot be read ({type(error).__name__})")


def _unreachable(error: OSError) -> Failure:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Failure("unreachable", "no file descriptor is left in this process; raise its limit (ulimit -n)")
    return Failure("unreachable", f"no connection: {error.strerror or type(error).__name__}")


def _certificate_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    return "the server's certificate is not accepted"
