"""The account on Polygon that an engine settles with: locked, taken up from the journal, and let go at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from arbkit.chain.capital import ChainEvent, ChainMarket, LockTerms, PolygonCapital
from arbkit.chain.gas import GWEI, WEI_PER_POL, GasConfig
from arbkit.chain.node import Node
from arbkit.chain.polygon_optimizer import PolygonOptimizer
from arbkit.chain.pool import RPCLoadBalancer
from arbkit.chain.rpc import RPCEndpoint
from arbkit.chain.safe import SafeWallet
from arbkit.chain.signing import Signer
from arbkit.chain.transactions import TransactionConfig
from arbkit.core.clock import LoopClock
from arbkit.core.errors import ConfigError
from arbkit.core.ports import Clock, Journal
from arbkit.core.units import Cash, cash
from arbkit.journal.lock import AccountLock
from arbkit.journal.memory import Fact
from arbkit.journal.transactions import FACTS, Transactions
from arbkit.metrics import PolygonGasTracker
from arbkit.settlement.contracts import POLYMARKET, Contracts
from arbkit.settlement.desk import SettlementDesk
from arbkit.wiring.chain_settings import ChainSettings
from arbkit.wiring.settings import Settings

Gates = Callable[[Settings], Iterable[str]]


class ReadJournal(Journal, Protocol):
    """A journal that can be read back: the engine's own, since both write one record of one account."""

    @property
    def facts(self) -> Iterable[Fact]:
        """Return every fact so far, oldest first."""
        ...


def transactions_of(facts: Iterable[Fact]) -> Transactions:
    """Return what a journal says of transactions: what is open in it may be mined, whatever became of its process."""
    book = Transactions()
    for fact in facts:
        if fact.fact in FACTS:
            book.apply(fact.fact, fact.key, dict(fact.data))
    return book


@asynccontextmanager
async def capital_by_settings(
    settings: Settings,
    journal: ReadJournal,
    markets: Mapping[str, ChainMarket],
    *,
    gates: Gates | None = None,
    clock: Clock | None = None,
    tracker: PolygonGasTracker | None = None,
    locks: Path | None = None,
    **more: Any,
) -> AsyncIterator[PolygonCapital]:
    """Open the account that the settings' section `[chain]` names; see `capital_on_polygon`, which takes `more`.

    `gates` answers why real money may not be moved by these settings (`readiness.live_gates`, given all but them). It
    is asked for live alone, before a key is loaded or a node heard: what is open on record is taken up at once.
    Raises ConfigError while a gate is shut or nobody asks them, for the journal of another account or environment,
    where there is no such section, on paper (which has no signer), and for a key that signs for somebody else than
    `holder`; else as that does. No text holds a key or the address of a node.
    """
    chain = settings.chain
    if chain is None:
        raise ConfigError("chain: there is no such section in the settings")
    if settings.environment == "paper":
        raise ConfigError("chain: paper signs nothing: `environment` must be demo or live")
    live = settings.environment == "live"
    _refuse_another_record(settings, journal, live=live)
    if live and (shut := list(gates(settings)) if gates is not None else ["the gates of live were not asked"]):
        raise ConfigError(f"chain: no real money is moved: {'; '.join(shut)}")
    signer = _signer(chain, settings.folder, live=live)
    endpoints = [RPCEndpoint(url.reveal(), f"node {at + 1}") for at, url in enumerate(chain.urls(settings.folder))]
    known = {chain.contracts.conditional_tokens: ""}
    async with (
        RPCLoadBalancer(endpoints, contracts=known, chain_id=chain.chain_id) as node,
        capital_on_polygon(
            node,
            signer,
            journal,
            markets,
            pol_price=lambda: cash(chain.pol_price),
            live=live,
            contracts=chain.contracts,
            clock=clock,
            safe=SafeWallet(chain.holder, chain.multisend) if chain.is_safe else None,
            gas=gas_by_settings(chain),
            approves=chain.approves,
            tracker=tracker,
            locks=locks,
            **more,
        ) as capital,
    ):
        yield capital


def gas_by_settings(chain: ChainSettings) -> GasConfig:
    """Return the caps on gas in wei."""
    return GasConfig(max_fee_cap=round(chain.max_fee_gwei * GWEI), cost_cap=round(chain.max_cost_pol * WEI_PER_POL))


def _refuse_another_record(settings: Settings, journal: ReadJournal, *, live: bool) -> None:
    """Refuse what an engine's start refuses: transactions of another account are not taken up, nor real ones unrecorded."""
    for what, given in (("account", settings.account), ("environment", settings.environment)):
        kept = getattr(journal, what, None)
        if kept is not None and kept != given:
            raise ConfigError(f"the journal is of {what} {kept!r}, not {given!r}")
    if live and getattr(journal, "environment", None) is None:
        raise ConfigError("the chain is live, and the record is one of paper: use another journal")


def _signer(chain: ChainSettings, folder: Path, *, live: bool) -> Signer:
    assert chain.private_key is not None  # checked by the settings
    try:
        signer = Signer(chain.private_key.load(folder), chain.chain_id, live=live)
    except ConfigError as error:
        raise ConfigError(f"chain.keys.private_key: {error}") from None
    if not chain.is_safe and signer.address.lower() != chain.holder.lower():
        raise ConfigError(f"chain.holder: is {chain.holder}, but chain.keys.private_key signs for {signer.address}")
    return signer


@asynccontextmanager
async def capital_on_polygon(
    node: Node,
    signer: Signer,
    journal: ReadJournal,
    markets: Mapping[str, ChainMarket],
    *,
    pol_price: Callable[[], Cash],
    live: bool,
    contracts: Contracts = POLYMARKET,
    clock: Clock | None = None,
    safe: SafeWallet | None = None,
    gas: GasConfig | None = None,
    transactions: TransactionConfig | None = None,
    terms: LockTerms | None = None,
    events: Sequence[ChainEvent] = (),
    approves: bool = True,
    tracker: PolygonGasTracker | None = None,
    locks: Path | None = None,
) -> AsyncIterator[PolygonCapital]:
    """Open the account for an engine: `ArbitrageExecutionEngine(..., journal=journal, chain=capital)`, then start it.

    `markets` are the conditions of markets by name ("venue:market"), `events` those of which exactly one comes true:
    NO of theirs are converted when that pays. `pol_price` returns the price of one POL in millionths of a dollar. Nobody
    else on this machine sends for the account meanwhile (`locks` is the folder of locks, a user's own by default).
    It asks no gate: who passes a node and says `live` has asked them; `capital_by_settings` does.
    Raises JournalError when somebody does, JournalDamaged, ConfigError (also while transactions of another account are
    open on record: what they may still do would be done twice), ChainError.
    """
    clock = clock or LoopClock()
    lock = AccountLock(signer.chain_id, signer.address, locks)
    try:
        book = transactions_of(journal.facts)
        if others := [account for account, mine in book.open.items() if mine and account != signer.address]:
            raise ConfigError(
                f"transactions of {', '.join(others)} are open on record, and the key signs for {signer.address}: "
                "start with the key that signed them until they have ended, or with another journal"
            )
        polygon = PolygonOptimizer(
            node,
            signer,
            journal,
            clock,
            pol_price=pol_price,
            gas=gas,
            transactions=transactions,
            safe=safe,
            book=book,
            tracker=tracker,
            lock=lock,
        )
    except BaseException:
        lock.release()
        raise
    try:
        desk = SettlementDesk(polygon, contracts, approves=approves)
        capital = PolygonCapital(polygon, desk, markets, clock, terms, live=live, events=events)
        await polygon.start()  # only now, when nothing stated is refused any more: it takes up what is open
        await capital.step()  # what gas costs is known before the first trade ends
        yield capital
    finally:
        polygon.close()
