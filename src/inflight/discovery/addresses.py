"""The address of a pod, as it stands in a URL."""

import ipaddress


def host_of(ip: str) -> str | None:
    """A pod's address as the host of a URL, or None where it is no address that a pod can have."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        inner = address.ipv4_mapped
        # ::ffff:169.254.169.254 is the link-local 169.254.169.254.
        if inner is not None and not _is_of_a_pod(inner):
            return None
    if not _is_of_a_pod(address):
        return None
    return f"[{address}]" if address.version == 6 else str(address)


def _is_of_a_pod(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Not link-local above all: clouds answer there with the credentials of the node."""
    return not (address.is_unspecified or address.is_multicast or address.is_link_local)
