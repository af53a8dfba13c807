"""What venues say of orders, taken down once: into the trade, the account and the journal.

Evidence only: a report moves an order as the table of legal changes allows, a fill counts once whoever tells of it,
and "not found" is a last word only when the order can no longer be on its way. What a venue did beyond an order is
true all the same; it is told, and bars the market.
"""

from __future__ import annotations

from collections.abc import Mapping

from arbkit.core.config import ExecutionConfig
from arbkit.core.errors import AccessDenied, Cause, InvariantViolation, OrderRejected
from arbkit.core.model import Fill, Order, OrderReport, OrderStatus, TradeLeg
from arbkit.core.ports import BookFeed, Clock, Venue
from arbkit.core.units import NS_PER_S
from arbkit.execution.record import Record
from arbkit.execution.terms import Terms
from arbkit.execution.work import Sending, Work
from arbkit.journal.ledger import Ledger
from arbkit.risk.limits import RiskManager

# How long a venue that refuses entries is left alone when it does not say (Polymarket's window after a restart).
APART_NS = 3 * NS_PER_S  # two words on an order that is not found are two only so far apart: indices can be cold
PAUSES_S = {Cause.TAKERS_REFUSED: 120.0, Cause.PAUSED: 60.0}


class Hearing:
    """Takes down the words of venues. `ledger` is the account as our own record has it."""

    def __init__(
        self,
        venues: Mapping[str, Venue],
        feed: BookFeed,
        risk: RiskManager,
        config: ExecutionConfig,
        clock: Clock,
        record: Record,
        ledger: Ledger,
    ) -> None:
        self._venues = dict(venues)
        self._feed = feed
        self._risk = risk
        self._config = config
        self._terms = Terms.of(config)
        self._clock = clock
        self._record = record
        self._ledger = ledger
        self._denied: dict[str, int] = {}  # by venue: until when it is not asked again (ns)

    # -- what was heard ------------------------------------------------------------------------------------------

    def _told(self, work: Work, leg: TradeLeg, report: OrderReport) -> TradeLeg:
        """Take a venue's word on an order of the leg; what a venue did beyond the order is true all the same."""
        ours = {order.client_id: order for order in work.leg(leg.index).orders}
        if report.client_id not in ours:
            raise InvariantViolation(f"asked about {[*ours]}, told of {report.client_id}")
        before = ours[report.client_id]
        sending = work.sendings[before.client_id]
        if report.status is OrderStatus.UNKNOWN and not report.fills:
            return self._not_found(work, leg, before, sending, report.reason)
        sending.acknowledged, sending.missing = True, 0
        heard: list[tuple[Order, Fill]] = []
        order, broken = before, None
        try:
            for fill in report.fills:
                with_it = order.with_fill(fill)
                if with_it is not order:
                    heard.append((order, fill))
                    order = with_it
            after = order.told(report)
        except InvariantViolation as error:  # what was legal up to there is true; the rest is told, and halts
            after, broken = order, error
        for known, fill in heard:
            self._count(known, fill)
        if (after.status, after.reason) != (order.status, order.reason):
            self._record.note("order.status", after.client_id, status=after.status.value, reason=after.reason)
        if after != before:
            leg = self._changed(work, leg, after)
            self._check_word(work, before, after)
        if broken is not None:
            raise broken
        return work.leg(leg.index)

    def _count(self, order: Order, fill: Fill) -> None:
        """Write down and book one fill that is new to an order, or a later word on one that is known."""
        known = next((known for known in order.fills if known.trade_id == fill.trade_id), None)
        if known is not None:
            self._record.note("fill.settled", order.client_id, id=fill.trade_id, settlement=fill.settlement)
            if not fill.counts:
                self._ledger.unbook(order, known)
            return
        self._record.note(
            "fill",
            order.client_id,
            id=fill.trade_id,
            price=fill.price,
            size=fill.size,
            fee=fill.fee,
            maker=fill.maker,
            venue_at=fill.venue_at,
            settlement=fill.settlement,
        )
        if fill.counts:
            self._ledger.book(order, fill)

    def _check_word(self, work: Work, before: Order, after: Order) -> None:
        """Raise the alarm, and bar the market, when a venue filled more or at a worse price than was asked."""
        broken = ""
        for fill in after.fills[len(before.fills) :]:
            if fill.counts and after.side * (fill.price - after.limit) > 0:
                broken = f"{after.client_id} was filled at {fill.price}, beyond its limit {after.limit}"
        if after.excess > before.excess:
            broken = f"{after.client_id} was filled {after.filled}, more than the {after.size} asked for"
        if broken:
            self._block(after.book.market_name, broken)
            work.notes.append(broken)

    def _block(self, market: str, why: str) -> None:
        """Enter nothing on a market until a person has claimed it."""
        self._record.note("market.blocked", market, why=why)
        self._record.alert(f"market {market} is blocked", why)
        self._risk.block_market(market, why)

    def _not_found(self, work: Work, leg: TradeLeg, order: Order, sending: Sending, reason: str) -> TradeLeg:
        """Take note that a venue does not find an order: its last word only twice, and when none can still arrive."""
        if order.is_final:
            return work.leg(leg.index)
        now = self._clock.now()
        if not sending.acknowledged and now >= max(sending.last_at + self._terms.late_ns, sending.missed_at + APART_NS):
            sending.missing, sending.missed_at = sending.missing + 1, now
            if sending.missing >= 2:
                return self._never(work, leg, order, "it never arrived: not found after it could still have")
        return self._unknown(work, leg, order, reason or "not found")

    def _never(self, work: Work, leg: TradeLeg, order: Order, reason: str) -> TradeLeg:
        """Take note that an order is not live and never was."""
        if not work.reason:
            work.reason = f"leg {leg.index} {leg.book.name}: {reason}"
        return self._moved(work, leg, order, OrderStatus.REJECTED, reason)

    def _unknown(self, work: Work, leg: TradeLeg, order: Order, why: str) -> TradeLeg:
        """Take note that an order may be live: it stays UNKNOWN until its venue speaks."""
        return self._moved(work, leg, order, OrderStatus.UNKNOWN, why)

    def _moved(self, work: Work, leg: TradeLeg, order: Order, status: OrderStatus, reason: str) -> TradeLeg:
        newest = work.order(leg, order.client_id)
        if newest.status is status:
            return work.leg(leg.index)
        self._record.note("order.status", newest.client_id, status=status.value, reason=reason)
        return self._changed(work, leg, newest.moved(status, reason))

    def _unanswered(self, work: Work, leg: TradeLeg, order: Order, asked: str, silent: Exception | str) -> TradeLeg:
        self._record.note("order.unanswered", order.client_id, asked=asked, why=str(silent) or "no answer in time")
        return work.leg(leg.index)

    def _changed(self, work: Work, leg: TradeLeg, order: Order) -> TradeLeg:
        """Take an order's newer state into the trade, and let risk know."""
        leg = work.changed(leg, order, self._clock.now())
        self._risk.track(work.trade)
        return leg

    def _deny(self, venue: str, no: AccessDenied) -> None:
        """Halt entries, and leave a venue that denies access alone for a while: asking again makes it worse."""
        self._denied[venue] = self._clock.now() + round(self._config.reconcile_s * NS_PER_S)
        self._record.halt(f"{venue} denies access: {no}")

    def _is_denied(self, venue: str) -> bool:
        return self._clock.now() < self._denied.get(venue, 0)

    def _learn(self, order: Order, no: OrderRejected | AccessDenied) -> None:
        """Keep entries away from a venue or a market that has said it will not take them."""
        if isinstance(no, AccessDenied):
            self._deny(order.venue, no)
            return
        if no.cause in PAUSES_S:
            pause = no.retry_after_s or PAUSES_S[no.cause]
            until = self._clock.now() + round(pause * NS_PER_S)
            self._record.note("venue.paused", order.venue, until=until, why=str(no))
            self._risk.pause_venue(order.venue, until, str(no))
        elif no.cause in (Cause.TERMS, Cause.CLOSED):
            self._record.alert(f"{order.venue} does not take orders on {order.book.name} as they are made", str(no))
            self._feed.distrust(order.book, str(no))
