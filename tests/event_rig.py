"""One venue and an event of three markets, NO of each at 0.60, and an engine that may convert: twenty cents of edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbkit.backtest.mock_platform import MockFeed
from arbkit.core.capital import Conversion
from arbkit.core.model import Kind
from arbkit.core.ports import Chain
from arbkit.core.units import MICRO, Size
from arbkit.detection.baskets import baskets
from arbkit.history.markets import market_table
from arbkit.integration import ArbitrageExecutionEngine
from tests.builders import replace
from tests.pair_rig import MockChain, PairRig
from tests.rig import a_market

NAMES = ("a", "b", "c")
MARKETS = tuple(f"alpha:{name}" for name in NAMES)
NOS = tuple(f"{market}:no" for market in MARKETS)
C, C_YES = "alpha:c", "alpha:c:yes"


class EventChain(MockChain):
    """Converts, for the event's fee, between the markets it knows."""

    event: tuple[str, ...] = MARKETS
    fee_bips = 0

    def covers(self, market: str) -> bool:
        return market in MARKETS

    def conversion(self, markets: Sequence[str], shares: Size) -> Conversion | None:
        if not {*markets} <= {*self.event}:
            return None
        made = tuple(market for market in self.event if market not in markets)
        return Conversion(made, Size(shares - shares * self.fee_bips // 10_000), self.offer)


@dataclass
class EventRig(PairRig):
    """The basket holds NO of the first `takes` markets; besides its books the engine knows those of all `sides`."""

    takes: int = 3
    sides: tuple[str, ...] = ("yes", "no")

    def __post_init__(self) -> None:
        self.table = market_table(tuple(replace(a_market("alpha", name), void="none") for name in NAMES))
        self.alpha = self.platform("alpha", self.table, "1000")
        self.feed = MockFeed([self.alpha])
        self.chain = EventChain(self.alpha)
        (whole,) = baskets(self.table, (Kind.OUTCOMES,))
        legs = whole.legs[: self.takes]
        floor = (self.takes - 1) * MICRO
        self.basket = whole if self.takes == len(NAMES) else replace(whole, id="some", legs=legs, floor=floor)
        for name in NOS:
            self.alpha.set_book(name, bids=[("0.58", "200")], asks=[("0.60" if self.takes == 3 else "0.45", "100")])
        self.engine = self.new_engine()

    def new_engine(self, chain: Chain | None = None) -> ArbitrageExecutionEngine:
        return ArbitrageExecutionEngine(
            {"alpha": self.alpha},
            self.feed,
            [self.basket],
            config=self.config,
            journal=self.journal,
            books=[book for book in self.table.books if book.outcome in self.sides],
            chain=self.chain if chain is None else chain,
        )

    def shares(self) -> dict[str, float]:
        """Return what the venue lists, in shares by book."""
        return {self.table.books[index].name: size / MICRO for index, size in self.alpha.shares.items() if size}
