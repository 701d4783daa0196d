"""Which representation a client gets: JSON, or YAML where it asks for it, and 406 where it asks for neither.

The controller manager asks for protobuf with `*/*` or JSON behind it and takes JSON. A form with `as=` (a Table, the
aggregated discovery document) is not spoken here; kube-aggregator takes plain JSON, or 406, as "ask for the group's own
documents" (kube-aggregator `pkg/apiserver/handler_discovery.go`), and plain discovery is what it gets.
"""

from functools import lru_cache
from typing import Literal

import msgspec

Encoding = Literal["application/json", "application/yaml"]

_SPOKEN: dict[str, Encoding] = {
    "*/*": "application/json",
    "application/*": "application/json",
    "application/json": "application/json",
    "application/yaml": "application/yaml",
}


class _Clause(msgspec.Struct, frozen=True):
    media_type: str
    quality: float
    form: str


# Clients of one kind send one header: remembered, it costs nothing. At most 64 times a header's 8 KiB.
@lru_cache(maxsize=64)
def choose_encoding(accept: str, *, discovery: bool = False) -> Encoding | None:
    """The encoding that the header asks for first (by q, then by order); None where none is spoken.

    Of the discovery document a client may ask the aggregated form: it gets the plain one.
    """
    if not accept.strip():
        return "application/json"
    clauses = [clause for clause in map(_read_clause, accept.split(",")) if clause is not None and clause.quality > 0]
    for clause in sorted(clauses, key=lambda clause: -clause.quality):
        if clause.form and not (discovery and clause.form.startswith("apigroupdiscovery")):
            continue
        encoding = _SPOKEN.get(clause.media_type)
        if encoding is not None:
            return encoding
    return None


def _read_clause(text: str) -> _Clause | None:
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    if media_type == "*":
        media_type = "*/*"
    if media_type.count("/") != 1:
        return None
    quality, form = 1.0, ""
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
        elif key.strip() == "as":
            form = value.strip()
    return _Clause(media_type, quality, form)
