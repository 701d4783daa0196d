"""Reads a request target as Go's net/http and net/url do: the clients and the API that we stand in for are Go programs.

The path is percent-decoded before it is split, so `%2F` separates segments and `%2A` is the wildcard. Of a repeated
parameter the first counts; one that does not decode is dropped. Source: Go `net/url` (`unescape`, `ParseQuery`).
"""

import re
from collections.abc import Mapping

from inflight.serve.api.refusals import Refused, bad_request

MAX_TARGET_BYTES = 4096

_HEX_PAIR = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split_target(target: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Path segments and parameters of a request target; raises Refused for one that is no path."""
    if len(target) > MAX_TARGET_BYTES:
        raise Refused(414, f"the URL is longer than {MAX_TARGET_BYTES} bytes")
    raw_path, _, raw_query = target.partition("?")
    path = _unescape(raw_path, plus_is_blank=False)
    if path is None or not path.startswith("/"):
        raise bad_request(f"the path {_shown(raw_path)} does not begin with / or is not percent-encoded properly")
    return tuple(path[1:].split("/")), read_query(raw_query)


def read_query(raw_query: str) -> dict[str, str]:
    """The parameters of a query, each with its first value."""
    parameters: dict[str, str] = {}
    for pair in raw_query.split("&"):
        if not pair or ";" in pair:
            continue
        raw_key, _, raw_value = pair.partition("=")
        key, value = _unescape(raw_key, plus_is_blank=True), _unescape(raw_value, plus_is_blank=True)
        if key is not None and value is not None:
            parameters.setdefault(key, value)
    return parameters


def _unescape(text: str, *, plus_is_blank: bool) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    if plus_is_blank:
        text = text.replace("+", " ")
    raw = text.encode("utf-8", "surrogateescape")
    return _HEX_PAIR.sub(lambda pair: bytes.fromhex(pair[1].decode()), raw).decode("utf-8", "replace")


def _shown(text: str) -> str:
    return ascii(text[:100])
