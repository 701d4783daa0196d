"""The query parameters of the metrics APIs: decoded as ListOptions, checked, and reduced to what has an effect here.

What is refused, and with which code, follows the generic API server: a number that is none is 400 in both APIs, a
combination that makes no sense is 422 in the external API only, which validates (apimachinery
`pkg/apis/meta/internalversion/validation`, custom-metrics-apiserver `pkg/apiserver`). Pages, versions and deadlines
have no effect: an answer is one short document and takes less than a millisecond.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from inflight.objects import Selector, SelectorError, parse_selector
from inflight.serve.api.refusals import Refused, bad_request

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_MAX_INT64 = (1 << 63) - 1
_FIELDS = ("metadata.name", "metadata.namespace")


class Options(msgspec.Struct, frozen=True):
    """What a request selects besides its path."""

    labels: Selector | None
    """`labelSelector`; None selects everything."""
    metric_labels: Selector | None
    """`metricLabelSelector` of the custom API; None selects everything."""


def read_options(parameters: Mapping[str, str], *, external: bool, name: str = "*") -> Options:
    """The options of one request; raises Refused. `name` is the object that the path of a custom request names."""
    check_timeout(parameters)
    for key in ("limit", "timeoutSeconds"):
        if key in parameters:
            _check_integer(key, parameters[key])
    terms = _read_field_selector(parameters.get("fieldSelector", ""))
    if external:
        _validate(parameters)
    elif terms and (name == "*" or next((v for k, op, v in terms if k == _FIELDS[0] and op == "="), None) != name):
        raise bad_request(f"fieldSelector metadata.name doesn't match requested name {name[:100]!r}")
    return Options(
        labels=_read_selector(parameters, "labelSelector"),
        metric_labels=None if external else _read_selector(parameters, "metricLabelSelector"),
    )


def check_timeout(parameters: Mapping[str, str]) -> None:
    """A deadline that cannot be read is refused; one that can has no effect."""
    timeout = parameters.get("timeout", "")
    if timeout and not _DURATION.fullmatch(timeout):
        raise bad_request(f"invalid timeout specified in the request URL: {timeout[:40]!r} is no duration such as 30s")


def is_true(parameters: Mapping[str, str], key: str) -> bool:
    """A boolean parameter as apimachinery converts it: present and neither `false` nor `0`."""
    return key in parameters and parameters[key].lower() not in {"false", "0"}


def _check_integer(key: str, text: str) -> None:
    if not _INTEGER.fullmatch(text) or len(text) > 20 or not -_MAX_INT64 - 1 <= int(text) <= _MAX_INT64:
        raise bad_request(f"the parameter {key} must be a whole number, not {text[:40]!r}")


def _validate(parameters: Mapping[str, str]) -> None:
    match, version = parameters.get("resourceVersionMatch", ""), parameters.get("resourceVersion", "")
    problems = []
    if match:
        if not version:
            problems.append("resourceVersionMatch: Forbidden: is forbidden unless resourceVersion is provided")
        if parameters.get("continue"):
            problems.append("resourceVersionMatch: Forbidden: is forbidden when continue is provided")
        if match not in {"Exact", "NotOlderThan"}:
            problems.append(f'resourceVersionMatch: Unsupported value: {match[:40]!r}: "Exact", "NotOlderThan"')
        if match == "Exact" and version == "0":
            problems.append('resourceVersionMatch: Forbidden: "Exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in parameters:
        problems.append("sendInitialEvents: Forbidden: is forbidden for list")
    if problems:
        raise Refused(422, f'ListOptions.meta.k8s.io "" is invalid: {"; ".join(problems)}')
    if is_true(parameters, "watch"):
        raise Refused(405, "watch is not supported on external metrics: ask again for a newer value")


def _read_selector(parameters: Mapping[str, str], key: str) -> Selector | None:
    text = parameters.get(key, "")
    if not text.strip():
        return None
    try:
        return _parse(text)
    except SelectorError as error:
        raise bad_request(f"the parameter {key} cannot be read: {error}") from error


# An HPA sends the same selector every 15 s for ever; reading it is a third of the work for a small fleet. At most 256
# times a URL's 4 KiB.
@lru_cache(maxsize=256)
def _parse(text: str) -> Selector:
    return parse_selector(text)


def _read_field_selector(text: str) -> list[tuple[str, str, str]]:
    terms = []
    for part in _split_unescaped(text):
        key, operator, value = _split_term(part, text)
        if key not in _FIELDS:
            raise bad_request(f"{key[:60]!r} is not a known field selector: only {_FIELDS[0]!r}, {_FIELDS[1]!r}")
        terms.append((key, operator, _unescape_value(value)))
    return terms


def _split_unescaped(text: str) -> list[str]:
    """Parts between commas, where a backslash takes the next character's meaning away; empty ones are left out."""
    return [part for part in re.findall(r"(?:[^,\\]|\\.|\\$)+", text, re.DOTALL) if part]


def _split_term(part: str, whole: str) -> tuple[str, str, str]:
    found = re.search(r"!=|==|=", part)
    if found is None:
        raise bad_request(f"invalid fieldSelector {whole[:100]!r}: can't understand {part[:60]!r}")
    return part[: found.start()], "!=" if found[0] == "!=" else "=", part[found.end() :]


def _unescape_value(value: str) -> str:
    if re.fullmatch(r"(?:[^\\,=]|\\[\\,=])*", value, re.DOTALL) is None:
        raise bad_request(f"invalid fieldSelector: the value {value[:60]!r} has a stray backslash or equals sign")
    return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
