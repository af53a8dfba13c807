"""The section `[chain]` of `arbkit.toml`: which nodes, for whom, and what gas may cost at most.

    [chain]
    environment = "live"              # demo | live: a node of this machine, or Polygon
    chain_id = 137                    # Polygon's: a demo has another, or contracts of its own
    endpoints = ["env:POLYGON_RPC_1", "env:POLYGON_RPC_2", "https://polygon.example.org"]
    holder = "0x..."                  # who holds collateral and shares: the key's account, or its Safe
    multisend = "0x..."               # of that Safe; without it the holder is the account itself
    pol_price = 0.25                  # dollars for one POL, by which gas is weighed: stated, not looked up
    max_fee_gwei = 600                # a unit of gas, tip included
    max_cost_pol = 0.5                # a transaction
    approves = false                  # whether missing approvals are given: exact ones, to known contracts
    keys = { private_key = "keyring:arbkit/polygon" }
    [chain.contracts]                 # demo only: live has Polymarket's
    conditional_tokens = "0x..."

An endpoint is an address, or a reference to one where it has a key in it. Every refusal is a ConfigError that names
the field and repeats nothing that could be a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from arbkit.core.addresses import is_loopback, parts_of
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import Secret, redacted
from arbkit.core.toml import table
from arbkit.settlement.contracts import POLYMARKET, Contracts, is_address
from arbkit.wiring.hosts import Tag
from arbkit.wiring.keys import FORMS, SAID, KeyReference

POLYGON: Final = 137
MOST_CHAIN_ID = 2**63 - 37  # what a signature adds to it still fits 64 bits (EIP-2294)
LEAST_FEE_GWEI = 25  # the tip below which Polygon's nodes take nothing (bor's params, PIP-35)
LEAST_COST_POL = 0.000525  # 21,000 gas at that tip: no transaction is cheaper
LEAST_PRICE = 0.000001  # dollars: what is charged is counted in millionths
MOST_FEE_GWEI = 10_000
MOST_COST_POL = 100
KEY_PART = 8  # a part of a path that is so long may be a provider's key
NEEDED: Final = ("environment", "chain_id", "endpoints", "holder", "pol_price")
CAPS: Final = ("max_fee_gwei", "max_cost_pol", "approves")
TAKEN: Final = (*NEEDED, *CAPS, "multisend", "contracts", "keys")
CONTRACTS: Final = tuple(field.name for field in fields(Contracts))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainSettings:
    """A chain, its nodes, the holder and the caps; frozen and checked like all settings."""

    environment: Tag
    chain_id: int
    endpoints: tuple[str | KeyReference, ...]
    holder: str
    pol_price: float
    max_fee_gwei: float = 1_000.0
    max_cost_pol: float = 1.0
    approves: bool = False
    multisend: str = ""
    contracts: Contracts = POLYMARKET
    private_key: KeyReference | None = None

    def __post_init__(self) -> None:
        if self.environment not in ("demo", "live"):
            raise ConfigError(f"chain.environment: must be one of demo, live, not {redacted(str(self.environment))!r}")
        if type(self.chain_id) is not int or not 1 <= self.chain_id <= MOST_CHAIN_ID:
            raise ConfigError(f"chain.chain_id: must be a chain's number, {POLYGON} for Polygon")
        if self.environment == "live" and self.chain_id != POLYGON:
            raise ConfigError(f"chain.chain_id: {self.chain_id} is not the live chain, which is {POLYGON}")
        self._check_endpoints()
        for name in ("holder", "multisend"):
            value = getattr(self, name)
            if not is_address(value) and (value != "" or name == "holder"):
                raise ConfigError(f"chain.{name}: is no address of 0x and 40 digits")
        for name, most in (("pol_price", 1_000), ("max_fee_gwei", MOST_FEE_GWEI), ("max_cost_pol", MOST_COST_POL)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value <= most:  # NaN and infinity are not either
                raise ConfigError(f"chain.{name}: must be a number above 0 and at most {most:,}")
        for name, least, why in (
            ("pol_price", LEAST_PRICE, "is less than a millionth of a dollar, the least that gas is weighed by"),
            ("max_fee_gwei", LEAST_FEE_GWEI, f"pays no tip of {LEAST_FEE_GWEI}, which nodes ask"),
            ("max_cost_pol", LEAST_COST_POL, f"pays for no transaction: the cheapest takes {LEAST_COST_POL:f}"),
        ):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"chain.{name}: {value:g} {why}")
        if type(self.approves) is not bool:
            raise ConfigError("chain.approves: must be true or false")
        if self.environment == "live" and self.contracts != POLYMARKET:
            raise ConfigError("chain.contracts: live has Polymarket's contracts and no others")
        if self.environment == "demo" and self.chain_id == POLYGON and (theirs := _polymarkets(self.contracts)):
            # A signature names chain and contract, not the node: one that is passed on by this machine's would count.
            raise ConfigError(
                f"chain.chain_id: {POLYGON} with Polymarket's contracts ({', '.join(theirs)}) is Polygon, where all that "
                "a demo signs is good too: give the demo's node another number, or state others in chain.contracts"
            )

    def _check_endpoints(self) -> None:
        if not self.endpoints:
            raise ConfigError("chain.endpoints: is empty: name at least one node, three where one may fail")
        for place, one in enumerate(self.endpoints):
            if isinstance(one, str):
                try:
                    endpoint_host(one, self.environment)
                except ConfigError as error:
                    raise ConfigError(f"chain.endpoints: number {place + 1} {error}") from None
            elif not isinstance(one, KeyReference):
                raise ConfigError(f"chain.endpoints: number {place + 1} is neither an address nor a reference to one")
        self._refuse_twice([one if isinstance(one, KeyReference) else node_of(one) for one in self.endpoints])

    def _refuse_twice(self, nodes: Sequence[object]) -> None:
        """Raise ConfigError for what is one node under two addresses: it would vouch for itself, and fail with itself."""
        for place, node in enumerate(nodes):
            if (first := nodes.index(node)) != place:
                names = [
                    f"number {at + 1} ({one.shown if isinstance(one, KeyReference) else urlsplit(one).netloc})"
                    for at, one in ((first, self.endpoints[first]), (place, self.endpoints[place]))
                ]
                raise ConfigError(f"chain.endpoints: {names[1]} stands there twice: it is {names[0]}, no second node")

    @property
    def is_safe(self) -> bool:
        return bool(self.multisend)

    def urls(self, folder: Path) -> tuple[Secret, ...]:
        """Return the nodes' addresses, those that are kept elsewhere read now; ConfigError names place and reason.

        Only now can it be told of two references that one node is behind both.
        """
        found = []
        for place, one in enumerate(self.endpoints):
            try:
                url = Secret(one) if isinstance(one, str) else one.load(folder)
                endpoint_host(url.reveal(), self.environment, may_hold_key=True)
            except ConfigError as error:
                raise ConfigError(f"chain.endpoints: number {place + 1} {error}") from None
            found.append(url)
        self._refuse_twice([node_of(url.reveal()) for url in found])
        return tuple(found)

    def plain(self) -> dict[str, Any]:
        """Return every value in one spelling, for the settings' hash."""
        contracts = {name: getattr(self.contracts, name) for name in CONTRACTS}
        return {
            "environment": self.environment,
            "chain_id": self.chain_id,
            "endpoints": [str(one) for one in self.endpoints],
            "holder": self.holder,
            "multisend": self.multisend,
            "approves": self.approves,
            "pol_price": float(self.pol_price),
            "max_fee_gwei": float(self.max_fee_gwei),
            "max_cost_pol": float(self.max_cost_pol),
            "contracts": contracts | {"spenders": sorted(self.contracts.spenders)},
            "private_key": str(self.private_key or ""),
        }


def endpoint_host(url: str, tag: Tag, *, may_hold_key: bool = False) -> str:
    """Return the host of a node's address; ConfigError, without the address, says why it may not be asked.

    A demo is on this machine and live is not: a node here has whatever money its tests gave it.
    """
    parts = parts_of(url, ("https", "http"))
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigError(f"({host}) holds a user, a password or a fragment")
    if not may_hold_key and (parts.query or any(len(part) >= KEY_PART for part in parts.path.split("/"))):
        raise ConfigError(f"({host}) holds more than an address, and keys travel in such places: write {SAID}")
    if is_loopback(host):
        if tag == "live":
            raise ConfigError("is this machine, which is not Polygon: `environment` of the chain must be demo")
    elif tag == "demo":
        raise ConfigError(
            f"({host}) is not this machine: a demo asks no other, `environment` of the chain must be live"
        )
    elif parts.scheme != "https":
        raise ConfigError(f"({host}) must be https://: without TLS anybody on the way can change what is answered")
    return host


def node_of(url: str) -> tuple[str, int | None, str, str]:
    """Return what all spellings of a node's address have in common; it may hold a key, and is for comparing alone.

    One port of one host is one listener, with TLS or without; what a path ends with is nothing to it.
    """
    parts = urlsplit(url)  # scheme and host are in lower case now
    host = (parts.hostname or "").rstrip(".")
    with suppress(ValueError):
        host = ip_address("127.0.0.1" if host == "localhost" else host).compressed
    port = parts.port if parts.port is not None else {"https": 443, "http": 80}.get(parts.scheme)
    return host, port, unquote(parts.path).rstrip("/"), parts.query


def chain_from(document: Mapping[str, Any]) -> ChainSettings | None:
    """Return the section of a document, None where there is none; live states every cap."""
    if "chain" not in document:
        return None
    stated = table(document, "chain", TAKEN)
    needed = (*NEEDED, *CAPS) if stated.get("environment") == "live" else NEEDED
    for name in needed:
        if name not in stated:
            raise ConfigError(f"chain.{name}: is missing")
    endpoints = stated["endpoints"]
    if not isinstance(endpoints, list) or not all(isinstance(one, str) for one in endpoints):
        raise ConfigError("chain.endpoints: must be a list of addresses, or of references to them")
    keys = table(stated, "keys", ("private_key",), "chain.")
    contracts = table(stated, "contracts", CONTRACTS, "chain.")
    simple = {name: stated[name] for name in stated if name not in ("endpoints", "keys", "contracts")}
    return ChainSettings(
        **simple,
        endpoints=tuple(_endpoint(place, one) for place, one in enumerate(endpoints)),
        contracts=_contracts(contracts) if contracts else POLYMARKET,
        private_key=_reference("chain.keys.private_key", keys["private_key"]) if keys else None,
    )


def _endpoint(place: int, text: str) -> str | KeyReference:
    if text.partition(":")[0] in FORMS:
        return _reference(f"chain.endpoints: number {place + 1}", text)
    return text


def _reference(where: str, text: object) -> KeyReference:
    try:
        return KeyReference.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _polymarkets(contracts: Contracts) -> list[str]:
    """Return the names of those contracts that a call could be signed for and that are Polymarket's own."""
    known = {POLYMARKET.conditional_tokens, POLYMARKET.collateral, *POLYMARKET.spenders}
    called = ("conditional_tokens", "collateral", "operator", "neg_risk_adapter")
    return [name for name in called if getattr(contracts, name).lower() in {one.lower() for one in known}]


def _contracts(stated: Mapping[str, Any]) -> Contracts:
    for name in ("conditional_tokens", "collateral", "operator"):
        if name not in stated:
            raise ConfigError(f"chain.contracts.{name}: is missing")
    spenders: Collection[object] = stated.get("spenders", [])
    if not isinstance(spenders, list) or not all(isinstance(one, str) for one in spenders):
        raise ConfigError("chain.contracts.spenders: must be a list of addresses")
    for name, value in stated.items():
        if name != "spenders" and not isinstance(value, str):
            raise ConfigError(f"chain.contracts.{name}: must be text")
    try:
        return Contracts(**{**stated, "spenders": frozenset(cast(list[str], spenders))})
    except ConfigError as error:
        raise ConfigError(f"chain.contracts: {error}") from None
