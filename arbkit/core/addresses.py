"""Addresses on a network: what is one, and which hosts are this machine."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from arbkit.core.errors import ConfigError

_PLAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d*)?", re.ASCII)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


def parts_of(url: str, schemes: Collection[str]) -> SplitResult:
    """Return the parts of an address with a host and one of these schemes, that with TLS first.

    ConfigError, which repeats nothing of the address, says why it is none; a caller says whose it was.
    """
    if any(sign.isspace() or sign in "\\<>\x7f" or ord(sign) < 32 for sign in url):
        raise ConfigError("is no address: it holds a blank, a backslash or the like")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("is no address") from None
    if parts.scheme not in schemes or not host:
        raise ConfigError(f"must begin with {next(iter(schemes))}:// and name a host")
    if not _PLAIN.fullmatch(parts.netloc.rpartition("@")[2]):
        raise ConfigError("is no address: its host is written otherwise than as a plain ASCII name or number")
    if not _is_said_plainly(host):
        raise ConfigError("is no address: its host is another spelling of this machine, or of a number")
    return parts


def _is_said_plainly(host: str) -> bool:
    """Tell whether a host means the same to everybody: resolvers take 127.1 or 0x7f.1 for what `ip_address` refuses."""
    try:
        number = ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return host == "localhost" or (last != "localhost" and not _NUMBER.fullmatch(last))
    return not number.is_unspecified and getattr(number, "ipv4_mapped", None) is None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or number; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
