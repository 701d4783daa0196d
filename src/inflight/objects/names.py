"""What Kubernetes takes for a name: DNS labels and subdomains, label keys and values, path segments.

Each function gives the complaints about a text, in upstream's words (they stand in the API server's answers and in the
autoscaler's conditions); none means it is fine. Source: k8s.io/apimachinery pkg/api/validate/content, 0.37.
"""

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_QUALIFIED_RE = re.compile(_QUALIFIED)

_ALPHANUMERIC = (
    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_NAME_PROBLEM = (
    f"must {_ALPHANUMERIC} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_PROBLEM = (
    f"a valid label must be an empty string or {_ALPHANUMERIC}"
    f" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_QUALIFIED})?')"
)
_LABEL_PROBLEM = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    f" with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_PROBLEM = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_EMPTY = "must be non-empty"
_STANDARD_RESOURCES = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "storage", "requests.storage",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
"""Resources that quotas know, which is more than containers can request."""


def dns_label_problems(text: str) -> list[str]:
    """A namespace, a container."""
    problems = _too_long(text, 63, "characters")
    if not _LABEL_RE.fullmatch(text):
        problems.append("must not contain dots" if _SUBDOMAIN_RE.fullmatch(text) else _LABEL_PROBLEM)
    return problems


def dns_subdomain_problems(text: str, unit: str = "characters") -> list[str]:
    """The name of most objects. Upstream counts bytes, and calls them so where it is the prefix of a key."""
    problems = _too_long(text, 253, unit)
    if not _SUBDOMAIN_RE.fullmatch(text):
        problems.append(_SUBDOMAIN_PROBLEM)
    return problems


def label_key_problems(text: str) -> tuple[str, ...]:
    """A label's key: an optional DNS subdomain and `/`, and a name of at most 63 characters."""
    *prefixes, name = text.split("/")
    if len(prefixes) > 1:
        example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a valid label key {_NAME_PROBLEM} {example}",)
    problems: list[str] = []
    for prefix in prefixes:
        of_prefix = dns_subdomain_problems(prefix, "bytes") if prefix else [_EMPTY]
        problems += [f"prefix part {problem}" for problem in of_prefix]
    of_name = _too_long(name, 63) if name else [_EMPTY]
    if not _QUALIFIED_RE.fullmatch(name):
        of_name.append(_NAME_PROBLEM)
    return (*problems, *(f"name part {problem}" for problem in of_name))


def label_value_problems(text: str) -> list[str]:
    problems = _too_long(text, 63)
    if text and not _QUALIFIED_RE.fullmatch(text):
        problems.append(_VALUE_PROBLEM)
    return problems


def path_segment_problems(text: str) -> list[str]:
    """A name that must be one segment of a URL: of a metric, of the object it describes, of the scale target."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in text]


def container_resource_problems(text: str) -> list[str]:
    """What a container can request: cpu, memory, ephemeral-storage, hugepages-*, or with a domain (nvidia.com/gpu)."""
    problems = list(label_key_problems(text))
    if "/" not in text:
        is_quota = text in _STANDARD_RESOURCES or text.startswith(("hugepages-", "requests.hugepages-"))
        if not problems and not is_quota:
            problems.append("must be a standard resource type or fully qualified")
        if text not in {"cpu", "memory", "ephemeral-storage"} and not text.startswith("hugepages-"):
            problems.append("must be a standard resource for containers")
    elif "kubernetes.io/" not in text and (text.startswith("requests.") or label_key_problems(f"requests.{text}")):
        problems.append("doesn't follow extended resource name standard")
    return problems


def _too_long(text: str, at_most: int, unit: str = "bytes") -> list[str]:
    # Upstream counts bytes, whatever it calls them.
    return [f"must be no more than {at_most} {unit}"] if len(text.encode("utf-8", "surrogatepass")) > at_most else []
