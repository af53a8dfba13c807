"""An engine without a chain: no market's shares live here, so nothing is wanted and nothing asked."""

from __future__ import annotations

from collections.abc import Sequence

from arbkit.core.capital import CapitalIntent, CapitalResult, Conversion, Offer, Payout
from arbkit.core.transaction import Fate, Work
from arbkit.core.units import Cash, Size


class NoChain:
    """Implements `core.ports.Chain` and covers no market."""

    live = False
    pause_s = 60.0

    def covers(self, _market: str) -> bool:
        return False

    def merge_offer(self, market: str, _pairs: Size) -> Offer:
        return Offer(Cash(0), f"the shares of {market} live on no chain here")

    def conversion(self, _markets: Sequence[str], _shares: Size) -> Conversion | None:
        return None

    def gas_of(self, _work: Work) -> Cash | None:
        return None

    async def settle(self, intent: CapitalIntent) -> CapitalResult:
        return CapitalResult(Fate.REFUSED, reason=f"the shares of {intent.market} live on no chain here")

    async def give_up(self, _intent: CapitalIntent, why: str) -> CapitalResult:
        return CapitalResult(Fate.REFUSED, reason=why)

    async def payout(self, _market: str) -> Payout | None:
        return None

    async def step(self) -> str:
        return ""
