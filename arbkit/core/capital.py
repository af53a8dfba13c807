"""What the engine wants of a venue's contracts, and what became of it: collateral into pairs, pairs into collateral.

A pair is one YES and one NO of a market: it is worth a dollar of collateral whatever happens. Where exactly one market
of an event comes true (neg risk), one NO of each of k of them is worth k - 1 dollars, and a YES of every other market
besides. Markets are named "venue:market"; shares and dollars are in millionths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from arbkit.core.model import Fill, Kind, MultiLegTrade, Order, OrderStatus, Purpose, Side, TimeInForce
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import MICRO, Cash, Price, Size

HALF = Price(MICRO // 2)
ACCOUNT = "account"  # whose intent it is when no single trade wants it


@dataclass(frozen=True, slots=True)
class CapitalIntent:
    """One thing that is wanted once: a split, a merge or a redeem of so many YES and NO, or a conversion.

    `turn` is how many intents of the account came before it, so that no two ever have the same key. A conversion gives
    `no` NO of each market in `taken` for `yes` YES of each in `made` and `yes` dollars for all of `taken` but one: the
    event's fee lies between `no` and `yes`. It is told of under `market`, the first of `taken`.
    """

    work: Work
    trade: str
    market: str
    yes: Size
    no: Size
    turn: int
    taken: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.work not in (Work.SPLIT, Work.MERGE, Work.REDEEM, Work.CONVERT):
            raise ValueError(f"{self.work} is nothing that capital is moved by")
        if self.work is Work.CONVERT:
            self._check_conversion()
            return
        if self.taken or self.made:
            raise ValueError(f"{self.key} moves one market's shares, not those of {', '.join(self.markets)}")
        if min(self.yes, self.no) < 0 or not self.yes + self.no:
            raise ValueError(f"{self.key} moves {self.yes} YES and {self.no} NO")
        if self.work is not Work.REDEEM and self.yes != self.no:
            raise ValueError(f"{self.key} moves pairs, and {self.yes} YES and {self.no} NO are none")

    def _check_conversion(self) -> None:
        if len(self.taken) < 2 or self.market != self.taken[0] or len({*self.markets}) != len(self.markets):
            raise ValueError(
                f"{self.key} moves NO of at least two markets, named after the first, and each market once"
            )
        if len({name.partition(":")[0] for name in self.markets}) != 1:
            raise ValueError(f"{self.key} moves shares of one venue, and {', '.join(self.markets)} are of several")
        if not 0 < self.yes <= self.no:
            raise ValueError(f"{self.key} moves {self.no} NO for {self.yes}")

    @property
    def markets(self) -> tuple[str, ...]:
        """Return every market whose shares it moves."""
        return (*self.taken, *self.made) or (self.market,)

    @property
    def key(self) -> str:
        return f"{self.work.value}:{self.trade}:{self.turn}"

    @property
    def venue(self) -> str:
        return self.market.partition(":")[0]

    @property
    def moves(self) -> tuple[tuple[str, int], ...]:
        """Return by how much each book's shares change when it takes effect."""
        if self.work is Work.CONVERT:
            gone = [(f"{name}:no", -self.no) for name in self.taken]
            return (*gone, *[(f"{name}:yes", int(self.yes)) for name in self.made])
        sign = 1 if self.work is Work.SPLIT else -1
        books = ((f"{self.market}:yes", sign * self.yes), (f"{self.market}:no", sign * self.no))
        return tuple((book, change) for book, change in books if change)


def work_of(key: str) -> Work:
    """Return what an intent is for by its key."""
    return Work(key.partition(":")[0])


def trade_of(key: str) -> str:
    """Return the trade of an intent by its key; a trade's name may have colons of its own."""
    return key.partition(":")[2].rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class CapitalResult:
    """What became of an intent, when nothing can change it any more.

    `cash` is what the collateral changed by, `gas` what was charged for it in dollars (`wei` in the chain's coin), also
    where it took no effect. `as_expected` is false when balances moved otherwise than the call moves them; `postponed`
    says that nothing was signed for want of money or nodes, so that it may be wanted again.
    """

    fate: Fate
    cash: Cash = Cash(0)
    gas: Cash = Cash(0)
    wei: int = 0
    reason: str = ""
    hash: str = ""
    as_expected: bool = True
    postponed: bool = False


class Charge(NamedTuple):
    """What moving a trade's capital has cost so far: dollars (millionths), and the chain's coin (wei)."""

    gas: Cash = Cash(0)
    wei: int = 0

    def plus(self, gas: int, wei: int) -> Charge:
        return Charge(Cash(self.gas + gas), self.wei + wei)


class Payout(NamedTuple):
    """How a resolved market pays: a YES gets yes/total of a dollar, a NO no/total; each side is rounded down."""

    yes: int
    no: int
    total: int

    def of(self, yes: int, no: int) -> Cash:
        return Cash(yes * self.yes // self.total + no * self.no // self.total)


class Offer(NamedTuple):
    """What a merge or a conversion brings over waiting, less what it costs; `why` it cannot be made now, if it cannot."""

    gain: Cash
    why: str = ""

    @property
    def pays(self) -> bool:
        return not self.why and self.gain > 0


class Conversion(NamedTuple):
    """What so many NO of each of some markets become: `each` YES of each of `made`, and `each` dollars for all but one."""

    made: tuple[str, ...]
    each: Size
    offer: Offer


def fee_bips(no: int, each: int) -> int:
    """Return what is taken of so many NO where `each` is left, in hundredths of a percent; exact from 0.01 shares on."""
    return -(-(no - each) * 10_000 // no)


def other_event(intent: CapitalIntent, found: Conversion | None, event: str) -> str:
    """Return how a conversion on record differs from the one that its event makes here, and what is to be done."""
    on_record, here = fee_bips(intent.no, intent.yes), "these are no questions of one event here"
    if found is not None and found.made != intent.made:
        here = f"here it makes YES of {', '.join(found.made) or 'none'}"
    elif found is not None:
        here = f"here it takes fee_bips = {fee_bips(intent.no, found.each)}"
    return (
        f"{intent.key} is under way: it converts NO of {', '.join(intent.taken)} into YES of "
        f"{', '.join(intent.made) or 'none'} at event {event} for fee_bips = {on_record}, and {here}: start with the "
        "event as it is on record until that has its end, and only then with what has changed"
    )


def no_markets(trade: MultiLegTrade) -> tuple[str, ...]:
    """Return the markets of one event whose NO are a trade's legs, in their order; nothing where it has other legs."""
    books = [leg.book for leg in trade.legs]
    if trade.opportunity.basket.kind is not Kind.OUTCOMES or any(book.outcome != "no" for book in books):
        return ()
    markets = tuple(dict.fromkeys(book.market_name for book in books))
    is_set = len(markets) == len(books) > 1 and len({book.venue for book in books}) == 1
    return markets if is_set else ()


def paired_market(trade: MultiLegTrade) -> str:
    """Return the market of which a trade's two legs are the two outcomes, or nothing."""
    if len(trade.legs) != 2:
        return ""
    one, other = (leg.book for leg in trade.legs)
    market = one.market_name
    return market if market == other.market_name and one.outcome != other.outcome else ""


def split_orders(trade: MultiLegTrade, pairs: int, at: int) -> tuple[Order, ...]:
    """Return what stands in a trade's legs for so many pairs that it begins with: filled and settled at `at` (ns).

    A pair costs a dollar, half of it on each leg; an odd millionth has no half, so `pairs` are even.
    """
    found = []
    for leg in trade.legs:
        key = f"{trade.id}.{leg.index}.{Purpose.SPLIT.value}.0"
        fill = Fill(key, HALF, Size(pairs), Cash(0), at, at, maker=False, model="split")
        order = Order(key, leg.book, Side.BUY, HALF, Size(pairs), TimeInForce.FAK, purpose=Purpose.SPLIT)
        found.append(order.moved(OrderStatus.SUBMITTED).with_fill(fill))
    return tuple(found)


def began_with_pairs(trade: MultiLegTrade) -> bool:
    """Tell whether a trade sells pairs that a split made."""
    return any(order.purpose is Purpose.SPLIT for order in trade.legs[0].orders)
