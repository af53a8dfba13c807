"""What an account is worth over a continuous run: cash, and what it holds at what that is certain to pay.

Whole baskets stand at their payoff floor until their markets are resolved. From then on shares stand at what they
pay, those outside of baskets as well; and when their venue has paid, which may be later or never by itself, they are
cash. Shares outside of baskets count nothing before: what they are worth then is a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from arbkit.backtest.ledger import Payout
from arbkit.backtest.terms import REFUND, Resolution
from arbkit.core.units import MICRO, proceeds

if TYPE_CHECKING:
    from arbkit.core.model import Basket, ExecutionResult


class Balance(NamedTuple):
    """What the account was worth at a time (ns), in millionths: free cash, and what it holds (see the module)."""

    at: int
    cash: int
    locked: int


def balances(
    opening: Balance,
    results: Sequence[ExecutionResult],
    resolutions: Sequence[Resolution] = (),
    payouts: Sequence[Payout] = (),
) -> tuple[Balance, ...]:
    """Return the account at its opening, at the end of each trade, and as markets of what it holds resolve and pay.

    `results` in the order in which they ended; one balance for all that happens at one ns after the opening. A refund
    is known to be cash when it is paid, and before that counts what its baskets' floor does. What a venue pays before the
    trade that bought the shares has ended counts when it ends, as what the shares cost does.
    """
    account, found = _Account(opening.cash, results), [opening]
    events: list[tuple[int, int, ExecutionResult | Resolution | Payout]] = [
        *((result.finished_at, 0, result) for result in results),
        *((one.at, 1, one) for one in resolutions),
        *((one.at, 2, one) for one in payouts),
    ]
    for at, _, event in sorted(events, key=lambda event: event[:2]):
        if account.hears(event):
            if len(found) > 1 and found[-1].at == at:
                found.pop()  # what is half paid at one moment was never the account's worth
            found.append(Balance(at, account.cash, account.locked()))
    return tuple(found)


class _Account:
    """Cash and shares as trades end, markets resolve and venues pay."""

    def __init__(self, cash: int, results: Sequence[ExecutionResult]) -> None:
        self.cash = cash
        self._coming = Counter(leg.book.index for result in results for leg in result.trade.legs)  # trades yet to end
        self._early: list[Payout] = []  # for shares of which the trade has not ended
        self._held: Counter[int] = Counter()  # shares by book, those of baskets and those left over
        self._paid: Counter[int] = Counter()  # shares by book that have been paid for
        self._baskets: dict[str, tuple[Basket, int]] = {}
        self._worth: dict[int, int] = {}  # what a share pays, by resolved book; REFUND until one is paid

    def hears(self, event: ExecutionResult | Resolution | Payout) -> bool:
        """Take an event down; False for one that concerns nothing that is held."""
        if isinstance(event, Resolution):
            self._worth[event.book] = event.payout
            return self._held[event.book] > self._paid[event.book]
        if isinstance(event, Payout):
            if self._coming[event.book] and self._held[event.book] < self._paid[event.book] + event.shares:
                self._early.append(event)
                return False
            self.cash += event.amount
            self._paid[event.book] += event.shares
            if self._worth.get(event.book, REFUND) == REFUND:  # rounded up: the floor of the other legs is certain
                self._worth[event.book] = -(-event.amount * MICRO // event.shares)
            return True
        self.cash += event.cash - event.gas
        legs = event.trade.legs
        for leg in legs:
            self._held[leg.book.index] += leg.held
            self._coming[leg.book.index] -= 1
        basket = event.trade.opportunity.basket
        whole = min((int(leg.held) for leg in legs), default=0)
        self._baskets[basket.id] = (basket, self._baskets.get(basket.id, (basket, 0))[1] + whole)
        early, self._early = self._early, []
        for payout in early:
            self.hears(payout)
        return True

    def locked(self) -> int:
        """Return what is held at what it is certain to pay."""
        total = 0
        for book, payout in self._worth.items():
            left = self._held[book] - self._paid[book]
            total += proceeds(payout, left) if left > 0 and payout >= 0 else 0
        return total + sum(self._floor(basket, whole) for basket, whole in self._baskets.values())

    def _floor(self, basket: Basket, whole: int) -> int:
        """Return what the legs of a basket that are not resolved pay at least: its floor less what the others do."""
        over = [worth for book in basket.legs if (worth := self._worth.get(book.index, REFUND)) != REFUND]
        if len(over) == len(basket.legs):
            return 0
        return max(0, basket.floor - sum(over)) * whole // MICRO
