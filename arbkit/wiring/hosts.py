"""Which hosts a venue is: a request that is signed, or that shows what we look at, goes nowhere else.

Hosts are compared whole, in lower case. Sources: the environments of Polymarket's SDK and its OpenAPI description
(staging), Kalshi's API configuration (`.com` trades, `.co` is the demo exchange), all read in October 2026.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from arbkit.core.addresses import is_loopback, parts_of
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import redacted

Tag = Literal["demo", "live"]
LOOPBACK = "loopback"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What is fixed about a venue: its hosts and chain by environment, and which keys it takes and needs to trade."""

    hosts: Mapping[str, tuple[str, ...]]
    chain_ids: Mapping[str, int]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()


VENUES: dict[str, VenueRules] = {
    "kalshi": VenueRules(
        hosts={
            "live": ("external-api.kalshi.com", "external-api-ws.kalshi.com", "api.elections.kalshi.com"),
            "demo": ("external-api.demo.kalshi.co", "external-api-ws.demo.kalshi.co"),
        },
        chain_ids={},
        needs=("key_id", "private_key"),
    ),
    "polymarket": VenueRules(
        hosts={
            "live": (
                "clob.polymarket.com",
                "ws-subscriptions-clob.polymarket.com",
                "ws-live-data.polymarket.com",
                "gamma-api.polymarket.com",
                "data-api.polymarket.com",
                "relayer-v2.polymarket.com",
            ),
            "demo": ("clob-staging.polymarket.com",),
        },
        chain_ids={"live": 137, "demo": 80_002},  # Polygon, and its test network Amoy
        needs=("private_key",),
        takes=("api_key", "api_secret", "passphrase"),  # else derived from the private key
    ),
}


def host_of(url: str, venue: str, tag: Tag, schemes: tuple[str, str]) -> str:
    """Return the host of a URL that may be used for a venue, "loopback" for this machine; ConfigError says why not.

    `schemes` are the one with TLS and the one without, which is for this machine alone. This machine only ever plays
    a demo exchange.
    """
    shown = redacted(url)
    try:
        parts = parts_of(url, schemes)
    except ConfigError as error:
        raise ConfigError(f"{error}: {shown!r}") from None
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise ConfigError("holds a user or password: keys are referred to, under `keys`")
    if parts.query or parts.fragment or shown != url:
        raise ConfigError(f"holds more than an address, and keys travel in such places: {shown!r}")
    if is_loopback(host):
        if tag == "live":
            raise ConfigError("is this machine, which is no venue: `environment` of the venue must be demo")
        return LOOPBACK
    hosts = VENUES[venue].hosts
    for other, names in hosts.items():
        if host in names and other != tag:
            raise ConfigError(f"{host} is {venue}'s {other} host, but `environment` of the venue is {tag}")
    if host not in hosts[tag]:
        raise ConfigError(f"{host} is no host of {venue}; its {tag} hosts are {', '.join(hosts[tag])}")
    if parts.scheme != schemes[0]:
        raise ConfigError(f"must be {schemes[0]}://: without TLS anybody on the way can read and change what is sent")
    return host


def ignored_proxies(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the environment variables that would send other programs through a proxy; arbkit does not follow them."""
    set_ = os.environ if environ is None else environ
    return tuple(sorted(name for name in set_ if name.lower() in PROXIES and set_[name]))
