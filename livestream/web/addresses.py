"""Which address a request really comes from, behind proxies that are trusted and no others.

Each proxy adds the address it was called from at the right of X-Forwarded-For; what stands left of the
last untrusted address may be made up.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from livestream.web.refusals import PolicyError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: One customer has at least so many bits of IPv6 addresses to himself (RFC 6177), so they count as one.
IPV6_PREFIX: Final = 64
#: ::ffff:0.0.0.0/96 holds every IPv4 address (RFC 4291, section 2.5.5.2).
_MAPPED_PREFIX: Final = 96


class ClientAddresses:
    """Finds the client's address; `trusted` are addresses or networks of proxies. Raises PolicyError."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = tuple(_network(text) for text in trusted)

    def client(self, peer: str, forwarded_for: str = "") -> str:
        """The address behind `peer`, as X-Forwarded-For has it; the header counts only from trusted peers.

        Walks from the right past trusted proxies. What is no address ends
        the walk at the proxy that passed it on.
        """
        current = _address(peer)
        if current is None:
            return peer
        hops = reversed(forwarded_for.split(",")) if forwarded_for else iter(())
        for hop in hops:
            if not self._is_trusted(current):
                break
            before = _address(hop)
            if before is None:
                break
            current = before
        return str(current)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def group(address: str) -> str:
    """What is counted as one client: an IPv4 address, or an IPv6 network of 64 bits."""
    parsed = _address(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return str(IPv6Network((int(parsed), IPV6_PREFIX), strict=False))


def _network(text: str) -> Network:
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise PolicyError(
            f"--trusted-proxy {text!r} is no address and no network like 10.0.0.0/8 or fd00::/8") from None
    # An IPv4 address in IPv6's clothes is looked up as what it is, and a network of such ones too.
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _MAPPED_PREFIX:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


def _address(text: str) -> Address | None:
    """An address, also with a port behind it as some proxies write it; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
