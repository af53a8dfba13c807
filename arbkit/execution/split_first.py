"""Selling both outcomes of a market without holding any: collateral is split into pairs first, then both legs are sold.

Where YES and NO are one mirrored book that is the same as buying both, and the stored form of it (a buy of the other
outcome at a dollar less the bid). Where they are two books it is not, and bids of more than a dollar together are
taken like this. Pairs that are not sold, whatever became of the trade, go back to collateral.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from arbkit.core.capital import paired_market, split_orders
from arbkit.core.errors import ArbkitError
from arbkit.core.model import (
    ArbitrageOpportunity,
    Basket,
    ExecutionResult,
    ExecutionStrategy,
    MultiLegTrade,
    Purpose,
    Side,
    TradeLeg,
    TradeState,
)
from arbkit.core.ports import BookView
from arbkit.core.units import MICRO, Cash, Price, Size, proceeds
from arbkit.detection.sizing import fees_of, needed, quote
from arbkit.execution.market import caps as market_caps
from arbkit.execution.parallel_executor import ParallelExecutor, plan_of
from arbkit.execution.planning import unhealthy
from arbkit.execution.settling import Settling
from arbkit.execution.terms import Terms
from arbkit.execution.work import Work


@dataclass(frozen=True, slots=True)
class Sale:
    """A trade that sells pairs, as decided on received books; `costs` are what its legs may lose unhedged.

    Of a pair whose YES was sold the NO is left, which then has cost a dollar less what the YES brought; so a leg's
    cost is the other one's shortfall from a dollar a share, at its cap and after the taker's fee.
    """

    trade: MultiLegTrade
    caps: tuple[Price, ...]
    costs: tuple[Cash, ...]


def decided_sale(
    basket: Basket, size: Size, views: Sequence[BookView], terms: Terms, gas: Cash, trade_id: str, now: int
) -> Sale | str:
    """Return the sale of so many pairs that these books hold and that earns after fees and gas, or why there is none."""
    if reason := unhealthy(views):
        return reason
    if size < basket.min_size or size % basket.lot or size % 2:
        return f"size {size} is not a legal size: at least {basket.min_size}, in steps of {basket.lot}, and even"
    quotes = [quote(view.bids(), size, Side.SELL) for view in views]
    if any(one.filled < size for one in quotes):
        return "the books do not hold the size"
    gross = sum(one.cost for one in quotes) - size
    edge = gross - sum(fees_of(view.bids(), size, view.fees) for view in views) - gas
    if (judged := gross if terms.gross else edge) < needed(terms.min_edge, size):
        return f"edge {judged / size:.6f} per share is below min_edge {terms.min_edge / MICRO:g}"
    exact = all(one.exact for one in quotes)
    found = ArbitrageOpportunity(f"{basket.id}.sell.{now}", basket, now, size, Cash(edge), Cash(gross), exact)
    legs = tuple(
        TradeLeg(index, book, Side.SELL, size, one.cost, one.worst, one.exact)
        for index, (book, one) in enumerate(zip(basket.legs, quotes, strict=True))
    )
    trade = MultiLegTrade(trade_id, found, ExecutionStrategy.MARKET, legs)
    caps = market_caps(trade, [view.grid for view in views], terms)
    if not all(0 < cap < MICRO for cap in caps):
        return "a leg has no price on its grid within its cap"
    brings = [
        proceeds(cap, size) - view.fees.order_fee([(cap, size)], maker=False)
        for cap, view in zip(caps, views, strict=True)
    ]
    return Sale(trade, caps, tuple(Cash(max(0, size - other)) for other in reversed(brings)))


class SplitExecutor(ParallelExecutor):
    """Also sells pairs that it splits first."""

    async def sell_both(self, trade: MultiLegTrade, capital: Settling) -> ExecutionResult:
        """Split what is missing of a trade's size in pairs, and sell both legs on the books as they are then.

        `trade` says basket, size and id. Nothing is split for what could not be sold or would pass a limit; what is
        split and cannot be sold any more goes back to collateral. Every outcome is a result.
        """
        started_at, market = self._clock.now(), paired_market(trade)
        try:
            reason = await self._split_checks(trade, market, capital)
        except Exception as error:  # noqa: BLE001 - supervised here: whatever it is, nothing was split
            reason = self.bug(f"checking trade {trade.id}", error)
        if reason:
            return self.refuse(trade, reason, started_at)
        async with capital.pairs_for(trade.id, market, trade.size) as why:
            sale = why or self._sale(trade, Cash(0))  # what was paid to split is spent either way
            reason = sale if isinstance(sale, str) else self._planned(sale, market, capital)
            if reason:
                return self.refuse(trade, reason, started_at)
            work = self._running[trade.id]
            work.started_at = started_at
            return await self._to_the_end(trade.id, self._held(work, self._sold))

    async def _split_checks(self, trade: MultiLegTrade, market: str, capital: Settling) -> str:
        """Return why nothing is split for a trade, or nothing."""
        if reason := self.halted or self._record.unhealthy:
            return reason
        gas = capital.split_gas(market)
        if isinstance(gas, str):
            return gas
        free = await self._free_cash(trade)
        if isinstance(free, str):
            return free
        sale = self._sale(trade, gas)
        if isinstance(sale, str):
            return sale
        venue, missing = trade.legs[0].book.venue, capital.missing(market, trade.size)
        if free[venue] < missing:
            return f"free cash at {venue}: {missing / MICRO:.2f} needed to split, {free[venue] / MICRO:.2f} there"
        return str(self._risk.check(sale.trade, sale.costs, free, now=self._clock.now()) or "")

    def _sale(self, trade: MultiLegTrade, gas: Cash) -> Sale | str:
        if reason := self.halted or self._record.unhealthy:
            return reason
        basket, size = trade.opportunity.basket, trade.size
        return decided_sale(basket, size, self._views(trade), self._terms, gas, trade.id, self._clock.now())

    def _planned(self, sale: Sale, market: str, capital: Settling) -> str:
        """Write a sale down with the pairs it begins with and reserve for it; return why that cannot be, or nothing."""
        trade = sale.trade
        # Others may have begun while it was split.
        if refusal := self._risk.check(trade, sale.costs, now=self._clock.now(), brings=trade.size):
            return str(refusal)
        fields = {"caps": sale.caps, "costs": sale.costs, "pairs": trade.size}
        try:
            now = self._record.intend("trade.planned", trade.id, **plan_of(trade), **fields)
        except (ArbkitError, OSError) as error:
            return f"the journal does not take the plan: {error}"
        capital.take(market, trade.size)
        orders = split_orders(trade, trade.size, now)
        trade = trade.with_legs(tuple(leg.with_order(order) for leg, order in zip(trade.legs, orders, strict=True)))
        self._risk.reserve(trade, sale.costs, now)
        self._begin(Work(trade, sale.caps, now, self._terms.hedge_ns, sale.costs))
        return ""

    async def _sold(self, work: Work) -> ExecutionResult:
        self._state(work, TradeState.RUNNING)
        sell = partial(self._take, work, purpose=Purpose.ENTRY, side=Side.SELL)
        legs = zip(work.trade.legs, work.caps, strict=True)
        await self._together(work, [sell(leg, cap, leg.size) for leg, cap in legs])
        return await self._finalize_trade(work)

    def _commit_trade(self, work: Work) -> ExecutionResult:
        """Close a trade whose legs are even; of one that split and sold nothing the pairs are merged, which undoes it."""
        legs = work.trade.legs
        if min([leg.held for leg in legs]) > 0 and not any(leg.filled for leg in legs):
            work.undo = work.undo or Purpose.MERGE.value
        return super()._commit_trade(work)
