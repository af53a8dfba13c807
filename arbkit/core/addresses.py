"""Addresses on a network: what is one, and which hosts are this machine."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from arbkit.core.errors import ConfigError


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
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or number; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
