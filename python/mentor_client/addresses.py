"""Addresses of servers, and the proxies on the way to them, read as common/rpc reads them;
tests/data/connections.json has cases for both. Pure functions."""

from __future__ import annotations

import re
from typing import List, Mapping, Optional, Tuple

from .errors import usage

SERVERS_MAX = 16
_GRPC_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:")
_ASCII_BLANKS = " \t\n\v\f\r"


def parse_address(field: str, text: str, least_port: int = 1) -> str:
    """Returns an address without blanks around it; an error names `field`. A server's own address
    may have port 0.
    """
    whole = text.strip(_ASCII_BLANKS)
    address = whole
    if least_port:
        address = address[len("dns:///") :] if address.startswith("dns:///") else address
        if address.startswith(_GRPC_SCHEMES) and re.fullmatch(r"[!-~]+", address):
            return whole
    why = _wrong(address, least_port)
    if why:
        raise usage(field, f"has the address '{whole}': {why}")
    return whole


def _wrong(address: str, least_port: int) -> str:
    """Returns what is wrong with HOST:PORT; empty if nothing is."""
    scheme, separator, rest = address.partition("://")
    if separator:
        return f"leave out {scheme}://: give {rest.partition('/')[0]}"
    host, colon, port = address.rpartition(":")
    if not colon:
        return "expected HOST:PORT"
    if host in ("", "[]"):
        return "the host is missing; expected HOST:PORT"
    # The host becomes a header of calls, in which gRPC takes printable characters only.
    if not re.fullmatch(r"\[[\w:.%-]+\]", host, re.ASCII):
        if ":" in host:
            return "a host with ':' stands in brackets, as in [::1]:50052"
        if not re.fullmatch(r"[\w.-]+", host, re.ASCII):
            return "a host has letters of ASCII, digits, '.', '-' and '_' only"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not least_port <= int(port) <= 65535:
        return f"the port must be a number from {least_port} to 65535"
    return ""


def parse_addresses(field: str, text: str) -> List[str]:
    """Returns the addresses of a list with commas, such as "a:50052, b:50052"."""
    addresses = text.split(",")
    if len(addresses) > SERVERS_MAX:
        raise usage(field, f"names {len(addresses)} addresses; give at most {SERVERS_MAX}")
    return [parse_address(field, one) for one in addresses]


def is_loopback(address: str) -> bool:
    """True if the address is of this machine, whatever a resolver says."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = _host(address)
    return host in ("localhost", "::1") or (
        host.startswith("127.") and set(host) <= set("0123456789.")
    )


def _host(address: str) -> str:
    for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        if address.startswith(scheme):
            address = address[len(scheme) :]
            break
    return address[1 : address.find("]")] if address[:1] == "[" else address.rpartition(":")[0]


def proxy_for(address: str, environment: Mapping[str, str]) -> Optional[Tuple[str, str]]:
    """Returns the variable that names the HTTP proxy on the way to a server, and the proxy without
    user and password, as gRPC chooses it. None for addresses of this machine: a proxy would see the
    token in plain text.
    """
    if is_loopback(address):
        return None

    def first(*names: str) -> Tuple[str, str]:
        return next(((name, environment[name]) for name in names if name in environment), ("", ""))

    for entry in first("no_grpc_proxy", "no_proxy")[1].split(","):
        end = entry.strip().lower()
        if end == "*" or (end and _host(address).lower().endswith(end)):
            return None
    variable, uri = first("grpc_proxy", "https_proxy", "http_proxy")
    if not uri.lower().startswith("http://"):  # gRPC takes no other.
        return None
    proxy = uri[len("http://") :].partition("/")[0].rpartition("@")[2]
    return (variable, proxy) if proxy else None


def through(address: str, environment: Mapping[str, str]) -> str:
    """Says through which proxy a server is called, for errors; empty without one."""
    proxy = proxy_for(address, environment)
    if proxy is None:
        return ""
    return f" (through the proxy {proxy[1]} of {proxy[0]}; no_proxy={_host(address)} leaves it out)"
