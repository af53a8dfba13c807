"""One `arbkit.toml`: what an engine may do, where, and with which keys. Read strictly, frozen, and known by its hash.

    environment = "paper"             # paper | demo | live; paper where nothing is said
    account = "main"
    journal = "main.journal"          # relative to this file

    [execution]                       # the fields of ExecutionConfig
    max_exposure = 250.0
    [limits]                          # the fields of RiskLimits; live states every one
    max_trade_capital = 500.0
    [venues.kalshi]
    environment = "demo"              # demo | live: whose hosts, and whose keys
    url = "https://external-api.demo.kalshi.co/trade-api/v2"
    stream = "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"
    keys = { key_id = "env:KALSHI_KEY_ID", private_key = "file:kalshi.pem" }
    [chain]                           # see `chain_settings`

Every refusal is a ConfigError that names file and key and repeats nothing that could be a key to an account.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import ConfigError
from arbkit.core.secrets import redacted
from arbkit.core.toml import read_document, refuse_unknown, table
from arbkit.risk.limits import RiskLimits
from arbkit.wiring.caps import CAPS, amounts, refuse_slips, worst_case
from arbkit.wiring.chain_settings import ChainSettings, chain_from
from arbkit.wiring.hosts import LOOPBACK, VENUES, Tag, host_of, ignored_proxies
from arbkit.wiring.keys import SAID, KeyReference, refuse_keys

if TYPE_CHECKING:
    from arbkit.journal.store import JournalFile

__all__ = ["ChainSettings", "Settings", "VenueSettings", "check_settings", "read_settings", "worst_case"]

ENVIRONMENTS: Final = ("paper", "demo", "live")
TAGS: Final = ("demo", "live")
KEYS: Final = ("environment", "account", "journal", "execution", "limits", "venues", "chain")
VENUE_KEYS: Final = ("environment", "url", "stream", "chain_id", "keys")
ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VenueSettings:
    """One venue: its addresses, whose they are, and where its keys are kept (by name)."""

    name: str
    environment: Tag
    url: str
    stream: str
    chain_id: int | None = None
    keys: tuple[tuple[str, KeyReference], ...] = ()

    def __post_init__(self) -> None:
        refuse_unknown([self.name], VENUES, "venues.", "venue")
        _one_of(f"venues.{self.name}.environment", self.environment, TAGS)
        hosts = []
        for name, url, schemes in (("url", self.url, ("https", "http")), ("stream", self.stream, ("wss", "ws"))):
            try:
                hosts.append(host_of(url, self.name, self.environment, schemes))
            except ConfigError as error:
                raise ConfigError(f"venues.{self.name}.{name}: {error}") from None
        self._check_chain(loopback=LOOPBACK in hosts)
        rules = VENUES[self.name]
        refuse_unknown(dict(self.keys), (*rules.needs, *rules.takes), f"venues.{self.name}.keys.", "key of this venue")

    def _check_chain(self, *, loopback: bool) -> None:
        where, wanted = f"venues.{self.name}.chain_id", VENUES[self.name].chain_ids.get(self.environment)
        if wanted is None:
            if self.chain_id is not None:
                raise ConfigError(f"{where}: {self.name} is on no chain")
        elif type(self.chain_id) is not int or self.chain_id < 1:
            raise ConfigError(f"{where}: must be a chain's number, {wanted} for {self.environment}")
        elif self.chain_id != wanted and not loopback:
            raise ConfigError(f"{where}: {self.chain_id} is not the {self.environment} chain, which is {wanted}")

    @property
    def missing(self) -> tuple[str, ...]:
        """The keys without which nothing can be traded here and for which there is no reference."""
        given = dict(self.keys)
        return tuple(name for name in VENUES[self.name].needs if name not in given)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one engine runs by, unchanged from start to end; `hash` changes with any value and with nothing else.

    `journal` is as written, `folder` that of the file: the hash is the same wherever the file stands.
    """

    environment: str = "paper"
    account: str
    journal: str
    execution: ExecutionConfig
    limits: RiskLimits
    venues: tuple[VenueSettings, ...] = ()
    chain: ChainSettings | None = None
    folder: Path = Path()

    def __post_init__(self) -> None:
        _one_of("environment", self.environment, ENVIRONMENTS)
        if not ACCOUNT.fullmatch(self.account):
            raise ConfigError("account: must be a name of up to 64 letters, digits, dots, dashes and underscores")
        if not self.journal.strip():
            raise ConfigError("journal: must be the path of a file")
        others = set(ENVIRONMENTS) - {self.environment}
        named = others & set(re.split(r"[^a-z0-9]+", Path(self.journal).name.lower()))
        if named:
            raise ConfigError(
                f"journal: {self.journal!r} is called {min(named)}, but `environment` is {self.environment}"
            )
        if self.environment != "paper" and not self.venues:
            raise ConfigError(f"venues: {self.environment} trades somewhere, and no venue is given")
        for venue in self.venues:
            self._check_venue(venue)
        if self.chain is not None:
            self._check_chain(self.chain)
        if self.environment == "live":
            refuse_slips(amounts(self.execution, self.limits))

    def _check_venue(self, venue: VenueSettings) -> None:
        first = self.venues[0]
        if venue.environment != first.environment:
            raise ConfigError(
                f"venues.{venue.name}.environment: {venue.environment}, but {first.name} is {first.environment}"
            )
        if self.environment == "paper":
            return
        if venue.environment != self.environment:
            raise ConfigError(
                f"venues.{venue.name}.environment: {venue.environment}, but `environment` is {self.environment}"
            )
        if venue.missing:
            raise ConfigError(f"venues.{venue.name}.keys.{venue.missing[0]}: is missing; write {SAID}")

    def _check_chain(self, chain: ChainSettings) -> None:
        for venue in self.venues[:1]:
            if venue.environment != chain.environment:
                raise ConfigError(f"chain.environment: {chain.environment}, but {venue.name} is {venue.environment}")
        if self.environment != "paper" and chain.private_key is None:
            raise ConfigError(f"chain.keys: private_key is missing; write {SAID}")

    @property
    def hash(self) -> str:
        """The SHA-256 over every value in one spelling: for the journal, which tells by it what a run ran by."""
        plain: dict[str, Any] = {
            "environment": self.environment,
            "account": self.account,
            "journal": self.journal,
            "execution": _plain(self.execution),
            "limits": _plain(self.limits),
            "venues": {
                venue.name: {
                    "environment": venue.environment,
                    "url": venue.url,
                    "stream": venue.stream,
                    "chain_id": venue.chain_id,
                    "keys": {name: str(reference) for name, reference in venue.keys},
                }
                for venue in self.venues
            },
        }
        if self.chain is not None:
            plain["chain"] = self.chain.plain()
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    @property
    def journal_path(self) -> Path:
        return self.folder / Path(self.journal).expanduser()

    def open_journal(self) -> JournalFile:
        """Lock and open the journal, which is of this account and environment or refused; raises as `JournalFile` does."""
        from arbkit.journal.store import JournalFile

        return JournalFile(self.journal_path, account=self.account, environment=self.environment)

    def venue(self, name: str) -> VenueSettings:
        """Return one venue; ConfigError when there is none of that name."""
        for venue in self.venues:
            if venue.name == name:
                return venue
        raise ConfigError(f"venues.{name}: there is none")


def read_settings(path: str | Path) -> Settings:
    """Read an `arbkit.toml`; raises ConfigError naming file and key for whatever cannot be meant."""
    path = Path(path)
    document, text = read_document(path)
    try:
        refuse_keys(document, text)
        return _settings(document, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {redacted(str(error))}") from None


def check_settings(path: str | Path) -> str:
    """Read the settings and return what they come to, for people; raises like `read_settings`."""
    settings = read_settings(path)
    lines = [f"{path}: can be used, hash {settings.hash[:16]}", worst_case(settings)]
    lines += [f"note: {name} is set in the environment: arbkit does not use it" for name in ignored_proxies()]
    return "\n".join(lines)


# -- from a document to settings -------------------------------------------------------------------------------


def _settings(document: Mapping[str, Any], folder: Path) -> Settings:
    refuse_unknown(document, KEYS)
    _need(document, ("account", "journal"))
    execution = table(document, "execution", [field.name for field in fields(ExecutionConfig)])
    limits = table(document, "limits", [field.name for field in fields(RiskLimits)])
    stated = {*(f"execution.{name}" for name in execution), *(f"limits.{name}" for name in limits)}
    if document.get("environment") == "live":
        needed = (*(f"execution.{name}" for name in CAPS), *(f"limits.{field.name}" for field in fields(RiskLimits)))
        silent = [name for name in needed if name not in stated]
        if silent:
            raise ConfigError(f"{silent[0]}: live states every limit, and there is no word on {', '.join(silent)}")
    try:
        made = ExecutionConfig(**execution), RiskLimits(**limits)
    except ConfigError as error:  # they speak of config.NAME
        raise ConfigError(re.sub(r"\bconfig\.", "execution.", str(error))) from None
    # Only what was written: a default beside it is nobody's slip.
    refuse_slips({name: value for name, value in amounts(*made).items() if name in stated})
    venues = table(document, "venues", VENUES)
    return Settings(
        environment=document.get("environment", "paper"),
        account=document["account"],
        journal=document["journal"],
        execution=made[0],
        limits=made[1],
        venues=tuple(_venue(name, table(venues, name, VENUE_KEYS, "venues.")) for name in sorted(venues)),
        chain=chain_from(document),
        folder=folder,
    )


def _venue(name: str, stated: Mapping[str, Any]) -> VenueSettings:
    where = f"venues.{name}."
    _need(stated, ("environment", "url", "stream"), where)
    keys = []
    for key, value in sorted(table(stated, "keys", None, where).items()):
        try:
            keys.append((key, KeyReference.parse(value)))
        except ConfigError as error:
            raise ConfigError(f"{where}keys.{key}: {error}") from None
    return VenueSettings(name=name, keys=tuple(keys), **{key: stated[key] for key in stated if key != "keys"})


def _need(found: Mapping[str, Any], names: Collection[str], where: str = "") -> None:
    for name in names:
        if name not in found:
            raise ConfigError(f"{where}{name}: is missing")
        if not isinstance(found[name], str):
            raise ConfigError(f"{where}{name}: must be text")


def _one_of(where: str, value: object, known: Collection[str]) -> None:
    if value not in known:
        raise ConfigError(f"{where}: must be one of {', '.join(known)}, not {redacted(str(value))!r}")


def _plain(of: ExecutionConfig | RiskLimits) -> dict[str, Any]:
    """Return the fields in a spelling that does not depend on how a number was written: 250 is 250.0."""
    values = {field.name: getattr(of, field.name) for field in fields(of)}
    return {name: float(value) if type(value) is int else value for name, value in values.items()}
