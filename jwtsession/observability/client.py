"""The client of a request: its IP address in a form that is safe in a log, and the network of the address."""

import ipaddress

_MAX_ADDRESS = 100  # characters: an IPv6 address of 45, a zone, a port


def client_address(host: object) -> str | None:
    """The client's IP address in a form that is safe in a log; None if `host` is no IP address.

    A server that trusts `X-Forwarded-For` passes on any text that a client has written: line ends, forged fields, long
    texts. This also removes a port, which some proxies add, and an IPv6 zone (RFC 4007 section 11), which may be any
    text.
    """
    if not isinstance(host, str) or len(host) > _MAX_ADDRESS:
        return None
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def client_network(address: str) -> str:
    """The network of an IP address: the /24 of an IPv4 address, the /48 of an IPv6 address.

    Args:
        address: An address as `client_address` returns it, or a network as this function returns it.
    """
    host = ipaddress.ip_address(address.partition("/")[0])
    return str(ipaddress.ip_network((host, 24 if host.version == 4 else 48), strict=False))
