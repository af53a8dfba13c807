"""The limits a trade must keep before its first order is sent, and an order before it leaves.

A trade is refused whole. Its reservation stands from the check until it is over and none of its orders can change;
that of an escalated trade stands until a person acknowledges it, and until then nothing new is entered. Entries
need every permission there is; orders that undo need none but to be no larger than what they undo, and to add nothing
to what hangs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from arbkit.core.config import ExecutionConfig
from arbkit.core.model import Book, ExecutionResult, MultiLegTrade, Order, Outcome, Purpose, TradeLeg
from arbkit.core.units import MICRO, Cash, Size, cost
from arbkit.risk.barriers import Barriers
from arbkit.risk.bounds import Refusal, RiskLimits, at_most, barred
from arbkit.risk.caps import fitting, leg_name, legal, over, over_caps, over_free_cash
from arbkit.risk.daily import Losses
from arbkit.risk.exposure import exposure, exposure_of, largest_exposed
from arbkit.risk.kill_switch import KillFlag, KillSwitch
from arbkit.risk.oversize import oversized
from arbkit.risk.pairs import PairBook
from arbkit.risk.stakes import Stakes, taken
from arbkit.risk.state import GOING, Phase, Reservation, RiskState, is_closed

__all__ = ["Refusal", "RiskLimits", "RiskManager", "RiskState", "exposure", "largest_exposed"]


class RiskManager:
    """Refuses whole trades, reserves for those that start and keeps count of what is held, lost and barred.

    `pairs` are the approvals of trades over two venues: without a book of them there is none. `rules` are the hashes
    of the venues' rules as they are now, by market ("venue:market"), for the approvals to be held against.
    """

    def __init__(
        self,
        limits: RiskLimits | None = None,
        config: ExecutionConfig | None = None,
        *,
        pairs: PairBook | None = None,
        rules: Mapping[str, str] | None = None,
        kill: KillSwitch | None = None,
    ) -> None:
        self.limits = limits or RiskLimits()
        config = config or ExecutionConfig()
        self._bounds = self.limits.bounds()
        self._max_exposure = at_most(config.max_exposure)
        self._max_size = at_most(config.max_size)
        self._unwind_ppm = at_most(config.max_unwind_loss)
        self._pairs = pairs or PairBook()
        self._rules = rules
        self._kill = kill or KillFlag()
        self.restore(RiskState())

    # -- the whole state -----------------------------------------------------------------------------------------

    def state(self) -> RiskState:
        """Return all that is counted."""
        return RiskState(
            self._stakes.rows(),
            self._losses.state(),
            tuple(reserved for _, reserved in sorted(self._caught_up().items())),
            self._barriers.blocked(),
            self._barriers.paused(),
        )

    def restore(self, state: RiskState) -> None:
        """Take a state over, in place of all that was counted."""
        self._stakes = Stakes(state.held)
        self._losses = Losses(self._bounds["max_daily_loss"], self._bounds["max_drawdown"], state.losses)
        self._reserved = {one.trade: one for one in state.reservations}
        self._newest: dict[str, MultiLegTrade] = {}  # states of running trades that nobody has asked about yet
        self._barriers = Barriers(state.blocked, state.paused)

    @property
    def halted(self) -> str:
        """Return why no trade may start, wherever it is, or nothing."""
        if killed := self._killed():
            return killed
        escalated = [one.trade for one in self._reserved.values() if one.phase is Phase.ESCALATED]
        if escalated:
            return f"entries are halted: {', '.join(escalated)} escalated and nobody has acknowledged it"
        return ""

    def exposure_room(self) -> Cash:
        """Return what running and escalated trades leave of `max_exposure`."""
        return Cash(self._max_exposure - sum(one.worst for one in self._caught_up().values()))

    def total_exposure(self) -> Cash:
        """Return the worst unhedged dollars as all trades stand now: what is in flight counts, what is planned not."""
        return Cash(sum(one.exposed for one in self._caught_up().values()))

    def largest_allowed(self, costs: Sequence[int], size: int, lot: int) -> Size:
        """Return the largest size within `max_exposure` as it stands now; `costs` are those of `size` shares."""
        return largest_exposed(costs, size, lot, self.exposure_room())

    # -- the life of a trade -------------------------------------------------------------------------------------

    def check(
        self,
        trade: MultiLegTrade,
        costs: Sequence[Cash] | None = None,
        free: Mapping[str, Cash] | None = None,
        *,
        now: int = 0,
        brings: int = 0,
    ) -> Refusal | None:
        """Return the first limit a trade would pass at `now` (ns), or None.

        `costs` is what each leg costs at most (by default its cost at decision), `free` the venues' free cash, `brings`
        how many held shares of each leg become the trade's. Without a time every pause, stop and day is taken as not
        over, and no approval as begun.
        """
        costs = tuple(costs) if costs is not None else tuple(leg.decision_cost for leg in trade.legs)
        new, held = Reservation.of(trade, costs, now, self._unwind_ppm), self._stakes
        if brings:
            held = Stakes(held.rows())
            for leg in trade.legs:
                held.adopt(leg.book, -brings)
        return next(self._refusals(trade, new, held, free, now), None)

    def reserve(self, trade: MultiLegTrade, costs: Sequence[Cash], now: int | None = None) -> None:
        """Count a trade that starts now against every limit; `now` is its intent, by default when it was detected."""
        intent_at = trade.opportunity.detected_at if now is None else now
        self._reserved[trade.id] = Reservation.of(trade, costs, intent_at, self._unwind_ppm)

    def track(self, trade: MultiLegTrade) -> None:
        """Take a newer state of a trade; one that is not reserved changes nothing."""
        found = self._reserved.get(trade.id)
        if found is not None:
            self._newest[trade.id] = trade
            if found.phase is not Phase.RUNNING:
                self._caught_up()

    def finish(self, result: ExecutionResult) -> None:
        """Count what a trade came to, and replace its reservation by what it holds once nothing can change.

        An escalated one keeps it, and halts entries; its result may be told again, and the last one counts.
        """
        self._newest.pop(result.trade.id, None)  # the result's is newer
        found = self._reserved.get(result.trade.id)
        if found is None:
            return
        self._losses.book(found.intent_at, result.pnl - found.booked)
        if found.phase is Phase.RUNNING and result.outcome is not Outcome.ESCALATED and is_closed(result.trade):
            self._reserved.pop(result.trade.id)  # as below, and without what is counted only while it runs
            self._stakes.add(taken(result.trade))
            return
        found = found.tracked(result.trade)._replace(booked=result.pnl)
        if found.phase not in (Phase.ESCALATED, Phase.SEEN_TO):
            escalates = result.outcome is Outcome.ESCALATED
            found = found._replace(phase=Phase.ESCALATED if escalates else Phase.OVER)
        self._put(found)

    def acknowledge(self, trade_id: str) -> None:
        """Take a person's word that an escalated trade was seen to: entries go on; what is unknown stays reserved."""
        found = self._caught_up().get(trade_id)
        if found is not None and found.phase is Phase.ESCALATED:
            self._put(found._replace(phase=Phase.SEEN_TO))

    def acknowledge_losses(self, now: int) -> None:
        """Take a person's word that the day's loss and the drawdown were looked at: they are counted from here."""
        self._losses.acknowledge(now)

    def freed(self, book: Book, shares: Size, capital: Cash) -> None:
        """Take shares and their capital out of the count, after settlement paid them."""
        self._stakes.free(book.name, shares, capital)

    def charged(self, now: int, gas: Cash) -> None:
        """Count what gas cost at `now` (ns) as lost: it belongs to the day that it was paid on."""
        self._losses.book(now, -gas)

    def adopted(self, book: Book, shares: int) -> None:
        """Count shares that came (or went, < 0) without a trade; what they cost is not known: at most a dollar each."""
        self._stakes.adopt(book, shares)

    def _caught_up(self) -> dict[str, Reservation]:
        """Return what is reserved, as the newest state of each trade leaves it: counted when somebody asks."""
        newest, self._newest = self._newest, {}
        for trade_id, trade in newest.items():
            self._put(self._reserved[trade_id].tracked(trade))
        return self._reserved

    def _put(self, found: Reservation) -> None:
        if found.phase in GOING and found.closed:
            self._reserved.pop(found.trade)
            self._stakes.add(found.taken)
        else:
            self._reserved[found.trade] = found

    # -- what is barred ------------------------------------------------------------------------------------------

    def block_market(self, name: str, why: str) -> None:
        """Enter nothing on a market ("venue:market") or at a venue until it is claimed."""
        self._barriers.block(name, why)

    def claim_market(self, name: str) -> None:
        """Lift a block; a name without one changes nothing."""
        self._barriers.claim(name)

    def pause_venue(self, venue: str, until_ns: int, why: str) -> None:
        """Enter nothing at a venue ("venue", or "venue/reason") before `until_ns`; a later pause of the name counts."""
        self._barriers.pause(venue, until_ns, why)

    # -- one order -----------------------------------------------------------------------------------------------

    def may_send(self, order: Order, trade: MultiLegTrade, now: int) -> str:
        """Return why this order of a trade may not leave at `now` (ns), or nothing.

        An undo order is held back where it is larger than what it undoes. One that buys may also not bring more
        unhedged dollars than there are: by itself never, together with others of its undo (which may buy on several
        legs) not beyond `max_exposure`. Of the trade's own orders those that are only intended count as sent: they
        are about to be.
        """
        if why := oversized(order, trade):
            return why
        if order.purpose is Purpose.ENTRY:
            return self._entry(order, trade, now)
        return self._completes(order, trade) if order.purpose is Purpose.COMPLETE else ""

    def _completes(self, order: Order, trade: MultiLegTrade) -> str:
        reserved = self._caught_up()
        found = reserved.get(trade.id)
        if found is None:
            return ""
        others = sum(one.exposed for one in reserved.values() if one.trade != trade.id)
        leg = next(leg for leg in trade.legs if leg.book.name == order.book.name)
        orders = [one for each in trade.legs for one in each.orders]
        now = exposure_of(trade.with_leg(leg.without(order.client_id)), found.costs)
        after = exposure_of(trade.with_leg(leg.with_order(order)), found.costs, intents=True)
        together = any(
            one.purpose is Purpose.COMPLETE and not one.is_final for one in orders if one.client_id != order.client_id
        )
        if after > now and not together:
            return f"by itself it would bring {now / MICRO:.2f} unhedged dollars to {after / MICRO:.2f}"
        refusal = over("max_exposure", others + after, max(self._max_exposure, others + now), leg=leg)
        return str(refusal) if refusal else ""

    def _entry(self, order: Order, trade: MultiLegTrade, now: int) -> str:
        if why := self._killed() or self._barriers.refusal([order.book], now):
            return why
        found = self._reserved.get(trade.id)
        if found is None or found.phase is not Phase.RUNNING:
            return f"trade {trade.id} is not running: nothing is reserved for an entry"
        leg = next(leg for leg in trade.legs if leg.book.name == order.book.name)
        trade = trade.with_leg(leg.with_order(order))
        alone = len(self._reserved) == 1
        others = [] if alone else [one for one in self._caught_up().values() if one.trade != trade.id]
        exposed = sum(one.exposed for one in others) + exposure_of(trade, found.costs, intents=True)
        own = len([one for each in trade.legs for one in each.orders if not one.is_final])
        slots = sum(one.open_orders for one in others) + own
        refusal = (
            self._order(leg, order.size, cost(order.limit, order.size), order.limit)
            or over("max_exposure", exposed, self._max_exposure, leg=leg)
            or over("max_open_orders", slots, self._bounds["max_open_orders"], "orders")
        )
        return str(refusal) if refusal else ""

    def _order(self, leg: TradeLeg, shares: int, dollars: int, price: int) -> Refusal | None:
        """Return the limit that one entry order on a leg passes."""
        bounds = self._bounds
        if price < bounds["min_price"]:
            return Refusal("min_price", price, bounds["min_price"], leg=leg_name(leg))
        return (
            over("max_price", price, bounds["max_price"], leg=leg)
            or over("max_order_shares", shares, bounds["max_order_shares"], "shares", leg)
            or over("max_order_capital", dollars, bounds["max_order_capital"], leg=leg)
        )

    # -- one trade -----------------------------------------------------------------------------------------------

    def _killed(self) -> str:
        reason = self._kill.engaged()
        return f"kill switch: {reason}" if reason else ""

    def _refusals(
        self, trade: MultiLegTrade, new: Reservation, held: Stakes, free: Mapping[str, Cash] | None, now: int
    ) -> Iterator[Refusal]:
        """Yield every limit that a trade passes with what it reserves, each looked at only when it is asked for."""
        if why := self.halted:
            yield barred("halted", why)
        if why := self._barriers.refusal([leg.book for leg in trade.legs], now):
            yield barred("barred", why)
        if why := self._pairs.refusal(trade.opportunity.basket, now, self._rules):
            yield barred("pair approval", why)
        yield from self._losing(trade, new.may_lose, now)
        yield from self._sizes(trade, new.costs)
        reserved = self._caught_up().values()
        promised = [stake for one in reserved for stake in one.stakes]
        yield from over_caps(trade, new.intended, (*held, *promised), self._bounds)
        slots = sum([one.slots for one in reserved]) + len(trade.legs)
        if refusal := over("max_open_orders", slots, self._bounds["max_open_orders"], "orders"):
            yield refusal
        if free is not None:
            yield from over_free_cash(trade, new.intended, promised, free)

    def _losing(self, trade: MultiLegTrade, own: int, now: int) -> Iterator[Refusal]:
        """Yield the bound on losses that is passed, or would be if this trade and all that run were undone."""
        running = [one for one in self._caught_up().values() if one.phase is Phase.RUNNING]
        if refusal := self._losses.refusal(now, own, [(one.intent_at, one.may_lose) for one in running]):
            room = refusal.bound - refusal.value + own
            yield refusal if refusal.why else replace(refusal, largest=fitting(trade, own, room))

    def _sizes(self, trade: MultiLegTrade, costs: Sequence[int]) -> Iterator[Refusal]:
        """Yield what the trade passes by itself: its size, its orders, its exposure, its cost."""
        if refusal := over("max_size", trade.size, self._max_size, "shares"):
            yield replace(refusal, largest=legal(trade, self._max_size))
        for leg, of in zip(trade.legs, costs, strict=True):
            if refusal := self._order(leg, leg.size, of, leg.worst):
                priced = refusal.limit in ("min_price", "max_price")
                yield refusal if priced else replace(refusal, largest=fitting(trade, refusal.value, refusal.bound))
        used, own = self._max_exposure - self.exposure_room(), exposure(costs)
        if refusal := over("max_exposure", used + own, self._max_exposure):
            dearest = max(trade.legs, key=lambda leg: costs[leg.index])
            refusal = replace(refusal, leg=leg_name(dearest))
            fits = self.largest_allowed(costs, trade.size, trade.opportunity.basket.lot)
            yield replace(refusal, largest=legal(trade, fits))
        if refusal := over("max_trade_capital", sum(costs), self._bounds["max_trade_capital"]):
            yield replace(refusal, largest=fitting(trade, refusal.value, refusal.bound))
